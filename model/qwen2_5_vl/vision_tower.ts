/**
 * The vision tower of Qwen2.5-VL (arXiv 2502.13923, section 2.1.1), which turns pictures into embeddings for the decoder.
 *
 * @module
 */
import { type Device, type DType, DTYPE_BYTES } from "../../ffi/device.ts";
import { gatherRows, gelu, rmsnorm, RopeTable } from "../../tensor/ops/mod.ts";
import { Segments } from "../../tensor/segments.ts";
import type { Tape } from "../../tensor/tape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Value } from "../../tensor/value.ts";
import { type Checkpointing, runBlocks } from "../checkpointing.ts";
import type { VisionConfig } from "../config/types.ts";
import type { ModelParts } from "../family.ts";
import { preNormBlock } from "../transformer/block.ts";
import { project } from "../transformer/project.ts";
import { frequencies } from "../transformer/rotary.ts";
import { tapeBlock } from "../transformer/tape_block.ts";
import { type Visual, visualTokens } from "../prompt.ts";
import { type VisionLayout, visionLayout } from "./vision_layout.ts";

const [EPS, ROPE_THETA] = [1e-6, 10_000]; // the published model's; its config has neither

/**
 * Embeds pictures and videos, all packed in one pass. If no parameter of the tower needs a gradient, nothing is recorded.
 *
 * @param visuals One at least.
 * @returns [merged tokens, hidden], in the order of the visuals and of their placeholders.
 * @throws {RangeError} for a grid or pixels of a wrong size, named by the visual's index.
 */
export function encodeVisuals(
  tape: Tape,
  model: ModelParts,
  visuals: readonly Visual[],
  options: { checkpointing?: Checkpointing } = {},
): Value {
  const { config: { vision }, device } = model;
  if (visuals.length === 0) throw new RangeError("Cannot encode visuals: there are none");
  const layout = visionLayout(visuals.map(({ grid }) => grid), vision);
  return tape.scope(() => {
    let h = tape.scope(() => {
      using patches = windowedPatches(visuals, { device, vision, layout, dtype: model.dtype });
      return project(tape.constant(patches), model, "visual.patch");
    });
    const windows = tape.own(Segments.packed(device, layout.windows, { causal: false }));
    const frames = tape.own(Segments.packed(device, layout.frames, { causal: false }));
    const half = vision.hiddenSize / vision.heads / 2;
    const freq = frequencies(half, { base: ROPE_THETA, count: half / 2 });
    const axis = Array.from({ length: half }, (_, i) => i < half / 2 ? 0 : 1);
    const table = tape.own(new RopeTable(device, { positions: [layout.rows, layout.cols], axis, invFreq: [...freq, ...freq] }));
    const { heads, hiddenSize, intermediateSize, fullAttentionBlocks } = vision;
    const sizes = { heads, kvHeads: heads, headDim: hiddenSize / heads, intermediateSize, eps: EPS };
    const pass = { block: preNormBlock, model, prefix: "visual.blocks", sizes, table };
    h = runBlocks(h, {
      tape,
      count: vision.depth,
      checkpointing: options.checkpointing ?? "off",
      block: (x, i) => tapeBlock(x, i, { ...pass, segments: fullAttentionBlocks.includes(i) ? frames : windows }),
    });
    return merge(h, model, layout);
  });
}

/** Applies a norm and an MLP over the patches of each merged token, and restores the raster order. */
function merge(h: Value, model: ModelParts, layout: VisionLayout): Value {
  const { config: { vision: { hiddenSize, mergeSize } }, parameters } = model;
  const { tape, device } = h;
  const width = hiddenSize * mergeSize ** 2;
  const up = tape.scope(() => {
    const merged = rmsnorm(h, parameters["visual.merger.norm"]!, { eps: EPS }).reshape([h.size / width, width]);
    return project(merged, model, "visual.merger.up");
  });
  h[Symbol.dispose]();
  const down = project(gelu(up), model, "visual.merger.down");
  using inverse = Tensor.from(device, layout.inverse);
  return gatherRows(down, inverse);
}

