import type { PixelData } from "../../model/processor/messages.ts";
import { Random } from "../../tensor/random.ts";
import { cellsOf, chainOf, coloursOf, DESCRIBE, questionOf, type Reading, withFiller } from "./language.ts";
import { type BoardOptions, boardOptions, COLOURS } from "./options.ts";
import { drawBoard, type Figure } from "./picture.ts";

/** The stream of problems. Streams share no problem. */
export type BoardSplit = "train" | "val" | "warm";

/** The identity of a problem. */
export interface BoardPlace {
  /** The seed of all random choices. */
  readonly seed: number;
  /** The stream. */
  readonly split: BoardSplit;
  /** The index in the stream, from 0. */
  readonly index: number;
}

/** A problem. */
export interface BoardProblem {
  /** The id, such as "board/train/17". */
  readonly id: string;
  /** The board. */
  readonly picture: PixelData;
  /** The question. A space precedes each word, as the tokenizer expects. */
  readonly question: string;
  /** The right answer. For a description it is the whole text. */
  readonly truth: string;
  /** An answer to learn from. In the stream "warm" its readings may be wrong; elsewhere they are right. */
  readonly demonstration: string;
  /** The kind. Descriptions occur only in the warm start. */
  readonly kind: "question" | "description";
  /** The figures on the board. The first two are those in the question. */
  readonly figures: readonly Figure[];
  /** The operation on the two numbers. */
  readonly operation: "plus" | "minus";
  /** The two colours in the question. */
  readonly asked: readonly [string, string];
}

const SPLITS: readonly BoardSplit[] = ["train", "val", "warm"];

/**
 * Makes a problem of the board task. It depends only on the arguments, so that a resumed run sees the same problems.
 *
 * @throws {RangeError} for options out of range.
 *
 * @example
 * ```ts
 * import { boardProblem } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * const problem = boardProblem({}, { seed: 1, split: "train", index: 7 });
 * const [a, b] = problem.asked.map((colour) => problem.figures.find((figure) => figure.colour === colour)!.digit);
 * assertEquals(problem.truth, `${a! + b!}`);
 * assertEquals([problem.picture.width, problem.picture.data.length], [84, 84 * 84 * 3]);
 * ```
 */
export function boardProblem(options: Partial<BoardOptions>, { seed, split, index }: BoardPlace): BoardProblem {
  const o = boardOptions(options), random = new Random(mix(seed, SPLITS.indexOf(split), index));
  const pick = <T>(from: readonly T[], count: number): T[] => {
    const left = [...from];
    return Array.from({ length: count }, () => left.splice(random.integer(0, left.length), 1)[0]!);
  };
  const warm = split === "warm", allowed = Object.keys(COLOURS).filter((colour) => !warm || !o.heldOut.includes(colour));
  const asked = pick(allowed, 2) as [string, string];
  const operation = random.next() < o.differences ? "minus" : "plus",
    description = warm && random.next() < o.describe;
  const by = random.next() < 0.5 ? "cells" : "colours";
  const described = description ? o.describeDigits : o.digits, names = Object.keys(COLOURS);
  // A described board may have more figures than there are colours; colours then repeat.
  const others = described > names.length
    ? Array.from({ length: described - 2 }, () => names[random.integer(0, names.length)]!)
    : pick(names.filter((colour) => !asked.includes(colour)), described - 2);
  const cells = pick(Array.from({ length: o.side ** 2 }, (_, i) => i), described);
  const figures = [...asked, ...others].map((colour, i) => ({ cell: cells[i]!, colour, digit: random.integer(0, 10) }));
  const read = ({ colour, digit }: Figure): Reading => {
    const wrong = warm && random.next() < o.wrongReadings;
    return { colour, digit: wrong ? (digit + random.integer(1, 10)) % 10 : digit };
  };
  const [a, b] = figures as unknown as [Figure, Figure];
  const value = operation === "plus" ? a.digit + b.digit : a.digit - b.digit;
  const chain = () => {
    // Draws of their own, so that the picture does not depend on the filler.
    const filler = { random: new Random(mix(seed, SPLITS.length + SPLITS.indexOf(split), index)), count: o.filler };
    return withFiller(chainOf(random, [read(a), read(b)], operation), filler);
  };
  const all = by === "cells" ? cellsOf(figures, o.side) : coloursOf(figures);
  return {
    id: `board/${split}/${index}`,
    question: description ? DESCRIBE[by] : questionOf(asked, operation),
    truth: description ? all : `${value}`,
    demonstration: description ? all : chain(),
    kind: description ? "description" : "question",
    picture: drawBoard(random, figures, warm ? { ...o, jitter: o.warmJitter ?? o.jitter } : o),
    figures,
    operation,
    asked,
  };
}

/** Computes a seed of 52 bits from three numbers, by two rounds of a 32-bit mixer. */
function mix(seed: number, split: number, index: number): number {
  const scramble = (x: number) => {
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return (x ^ (x >>> 15)) >>> 0;
  };
  const a = scramble(scramble(scramble(seed >>> 0) ^ (split + 1)) ^ (index >>> 0)),
    b = scramble(a ^ scramble(index + 0x9e3779b9 + split * 7919 + seed));
  return a * 2 ** 20 + (b >>> 12);
}
