import type { Parameter } from "../parameter.ts";
import { Value } from "../value.ts";

/** A weight: a parameter, or a value computed from parameters. */
export type Weight = Parameter | Value;

/** Returns the weight as a value on the tape of `x`. */
export function weightOf(x: Value, weight: Weight): Value {
  return weight instanceof Value ? weight : x.tape.param(weight);
}
