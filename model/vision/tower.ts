/**
 * What the vision towers of all families do: blocks over the patches of packed pictures, and an MLP that makes one embedding of the patches of a merged
 * token.
 *
 * @module
 */
import { gelu, layernorm, RopeTable } from "../../tensor/ops/mod.ts";
import type { Segments } from "../../tensor/segments.ts";
import type { Tape } from "../../tensor/tape.ts";
import type { Value } from "../../tensor/value.ts";
import { type Checkpointing, type Recomputed, recomputed, runBlocks } from "../checkpointing.ts";
import type { VisionConfig } from "../config/types.ts";
import type { ModelParts } from "../family.ts";
import type { TowerBlock } from "../transformer/block.ts";
import { project } from "../transformer/project.ts";
import { frequencies } from "../transformer/rotary.ts";
import { tapeBlock, type TapePass } from "../transformer/tape_block.ts";

/** Added to the variance in the norms of a tower. No config has it. */
export const EPS = 1e-6;
const ROPE_THETA = 10_000; // the published models'; Kedge reads no other

/** The angles of patches: half of a head's frequencies turn by the row, half by the column. The tape owns them. */
export function patchAngles(
  tape: Tape,
  model: ModelParts,
  places: { readonly rows: Int32Array<ArrayBuffer>; readonly cols: Int32Array<ArrayBuffer> },
): RopeTable {
  const { config: { vision }, device } = model, half = vision.hiddenSize / vision.heads / 2;
  const freq = frequencies(half, { base: ROPE_THETA, count: half / 2 });
  const axis = Array.from({ length: half }, (_, i) => i < half / 2 ? 0 : 1);
  return tape.own(new RopeTable(device, { positions: [places.rows, places.cols], axis, invFreq: [...freq, ...freq] }));
}

/** A run over the blocks of a tower. */
export interface TowerRun {
  readonly tape: Tape;
  /** Which blocks the backward runs again. */
  readonly again: Recomputed;
  readonly pass: TapePass;
  /** Which patches see which, by block. */
  readonly segments: (block: number) => Segments;
}

/** How the blocks of a tower run. @param options `table`: see {@linkcode patchAngles}. */
export function towerRun(
  tape: Tape,
  model: ModelParts,
  options: Pick<TowerRun, "segments"> & { block: TowerBlock; table: RopeTable; checkpointing: Checkpointing | undefined },
): TowerRun {
  const { block, table, checkpointing = "off", segments } = options, { heads, hiddenSize, intermediateSize, depth } = model.config.vision;
  const sizes = { heads, kvHeads: heads, headDim: hiddenSize / heads, intermediateSize, eps: EPS };
  return {
    tape,
    again: recomputed(checkpointing, "vision", depth),
    segments,
    pass: { block, model, prefix: "visual.blocks", sizes, table },
  };
}

/** Runs blocks [start, end) of a tower. @param h [patches, hidden], which is taken over. */
export function runTower(h: Value, run: TowerRun, [start, end]: readonly [start: number, end: number]): Value {
  const { tape, again, pass, segments } = run;
  return runBlocks(h, {
    tape,
    count: end - start,
    again: again === "groups" ? again : again - start,
    block: (x, i) => tapeBlock(x, start + i, { ...pass, segments: segments(start + i) }),
  });
}

/**
 * Makes one embedding of the patches of each merged token: a linear map of them side by side, GELU, a linear map.
 *
 * @param h [patches, hidden]; it stays the caller's.
 * @param options `name`: of the merger. `norm`: returns the normed patches side by side, [merged tokens, patches of one * hidden].
 * @returns [merged tokens, outHiddenSize].
 */
export function mergePatches(h: Value, model: ModelParts, { name, norm }: { name: string; norm: (h: Value) => Value }): Value {
  const { tape } = h;
  return tape.scope(() => {
    const up = tape.scope(() => project(norm(h), model, `${name}.up`));
    const active = gelu(up);
    up[Symbol.dispose]();
    return project(active, model, `${name}.down`);
  });
}

/** Patches of merged tokens side by side: [merged tokens, patches of one * hidden]. */
export function sideBySide(h: Value, { hiddenSize, mergeSize }: VisionConfig): Value {
  const width = hiddenSize * mergeSize ** 2;
  return h.reshape([h.size / width, width]);
}

/** LayerNorm by a tower's parameters of this name. */
export function towerNorm(x: Value, { parameters }: ModelParts, name: string): Value {
  return layernorm(x, { weight: parameters[name]!, bias: parameters[`${name}.bias`]!, eps: EPS });
}
