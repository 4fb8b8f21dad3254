import { addBias, addProduct, linear, matmul } from "../../tensor/ops/mod.ts";
import type { Parameters } from "../../tensor/parameter.ts";
import type { Value } from "../../tensor/value.ts";
import type { Adapter, AdapterSource } from "../lora/adapter.ts";

/** The parts of a model that a product with one of its named matrices reads. */
export interface ProjectionParts {
  /** Its weights, by name. */
  readonly parameters: Parameters;
  /** Its low-rank adapters. */
  readonly adapters?: AdapterSource | undefined;
}

/**
 * Multiplies activations by a named matrix of a model, with its adapter where it has one, and adds its bias where it has one. Every product of a forward on
 * a tape goes through here.
 *
 * @param x [tokens, in]; it stays the caller's.
 * @param name Of the matrix and its bias, without ".weight" and ".bias".
 * @returns [tokens, out].
 */
export function project(x: Value, model: ProjectionParts, name: string): Value {
  const { parameters, adapters } = model, weight = parameters[`${name}.weight`]!, bias = parameters[`${name}.bias`] ?? null;
  const adapter = adapters?.of(name);
  if (!adapter) return linear(x, weight, { bias });
  const adapted = x.tape.scope(() => addAdapter(linear(x, weight), x, adapter));
  if (!bias) return adapted;
  const y = addBias(adapted, bias, { inPlace: true });
  adapted[Symbol.dispose](); // y shares the memory
  return y;
}

/** Adds scale x A^T B^T of each module to its columns, in place. */
function addAdapter(product: Value, x: Value, { a, modules }: Adapter): Value {
  const low = matmul(x, x.tape.param(a), { transB: true });
  return modules.reduce((y, { tensor, start, rank, scale, b }) => {
    const part = modules.length === 1 ? low : low.columns(start, start + rank);
    return addProduct(y, { x: part, weight: b, column: tensor.row, alpha: scale, inPlace: true });
  }, product);
}
