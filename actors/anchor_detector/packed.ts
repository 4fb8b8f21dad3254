import { plus } from "../../ffi/address.ts";
import type { Device } from "../../ffi/device.ts";
import { concatenated } from "../../tensor/packing.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** Copies f32 tensors one behind another to a device. On the CPU no array of JavaScript is made on the way. */
export function joined(device: Device, parts: readonly Tensor[], shape?: readonly number[]): Tensor {
  const size = parts.reduce((sum, part) => sum + part.size, 0), whole = shape ?? [size];
  if (parts.some((part) => part.device !== device || !part.contiguous)) {
    return Tensor.from(device, concatenated(parts.map((part) => part.toFloats())), { shape: whole });
  }
  const out = Tensor.empty(device, whole);
  let at = out.address;
  for (const part of parts) {
    device.ops.copy(at, part.address, part.byteLength);
    at = plus(at, part.byteLength);
  }
  return out;
}

/**
 * Joins profiles of prompts with different numbers of regions: what is left of a narrower row is zero.
 *
 * @param parts `tokens`: rows; `profile`: f32 [tokens, regions], undefined where a prompt has no picture.
 * @returns f32 [tokens, most regions].
 */
export function joinedProfiles(
  device: Device,
  parts: readonly { readonly tokens: number; readonly regions: number; readonly profile: Tensor | undefined }[],
): Tensor {
  const tokens = parts.reduce((sum, part) => sum + part.tokens, 0), width = Math.max(1, ...parts.map(({ regions }) => regions));
  if (parts.every(({ profile, regions }) => profile && regions === width)) {
    return joined(device, parts.map(({ profile }) => profile!), [tokens, width]);
  }
  const rows = new Float32Array(tokens * width);
  let at = 0;
  for (const { tokens, regions, profile } of parts) {
    const from = profile ? profile.toFloats() : new Float32Array();
    for (let i = 0, row = at * width; i < from.length; i += regions, row += width) rows.set(from.subarray(i, i + regions), row);
    at += tokens;
  }
  return Tensor.from(device, rows, { shape: [tokens, width] });
}
