/**
 * The language of the board task. Filler words are drawn at random, so that most tokens of an answer are language and few depend on the
 * picture.
 *
 * @module
 */
import type { ClassInput, TokenClass } from "../../rl/credit/token_classes.ts";
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

/** The words that an answer draws at random. */
const RANDOM: ReadonlySet<string> = new Set([OPENINGS, VERBS, THINGS, FINDS, PLACES, ALSO, SUMS, EQUALS].flat());

/** The tokens of an answer without further filler, with the one that ends it. */
export const CHAIN_TOKENS = 32;

/** Every word of the task. Each is one token. */
export const WORDS: readonly string[] = [
  ...new Set([
    ...[".", ",", "?", "what", "is", "the", "number", "plus", "minus", "read", "all", "i", "at", "answer", "empty", "cells", "colours"],
    ...Object.keys(COLOURS),
    ...RANDOM,
    ...NUMBERS.map(String),
  ]),
];

/** The words of further filler: all of these but "is", which the last sentence has too. */
const FILLER = [...RANDOM].filter((word) => word !== "is");

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

/** Returns a chain with `count` further words of random filler. They are spread evenly: word i stands before sentence i % 5. */
export function withFiller(chain: string, { random, count }: { random: Random; count: number }): string {
  const sentences = chain.split(/(?<= \.)/), words = sentences.map(() => "");
  for (let i = 0; i < count; i++) words[i % sentences.length] += ` ${FILLER[random.integer(0, FILLER.length)]}`;
  return sentences.map((sentence, i) => words[i] + sentence).join("");
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

const IS_NUMBER: ReadonlySet<string> = new Set(NUMBERS.map((number) => ` ${number}`));

/**
 * The classes of tokens of an answer to the board task, which may be ungrammatical. A word is a token with its leading space. A number directly after a
 * colour is a "reading"; other numbers, plus and minus are "arithmetic"; words that answers draw at random are "random", of which "is" only where it follows
 * the second operand; everything else is "fixed".
 *
 * @example
 * ```ts
 * import { boardClasses } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * const tokens = [" see", " red", " 5", " .", " thus", " ,", " 5", " plus", " 3", " is", " 8", " .", " answer", " is", " 8", "<|im_end|>"];
 * const classes = boardClasses({ tokens, text: tokens.slice(0, -1).join(""), truth: "8", fields: {} });
 * assertEquals(classes.slice(0, 4), ["random", "fixed", "reading", "fixed"]);
 * assertEquals(classes.slice(9), ["random", "arithmetic", "fixed", "fixed", "fixed", "arithmetic", "fixed"]);
 * ```
 */
export function boardClasses({ tokens }: ClassInput): TokenClass[] {
  const isOperation = (token: string | undefined) => token === " plus" || token === " minus";
  return tokens.map((token, t) => {
    const before = tokens[t - 1] ?? "", word = token.startsWith(" ") ? token.slice(1) : "";
    if (IS_NUMBER.has(token)) return before.startsWith(" ") && Object.hasOwn(COLOURS, before.slice(1)) ? "reading" : "arithmetic";
    if (isOperation(token)) return "arithmetic";
    const isEquals = IS_NUMBER.has(before) && isOperation(tokens[t - 2]);
    return RANDOM.has(word) && (word !== "is" || isEquals) ? "random" : "fixed";
  });
}
