/**
 * The vision tower of Qwen2-VL (arXiv 2409.12191, section 2.1): a vision transformer whose patches turn by row and column.
 *
 * @module
 */
import { Segments } from "../../tensor/segments.ts";
import type { Tape } from "../../tensor/tape.ts";
import type { Value } from "../../tensor/value.ts";
import type { Checkpointing } from "../checkpointing.ts";
import type { ModelParts } from "../family.ts";
import type { Visual } from "../prompt.ts";
import { geluBlock } from "../transformer/block.ts";
import { project } from "../transformer/project.ts";
import { packedPatches } from "../vision/patches.ts";
import { rasterLayout } from "../vision/raster_layout.ts";
import { mergePatches, patchAngles, runTower, sideBySide, towerNorm, towerRun } from "../vision/tower.ts";

/**
 * Embeds pictures and videos, all packed in one pass. If no parameter of the tower needs a gradient, nothing is recorded.
 *
 * @param visuals One at least.
 * @returns Embeddings, [merged tokens, hidden], in the order of the visuals and of their placeholders.
 * @throws {RangeError} for a grid or pixels of a wrong size, named by the visual's index.
 */
export function encodeVisuals(
  tape: Tape,
  model: ModelParts,
  visuals: readonly Visual[],
  options: { checkpointing?: Checkpointing } = {},
): [Value] {
  const { config: { vision }, device, dtype } = model;
  if (visuals.length === 0) throw new RangeError("Cannot encode visuals: there are none");
  const layout = rasterLayout(visuals.map(({ grid }) => grid), vision.mergeSize);
  return tape.scope(() => {
    const h = tape.scope(() => {
      using patches = packedPatches(visuals, { device, vision, dtype });
      return project(tape.constant(patches), model, "visual.patch");
    });
    const frames = tape.own(Segments.packed(device, layout.frames, { causal: false }));
    const run = towerRun(tape, model, {
      block: geluBlock("quick"),
      table: patchAngles(tape, model, layout),
      segments: () => frames,
      checkpointing: options.checkpointing,
    });
    using last = runTower(h, run, [0, vision.depth]);
    return [
      mergePatches(last, model, { name: "visual.merger", norm: (h) => sideBySide(towerNorm(h, model, "visual.merger.norm"), vision) }),
    ];
  });
}
