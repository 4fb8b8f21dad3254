/** Names of metrics for people. */

/** The names. The chart's title completes them. */
const WORDS = {
  "reward/overall": "overall reward",
  "reward/accuracy": "accuracy",
  "val/accuracy": "sampled",
  "val/accuracy_greedy": "greedy",
  "val/accuracy_low": "lower end, 95 %",
  "val/accuracy_high": "upper end, 95 %",
  "atrl/connectivity_anchor": "anchors",
  "atrl/connectivity_rest": "other tokens",
  "atrl/anchor_fraction": "anchors",
  "atrl/bimodality": "bimodality",
  "classes/auc_connectivity": "area under the curve of connectivity",
  "classes/auc_score": "of scores",
  "classes/auc_weight": "of weights",
  "classes/anchor_recall": "readings that are anchors",
  "classes/anchor_precision": "anchors that are readings",
  "classes/weight_reading": "readings",
  "classes/weight_arithmetic": "arithmetic",
  "classes/weight_random": "random filler",
  "classes/weight_fixed": "fixed filler",
  "actor/entropy": "entropy",
  "response_length/mean": "mean length",
  "actor/loss": "loss",
  "actor/grad_norm": "norm",
  "actor/lr": "rate",
  "sft/loss": "loss",
  "timing_s/gen": "generating answers",
  "timing_s/reward": "grading",
  "timing_s/anchors": "detecting anchors",
  "timing_s/adv": "advantages",
  "timing_s/update_actor": "updating weights",
  "timing_s/ref": "reference log-probs",
  "timing_s/old": "recomputed log-probs",
  "timing_s/step": "whole step",
};

/** Returns a metric's name for people, or one made from its key. @param {string} key @returns {string} */
export const wordsOf = (key) => WORDS[key] ?? key.split("/").at(-1).replaceAll("_", " ");
