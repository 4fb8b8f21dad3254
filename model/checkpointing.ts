import type { Tape } from "../tensor/tape.ts";
import type { Value } from "../tensor/value.ts";

/**
 * What a recorded forward keeps for the backward. "off": everything. "blocks": the input of each block; the backward runs the block again. "full": the
 * input of each group of about sqrt(blocks) blocks; a group is run again, keeping its blocks' inputs, and then each block. (Chen et al., arXiv
 * 1604.06174.) {@linkcode KeptBlocks}: everything of some blocks, and the input of each other. The gradients are the same to the bit.
 */
export type Checkpointing = "off" | "blocks" | "full" | KeptBlocks;

/** How many blocks, counted from the last one, keep everything. What they keep is free again when the first of the other blocks is run again. */
export interface KeptBlocks {
  /** Of the decoder. */
  readonly text: number;
  /** Of the vision tower. */
  readonly vision: number;
}

/** Which blocks the backward runs again: all of them, in groups; or each before a number. */
export type Recomputed = "groups" | number;

/** Returns which of `count` blocks of a part of the model are run again. */
export function recomputed(checkpointing: Checkpointing, part: keyof KeptBlocks, count: number): Recomputed {
  switch (checkpointing) {
    case "off":
      return 0;
    case "blocks":
      return count;
    case "full":
      return "groups";
    default:
      return Math.max(0, count - checkpointing[part]);
  }
}

/** Returns how many of so many blocks make a group that is run again as a whole. */
export function groupSize(blocks: number): number {
  return Math.max(1, Math.round(Math.sqrt(blocks)));
}

/**
 * Runs blocks one after the other, each on the result of the last, and frees what is not needed any more.
 *
 * @param x The input of the first block, which is taken over.
 * @param options `count`: the number of blocks. `block`: runs the i-th block; it must not dispose of its input. `again`: which are run again.
 */
export function runBlocks(
  x: Value,
  options: { tape: Tape; count: number; block: (x: Value, i: number) => Value; again: Recomputed },
): Value {
  const { tape, count, block, again } = options;
  const group = again === "groups" ? groupSize(count) : 1;
  const one = (input: Value, i: number) => {
    const run = () => block(input, i);
    return again === "groups" || i < again ? tape.checkpoint(run) : tape.scope(run);
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
