/**
 * The formats of rows that are recognised.
 *
 * A format says how to recognise its rows and which columns have which role. How a prompt, a picture or a truth is written is recognised
 * separately, for all formats ({@linkcode "./turns.ts"}, {@linkcode "./pictures.ts"}, {@linkcode "./truths.ts"}).
 *
 * To add a format, add an entry to `FORMATS`, its name to `FORMAT_NAMES`, a row to the table in docs/data.md, and rows to
 * tests/data/format_rows.ts.
 *
 * @module
 */
import { isTurns } from "./turns.ts";
import { valueAt } from "./row_path.ts";

/**
 * The names of the formats, as in `data.format`.
 *
 * @example
 * ```ts
 * import { FORMAT_NAMES } from "@kedge/kedge/data";
 * import { assert } from "@std/assert";
 *
 * assert(FORMAT_NAMES.includes("verl"));
 * ```
 */
export const FORMAT_NAMES = ["easyr1", "verl", "trl", "openai", "swift", "llava"] as const;

/** The name of a format. */
export type FormatName = typeof FORMAT_NAMES[number];

/** The role of a column. */
export type Role = "prompt" | "answer" | "image" | "video" | "options" | "demonstration";

/** The columns of each role. The first one that a row has is used. A key may be a path, such as "reward_model.ground_truth". */
export type RoleKeys = Readonly<Record<Role, readonly string[]>>;

/** A row's columns, as they were read from its file. */
export type RowValues = Readonly<Record<string, unknown>>;

/** A format of rows. */
export interface RowFormat {
  /** The name in `data.format`. */
  readonly name: FormatName;
  /** The description in notes, after "rows of". */
  readonly says: string;
  /** Tells whether a row has this format. */
  recognises(row: RowValues): boolean;
  /** The columns of each role. */
  readonly keys: RoleKeys;
}

const PICTURES = { image: ["images", "image"], video: ["videos", "video"], options: ["options", "choices"], demonstration: [] } as const;
const isText = (value: unknown) => typeof value === "string" && value !== "";

/** EasyR1's format. It is also used for rows that no format recognises, so that errors name its columns. */
export const PLAIN: RowFormat = {
  name: "easyr1",
  says: "EasyR1 (problem, answer, images)",
  recognises: (row) => isText(row["problem"]),
  keys: { ...PICTURES, prompt: ["problem"], answer: ["answer"] },
};

/** The formats, in the order in which they are tried. */
export const FORMATS: readonly RowFormat[] = [
  {
    name: "llava",
    says: "LLaVA (conversations, image)",
    recognises: (row) => isTurns(row["conversations"]),
    keys: { ...PICTURES, prompt: ["conversations"], answer: ["answer", "solution", "ground_truth"] },
  },
  {
    name: "verl",
    says: "verl (prompt, reward_model.ground_truth, images)",
    recognises: (row) => isTurns(row["prompt"]) && valueAt(row, "reward_model.ground_truth") !== undefined,
    keys: { ...PICTURES, prompt: ["prompt"], answer: ["reward_model.ground_truth"] },
  },
  {
    name: "swift",
    says: "ms-swift (messages, images)",
    recognises: (row) =>
      isTurns(row["messages"]) && ["images", "videos", "audios", "objects", "rejected_response"].some((key) => Object.hasOwn(row, key)),
    keys: { ...PICTURES, prompt: ["messages"], answer: ["solution", "answer", "ground_truth"] },
  },
  {
    name: "openai",
    says: "OpenAI's chat messages (messages)",
    recognises: (row) => isTurns(row["messages"]),
    keys: { ...PICTURES, prompt: ["messages"], answer: ["answer", "solution", "ground_truth"] },
  },
  {
    name: "trl",
    says: "TRL (prompt, images, solution)",
    recognises: (row) =>
      isTurns(row["prompt"]) || isText(row["prompt"]) ||
      (isText(row["problem"]) && isText(row["solution"]) && valueAt(row, "answer") === undefined),
    keys: { ...PICTURES, prompt: ["prompt", "problem"], answer: ["solution", "answer", "ground_truth"], demonstration: ["completion"] },
  },
  PLAIN,
];

/**
 * Returns the format of a row.
 *
 * @param row Its columns.
 * @param name A name as in `data.format`. With "auto" (default) the format is recognised.
 * @returns undefined if no format recognises the row.
 * @throws {RangeError} for an unknown name.
 * @example
 * ```ts
 * import { formatOf } from "./formats.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const prompt = [{ role: "user", content: "1 + 1?" }];
 * assertEquals(formatOf({ prompt, "reward_model": { style: "rule", "ground_truth": "2" } })?.name, "verl");
 * assertEquals(formatOf({ prompt, solution: "2" })?.name, "trl");
 * assertEquals(formatOf({ question: "1 + 1?" }), undefined);
 * ```
 */
export function formatOf(row: RowValues, name: FormatName | "auto" = "auto"): RowFormat | undefined {
  if (name === "auto") return FORMATS.find((format) => format.recognises(row));
  const named = FORMATS.find((format) => format.name === name);
  if (named === undefined) throw new RangeError(`Cannot read rows as ${JSON.stringify(name)}: choose auto, ${FORMAT_NAMES.join(", ")}`);
  return named;
}
