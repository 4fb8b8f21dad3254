/**
 * The differentiable ops. Each takes values of one tape and records itself. An op keeps alive what its backward needs of its inputs.
 *
 * @module
 */
export { gelu, type GeluForm, swiglu } from "./activation.ts";
export { attention, type AttentionOptions, type AttentionSeen } from "./attention.ts";
export { addBias } from "./bias.ts";
export { addProduct } from "./add_product.ts";
export { add, cast, mul, scale } from "./elementwise.ts";
export { linearKl, type LinearKlOptions } from "./kl.ts";
export { linear, matmul } from "./linear.ts";
export { linearLogProb, type LogProb, logProb, type LogProbOptions } from "./logprob.ts";
export { type AddLayernorm, addLayernorm, layernorm, type LayernormOptions } from "./layernorm.ts";
export { type AddRmsnorm, addRmsnorm, headRmsnorm, rmsnorm } from "./norm.ts";
export { dot, sum } from "./reduce.ts";
export { rope, RopeTable } from "./rope.ts";
export { concatRows, gatherRows, gatherWeighted, scatterAddRows, scatterRows } from "./rows.ts";
export type { Weight } from "./weight.ts";
