/**
 * Grades random answers: mutations of well-formed ones, and random LaTeX. The verifiers must grade each in at most 50 ms without an error.
 * There are 2,000 answers, or 100,000 with `--slow`.
 */
import process from "node:process";
import { assert } from "@std/assert";
import { extractAnswer, gradeExact, gradeFormat, gradeIou, gradeMath, gradeNumber, gradePoint, mathEqual } from "../../verify/mod.ts";
import { ACCEPTED } from "./rewards_math_table.ts";

const COUNT = Deno.args.includes("--slow") ? 100_000 : 2_000;
const LIMIT = 50; // milliseconds

const PIECES = [
  ..."\\frac \\dfrac \\sqrt \\left( \\right) \\left[ \\right\\} \\{ \\} { } ( ) [ ] | ^ _ + - * / = < > \\le \\ge \\ne \\approx \\pm \\mp \\cup \\in"
    .split(" "),
  ..."\\cdot \\times \\pi \\infty \\circ ^\\circ \\% % $ $$ \\$ \\( \\) \\boxed{ \\text{ \\mathrm{ \\begin{pmatrix} \\end{pmatrix} & \\\\ \\binom \\log_"
    .split(" "),
  ..."\\sin \\cos^2 \\tan^{-1} \\ln \\overline{ ! , ; : . ' \" ~ \\, \\; \\quad x y ab AB e i pi sqrt( cm km/h m^2 \\ell and or 0 1 2 10 3.14"
    .split(" "),
  ..."1 \\over 2|\\choose|**|__|`|“|”|。|（|）|選|选B|答え|万|①|②|百分之|是|ない|p.m.|:30|\\mathbb{R}|\\dots|[[|]]|Yes,|No.|not |^{o}|७|٣"
    .split("|"),
  ..."1,234 1{,}234 0.\\overline{3} 1e5 9^{9^9} 1/3 half Yes A (B) <think> </think> <answer> </answer> #### √ ² ½ π ≤ ∪ 答案是 é 😀".split(
    " ",
  ),
  " ",
  "\n",
  "the answer is ",
  "\\boxed",
  "\u0000",
  "\ud800",
];

class Answers {
  #state: number;

  constructor(readonly base: readonly string[], seed: number) {
    this.#state = seed >>> 0;
  }

  below(n: number): number {
    this.#state = (Math.imul(this.#state ^ (this.#state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return Math.floor(((this.#state ^ (this.#state >>> 13)) >>> 0) / 2 ** 32 * n);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** Joins random pieces. In rare cases there are very many. */
  #random(): string {
    const length = this.below(20) === 0 ? this.below(2_000) : 1 + this.below(30);
    return Array.from({ length }, () => this.pick(PIECES)).join("");
  }

  #mutated(): string {
    let text = this.pick(this.base);
    for (let i = this.below(4); i >= 0; i--) {
      const at = this.below(text.length + 1), n = this.below(6);
      switch (this.below(6)) {
        case 0:
          text = text.slice(0, at) + text.slice(at + n);
          break;
        case 1:
          text = text.slice(0, at) + this.pick(PIECES) + text.slice(at);
          break;
        case 2:
          text = text.slice(0, at) + this.pick(this.base) + text.slice(at + n);
          break;
        case 3:
          text = text.slice(0, at) + text.slice(at, at + n).repeat(1 + this.below(300)) + text.slice(at);
          break;
        case 4:
          text = `${this.pick(PIECES)}{${text}}`;
          break;
        default:
          text = text.slice(0, at) + String.fromCharCode(this.below(0x3000)) + text.slice(at + 1);
      }
    }
    return text.slice(0, 12_000);
  }

  next(): string {
    return this.below(2) === 0 ? this.#random() : this.#mutated();
  }
}

Deno.test(`${COUNT} random answers are graded without an error, each within ${LIMIT} ms`, () => {
  const given = Deno.args.find((a) => a.startsWith("--seed="));
  const seed = given ? Number(given.slice(7)) : Math.floor(Math.random() * 2 ** 31);
  const base = ACCEPTED.flat(), answers = new Answers(base, seed);
  for (const text of base) mathEqual({ truth: text, answer: text }); // the code is compiled before it is timed
  let slowest = 0, accepted = 0;
  for (let i = 0; i < COUNT; i++) {
    const answer = answers.next(), truth = answers.below(4) === 0 ? answers.next() : answers.pick(base);
    const response = answers.below(2) === 0 ? answer : `<think>${answers.next()}</think>\nThe answer is \\boxed{${answer}}.`;
    const options = i % 3 === 0 ? { options: ["12", "\\frac{1}{2}", "x+1", "A", "5 cm"] } : {};
    const graders: Record<string, () => number> = {
      mathEqual: () => mathEqual({ truth, answer }) ? 1 : 0,
      extractAnswer: () => extractAnswer(response) === undefined ? 0 : 1,
      gradeMath: () => gradeMath({ response, truth, ...options }).score,
      gradeNumber: () => gradeNumber({ response, truth }).score,
      gradeExact: () => gradeExact({ response, truth }).score,
      gradeFormat: () => gradeFormat({ response, truth }).score,
      gradeIou: () => gradeIou({ response, truth: [0, 0, 1, 1] }).score,
      gradePoint: () => gradePoint({ response, truth: [0, 0, 1, 1] }).score,
    };
    for (const [name, grade] of Object.entries(graders)) {
      const where = () => `${name}, answer ${i} (seed ${seed}): ${JSON.stringify({ truth, response, ...options })}`;
      let taken = Infinity, score = NaN;
      // It is timed again, because other work on the machine may have delayed it.
      for (let tries = 0; tries < 3 && !(taken <= LIMIT / 5); tries++) {
        const start = performance.now(), used = process.cpuUsage();
        try {
          score = grade();
        } catch (error) {
          throw new Error(where(), { cause: error });
        }
        // The processor time counts if it is less: on a busy machine the clock also measures other processes.
        const { user, system } = process.cpuUsage(used);
        taken = Math.min(taken, performance.now() - start, (user + system) / 1_000);
      }
      assert(Number.isNaN(score) || (score >= 0 && score <= 1), `score ${score}: ${where()}`);
      assert(taken <= LIMIT, `${taken} ms: ${where()}`);
      slowest = Math.max(slowest, taken);
      if (name === "mathEqual" && score === 1) accepted++;
    }
  }
  if (Deno.args.includes("--slow")) {
    Deno.stdout.writeSync(new TextEncoder().encode(`slowest ${slowest.toFixed(1)} ms, ${accepted} of ${COUNT} accepted\n`));
  }
});
