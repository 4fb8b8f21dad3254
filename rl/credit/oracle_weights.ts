import type { AtrlOptions } from "../atrl/options.ts";
import { READING } from "./token_classes.ts";

/**
 * Mode "oracle": wMax on the readings of one response, wMin elsewhere, divided by their mean with `normalise` "mean-one"; 1 everywhere where there is no reading.
 *
 * @param classes [T]: indices into `TOKEN_CLASSES`.
 * @returns [T].
 */
export function oracleWeights(
  classes: ArrayLike<number>,
  { wMin, wMax, normalise }: Pick<AtrlOptions, "wMin" | "wMax" | "normalise">,
): Float64Array<ArrayBuffer> {
  const W = Float64Array.from(classes, (index) => index === READING ? wMax : wMin);
  if (!Array.from(classes).includes(READING)) return W.fill(1);
  const mean = normalise === "mean-one" ? W.reduce((total, w) => total + w, 0) / W.length : 1;
  return W.map((w) => w / mean);
}
