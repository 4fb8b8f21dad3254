/**
 * Turns a row of a file into a sample, by the roles of its columns.
 *
 * @module
 */
import { KedgeError } from "../ffi/errors.ts";
import { fieldsSet, type ImageSource, type Message, type PixelBounds, type VideoSource } from "../model/processor/messages.ts";
import type { Truth } from "../verify/reward.ts";
import { choicesIn, listed, shows } from "./choices.ts";
import { reasonOf, systemReason } from "./file_ranges.ts";
import { type FormatName, formatOf, PLAIN, type Role, type RoleKeys } from "./formats.ts";
import { BadPlaces, place, readTurn } from "./markers.ts";
import { BadPicture, named, pictureOrigin } from "./pictures.ts";
import { plain } from "./plain.ts";
import { placeOfOptions, type PromptFormat, surround, surroundings } from "./prompt_format.ts";
import { type AllowRemote, fetchPicture, publicAddress } from "./remote.ts";
import { valueAt, without } from "./row_path.ts";
import type { Sample } from "./sample.ts";
import { answerIn, BadTruth, truthOf } from "./truths.ts";
import { BadTurns, type DraftTurn, textOfTurn, turnsOf } from "./turns.ts";

/**
 * The columns of each role, and how the prompt is written. A key may be a path, such as "extra_info.question". If a key is absent, the
 * row's format gives the column. Pixel bounds apply to pictures, not to videos.
 */
export interface ColumnOptions extends PixelBounds {
  /** The format of the rows. Default: "auto", which recognises it row by row. */
  readonly format?: FormatName | "auto";
  /** The column of the problem: a text, or turns. */
  readonly promptKey?: string;
  /** The column of the expected answer. A row with a demonstration may lack it; the demonstration's answer is then the truth. */
  readonly answerKey?: string;
  /** The column of a picture or a list of pictures. Rows may lack it. */
  readonly imageKey?: string;
  /** The column of a video's path or a list of paths. Rows may lack it. */
  readonly videoKey?: string;
  /** The column of a question's choices. Rows may lack it. */
  readonly optionsKey?: string;
  /** The column of the row's name. Default: the row's index in the file. */
  readonly idKey?: string;
  /** The column of an answer to learn from. Default: the assistant's turn at the end of the problem, if there is one. */
  readonly demonstrationKey?: string;
  /** The instruction or text around the problem. Default: "none". */
  readonly formatPrompt?: PromptFormat;
  /** A system turn that replaces the row's own. Default: none. */
  readonly systemPrompt?: string;
  /** The hosts that pictures may be fetched from. Default: none. */
  readonly allowRemote?: AllowRemote;
  /** Is called once for each fact that a user should know: the format of a file's rows, and where choices go. */
  readonly onNote?: (words: string) => void;
}

/** A row as it was read from its file. */
export interface RawRow {
  /** The file's path, for errors. */
  readonly file: string;
  /** The prefix of the ids of its rows. */
  readonly name: string;
  /** The row's index in the file. */
  readonly row: number;
  /** Its columns. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** Finds the files that a row names. */
export interface Attachments {
  /** Returns the file's path, or why it may not be read. */
  resolve(path: string): string | { readonly refused: string };
}

/** Makes an error about a row's column. */
function badRow(raw: RawRow & { readonly id: string }, key: string, words: string): KedgeError {
  const { file, row, id } = raw;
  return new KedgeError("BadData", `Cannot read row ${row} of ${file}: its ${JSON.stringify(key)} ${words}`, { file, row, key, id });
}

/**
 * Makes samples from rows.
 *
 * @example
 * ```ts
 * import { Columns } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * const columns = new Columns({ promptKey: "question", formatPrompt: "boxed" });
 * const row = { file: "a.jsonl", name: "a.jsonl", row: 3, values: { question: "1 + 1?", answer: 2, level: "easy" } };
 * const { id, messages, truth, fields } = await columns.sample(row, { resolve: (path) => path });
 * assertEquals([id, truth, fields], ["a.jsonl:3", 2, { level: "easy" }]);
 * assertEquals(JSON.stringify(messages).includes("1 + 1?\\n\\nReason step by step"), true);
 * ```
 */
export class Columns {
  readonly #given: Partial<Record<Role, string>>;
  readonly #idKey: string | undefined;
  readonly #format: FormatName | "auto";
  readonly #bounds: PixelBounds;
  readonly #prompt: PromptFormat;
  readonly #system: readonly Message[];
  readonly #remote: AllowRemote;
  readonly #onNote: (words: string) => void;
  readonly #notes = new Set<string>();

