/**
 * The language of the board task. Filler words are drawn at random, so that most tokens of an answer are language and few depend on the
 * picture.
 *
 * @module
 */
import type { Random } from "../../tensor/random.ts";
import { COLOURS } from "./options.ts";

const OPENINGS = ["okay", "well", "right", "so", "hmm", "now"], VERBS = ["peek", "look", "glance", "stare", "squint"];
const THINGS = ["it", "this", "that", "them"],
  FINDS = ["find", "see", "spot", "notice", "get"],
  PLACES = ["there", "here", "now", "clearly", "somewhere"];
const ALSO = ["also", "then", "next", "besides"],
  SUMS = ["together", "altogether", "thus", "hence", "finally"],
  EQUALS = ["makes", "gives", "is", "equals"];

/** One reading: a colour, and the digit that the text claims. */
export interface Reading {
  readonly colour: string;
  readonly digit: number;
}

/** Number words: 0 to 18, and negative numbers for differences. */
const NUMBERS = Array.from({ length: 28 }, (_, i) => i - 9);

/** Every word of the task. Each is one token. */
export const WORDS: readonly string[] = [
  ...new Set([
    ...[".", ",", "?", "what", "is", "the", "number", "plus", "minus", "read", "all", "i", "at", "answer", "empty", "cells", "colours"],
    ...Object.keys(COLOURS),
    ...[OPENINGS, VERBS, THINGS, FINDS, PLACES, ALSO, SUMS, EQUALS].flat(),
    ...NUMBERS.map(String),
  ]),
];

/** Makes the question. */
export function questionOf(colours: readonly [string, string], operation: "plus" | "minus"): string {
  return ` what is the ${colours[0]} number ${operation} the ${colours[1]} number ?`;
}

/** Makes the chain of reasoning of an answer, from two readings. */
export function chainOf(random: Random, readings: readonly [Reading, Reading], operation: "plus" | "minus"): string {
  const pick = (words: readonly string[]) => words[random.integer(0, words.length)]!;
  const [a, b] = readings, value = operation === "plus" ? a.digit + b.digit : a.digit - b.digit;
  return ` ${pick(OPENINGS)} , i ${pick(VERBS)} at ${pick(THINGS)} . i ${pick(FINDS)} ${a.colour} ${a.digit} ${pick(PLACES)} . ` +
    `${pick(ALSO)} i ${pick(FINDS)} ${b.colour} ${b.digit} ${pick(PLACES)} . ` +
    `${pick(SUMS)} , ${a.digit} ${operation} ${b.digit} ${pick(EQUALS)} ${value} . answer is ${value}`;
}

/** The requests to describe the board, by cell or by colour. */
export const DESCRIBE: Readonly<Record<"cells" | "colours", string>> = { cells: " read all cells .", colours: " read all colours ." };

/** Describes the board by cell, in the order of the cells. It teaches the model to see. */
export function cellsOf(figures: readonly (Reading & { readonly cell: number })[], side: number): string {
  const cells = new Array<string>(side ** 2).fill(" empty");
  for (const { cell, colour, digit } of figures) cells[cell] = ` ${colour} ${digit}`;
  return cells.join("");
}

/** Describes the board by colour, in a fixed order. It teaches the model to find a colour, which questions need. */
export function coloursOf(figures: readonly Reading[]): string {
  return Object.keys(COLOURS).flatMap((name) => figures.filter(({ colour }) => colour === name)).map(({ colour, digit }) =>
    ` ${colour} ${digit}`
  ).join("");
}
