/**
 * Answers a question about a picture and measures where each token of the answer attends.
 *
 * @module
 */
import { KedgeError } from "../../ffi/errors.ts";
import type { Completion } from "../../model/engine/completion.ts";
import { Engine } from "../../model/engine/engine.ts";
import type { Processor } from "../../model/processor/processor.ts";
import { TokenStream } from "../../model/processor/tokenizer.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import { detectAtrl } from "../../rl/atrl/detect.ts";
import { Responses } from "../../rl/credit/responses.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** A token of the answer. */
export interface InspectedToken {
  /** The characters that this token completes; "" if it ends inside a character. */
  readonly text: string;
  readonly special: boolean;
  /** The share of the token's attention that falls on the picture, in [0, 1]. */
  readonly connectivity: number;
  readonly anchor: boolean;
  /** The index of the token's cluster. Tokens of one cluster attend to the same regions. */
  readonly cluster: number;
  /** The weight that AT-RL would give to the token. */
  readonly weight: number;
  /** The share of the token's attention that falls on each region. */
  readonly profile: readonly number[];
}

/** A rectangle in the pixels of the picture. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A question about a picture, with its answer. */
export interface Inspection {
  readonly prompt: string;
  /** The picture as the model saw it: u8 [height, width, 3]. */
  readonly picture: { readonly data: Uint8Array<ArrayBuffer>; readonly width: number; readonly height: number };
  /** The rectangles of the regions, in order. */
  readonly regions: readonly Rectangle[];
  readonly tokens: readonly InspectedToken[];
  /** Whether the answer was cut off at the maximum length. */
  readonly cut: boolean;
}

/** The question and how to generate the answer. */
export interface InspectOptions {
  readonly processor: Processor;
  /** The bytes of the picture's file. */
  readonly image: Uint8Array;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
}

/** Computes clusters, anchors and weights from the attention of each token. */
function detect(
  model: VisionLanguageModel,
  { connectivity, profile, regions }: Required<Pick<Completion, "connectivity" | "profile" | "regions">>,
) {
  const { device } = model, count = connectivity.length;
  using responses = Responses.of(device, [count]);
  using share = Tensor.from(device, connectivity);
  using flat = Tensor.from(device, profile);
  using byRegion = flat.reshape([count, regions.regions]);
  using credit = detectAtrl(responses, { connectivity: share, profile: byRegion, visual: [true] });
  const host = (tensor: Tensor | undefined) => Array.from(tensor?.toArray() ?? [], Number);
  return { weights: host(credit.weights), flags: host(credit.flags), clusters: host(credit.clusters?.cluster) };
}

/**
 * Asks a model about a picture, and measures where each token of the answer attends.
 *
 * @throws {KedgeError} `BadData` if the picture cannot be read.
 */
export async function inspectAnswer(model: VisionLanguageModel, options: InspectOptions): Promise<Inspection> {
  const { processor, image, maxTokens, temperature, seed } = options, { tokenizer } = processor;
  const prompt = await processor.prompt([{ role: "user", content: [{ type: "image", image }, { type: "text", text: options.prompt }] }]);
  const { grid, pixels } = prompt.visuals[0]!;
  if (!("frames" in pixels)) throw new KedgeError("Unsupported", "Cannot inspect: the image processor gives no frames");
  const side = processor.images.mergeSize, cell = Math.sqrt(pixels.frames.length / (3 * pixels.count * grid.h * grid.w)) * side;
  using engine = new Engine(model);
  const [[completion]] = await engine.generate([prompt], { maxTokens, temperature, seed, connectivity: true }) as [[Completion]];
  const { tokens, connectivity, profile, regions, finish } = completion;
  const count = regions!.regions, found = detect(model, { connectivity: connectivity!, profile: profile!, regions: regions! });
  const stream = new TokenStream(tokenizer);
  return {
    prompt: options.prompt,
    picture: {
      data: pixels.frames.slice(0, pixels.frames.length / pixels.count) as Uint8Array<ArrayBuffer>,
      width: grid.w / side * cell,
      height: grid.h / side * cell,
    },
    regions: regions!.boxes.map(({ rows, cols }) => ({
      left: cols[0] * cell,
      top: rows[0] * cell,
      width: (cols[1] - cols[0]) * cell,
      height: (rows[1] - rows[0]) * cell,
    })),
    tokens: Array.from(tokens, (id, i) => ({
      text: stream.push(id) + (i === tokens.length - 1 ? stream.end() : ""),
      special: tokenizer.isSpecial(id),
      connectivity: connectivity![i]!,
      anchor: (found.flags[i]! & 1) === 1,
      cluster: found.clusters[i]!,
      weight: found.weights[i]!,
      profile: Array.from(profile!.subarray(i * count, (i + 1) * count)),
    })),
    cut: finish === "length",
  };
}

/** Returns the mean profile of the anchors, by region. It is zero if there are no anchors. */
export function anchorProfile({ tokens, regions }: Pick<Inspection, "tokens" | "regions">): number[] {
  const anchors = tokens.filter(({ anchor }) => anchor);
  return regions.map((_, r) => anchors.reduce((sum, { profile }) => sum + profile[r]!, 0) / Math.max(1, anchors.length));
}
