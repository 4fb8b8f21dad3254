/**
 * How the weights of a model are held in memory.
 *
 * @module
 */
import type { Device } from "../../ffi/device.ts";
import type { ModelConfig } from "../config/types.ts";
import type { ParameterSpec } from "../parameter_list.ts";

/** Types that weights may have in memory. */
export type WeightType = "f32" | "bf16";

/** Which parameters are not trained: all, those of the vision tower, none, or those whose names (Kedge's) the function returns true for. */
export type Frozen = "all" | "vision" | "none" | ((name: string) => boolean);

/** Whether a parameter is frozen. */
export function isFrozen({ name, vision }: ParameterSpec, frozen: Frozen): boolean {
  return typeof frozen === "function" ? frozen(name) : frozen === "all" || (frozen === "vision" && vision);
}

/**
 * The default type of weights: the config's, or f32 for an f16 file. On a CPU, which computes in f32, trained weights are f32 always; frozen ones may be bf16,
 * and are so by default if the config's type is.
 */
export function weightType({ kind }: Pick<Device, "kind">, { dtype }: Pick<ModelConfig, "dtype">, frozen: Frozen = "none"): WeightType {
  return (kind === "cpu" && frozen === "none") || dtype !== "bf16" ? "f32" : "bf16";
}

/** Whether a parameter only multiplies activations or is looked up, so that it can be held packed. */
export function isPackable({ kind }: ParameterSpec): boolean {
  return kind === "matrix" || kind === "embedding";
}

/** Whether a CPU holds a parameter packed: a matrix that is frozen, of a model whose weights are bf16. */
export function isHeldPacked(spec: ParameterSpec, { dtype, frozen }: { dtype: WeightType; frozen: Frozen }): boolean {
  return dtype === "bf16" && isPackable(spec) && isFrozen(spec, frozen);
}
