import type { Parameter } from "../parameter.ts";
import { Value } from "../value.ts";

/** A weight: a parameter, or a value computed from some. */
export type Weight = Parameter | Value;

/** The weight as a value on the tape of `x`. */
export function weightOf(x: Value, weight: Weight): Value {
  return weight instanceof Value ? weight : x.tape.param(weight);
}
