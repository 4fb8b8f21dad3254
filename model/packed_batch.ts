import type { Device } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";
import { RopeTable } from "../tensor/ops/mod.ts";
import { type Segment, Segments } from "../tensor/segments.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { ModelConfig } from "./config/config.ts";
import { familyOf } from "./families.ts";
import type { PromptPositions } from "./positions.ts";
import type { Prompt, Visual } from "./prompt.ts";

/** A prompt and its responses. */
export interface Group {
  /** The prompt of all responses. */
  readonly prompt: Prompt;
  /** Generated tokens of each response, one at least. */
  readonly responses: readonly Int32Array<ArrayBuffer>[];
}

/** Options of {@linkcode PackedBatch.pack}. */
export interface PackOptions {
  /** Whether the responses of a group share one copy of its prompt (default). If each has its own copy, the results are the same, with more work. */
  readonly shared?: boolean;
  /** Whether the last token of each response is forwarded too. It predicts nothing, but connectivity by row "self" or "both" needs it. Default false. */
  readonly closing?: boolean;
}

/** One copy of a prompt among the packed rows. */
export interface PackedPrompt {
  /** Index of its group. */
  readonly group: number;
  /** Its first row. */
  readonly start: number;
}

/** One response among the packed rows. */
export interface PackedResponse {
  /** Index of its group. */
  readonly group: number;
  /** The index of its first token in `target` and in the model's results. */
  readonly offset: number;
  /** Number of its tokens. */
  readonly length: number;
  /** The row of its first token. */
  readonly start: number;
  /** The row of its prompt's last token, which predicts its first. */
  readonly before: number;
}

/**
 * Prompts and responses, packed for one pass without padding: for each group its prompt, then its responses, each of which sees the prompt and itself.
 *
 * It must live as long as the tapes that use it.
 *
 * @example
 * ```ts
 * import { type ModelConfig, PackedBatch } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const text = { vocabSize: 10, headDim: 4, mropeSection: [1, 1, 0], ropeTheta: 10000 };
 * const config = { modelType: "qwen2_5_vl", text, vision: { mergeSize: 2 }, tokens: { image: 8, video: 9 } } as unknown as ModelConfig;
 * const prompt = { tokens: Int32Array.of(1, 2, 3), visuals: [] };
 * using batch = PackedBatch.pack({ device, config }, [{ prompt, responses: [Int32Array.of(4, 5), Int32Array.of(6, 7, 1)] }]);
 * assertEquals([...batch.tokens.toArray()], [1, 2, 3, 4, 6, 7]);
 * assertEquals([...batch.target.toArray()], [4, 5, 6, 7, 1]);
 * assertEquals([...batch.predict.toArray()], [2, 3, 2, 4, 5]);
 * ```
 */
export class PackedBatch implements Disposable {
  /** i32 [rows]. */
  readonly tokens: Tensor;
  /** The rows that each row attends to. */
  readonly segments: Segments;
  /** Angles of every row. */
  readonly table: RopeTable;
  /** All groups' visuals, each once. */
  readonly visuals: readonly Visual[];
  /** i32: the rows that are placeholders. */
  readonly visualRows: Tensor;
  /** i32: the merged token of `visuals` for each of `visualRows`; undefined if each comes once, in order. */
  readonly visualSource: Tensor | undefined;
  /** i32 [count]: the row that predicts each response token. */
  readonly predict: Tensor;
  /** The same, on the host. */
  readonly predictRows: Int32Array<ArrayBuffer>;
  /** i32 [count]: the response tokens, response after response. */
  readonly target: Tensor;
  /** Every copy of a prompt. */
  readonly prompts: readonly PackedPrompt[];
  /** Every response, group after group. */
  readonly responses: readonly PackedResponse[];
  /** Number of response tokens. */
  readonly count: number;
  /** Packed tokens: rows of the hidden states. */
  readonly rows: number;
  /** Whether last tokens are forwarded. */
  readonly closing: boolean;

