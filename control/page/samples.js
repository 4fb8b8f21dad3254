/** Prepares the answers of a step for display. */
import { listOf, numberOf, textOf } from "./fields.js";

const NUMBERS = {
  connectivity: "connectivity",
  scores: "score",
  cluster: "cluster",
  weights: "weight",
  advantages: "advantage",
  logprobs: "log-prob",
  entropies: "entropy",
};
const IMAGE = /^data:image\/(png|jpeg|webp|gif|bmp);base64,[A-Za-z0-9+/=]*$/;

/**
 * Groups the lines of one step by prompt. Only one line of a prompt has the picture, which is shown for all.
 *
 * @param {readonly Readonly<Record<string, unknown>>[]} lines Lines of rollouts.jsonl.
 * @param {(line: Readonly<Record<string, unknown>>) => object} more Returns further fields for a sample.
 */
export const stepSamples = (lines, more = () => ({})) => {
  const groups = Map.groupBy(lines, (line) => textOf(line["prompt_id"]));
  return {
    step: numberOf(lines[0]?.step),
    prompts: [...groups].map(([id, answers]) => {
      const image = answers.map((line) => line.image).find((value) => typeof value === "string" && IMAGE.test(value));
      return {
        id,
        text: textOf(answers[0].prompt),
        truth: textOf(answers[0].truth),
        ...(image !== undefined && { image }),
        samples: answers.map((line) => ({ ...sampleOf(line), ...more(line) })),
      };
    }),
  };
};

const sampleOf = (line) => {
  const logged = listOf(line.tokens).map(textOf), tokens = logged.length > 0 ? logged : [textOf(line.response)];
  const { reward } = line, flags = listOf(line.anchor), classes = listOf(line.classes);
  const present = Object.entries(NUMBERS).filter(([key]) => listOf(line[key]).length > 0);
  return {
    number: numberOf(line.sample),
    reward: typeof reward === "object" && reward !== null
      ? Object.fromEntries(Object.entries(reward).map(([key, value]) => [key, numberOf(value)]))
      : {},
    ...(typeof line.finish === "string" && { finish: line.finish }),
    tokens,
    anchor: tokens.map((_, i) => flags[i] === 1),
    ...(classes.length > 0 && { classes: tokens.map((_, i) => textOf(classes[i])) }),
    numbers: Object.fromEntries(present.map(([key, name]) => [name, tokens.map((_, i) => numberOf(listOf(line[key])[i]))])),
  };
};
