/**
 * What the arithmetic of docs/gpu.md says of a part of a step.
 *
 * @module
 */
import { CARDS } from "../../actors/config/cards.ts";
import { stepParts, type StepShape } from "../roofline.ts";
import { isFake } from "./open.ts";

/** Returns the seconds of the parts whose names begin with one of these, for the 3B model on an H200; undefined without a GPU, where the model is another one. */
export function predicted(shape: StepShape, names: readonly string[]): number | undefined {
  if (isFake()) return undefined;
  const card = CARDS[0]!, { now } = stepParts("3b", shape, { card, moments: 4 });
  return now.filter(({ name }) => names.some((part) => name.startsWith(part))).reduce((sum, { seconds }) => sum + seconds, 0);
}