/** The patches of all visuals, each one's merged tokens in window order: [patches, channels * temporalPatchSize * patchSize^2]. */
function windowedPatches(
  visuals: readonly Visual[],
  options: { device: Device; vision: VisionConfig; layout: VisionLayout; dtype: DType },
): Tensor {
  const { device, vision, layout, dtype } = options;
  const { mergeSize, temporalPatchSize, channels, patchSize } = vision;
  const width = channels * temporalPatchSize * patchSize ** 2;
  const unit = mergeSize ** 2 * width;
  const out = Tensor.empty(device, [layout.order.length, unit], { dtype });
  try {
    let start = 0;
    for (const [i, visual] of visuals.entries()) {
      const tokens = visualTokens(visual.grid, mergeSize);
      using raster = rasterPatches(visual, { device, vision, dtype, width, what: `visual ${i} (${visual.kind})` });
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

/** One visual's patches in the order of kedge_image_patches. */
function rasterPatches(
  visual: Visual,
  options: { device: Device; vision: VisionConfig; dtype: DType; width: number; what: string },
): Tensor {
  const { device, vision: { patchSize, mergeSize, temporalPatchSize, channels }, dtype, width, what } = options;
  const { grid: { t, h, w }, pixels } = visual;
  const n = t * h * w;
  if ("patches" in pixels) {
    if (pixels.patches.length !== n * width) {
      throw new RangeError(`Cannot encode ${what}: ${pixels.patches.length} numbers for ${n} patches of ${width}`);
    }
    return Tensor.from(device, pixels.patches, { shape: [n, width], dtype });
  }
  const { frames, count, mean, std } = pixels;
  const [height, cols] = [h * patchSize, w * patchSize];
  if (channels !== 3) throw new RangeError(`Cannot encode ${what}: its frames have 3 colours, the model takes ${channels}`);
  if (Math.ceil(count / temporalPatchSize) !== t || frames.length !== count * height * cols * 3) {
    throw new RangeError(
      `Cannot encode ${what}: ${frames.length} bytes in ${count} frames do not fill the grid ${t} x ${h} x ${w}, ${cols} x ${height} pixels`,
    );
  }
  using upload = Tensor.from(device, frames);
  const out = Tensor.empty(device, [n, width], { dtype });
  try {
    const [m, s] = [Float32Array.from(mean), Float32Array.from(std)];
    device.ops.imagePatches(out.dtypeCode, out.address, upload.address, count, height, cols, patchSize, mergeSize, temporalPatchSize, m, s);
    return out;
  } catch (error) {
    out[Symbol.dispose]();
    throw error;
  }
}

/**
 * An upper bound of the bytes that `encodeVisuals` holds if nothing is recorded, beside the weights and the device's workspace.
 *
 * @param dtype Of the weights and activations.
 * @param patches Of all visuals together.
 */
export function visionBytes(config: VisionConfig, dtype: DType, patches: number): number {
  const { channels, temporalPatchSize, patchSize, hiddenSize: d, intermediateSize: i, mergeSize, outHiddenSize, heads } = config;
  const bytes = DTYPE_BYTES[dtype];
  const raw = channels * temporalPatchSize * patchSize ** 2;
  // The patches in two orders, and their source: f32 patches, or bytes of frames.
  const cutting = raw * (2 * bytes + 4);
  const embedding = (raw + d) * bytes;
  // The block's input; then norm, q, k, v; q, k, v and what they mix with a log-sum-exp for each head; the sum, its norm and both halves of the MLP;
  // the sum, both halves, the gated; the sum, the gated, the result and the block's output.
  const inside = Math.max(4 * d, 4 * d + 4 * heads / bytes, 2 * d + 2 * i, d + 3 * i, 3 * d + i);
  const blocks = (d + inside) * bytes + 8;
  // Norm and MLP of the merged tokens.
  const merging = (3 * d + 2 * outHiddenSize / mergeSize ** 2) * bytes + 8;
  // Rotary tables and the positions that they are made from; segments and orders; alignment of a hundred blocks.
  const tables = 4 * (d / heads) + 8 + 4 + 2 * 32;
  return patches * (Math.max(cutting, embedding, blocks, merging) + tables) + 100 * 256;
}
