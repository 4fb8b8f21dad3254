import type { ModelConfig } from "../config/config.ts";
import type { ConnectivityOptions } from "../connectivity.ts";
import { MEASURED_ROWS } from "../measured_row.ts";
import { type RegionMap, regionMap, SINK_LIMITS, skippedHeads } from "../regions.ts";
import { familyOf } from "../families.ts";
import type { PromptPositions } from "../positions.ts";
import type { Prompt } from "../prompt.ts";
import type { TokenEvent } from "./completion.ts";
import { MAX_REGIONS } from "./limits.ts";
import { contentKey, seedWords, type Words } from "./keys.ts";
import { defaultSuppress } from "./suppression.ts";

/** Something that ends a response: a token, a sequence of tokens, or a text (for an engine with the option `decode`). */
export type Stop = number | readonly number[] | string;

/** How to answer a prompt. */
export interface SamplingOptions {
  /** Samples of each prompt. Default 1. */
  n?: number;
  /** Divides the logits; 0 takes the likeliest token. Default 1. */
  temperature?: number;
  /** Keeps so many of the likeliest tokens; 0 (default): all. */
  topK?: number;
  /** Keeps, after that, the shortest list of likeliest tokens whose probability reaches this, in (0, 1]. Default 1: all. */
  topP?: number;
  /** Keeps, after that, tokens of at least this share of the likeliest one's probability, in [0, 1). Default 0: all. */
  minP?: number;
  /** Longest response. Default 512. */
  maxTokens?: number;
  /** Default: the model's own end tokens. [] for none. */
  stop?: readonly Stop[];
  /** An integer in [0, 2^64). Default 0. */
  seed?: number | bigint;
  /** Tokens with probability 0. Default: placeholders and vision markers. [] for none. */
  suppress?: readonly number[];
  /** Measures each token's attention on the prompt's visual tokens; true: with the default options. */
  connectivity?: ConnectivityOptions | boolean;
}

/** A prompt and how to answer it. */
export interface Request extends SamplingOptions {
  /** The prompt to answer. */
  prompt: Prompt;
  /** Keys the random draws, together with seed and sample, in place of the prompt's content. Equal prompts with different keys get different answers. */
  key?: string;
  /** Called with each token, during a step: it must not call the engine. */
  onToken?: (event: Omit<TokenEvent, "prompt">) => void;
}

/** A request with its defaults filled in. */
export interface Plan {
  readonly prompt: Prompt;
  readonly n: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly maxTokens: number;
  readonly stopTokens: ReadonlySet<number>;
  readonly stopSequences: readonly (readonly number[])[];
  readonly stopTexts: readonly string[];
  readonly seed: Words;
  readonly key: string;
  /** Suppressed tokens, ascending, each once. */
  readonly suppress: readonly number[];
  readonly connectivity: ConnectivityOptions | undefined;
  /** Regions of the prompt's tokens, before visual sinks are found; undefined if no connectivity is measured. */
  readonly regions: RegionMap | undefined;
  /** How many of the prompt's last rows visual sinks are found from; 0 if none are. */
  readonly sinkRows: number;
  readonly positions: PromptPositions;
  /** The prompt's visual rows, ascending. */
  readonly visualRows: Int32Array;
  readonly onToken: Request["onToken"];
}

const refuse = (state: string) => new RangeError(`Cannot generate: ${state}`);

/** @throws {RangeError} for an id outside the vocabulary. */
function checkToken(what: string, id: number, vocabSize: number): void {
  if (!Number.isInteger(id) || id < 0 || id >= vocabSize) throw refuse(`${what} ${id} is no token: the vocabulary has ${vocabSize}`);
}

/** The sampling options of a request, checked and complete. */
function planSampling(request: Request): Pick<Plan, "n" | "temperature" | "topK" | "topP" | "minP" | "maxTokens"> {
  const { n = 1, temperature = 1, topK = 0, topP = 1, minP = 0, maxTokens = 512 } = request;
  for (const [name, value] of Object.entries({ n, maxTokens })) {
    if (!Number.isSafeInteger(value) || value < 1) throw refuse(`${name} is ${value}, not a positive integer`);
  }
  if (!(temperature === 0 || (temperature >= 1e-6 && temperature <= 1e6))) {
    throw refuse(`temperature is ${temperature}, neither 0 nor in [1e-6, 1e6]`);
  }
  if (!Number.isSafeInteger(topK) || topK < 0) throw refuse(`topK is ${topK}, not an integer of 0 or more`);
  if (!(topP > 0 && topP <= 1)) throw refuse(`topP is ${topP}, not in (0, 1]`);
  if (!(minP >= 0 && minP < 1)) throw refuse(`minP is ${minP}, not in [0, 1)`);
  // The least topP is f32's least normal number.
  return { n, temperature, topK, topP: Math.max(topP, 2 ** -126), minP: Math.min(minP, 1 - 2 ** -24), maxTokens };
}

