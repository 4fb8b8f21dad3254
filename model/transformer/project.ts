import { linear } from "../../tensor/ops/mod.ts";
import type { Parameters } from "../../tensor/parameter.ts";
import type { Value } from "../../tensor/value.ts";

/** The parts of a model that a product with one of its named matrices reads. */
export interface ProjectionParts {
  /** Its weights, by name. */
  readonly parameters: Parameters;
}

/**
 * Multiplies activations by a named matrix of a model, and adds its bias where it has one. Every product of a forward on a tape goes through here.
 *
 * @param x [tokens, in]; it stays the caller's.
 * @param name Of the matrix and its bias, without ".weight" and ".bias".
 * @returns [tokens, out].
 */
export function project(x: Value, model: ProjectionParts, name: string): Value {
  const { parameters } = model;
  return linear(x, parameters[`${name}.weight`]!, { bias: parameters[`${name}.bias`] ?? null });
}
