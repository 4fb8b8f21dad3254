import { type DType, DTYPE_BYTES } from "../../ffi/device.ts";
import type { ModelConfig } from "../../model/config/config.ts";
import { type Frozen, isHeldPacked } from "../../model/folder/weight_storage.ts";
import { type ParameterSpec, parameterSpecs } from "../../model/parameters.ts";
import type { Config } from "./schema.ts";

/** The memory of a model's weights, in bytes. */
export interface WeightMemory {
  /** The type of activations and of what is trained. */
  readonly dtype: DType;
  readonly weights: number;
  /** The arithmetic of `weights`. */
  readonly terms: string;
  /** The weights of a reference model, which is frozen. */
  readonly reference: number;
}

/** Returns the number of elements of parameters. */
export function elementsOf(specs: readonly ParameterSpec[]): number {
  return specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

/**
 * Returns the memory of the weights. A CPU holds frozen matrices in the folder's bf16, or in the type that is asked for, and all else in f32.
 *
 * @param frozen What the run does not train.
 */
export function weightMemory({ device, model: asked }: Config, model: ModelConfig, frozen: Frozen): WeightMemory {
  const specs = parameterSpecs(model), all = elementsOf(specs);
  if (device !== "cpu") {
    const dtype = asked.dtype ?? model.dtype, weights = all * DTYPE_BYTES[dtype];
    return { dtype, weights, terms: `${all} x ${DTYPE_BYTES[dtype]} B (${dtype})`, reference: weights };
  }
  const folder = asked.dtype ?? (model.dtype === "bf16" ? "bf16" : "f32");
  const half = (dtype: "f32" | "bf16", frozen: Frozen) => elementsOf(specs.filter((spec) => isHeldPacked(spec, { dtype, frozen })));
  const packed = half(folder, frozen), rest = `${all - packed} x 4 B (f32)`;
  return {
    dtype: "f32",
    weights: 4 * all - 2 * packed,
    terms: packed > 0 ? `${packed} frozen x 2 B (bf16) + ${rest}` : rest,
    // It is a copy of the policy's first checkpoint, whose weights are f32.
    reference: 4 * all - 2 * half(asked.dtype ?? "f32", "all"),
  };
}
