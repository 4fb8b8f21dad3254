import type { Tape } from "../tensor/tape.ts";
import type { Value } from "../tensor/value.ts";

/**
 * What a recorded forward keeps for the backward. "off": everything. "blocks": the input of each block; the backward runs the block again. "full": the
 * input of each group of about sqrt(blocks) blocks; a group is run again, keeping its blocks' inputs, and then each block. (Chen et al., arXiv
 * 1604.06174.) The gradients are the same to the bit.
 */
export type Checkpointing = "off" | "blocks" | "full";

/**
 * Runs blocks one after the other, each on the result of the last, and frees what is not needed any more.
 *
 * @param x The input of the first block, which is taken over.
 * @param options `count`: the number of blocks. `block`: runs the i-th block; it must not dispose of its input.
 */
export function runBlocks(
  x: Value,
  options: { tape: Tape; count: number; block: (x: Value, i: number) => Value; checkpointing: Checkpointing },
): Value {
  const { tape, count, block, checkpointing } = options;
  const group = checkpointing === "full" ? Math.max(1, Math.round(Math.sqrt(count))) : 1;
  const one = (input: Value, i: number) => {
    const run = () => block(input, i);
    return checkpointing === "off" ? tape.scope(run) : tape.checkpoint(run);
  };
  const chain = (input: Value, range: { start: number; end: number }) => {
    let h = input;
    for (let i = range.start; i < range.end; i++) {
      const next = one(h, i);
      if (h !== input) h[Symbol.dispose]();
      h = next;
    }
    return h;
  };
  let h = x;
  for (let start = 0; start < count; start += group) {
    const [input, end] = [h, Math.min(count, start + group)];
    h = group === 1 ? one(input, start) : tape.checkpoint(() => chain(input, { start, end }));
    input[Symbol.dispose]();
  }
  return h;
}
