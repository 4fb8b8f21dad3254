/**
 * The choices of a question: how data sets write them, their own labels, and whether a prompt shows them.
 *
 * @module
 */
import { choicesOf } from "../verify/answer/labels.ts";
import { plain } from "./plain.ts";

/** Returns the letter of a choice: A, B, ... */
export function letterOf(place: number): string {
  return String.fromCharCode(65 + place);
}

const MOST = 26;
const text = (value: unknown) => typeof value === "string" ? value : typeof value === "number" ? String(value) : undefined;

/**
 * Returns the texts of a row's choices, in order, as they are written.
 *
 * @param value A list of texts, numbers or { label, text }; texts by letter, such as { A: "10", B: "12" }; or parallel lists, such as {
 * label: [...], text: [...] }.
 * @returns undefined for any other value.
 * @example
 * ```ts
 * import { choicesIn } from "./choices.ts";
 * import { assertEquals } from "@std/assert";
 *
 * for (const value of [["10", 12], { A: "10", B: "12" }, [{ text: "10" }, { text: "12" }], { label: ["A", "B"], text: ["10", "12"] }]) {
 *   assertEquals(choicesIn(value), ["10", "12"]);
 * }
 * assertEquals(choicesIn("A B"), undefined);
 * ```
 */
export function choicesIn(value: unknown): string[] | undefined {
  const listed = plain(value), texts = textsOf(listed);
  return texts === undefined || texts.length > MOST ? undefined : texts;
}

function textsOf(value: unknown): string[] | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value)) {
    const entries = Object.entries(value as Record<string, unknown>).filter(([, choice]) => choice !== null);
    const lettered = entries.length > 0 && entries.every(([key], i) => key.toUpperCase() === letterOf(i));
    return textsOf(lettered ? entries.map(([, choice]) => choice) : (value as { text?: unknown }).text);
  }
  const texts = value.map((choice: unknown) =>
    text(choice) ?? text((choice as { text?: unknown } | null)?.text) ?? text((choice as { content?: unknown } | null)?.content)
  );
  return texts.every((choice) => choice !== undefined) ? texts : undefined;
}

/**
 * Lists choices for a prompt, without their own labels: "(A) 10" and "(B) 12" on two lines.
 *
 * @example
 * ```ts
 * import { listed } from "./choices.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([listed(["10", "12"]), listed(["A. 10", "B. 12"])], ["(A) 10\n(B) 12", "(A) 10\n(B) 12"]);
 * ```
 */
export function listed(choices: readonly string[]): string {
  return choicesOf(choices).texts.map((choice, i) => `(${letterOf(i)}) ${choice}`.trimEnd()).join("\n");
}

const squeezed = (words: string) => words.normalize("NFKC").replace(/[\s$]+/gu, "").toLowerCase();

/**
 * Tells whether a problem shows its choices: each with its letter as a label, in order, followed by its text. Choices that are only letters
 * are in the picture, and count as shown.
 *
 * @example
 * ```ts
 * import { shows } from "./choices.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(shows("Which?\nA. 10\nB. 12", ["10", "12"]), true);
 * assertEquals(shows("Which of 10 and 12 is even?", ["10", "12"]), false);
 * assertEquals(shows("Which?", ["A", "B"]), true);
 * ```
 */
export function shows(problem: string, choices: readonly string[]): boolean {
  const { texts } = choicesOf(choices);
  if (texts.every((choice, i) => choice.trim().toUpperCase() === letterOf(i) || choice.trim() === "")) return true;
  const all = squeezed(problem);
  let at = 0;
  return texts.every((choice, i) => {
    const letter = letterOf(i).toLowerCase(), words = squeezed(choice);
    for (const label of [`(${letter})`, `[${letter}]`, `【${letter}】`, `${letter}.`, `${letter})`, `${letter}:`, `${letter}、`]) {
      for (const mark of ["", "**", "__"]) {
        const found = all.indexOf(`${label}${mark}${words}`, at);
        if (found < 0) continue;
        at = found + label.length;
        return true;
      }
    }
    return false;
  });
}
