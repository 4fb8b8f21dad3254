/**
 * Turns the pixels of pictures into the patches that a vision tower takes.
 *
 * @module
 */
import type { Device, DType } from "../../ffi/device.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { VisionConfig } from "../config/types.ts";
import type { Visual } from "../prompt.ts";

/** Where patches are made, and of which type. */
interface PatchOptions {
  readonly device: Device;
  readonly vision: VisionConfig;
  readonly dtype: DType;
}

/** Numbers of a patch. */
export function patchWidth({ channels, temporalPatchSize, patchSize }: VisionConfig): number {
  return channels * temporalPatchSize * patchSize ** 2;
}

/**
 * The patches of all visuals in the order of kedge_image_patches, one visual behind the other: [patches, numbers of a patch].
 *
 * @throws {RangeError} for pixels of a wrong size, named by the visual's index.
 */
export function packedPatches(visuals: readonly Visual[], options: PatchOptions): Tensor {
  const { device, vision, dtype } = options;
  const total = visuals.reduce((sum, { grid: { t, h, w } }) => sum + t * h * w, 0);
  const out = Tensor.empty(device, [total, patchWidth(vision)], { dtype });
  try {
    let start = 0;
    for (const [i, visual] of visuals.entries()) {
      using patches = rasterPatches(visual, { ...options, what: `visual ${i} (${visual.kind})` });
      using part = out.slice(start, start += patches.rows);
      part.copyFrom(patches);
    }
    return out;
  } catch (error) {
    out[Symbol.dispose]();
    throw error;
  }
}

/** One visual's patches in the order of kedge_image_patches. @param options `what`: names it in errors. */
export function rasterPatches(visual: Visual, options: PatchOptions & { what: string }): Tensor {
  const { device, vision, vision: { patchSize, mergeSize, temporalPatchSize, channels }, dtype, what } = options;
  const { grid: { t, h, w }, pixels } = visual;
  const n = t * h * w, width = patchWidth(vision);
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