  private constructor(readonly device: Device, readonly groups: readonly Group[], layout: Layout, config: ModelConfig) {
    this.prompts = layout.prompts;
    this.responses = layout.responses;
    this.closing = layout.closing;
    this.visuals = groups.flatMap(({ prompt }) => prompt.visuals);
    this.rows = layout.tokens.length;
    this.count = layout.target.length;
    this.predictRows = Int32Array.from(layout.predict);
    const made: Disposable[] = [];
    const keep = <T extends Disposable>(thing: T): T => (made.push(thing), thing);
    const indices = (numbers: readonly number[]) => keep(Tensor.from(device, Int32Array.from(numbers)));
    try {
      const tokens = this.rows;
      this.segments = keep(new Segments(device, layout.segments, { causal: true, qTokens: tokens, kvTokens: tokens }));
      this.table = keep(
        new RopeTable(device, { positions: layout.positions.map((axis) => Int32Array.from(axis)), ...familyOf(config).rope(config.text) }),
      );
      this.tokens = indices(layout.tokens);
      this.predict = indices(layout.predict);
      this.target = indices(layout.target);
      this.visualRows = indices(layout.visualRows);
      this.visualSource = layout.visualSource.every((source, i) => source === i) ? undefined : indices(layout.visualSource);
    } catch (error) {
      for (const thing of made) thing[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Packs groups.
   *
   * @param model Its device and config.
   * @param groups At least one. A group without responses is its prompt alone.
   * @throws {RangeError} for an empty prompt or response; {KedgeError} `BadData` for a token outside the vocabulary, or if placeholders and visuals do not match;
   * both name the group.
   */
  static pack(model: { device: Device; config: ModelConfig }, groups: readonly Group[], options: PackOptions = {}): PackedBatch {
    if (groups.length === 0) throw new RangeError("Cannot pack a batch: it has no groups");
    return new PackedBatch(model.device, groups, lay(groups, model.config, options), model.config);
  }

  /** Frees its tensors. */
  [Symbol.dispose](): void {
    for (const thing of [this.segments, this.table, this.tokens, this.predict, this.target, this.visualRows, this.visualSource]) {
      thing?.[Symbol.dispose]();
    }
  }
}

interface Layout {
  tokens: number[];
  positions: [number[], number[], number[]];
  segments: Segment[];
  visualRows: number[];
  visualSource: number[];
  predict: number[];
  target: number[];
  prompts: PackedPrompt[];
  responses: PackedResponse[];
  closing: boolean;
}

function lay(groups: readonly Group[], config: ModelConfig, options: PackOptions): Layout {
  const layout: Layout = {
    tokens: [],
    positions: [[], [], []],
    segments: [],
    visualRows: [],
    visualSource: [],
    predict: [],
    target: [],
    prompts: [],
    responses: [],
    closing: options.closing ?? false,
  };
  const family = familyOf(config);
  let encoded = 0; // merged tokens of the groups before
  for (const [group, { prompt, responses }] of groups.entries()) {
    check(prompt, responses, { group, vocab: config.text.vocabSize });
    const positions = named(group, () => family.positions(prompt, config));
    const visualTokens = family.visualSpans(prompt, config).flatMap(({ start, end }) =>
      Array.from({ length: end - start }, (_, i) => start + i)
    );
    layGroup(layout, { group, prompt, responses, positions, visualTokens, encoded }, options.shared ?? true);
    encoded += visualTokens.length;
  }
  return layout;
}

/** A group with what its rows need. */
interface PlacedGroup extends Group {
  readonly group: number;
  readonly positions: PromptPositions;
  /** Which tokens of the prompt are placeholders. */
  readonly visualTokens: readonly number[];
  /** Merged tokens of the groups before. */
  readonly encoded: number;
}

/** Adds the rows of a group: its prompt once and then the responses, or, if the prompt is not shared, a copy of it before each response. */
function layGroup(layout: Layout, group: PlacedGroup, shared: boolean): void {
  const segment = (start: number, parent: number) => {
    const length = layout.tokens.length - start;
    if (length > 0) layout.segments.push({ qStart: start, qLen: length, kvStart: start, kvLen: length, parent });
  };
  if (shared || group.responses.length === 0) {
    segment(layPrompt(layout, group), -1);
    const parent = layout.segments.length - 1;
    for (const response of group.responses) segment(layResponse(layout, group, response), parent);
    return;
  }
  for (const response of group.responses) {
    const start = layPrompt(layout, group);
    layResponse(layout, group, response);
    segment(start, -1);
  }
}

/** Adds a copy of a prompt. @returns Its first row. */
function layPrompt(layout: Layout, { group, prompt, positions, visualTokens, encoded }: PlacedGroup): number {
  const start = layout.tokens.length;
  layout.prompts.push({ group, start });
  for (const token of prompt.tokens) layout.tokens.push(token);
  for (const [i, axis] of positions.axes.entries()) for (const position of axis) layout.positions[i]!.push(position);
  for (const [i, token] of visualTokens.entries()) {
    layout.visualRows.push(start + token);
    layout.visualSource.push(encoded + i);
  }
  return start;
}

/** Adds a response to the last copy of its prompt. @returns Its first row. */
function layResponse(layout: Layout, { group, prompt, positions }: PlacedGroup, response: Int32Array): number {
  const [start, offset] = [layout.tokens.length, layout.target.length];
  const before = layout.prompts.at(-1)!.start + prompt.tokens.length - 1;
  layout.responses.push({ group, offset, length: response.length, start, before });
  for (const [t, token] of response.entries()) {
    layout.predict.push(t === 0 ? before : start + t - 1);
    layout.target.push(token);
    if (t === response.length - 1 && !layout.closing) continue;
    layout.tokens.push(token);
    for (const axis of layout.positions) axis.push(positions.next + t);
  }
  return start;
}

function check(prompt: Prompt, responses: readonly Int32Array[], { group, vocab }: { group: number; vocab: number }): void {
  if (prompt.tokens.length === 0) throw new RangeError(`Cannot pack group ${group}: its prompt is empty`);
  for (const [i, tokens] of [prompt.tokens, ...responses].entries()) {
    const what = i === 0 ? "its prompt" : `response ${i - 1}`;
    if (tokens.length === 0) throw new RangeError(`Cannot pack group ${group}: ${what} is empty`);
    const at = tokens.findIndex((token) => !(token >= 0 && token < vocab));
    if (at < 0) continue;
    const words = `Cannot pack group ${group}: token ${at} of ${what} is ${tokens[at]}, and the vocabulary has ${vocab}`;
    throw new KedgeError("BadData", words, { group, token: at });
  }
}

/** Adds the group's index to the message of an error. */
function named<T>(group: number, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof KedgeError) {
      throw new KedgeError(error.code, `Cannot pack group ${group}: ${error.message}`, { ...error.details, group }, { cause: error });
    }
    if (error instanceof RangeError) throw new RangeError(`Cannot pack group ${group}: ${error.message}`, { cause: error });
    throw error;
  }
}