  /**
   * Uses the columns that options name.
   *
   * @throws {RangeError} for an unknown prompt format or row format.
   */
  constructor(options: ColumnOptions = {}) {
    const { idKey, formatPrompt = "none", systemPrompt, minPixels, maxPixels, format = "auto", allowRemote = false } = options;
    this.#given = fieldsSet({
      prompt: options.promptKey,
      answer: options.answerKey,
      image: options.imageKey,
      video: options.videoKey,
      options: options.optionsKey,
      demonstration: options.demonstrationKey,
    });
    this.#idKey = idKey;
    this.#format = format;
    this.#bounds = fieldsSet({ minPixels, maxPixels });
    this.#prompt = formatPrompt;
    this.#system = systemPrompt === undefined ? [] : [{ role: "system", content: systemPrompt }];
    this.#remote = allowRemote;
    this.#onNote = options.onNote ?? (() => {});
    surroundings(formatPrompt);
    formatOf({}, format);
  }

  /**
   * Makes a row's sample.
   *
   * @param raw The row.
   * @param attachments Finds the pictures and videos that it names.
   * @throws {KedgeError} `BadData` that names file, row and key.
   */
  async sample(raw: RawRow, attachments: Attachments): Promise<Sample> {
    const row = new Row(raw, this.#keys(raw)), id = this.#idKey;
    if (id !== undefined) row.id = `${raw.name}:${row.identity(id)}`;
    const { turns, demonstration } = row.conversation();
    const options = row.options(), truth = row.truth(options, demonstration);
    const one = (role: "image" | "video") => (value: unknown) => this.#picture(value, { role, row, attachments });
    const read = {
      image: one("image") as (value: unknown) => Promise<ImageSource>,
      video: (value: unknown) => this.#video(value, { row, attachments }),
    };
    const images = await Promise.all(list(row.value("image")).map(read.image)), videos = list(row.value("video")).map(read.video);
    const drafts = await Promise.all(turns.map((turn) => readTurn(turn, read)));
    const messages = row.placed(() => place(drafts, { images, videos }, this.#bounds));
    return {
      id: row.id,
      messages: this.#asked(messages, options, row),
      truth,
      ...options.length === 0 ? {} : { options },
      ...demonstration === undefined ? {} : { demonstration },
      fields: plain(without(raw.values, row.taken)) as Record<string, unknown>,
    };
  }

  /** Returns the columns of a row's format, with those that the options name in their place. */
  #keys(raw: RawRow): RoleKeys {
    const format = formatOf(raw.values, this.#format), own = Object.entries(this.#given).map(([role, key]) => [role, [key]]);
    if (format) this.#note(`${raw.name}: rows of ${format.says}`);
    return { ...(format ?? PLAIN).keys, ...Object.fromEntries(own) };
  }

  /** Adds the system turn, the prompt's format and the choices to the turns. */
  #asked(turns: readonly Message[], options: readonly string[], row: Row): Message[] {
    const last = turns.at(-1)!, parts = last.content as Exclude<Message["content"], string>;
    const texts = turns.map(({ content }) =>
      typeof content === "string" ? content : content.map((part) => part.type === "text" ? part.text : "").join("")
    );
    const { before, after } = surroundings(this.#prompt, options);
    const absent = options.length > 0 && !shows(texts.join("\n"), options),
      to = placeOfOptions(this.#prompt),
      adds = absent && to === "behind";
    if (adds) this.#note(`${row.raw.name}: choices are added after the problem`);
    if (absent && to === "nowhere") {
      this.#note(`${row.raw.name}: choices are graded and do not reach the prompt; put {options} into formatPrompt`);
    }
    const asked = surround(parts, { before, after: `${adds ? `\n${listed(options)}` : ""}${after}` });
    const rest = turns.slice(0, -1).filter(({ role }) => role !== "system" || this.#system.length === 0);
    return [...this.#system, ...rest, { role: "user", content: asked }];
  }

  #note(words: string): void {
    if (this.#notes.has(words)) return;
    this.#notes.add(words);
    this.#onNote(words);
  }

  async #picture(value: unknown, place: { role: "image" | "video"; row: Row; attachments: Attachments }): Promise<ImageSource> {
    const { row } = place, origin = row.origin("image", value);
    if (origin.kind === "bytes") return origin.bytes.slice() as Uint8Array<ArrayBuffer>; // a copy, because it is a view of its column
    if (origin.kind === "url") {
      try {
        return await fetchPicture(origin.url, this.#remote);
      } catch (error) {
        throw row.bad("image", `names a picture on the web that is not read (${named(publicAddress(origin.url))}): ${reasonOf(error)}`);
      }
    }
    const path = row.path("image", origin.path, place.attachments);
    try {
      return await Deno.readFile(path);
    } catch (error) {
      throw row.bad("image", `names a picture that cannot be read: ${named(origin.path)}: ${systemReason(error)}`);
    }
  }

  #video(value: unknown, { row, attachments }: { row: Row; attachments: Attachments }): VideoSource {
    const origin = row.origin("video", value);
    if (origin.kind !== "path") throw row.bad("video", "holds something that is not a path; a video is read from a file");
    return { path: row.path("video", origin.path, attachments) };
  }
}

/** A row being read. */
class Row {
  id: string;
  /** Columns that do not become further fields. */
  readonly taken: string[] = [];

  constructor(readonly raw: RawRow, readonly keys: RoleKeys) {
    this.id = `${raw.name}:${raw.row}`;
    for (const key of Object.values(keys).map((names) => this.#key(names))) if (key !== undefined) this.taken.push(key);
  }

  /** Returns the first of several columns that the row has. */
  #key(names: readonly string[]): string | undefined {
    return names.find((name) => valueAt(this.raw.values, name) !== undefined && valueAt(this.raw.values, name) !== "") ??
      names.find((name) => valueAt(this.raw.values, name) !== undefined);
  }

  /** Returns the row's value for a role. */
  value(role: Role): unknown {
    const key = this.#key(this.keys[role]);
    return key === undefined ? undefined : valueAt(this.raw.values, key);
  }

  bad(role: Role | { readonly key: string }, words: string): KedgeError {
    const key = typeof role === "string" ? this.#key(this.keys[role]) ?? this.#key(this.keys.prompt) ?? this.keys[role][0]! : role.key;
    return badRow({ ...this.raw, id: this.id }, key, words);
  }

  #missing(role: Role): KedgeError {
    const names = Object.keys(this.raw.values).join(", ") || "nothing";
    return badRow({ ...this.raw, id: this.id }, this.keys[role][0]!, `is missing; the row has ${names}`);
  }

  identity(key: string): string {
    const value = plain(valueAt(this.raw.values, key));
    if (value === undefined) {
      throw badRow({ ...this.raw, id: this.id }, key, `is missing; the row has ${Object.keys(this.raw.values).join(", ")}`);
    }
    if (value === "" || (typeof value !== "string" && typeof value !== "number")) throw this.bad({ key }, "is not a text or number");
    return String(value);
  }

  /** Returns the turns of the prompt, and the answer to learn from. */
  conversation(): { turns: readonly DraftTurn[]; demonstration: string | undefined } {
    const value = this.value("prompt");
    if (value === undefined) throw this.#missing("prompt");
    const turns = this.#turns("prompt", value), last = turns.at(-1)!, own = this.value("demonstration");
    const answered = last.role === "assistant";
    const demonstration = own === undefined
      ? answered ? this.#text("prompt", last) : undefined
      : this.#text("demonstration", this.#turns("demonstration", own).at(-1)!);
    const asked = answered ? turns.slice(0, -1) : turns;
    if (asked.at(-1)?.role !== "user") throw this.bad("prompt", "has no turn of the user before the answer");
    if (demonstration === "") throw this.bad(own === undefined ? "prompt" : "demonstration", "has an answer without words");
    return { turns: asked, demonstration };
  }

  #turns(role: Role, value: unknown): DraftTurn[] {
    return this.#read(role, () => turnsOf(value));
  }

  #text(role: Role, turn: DraftTurn): string {
    return this.#read(role, () => textOfTurn(turn));
  }

  options(): readonly string[] {
    const value = this.value("options");
    if (value === undefined) return [];
    const choices = choicesIn(value);
    if (choices === undefined) throw this.bad("options", "is neither a list of texts nor texts by letter");
    return choices;
  }

  truth(options: readonly string[], demonstration: string | undefined): Truth {
    const value = this.value("answer");
    if (value === undefined && demonstration === undefined) throw this.#missing("answer");
    return this.#read("answer", () => {
      if (value === undefined) return answerIn(demonstration!);
      const worked = typeof value === "string" && value !== "" && this.#key(this.keys.answer) === "solution";
      return truthOf(worked ? answerIn(value) : value, options);
    });
  }

  origin(role: "image" | "video", value: unknown) {
    return this.#read(role, () => pictureOrigin(value));
  }

  path(role: "image" | "video", path: string, attachments: Attachments): string {
    const found = attachments.resolve(path);
    if (typeof found === "string") return found;
    throw this.bad(role, `names a file that does not exist or may not be read: ${found.refused}`);
  }

  placed<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof BadPlaces) throw this.#unplaced(error);
      throw error;
    }
  }

  #unplaced(error: BadPlaces): KedgeError {
    const key = this.#key(this.keys[error.kind]) ?? this.keys[error.kind][0]!;
    return badRow({ ...this.raw, id: this.id }, key, `does not fit the text: ${error.message}`);
  }

  /** Runs a reader. Its errors become errors about the row's column. */
  #read<T>(role: Role, run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof BadTurns || error instanceof BadTruth || error instanceof BadPicture) throw this.bad(role, error.message);
      throw error;
    }
  }
}

/** Returns one value or several as a list. It is empty for nothing and for an empty text. */
function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null || value === "") return [];
  return Array.isArray(value) ? value : [value];
}
