/**
 * Computes the weighted sum of a reward's named parts, for each response. A part that is NaN for a response does not apply to it and is
 * omitted from its sum. A response to which no part applies is not graded: NaN.
 *
 * @param parts The parts by name: one number per response.
 * @param weights The weights by name. Default: 1. A part of weight 0 is only reported.
 * @throws {RangeError} for a weight without a part, or parts of different lengths.
 * @example
 * ```ts
 * import { combineRewards } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const total = combineRewards({ accuracy: [1, 0, NaN], format: [1, 1, NaN] }, { accuracy: 0.75, format: 0.25 });
 * assertEquals([...total], [1, 0.25, NaN]);
 * ```
 */
export function combineRewards(
  parts: Readonly<Record<string, ArrayLike<number>>>,
  weights: Readonly<Record<string, number>> = {},
): Float64Array {
  const names = Object.keys(parts);
  for (const [name, weight] of Object.entries(weights)) {
    if (!names.includes(name)) {
      throw new RangeError(`Cannot weight the reward "${name}": the parts are ${names.map((n) => `"${n}"`).join(", ") || "none"}`);
    }
    if (!Number.isFinite(weight)) throw new RangeError(`Cannot weight the reward "${name}" by ${weight}`);
  }
  const n = parts[names[0] ?? ""]?.length ?? 0;
  const sum = new Float64Array(n), applies = new Uint8Array(n);
  for (const name of names) {
    const values = parts[name]!, weight = weights[name] ?? 1;
    if (values.length !== n) throw new RangeError(`Cannot combine rewards: "${name}" has ${values.length} values, "${names[0]}" ${n}`);
    if (weight === 0) continue;
    for (let i = 0; i < n; i++) {
      if (Number.isNaN(values[i])) continue;
      sum[i]! += weight * values[i]!;
      applies[i] = 1;
    }
  }
  return sum.map((x, i) => applies[i] ? x : NaN);
}
