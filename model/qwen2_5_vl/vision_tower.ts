/**
 * The vision tower of Qwen2.5-VL (arXiv 2502.13923, section 2.1.1), which turns pictures into embeddings for the decoder.
 *
 * @module
 */
import type { Device, DType } from "../../ffi/device.ts";
import { gatherRows, rmsnorm } from "../../tensor/ops/mod.ts";
import { Segments } from "../../tensor/segments.ts";
import type { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Value } from "../../tensor/value.ts";
import type { Checkpointing } from "../checkpointing.ts";
import type { ModelConfig } from "../config/types.ts";
import type { ModelParts } from "../family.ts";
import { preNormBlock } from "../transformer/block.ts";
import { project } from "../transformer/project.ts";
import { type Visual, visualTokens } from "../prompt.ts";
import { patchWidth, rasterPatches } from "../vision/patches.ts";
import { EPS, mergePatches, patchAngles, runTower, sideBySide, towerRun } from "../vision/tower.ts";
import type { WindowedVision } from "./config_file.ts";
import { type VisionLayout, visionLayout } from "./vision_layout.ts";

/** A model with this tower. */
type WindowedModel = ModelParts & { readonly config: ModelConfig & { readonly vision: WindowedVision } };

/**
 * Embeds pictures and videos, all packed in one pass. If no parameter of the tower needs a gradient, nothing is recorded.
 *
 * @param visuals One at least.
 * @returns Embeddings, [merged tokens, hidden], in the order of the visuals and of their placeholders.
 * @throws {RangeError} for a grid or pixels of a wrong size, named by the visual's index.
 */
export function encodeVisuals(
  tape: Tape,
  model: WindowedModel,
  visuals: readonly Visual[],
  options: { checkpointing?: Checkpointing } = {},
): [Value] {
  const { config: { vision }, device, parameters } = model;
  if (visuals.length === 0) throw new RangeError("Cannot encode visuals: there are none");
  const layout = visionLayout(visuals.map(({ grid }) => grid), vision);
  return tape.scope(() => {
    const h = tape.scope(() => {
      using patches = windowedPatches(visuals, { device, vision, layout, dtype: model.dtype });
      return project(tape.constant(patches), model, "visual.patch");
    });
    const windows = tape.own(Segments.packed(device, layout.windows, { causal: false }));
    const frames = tape.own(Segments.packed(device, layout.frames, { causal: false }));
    const run = towerRun(tape, model, {
      block: preNormBlock,
      table: patchAngles(tape, model, layout),
      segments: (block) => vision.fullAttentionBlocks.includes(block) ? frames : windows,
      checkpointing: options.checkpointing,
    });
    using last = runTower(h, run, [0, vision.depth]);
    const norm = (h: Value) => sideBySide(rmsnorm(h, parameters["visual.merger.norm"]!, { eps: EPS }), vision);
    const merged = mergePatches(last, model, { name: "visual.merger", norm });
    using inverse = Tensor.from(device, layout.inverse);
    return [gatherRows(merged, inverse)];
  });
}

/** The patches of all visuals, each one's merged tokens in window order: [patches, channels * temporalPatchSize * patchSize^2]. */
function windowedPatches(
  visuals: readonly Visual[],
  options: { device: Device; vision: WindowedVision; layout: VisionLayout; dtype: DType },
): Tensor {
  const { device, vision, layout, dtype } = options;
  const { mergeSize } = vision, width = patchWidth(vision), unit = mergeSize ** 2 * width;
  const out = Tensor.empty(device, [layout.order.length, unit], { dtype });
  try {
    let start = 0;
    for (const [i, visual] of visuals.entries()) {
      const tokens = visualTokens(visual.grid, mergeSize);
      using raster = rasterPatches(visual, { device, vision, dtype, what: `visual ${i} (${visual.kind})` });
      // A picture's merged tokens stay among themselves.
      using order = Tensor.from(device, layout.order.slice(start, start + tokens).map((token) => token - start));
      using part = out.slice(start, start + tokens);
      device.ops.gatherRows(out.dtypeCode, part.address, unit, raster.address, unit, order.address, tokens, tokens, unit, 0);
      start += tokens;
    }
    using all = out;
    return all.reshape([layout.rows.length, width]);
  } catch (error) {
    out[Symbol.dispose]();
    throw error;
  }
}
