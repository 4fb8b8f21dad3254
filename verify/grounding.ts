/**
 * Grades positions in a picture: boxes by intersection over union, and points.
 *
 * @module
 */
import { extractAnswer, type Extracted } from "./answer/extract.ts";
import { MAX_ANSWER } from "./maths/latex_tokens.ts";
import { isTruthList, objectTruth, type RewardInput, type Score, type Truth } from "./reward.ts";

/** [left, top, right, bottom], in the unit of the picture's coordinates. */
export type Box = readonly [number, number, number, number];

/** The largest number of boxes of a response that are graded. */
const MAX_BOXES = 100;
const NUMBER = /[-+]?(?:\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})(?:[eE][-+]?\d{1,3})?/g;

/** Returns the groups of `size` numbers in innermost brackets. If no brackets hold any, all numbers are grouped in order. */
function groupsOf(text: string, size: number): number[][] {
  const groups: number[][] = [];
  const numbers = (part: string) => Array.from(part.matchAll(NUMBER), ([match]) => Number(match));
  for (const [inside] of text.matchAll(/[[({][^[\](){}]{0,400}[\])}]/g)) {
    const group = numbers(inside.replace(/["']?[a-zA-Z_]+\d*["']?\s*:/g, " ")); // {"x1": 1, ...}
    if (group.length === size) groups.push(group);
    if (groups.length === MAX_BOXES) break;
  }
  if (groups.length > 0) return groups;
  const flat = numbers(text.slice(0, 400));
  return flat.length === size ? [flat] : [];
}

/** Returns the coordinates of a truth, which is a list of numbers or a text that contains them. */
function truthGroups(truth: Truth, size: number): number[][] {
  if (typeof truth === "number" || typeof truth === "boolean") return [];
  if (typeof truth === "string") return groupsOf(truth, size);
  if (!isTruthList(truth)) throw objectTruth(truth);
  const flat = truth.every((item) => typeof item === "number") ? [truth as readonly number[]] : truth;
  return flat.flatMap((item) => typeof item === "string" ? groupsOf(item, size) : typeof item === "number" ? [] : [[...item]])
    .filter((group) => group.length === size && group.every(Number.isFinite));
}

/** Orders the corners of a box. */
const asBox = ([a, b, c, d]: readonly number[]): Box => [Math.min(a!, c!), Math.min(b!, d!), Math.max(a!, c!), Math.max(b!, d!)];
const area = ([left, top, right, bottom]: Box): number => (right - left) * (bottom - top);

/**
 * Computes the intersection over union of two boxes. It is 0 if the union is empty.
 *
 * @example
 * ```ts
 * import { intersectionOverUnion } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(intersectionOverUnion([0, 0, 2, 2], [1, 0, 3, 2]), 1 / 3);
 * ```
 */
export function intersectionOverUnion(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const common = width > 0 && height > 0 ? width * height : 0, union = area(a) + area(b) - common;
  return union > 0 ? common / union : 0;
}

/** Options for {@linkcode gradeIou}. */
export interface IouOptions {
  /**
   * With a threshold the score is 1 if the intersection over union reaches it, else 0. By default the score is the intersection over union
   * itself.
   */
  threshold?: number;
  /** How boxes are written: as two corners (default), or as left, top, width, height. */
  layout?: "corners" | "size";
}

/** Returns the text to search for coordinates: the named answer, or else the whole response, cut to the length that is graded. */
function coordinateText(input: RewardInput): Extracted["answer"] {
  const extracted = extractAnswer(input.response);
  return (extracted === undefined || extracted.source === "statement" || extracted.source === "last line"
    ? input.response
    : extracted.answer).slice(
      -MAX_ANSWER,
    );
}

/**
 * Scores boxes by intersection over union.
 *
 * If there are several true boxes, each is matched with the response's box that fits best, and every box of the response is used once. The
 * score is the sum over the pairs divided by the larger number of boxes. Missing boxes and surplus boxes therefore count as 0.
 *
 * @returns NaN if the truth holds no box.
 * @example
 * ```ts
 * import { gradeIou } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const input = { response: '<answer>{"bbox_2d": [0, 0, 10, 10]}</answer>', truth: [0, 0, 10, 5] };
 * assertEquals(gradeIou(input).score, 0.5);
 * assertEquals(gradeIou(input, { threshold: 0.6 }).score, 0);
 * ```
 */
export function gradeIou(input: RewardInput, options: IouOptions = {}): Score {
  const { threshold, layout = "corners" } = options;
  const box = (group: readonly number[]): Box =>
    asBox(layout === "corners" ? group : [group[0]!, group[1]!, group[0]! + group[2]!, group[1]! + group[3]!]);
  const truths = truthGroups(input.truth, 4).map(box);
  if (truths.length === 0 || truths.length > MAX_BOXES) return { score: NaN };
  const answer = coordinateText(input), boxes = groupsOf(answer, 4).map(box), count = Math.max(truths.length, boxes.length);
  // The best pairs come first.
  const pairs = truths.flatMap((truth, i) => boxes.map((given, j) => ({ i, j, iou: intersectionOverUnion(truth, given) })))
    .sort((a, b) => b.iou - a.iou);
  const [taken, used] = [new Set<number>(), new Set<number>()];
  let sum = 0;
  for (const { i, j, iou } of pairs) {
    if (taken.has(i) || used.has(j)) continue;
    taken.add(i);
    used.add(j);
    sum += threshold === undefined ? iou : iou >= threshold ? 1 : 0;
  }
  return { score: count === 0 ? 0 : sum / count, answer: answer.slice(0, 1_000) };
}

/** Options for {@linkcode gradePoint}. */
export interface PointOptions {
  /** The distance within which a point scores 1, if the truth is a point. Default: 0. */
  radius?: number;
  /** The distance beyond `radius` over which the score falls to 0, if the truth is a point. Default: 0. */
  slack?: number;
}

/**
 * Scores the first point that a response names. If the truth is a box or several, the score is 1 inside one of them, edges included. If the
 * truth is a point, the score depends on the distance.
 *
 * @returns NaN if the truth holds neither a box nor a point.
 * @example
 * ```ts
 * import { gradePoint } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const response = "<answer>(5, 5)</answer>";
 * assertEquals(gradePoint({ response, truth: [0, 0, 10, 10] }).score, 1);
 * assertEquals(gradePoint({ response, truth: [5, 9] }, { radius: 2, slack: 4 }).score, 0.5);
 * ```
 */
export function gradePoint(input: RewardInput, options: PointOptions = {}): Score {
  const boxes = truthGroups(input.truth, 4).map(asBox), points = boxes.length > 0 ? [] : truthGroups(input.truth, 2);
  if (boxes.length === 0 && points.length === 0) return { score: NaN };
  const answer = coordinateText(input), [given] = groupsOf(answer, 2);
  if (given === undefined) return { score: 0, answer: answer.slice(0, 1_000) };
  const [x, y] = given as [number, number], { radius = 0, slack = 0 } = options;
  const inside = boxes.some(([left, top, right, bottom]) => x >= left && x <= right && y >= top && y <= bottom);
  const near = points.map(([a, b]) => {
    const beyond = Math.hypot(x - a!, y - b!) - radius;
    return beyond <= 0 ? 1 : slack > 0 ? Math.max(0, 1 - beyond / slack) : 0;
  });
  return { score: inside ? 1 : Math.max(0, ...near), answer: answer.slice(0, 1_000) };
}
