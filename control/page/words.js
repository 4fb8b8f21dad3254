/** Metrics in words. */

/** What a metric is, beside the title of its chart. */
const WORDS = {
  "reward/overall": "whole reward",
  "reward/accuracy": "right answers",
  "val/accuracy": "sampled",
  "val/accuracy_greedy": "likeliest tokens",
  "val/accuracy_low": "lower end, 95 %",
  "val/accuracy_high": "upper end, 95 %",
  "atrl/connectivity_anchor": "anchors",
  "atrl/connectivity_rest": "other tokens",
  "atrl/anchor_fraction": "anchors",
  "atrl/bimodality": "bimodality",
  "actor/entropy": "entropy",
  "response_length/mean": "mean length",
  "actor/loss": "loss",
  "actor/grad_norm": "norm",
  "actor/lr": "rate",
  "sft/loss": "loss",
  "timing_s/gen": "answering",
  "timing_s/reward": "grading",
  "timing_s/anchors": "finding anchors",
  "timing_s/adv": "advantages",
  "timing_s/update_actor": "learning",
  "timing_s/ref": "reference",
  "timing_s/old": "log-probs again",
  "timing_s/step": "whole step",
};

/** A metric in words; its own name where there are none. @param {string} key @returns {string} */
export const wordsOf = (key) => WORDS[key] ?? key.split("/").at(-1).replaceAll("_", " ");