/** The stops of a request, checked and sorted by kind. */
function planStops(
  stops: readonly Stop[],
  { vocabSize, decode }: { vocabSize: number; decode: boolean },
): Pick<Plan, "stopTokens" | "stopSequences" | "stopTexts"> {
  for (const stop of stops) {
    if (typeof stop === "number") checkToken("stop token", stop, vocabSize);
    else if (stop.length === 0) throw refuse("a stop sequence is empty");
    else if (typeof stop !== "string") stop.forEach((id) => checkToken("stop token", id, vocabSize));
    else if (!decode) throw refuse(`the stop text ${JSON.stringify(stop)} needs an engine with the option decode`);
  }
  return {
    stopTokens: new Set(stops.filter((stop) => typeof stop === "number")),
    stopSequences: stops.filter((stop) => typeof stop !== "number" && typeof stop !== "string"),
    stopTexts: stops.filter((stop) => typeof stop === "string"),
  };
}

/** @throws {RangeError} for options out of range. */
function checkConnectivity(options: ConnectivityOptions | undefined, sizes: ModelConfig["text"]): void {
  const { row = "predict", sinkRenorm = "pooled", visualSinkFactor = 0, profileRegions = 64 } = options ?? {};
  if (!MEASURED_ROWS.includes(row)) throw refuse(`connectivity's row is ${row}, none of ${MEASURED_ROWS.join(", ")}`);
  if (!["pooled", "row"].includes(sinkRenorm)) throw refuse(`sinkRenorm is ${sinkRenorm}, neither "pooled" nor "row"`);
  if (!(visualSinkFactor >= 0)) throw refuse(`visualSinkFactor is ${visualSinkFactor}, not 0 or more`);
  if (!(profileRegions <= MAX_REGIONS)) throw refuse(`profileRegions is ${profileRegions}, the engine takes ${MAX_REGIONS} at most`);
  skippedHeads(options ?? {}, sizes);
}

/**
 * Checks a request and fills in its defaults.
 *
 * @throws {RangeError} for what makes no sense; {KedgeError} `BadData` if placeholders and visuals do not fit.
 */
export function planRequest(request: Request, { config, decode }: { config: ModelConfig; decode: boolean }): Plan {
  // The caller may change his arrays while the request waits; pixels are too large to be copied.
  const prompt = { tokens: request.prompt.tokens.slice(), visuals: [...request.prompt.visuals] };
  const { text, text: { vocabSize, maxPositions }, tokens: { image, video, eos } } = config, { length } = prompt.tokens;
  const sampling = planSampling(request);
  if (length === 0) throw refuse("the prompt is empty");
  for (let i = 0; i < length; i++) checkToken(`prompt token ${i},`, prompt.tokens[i]!, vocabSize);
  if (length + sampling.maxTokens > maxPositions) {
    throw refuse(`${length} prompt tokens and maxTokens ${sampling.maxTokens} pass the model's ${maxPositions} positions`);
  }
  const ends = planStops([...request.stop ?? eos], { vocabSize, decode });
  const suppress = [...new Set(request.suppress ?? defaultSuppress(config))].sort((a, b) => a - b);
  suppress.forEach((id) => checkToken("suppressed token", id, vocabSize));
  if (suppress.length >= vocabSize) throw refuse(`all ${vocabSize} tokens are suppressed`);
  const connectivity = request.connectivity === true ? {} : request.connectivity || undefined;
  checkConnectivity(connectivity, text);
  const positions = familyOf(config).positions(prompt, config);
  const visualRows: number[] = [];
  for (const [i, id] of prompt.tokens.entries()) if (id === image || id === video) visualRows.push(i);
  const after = length - 1 - (visualRows.at(-1) ?? length - 1), factor = connectivity?.visualSinkFactor ?? 0;
  return {
    prompt,
    ...sampling,
    topK: sampling.topK >= vocabSize ? 0 : sampling.topK,
    ...ends,
    seed: seedWords(request.seed ?? 0),
    key: request.key === undefined ? `content ${contentKey(prompt)}` : `key ${request.key}`,
    suppress,
    connectivity,
    regions: connectivity && regionMap(prompt, config, connectivity),
    sinkRows: factor > 0 && after >= SINK_LIMITS.rows && visualRows.length >= SINK_LIMITS.tokens ? after : 0,
    positions,
    visualRows: Int32Array.from(visualRows),
    onToken: request.onToken,
  };
}

/** Whether the last token ends the response. */
export function stops(plan: Plan, tokens: readonly number[], decode: ((tokens: readonly number[]) => string) | undefined): boolean {
  if (plan.stopTokens.has(tokens.at(-1)!)) return true;
  for (const sequence of plan.stopSequences) {
    const start = tokens.length - sequence.length;
    if (start >= 0 && sequence.every((id, i) => tokens[start + i] === id)) return true;
  }
  if (plan.stopTexts.length === 0) return false;
  // A character has at most four bytes, and so four tokens; some tokens more, since special ones may have no text.
  const longest = Math.max(...plan.stopTexts.map((text) => text.length));
  const tail = decode!(tokens.slice(-(4 * longest + 16)));
  return plan.stopTexts.some((text) => tail.includes(text));
}
