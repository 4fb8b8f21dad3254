import { listOf } from "./histogram.ts";
import { type Fields, numberOf } from "./read.ts";

/** An answer as the page shows it. */
export interface Sample {
  readonly number: number | null;
  readonly reward: Readonly<Record<string, number | null>>;
  readonly finish?: string;
  readonly tokens: readonly string[];
  readonly anchor: readonly boolean[]; // [tokens]
  /** Numbers of the tokens, those that were logged. */
  readonly numbers: Readonly<Record<string, readonly (number | null)[]>>; // each [tokens]
}

/** A prompt with its answers. */
export interface Prompt {
  readonly id: string;
  readonly text: string;
  readonly truth: string;
  /** A data URL. */
  readonly image?: string;
  readonly samples: readonly Sample[];
}

/** The answers of one step. */
export interface StepSamples {
  readonly step: number | null;
  readonly prompts: readonly Prompt[];
}

const NUMBERS = { connectivity: "connectivity", weights: "weight", advantages: "advantage", logprobs: "log-prob", cluster: "cluster" };
const IMAGE = /^data:image\/(png|jpeg|webp|gif|bmp);base64,[A-Za-z0-9+/=]*$/;

/** Lines of one step, by prompt. A picture stands on one line of a prompt and is shown for all. */
export function stepSamples(lines: readonly Fields[]): StepSamples {
  const groups = Map.groupBy(lines, (line) => textOf(line["prompt_id"]));
  return {
    step: numberOf(lines[0]?.step),
    prompts: [...groups].map(([id, own]) => {
      const image = own.map((line) => line.image).find((value) => typeof value === "string" && IMAGE.test(value));
      return {
        id,
        text: textOf(own[0]!.prompt),
        truth: textOf(own[0]!.truth),
        ...(image !== undefined && { image: image as string }),
        samples: own.map(sampleOf),
      };
    }),
  };
}

function sampleOf(line: Fields): Sample {
  const logged = listOf(line.tokens).map(textOf), tokens = logged.length > 0 ? logged : [textOf(line.response)];
  const { reward } = line, flags = listOf(line.anchor);
  const known = Object.entries(NUMBERS).filter(([key]) => listOf(line[key]).length > 0);
  return {
    number: numberOf(line.sample),
    reward: typeof reward === "object" && reward !== null
      ? Object.fromEntries(Object.entries(reward).map(([key, value]) => [key, numberOf(value)]))
      : {},
    ...(typeof line.finish === "string" && { finish: line.finish }),
    tokens,
    anchor: tokens.map((_, i) => flags[i] === 1),
    numbers: Object.fromEntries(known.map(([key, name]) => [name, tokens.map((_, i) => numberOf(listOf(line[key])[i]))])),
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
}
