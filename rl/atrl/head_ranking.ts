import { rocArea } from "../credit/class_report.ts";
import { READING } from "../credit/token_classes.ts";
import { bimodality } from "./report.ts";

/** Names of the rules by which heads are ranked without labels. */
export const HEAD_RULES = ["spread", "bimodality", "sharpness"] as const;
/**
 * A rule by which heads are ranked. "spread": by how much a head's share on the picture varies between the tokens of an answer. "bimodality": by how much it has two
 * levels. "sharpness": by how strongly the tokens with its highest shares attend to one region.
 */
export type HeadRule = typeof HEAD_RULES[number];

/** The connectivity of one response of T tokens, by layer and query head: of `HeadConnectivity`. */
export interface HeadSharesInput {
  /** [T, layers, heads]: the share on visual tokens. */
  readonly share: ArrayLike<number>;
  /** [T, layers, heads]: the largest share on one region. Only the rule "sharpness" reads it. */
  readonly peak: ArrayLike<number>;
}

/** A head with a number. */
export interface RankedHead {
  /** Its layer. */
  readonly layer: number;
  /** Its index among the layer's query heads. */
  readonly head: number;
  /** The number that the heads are ranked by. */
  readonly score: number;
}

/** The share of tokens whose attention "sharpness" looks at. */
const HIGHEST = 0.15;

/**
 * Ranks attention heads by how well they may tell apart tokens that read the picture, from answers without labels. docs/method.md, section 1.7.
 *
 * @param answers Answers to prompts with pictures.
 * @returns All heads, the best first; ties: the lower layer, then the lower head. A head whose number is not defined has -Infinity.
 *
 * @example
 * ```ts
 * import { rankHeads } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * // One layer of two heads: the second one attends to the picture at the second token alone.
 * const answer = { share: [0.5, 0, 0.5, 1, 0.5, 0], peak: [0.25, 0, 0.25, 1, 0.25, 0] };
 * const [best] = rankHeads([answer], { layers: 1, heads: 2, rule: "spread" });
 * assertEquals([best!.layer, best!.head], [0, 1]);
 * ```
 */
export function rankHeads(
  answers: readonly HeadSharesInput[],
  { layers, heads, rule }: { layers: number; heads: number; rule: HeadRule },
): RankedHead[] {
  return allHeads({ layers, heads }).map(({ layer, head }) => {
    const column = (of: ArrayLike<number>) => columnOf(of, { at: layer * heads + head, width: layers * heads });
    const parts = answers.map(({ share, peak }) => ({ share: column(share), peak: column(peak) })).filter(({ share }) => share.length > 0);
    const score = rule === "bimodality"
      ? bimodality(parts.flatMap(({ share }) => share))
      : mean(parts.map((part) => rule === "spread" ? deviation(part.share) : highestPeaks(part)));
    return { layer, head, score: Number.isNaN(score) ? -Infinity : score };
  }).sort((a, b) => b.score - a.score || a.layer - b.layer || a.head - b.head);
}

/**
 * The area under the ROC curve of each head's share for "is a reading", within each answer, averaged over answers that have readings and others.
 *
 * @param answers `classes`: [T], indices into `TOKEN_CLASSES`.
 * @returns All heads by layer and head. NaN where no answer has both.
 *
 * @example
 * ```ts
 * import { headAreas } from "@kedge/kedge/rl";
 * import { assertEquals } from "@std/assert";
 *
 * const answer = { share: [0.5, 0, 0.4, 1, 0.3, 0], classes: [3, 0, 2] }; // the second token is a reading
 * assertEquals(headAreas([answer], { layers: 1, heads: 2 }), [{ layer: 0, head: 0, auc: 0.5 }, { layer: 0, head: 1, auc: 1 }]);
 * ```
 */
export function headAreas(
  answers: readonly { readonly share: ArrayLike<number>; readonly classes: ArrayLike<number> }[],
  sizes: { layers: number; heads: number },
): { layer: number; head: number; auc: number }[] {
  const isReading = answers.map(({ classes }) => Array.from(classes, (k) => Number(k === READING)));
  return allHeads(sizes).map(({ layer, head }) => {
    const at = layer * sizes.heads + head, width = sizes.layers * sizes.heads;
    const areas = answers.map(({ share }, i) => rocArea(columnOf(share, { at, width }), isReading[i]!)).filter((area) =>
      !Number.isNaN(area)
    );
    return { layer, head, auc: mean(areas) };
  });
}

function allHeads({ layers, heads }: { layers: number; heads: number }): { layer: number; head: number }[] {
  return Array.from({ length: layers * heads }, (_, i) => ({ layer: Math.floor(i / heads), head: i % heads }));
}

function columnOf(rows: ArrayLike<number>, { at, width }: { at: number; width: number }): number[] {
  return Array.from({ length: rows.length / width }, (_, t) => rows[t * width + at]!);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}

/** The standard deviation. */
function deviation(values: readonly number[]): number {
  const m = mean(values);
  return Math.sqrt(mean(values.map((x) => (x - m) ** 2)));
}

/** The mean peak of the tokens with the highest shares; ties: the earlier token. */
function highestPeaks({ share, peak }: { share: readonly number[]; peak: readonly number[] }): number {
  const order = share.map((_, t) => t).sort((a, b) => share[b]! - share[a]! || a - b);
  return mean(order.slice(0, Math.ceil(HIGHEST * share.length)).map((t) => peak[t]!));
}
