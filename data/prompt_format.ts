/**
 * How a problem is presented to the model: with an instruction after it, or with text around it.
 *
 * @module
 */
import type { Part } from "../model/processor/messages.ts";
import { listed } from "./choices.ts";

const THINK = "First reason step by step between <think> and </think>.";

/** The instructions by name. "none" adds nothing. */
export const INSTRUCTIONS = {
  none: "",
  boxed: "Reason step by step, and put the final answer in \\boxed{}.",
  "think_boxed": `${THINK} Then put the final answer in \\boxed{}.`,
  "think_answer": `${THINK} Then give the final answer between <answer> and </answer>.`,
} as const;

/** The name of an instruction, or a text with {content} in place of the problem and, optionally, {options} in place of its choices. */
export type PromptFormat = keyof typeof INSTRUCTIONS | (string & Record<never, never>);

/**
 * Returns where a format puts a question's choices: behind the problem, unless the problem shows them itself; inside the text, at
 * {options}; or nowhere, if the text has no {options}.
 */
export function placeOfOptions(format: PromptFormat): "behind" | "inside" | "nowhere" {
  if (Object.hasOwn(INSTRUCTIONS, format)) return "behind";
  return format.includes("{options}") ? "inside" : "nowhere";
}

/** The text before and after a problem. */
export interface Surroundings {
  /** The text before it. */
  readonly before: string;
  /** The text after it. */
  readonly after: string;
}

/**
 * Returns the text around a problem.
 *
 * @param format The prompt format.
 * @param options The texts of the question's choices, for {options}.
 * @throws {RangeError} for a format that is neither a name nor a text with {content} exactly once.
 * @example
 * ```ts
 * import { surroundings } from "@kedge/kedge/data";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(surroundings("none"), { before: "", after: "" });
 * assertEquals(surroundings("Q: {content}\n{options}\nA:", ["1", "2"]), { before: "Q: ", after: "\n(A) 1\n(B) 2\nA:" });
 * assertThrows(() => surroundings("box"), RangeError, "{content}");
 * ```
 */
export function surroundings(format: PromptFormat, options: readonly string[] = []): Surroundings {
  if (Object.hasOwn(INSTRUCTIONS, format)) {
    const instruction = INSTRUCTIONS[format as keyof typeof INSTRUCTIONS];
    return { before: "", after: instruction && `\n\n${instruction}` };
  }
  const [before, after, ...more] = format.split("{content}");
  if (after === undefined || more.length > 0) {
    const names = Object.keys(INSTRUCTIONS).join(", ");
    throw new RangeError(
      `Cannot format prompts as ${JSON.stringify(format)}: it is neither one of ${names} nor a text with {content} once`,
    );
  }
  const choices = listed(options);
  return { before: before!.replaceAll("{options}", () => choices), after: after.replaceAll("{options}", () => choices) };
}

/**
 * Adds text around parts, joined to the text at their beginning or end.
 *
 * @example
 * ```ts
 * import { surround } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(surround([{ type: "text", text: "1 + 1?" }], { before: "", after: " Say." }), [{ type: "text", text: "1 + 1? Say." }]);
 * ```
 */
export function surround(parts: readonly Part[], { before, after }: Surroundings): Part[] {
  const all: Part[] = [{ type: "text", text: before }, ...parts, { type: "text", text: after }];
  const joined: Part[] = [];
  for (const part of all) {
    const last = joined.at(-1);
    if (part.type === "text" && last?.type === "text") joined[joined.length - 1] = { type: "text", text: last.text + part.text };
    else joined.push(part);
  }
  return joined.filter((part) => part.type !== "text" || part.text !== "");
}
