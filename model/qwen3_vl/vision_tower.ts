/**
 * The vision tower of Qwen3-VL (arXiv 2511.21631): a vision transformer with learned positions, of which some blocks give features for the decoder's first
 * blocks (DeepStack, arXiv 2406.04334).
 *
 * @module
 */
import { add, gatherWeighted } from "../../tensor/ops/mod.ts";
import { Segments } from "../../tensor/segments.ts";
import type { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Value } from "../../tensor/value.ts";
import type { Checkpointing } from "../checkpointing.ts";
import type { ModelConfig } from "../config/types.ts";
import type { ModelParts, VisualFeatures } from "../family.ts";
import type { Visual } from "../prompt.ts";
import { geluBlock } from "../transformer/block.ts";
import { project } from "../transformer/project.ts";
import { packedPatches } from "../vision/patches.ts";
import { type RasterLayout, rasterLayout } from "../vision/raster_layout.ts";
import { mergePatches, patchAngles, runTower, sideBySide, towerNorm, towerRun } from "../vision/tower.ts";
import type { DeepstackVision } from "./config_file.ts";
import { positionTaps } from "./position_taps.ts";

/** A model with this tower. */
type DeepstackModel = ModelParts & { readonly config: ModelConfig & { readonly vision: DeepstackVision } };

/**
 * Embeds pictures and videos, all packed in one pass. If no parameter of the tower needs a gradient, nothing is recorded.
 *
 * @param visuals One at least.
 * @returns Embeddings, and the features of each of `deepstackBlocks` in their order in the tower; each [merged tokens, hidden], in the order of the visuals
 * and of their placeholders.
 * @throws {RangeError} for a grid or pixels of a wrong size, named by the visual's index.
 */
export function encodeVisuals(
  tape: Tape,
  model: DeepstackModel,
  visuals: readonly Visual[],
  options: { checkpointing?: Checkpointing } = {},
): VisualFeatures {
  const { config: { vision }, device } = model;
  if (visuals.length === 0) throw new RangeError("Cannot encode visuals: there are none");
  const layout = rasterLayout(visuals.map(({ grid }) => grid), vision.mergeSize);
  return tape.scope(() => {
    const frames = tape.own(Segments.packed(device, layout.frames, { causal: false }));
    const run = towerRun(tape, model, {
      block: geluBlock("tanh"),
      table: patchAngles(tape, model, layout),
      segments: () => frames,
      checkpointing: options.checkpointing,
    });
    let h = embedPatches(tape, model, { visuals, layout }), start = 0;
    const added: Value[] = [];
    for (const block of vision.deepstackBlocks.toSorted((a, b) => a - b)) {
      h = runTower(h, run, [start, start = block + 1]);
      const name = `visual.deepstack.${vision.deepstackBlocks.indexOf(block)}`;
      added.push(mergePatches(h, model, { name, norm: (h) => towerNorm(sideBySide(h, vision), model, `${name}.norm`) }));
    }
    using last = runTower(h, run, [start, vision.depth]);
    const norm = (h: Value) => sideBySide(towerNorm(h, model, "visual.merger.norm"), vision);
    return [mergePatches(last, model, { name: "visual.merger", norm }), ...added];
  });
}

/** The linear map of the patches, and their positions: [patches, hidden]. */
function embedPatches(tape: Tape, model: DeepstackModel, packed: { visuals: readonly Visual[]; layout: RasterLayout }): Value {
  const { config: { vision }, device, dtype, parameters } = model, { visuals, layout } = packed;
  return tape.scope(() => {
    const mapped = tape.scope(() => {
      using patches = packedPatches(visuals, { device, vision, dtype });
      return project(tape.constant(patches), model, "visual.patch");
    });
    const side = Math.floor(Math.sqrt(vision.positionEmbeddings)), shape = [layout.rows.length, 4];
    const taps = positionTaps(layout, visuals.map(({ grid }) => grid), side);
    using index = Tensor.from(device, taps.index, { shape });
    using weight = Tensor.from(device, taps.weight, { shape });
    return add(mapped, gatherWeighted(tape.param(parameters["visual.positions"]!), { index, weight }));
  });
}
