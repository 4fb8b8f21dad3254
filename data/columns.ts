/**
 * How a row of a file becomes a sample: which column is what.
 *
 * @module
 */
import { z } from "zod";
import { KedgeError } from "../ffi/errors.ts";
import {
  fieldsSet,
  type ImageSource,
  markedParts,
  type Message,
  type Part,
  type PixelBounds,
  type VideoSource,
} from "../model/processor/messages.ts";
import type { Truth } from "../rl/rewards/reward.ts";
import { reasonOf } from "./file_ranges.ts";
import { imagesFirst, numberedMarkers } from "./markers.ts";
import { plain } from "./plain.ts";
import { type PromptFormat, surround, surroundings } from "./prompt_format.ts";
import type { Sample } from "./sample.ts";

/** Which column is what, and how the prompt is written. Bounds are those of pictures, not of videos. */
export interface ColumnOptions extends PixelBounds {
  /** The problem's text; default "problem". */
  readonly promptKey?: string;
  /** What the answer should say; default "answer". May be absent from rows that have a demonstration, which then is the truth. */
  readonly answerKey?: string;
  /** A picture or a list of them; default "images". May be absent. */
  readonly imageKey?: string;
  /** A video's path or a list of them; default "videos". May be absent. */
  readonly videoKey?: string;
  /** The texts of a question's choices; default "options". May be absent. */
  readonly optionsKey?: string;
  /** A name for the row; default: its number in the file. */
  readonly idKey?: string;
  /** An answer to learn from; default: none. */
  readonly demonstrationKey?: string;
  /** What is said around the problem; default "none". */
  readonly formatPrompt?: PromptFormat;
  /** A system turn before it; default: none. */
  readonly systemPrompt?: string;
}

/** A row as its file gives it. */
export interface RawRow {
  /** The file, for errors. */
  readonly file: string;
  /** What the ids of its rows begin with. */
  readonly name: string;
  /** The row's number in the file, from 0. */
  readonly row: number;
  /** Its columns. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** Finds the files that a row names. */
export interface Attachments {
  /** The file's path; or why it may not be read. */
  resolve(path: string): string | { readonly refused: string };
}

/** Columns by their role. */
interface Keys {
  readonly prompt: string;
  readonly answer: string;
  readonly image: string;
  readonly video: string;
  readonly options: string;
  readonly id: string | undefined;
  readonly demonstration: string | undefined;
}

const text = z.string().min(1);
const truth: z.ZodType<Truth> = z.union([
  text,
  z.number(),
  z.array(text).min(1),
  z.array(z.number()).min(1),
  z.array(z.array(z.number()).min(1)).min(1),
], { error: "is no text, number, or list of texts, numbers or coordinates" });
const choices = z.array(z.union([z.string(), z.number().transform(String)]), { error: "is no list of texts" });
const identity = z.union([text, z.number().transform(String)], { error: "is no text or number" });

/** An error about a row's column. */
function badRow(raw: RawRow & { readonly id: string }, key: string, words: string): KedgeError {
  const { file, row, id } = raw;
  return new KedgeError("BadData", `Cannot read row ${row} of ${file}: its ${JSON.stringify(key)} ${words}`, { file, row, key, id });
}

/**
 * Makes samples of rows.
 *
 * @example
 * ```ts
 * import { Columns } from "./columns.ts";
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
  readonly #keys: Keys;
  readonly #taken: ReadonlySet<string>;
  readonly #bounds: PixelBounds;
  readonly #format: PromptFormat;
  readonly #system: readonly Message[];

  /**
   * Columns as options name them.
   *
   * @throws {RangeError} for a prompt format that is none.
   */
  constructor(options: ColumnOptions = {}) {
    const { promptKey = "problem", answerKey = "answer", imageKey = "images", videoKey = "videos", optionsKey = "options" } = options;
    const { idKey, demonstrationKey, formatPrompt = "none", systemPrompt, minPixels, maxPixels } = options;
    this.#keys = {
      prompt: promptKey,
      answer: answerKey,
      image: imageKey,
      video: videoKey,
      options: optionsKey,
      id: idKey,
      demonstration: demonstrationKey,
    };
    this.#taken = new Set([
      promptKey,
      answerKey,
      imageKey,
      videoKey,
      optionsKey,
      ...demonstrationKey === undefined ? [] : [demonstrationKey],
    ]);
    this.#bounds = fieldsSet({ minPixels, maxPixels });
    this.#format = formatPrompt;
    this.#system = systemPrompt === undefined ? [] : [{ role: "system", content: systemPrompt }];
    surroundings(formatPrompt);
  }

  /**
   * The sample that a row is.
   *
   * @param raw The row.
   * @param attachments Finds the pictures and videos that it names.
   * @throws {KedgeError} `BadData` naming file, row and key.
   */
  async sample(raw: RawRow, attachments: Attachments): Promise<Sample> {
    const keys = this.#keys, named = { ...raw, id: `${raw.name}:${raw.row}` };
    const read = <T>(key: string, schema: z.ZodType<T>): T | undefined => {
      const value = plain(raw.values[key] ?? undefined);
      if (value === undefined) return undefined;
      const result = schema.safeParse(value);
      if (result.success) return result.data;
      throw badRow(named, key, result.error.issues[0]!.message);
    };
    const need = <T>(key: string, value: T | undefined): T => {
      if (value === undefined) throw badRow(named, key, `is not there; the row has ${Object.keys(raw.values).join(", ") || "nothing"}`);
      return value;
    };
    const own = keys.id === undefined ? undefined : need(keys.id, read(keys.id, identity));
    if (own !== undefined) named.id = `${raw.name}:${own}`;
    const noText = { error: "is no text, or an empty one" };
    const problem = need(keys.prompt, read(keys.prompt, z.string(noText).min(1, noText)));
    const demonstration = keys.demonstration === undefined ? undefined : read(keys.demonstration, z.string(noText).min(1, noText));
    const answer = need(keys.answer, read(keys.answer, truth) ?? demonstration);
    const options = read(keys.options, choices);
    const images = await Promise.all(this.#list(raw.values[keys.image]).map((value) => this.#image(value, named, attachments)));
    const videos = this.#list(raw.values[keys.video]).map((value) => this.#video(value, named, attachments));
    const parts = surround(this.#parts(problem, { images, videos }, named), surroundings(this.#format, options));
    return {
      id: named.id,
      messages: [...this.#system, { role: "user", content: parts }],
      truth: answer,
      ...options === undefined || options.length === 0 ? {} : { options },
      ...demonstration === undefined ? {} : { demonstration },
      fields: plain(Object.fromEntries(Object.entries(raw.values).filter(([key]) => !this.#taken.has(key)))) as Record<string, unknown>,
    };
  }

  /** One value or several; none for nothing. */
  #list(value: unknown): readonly unknown[] {
    if (value === undefined || value === null) return [];
    return Array.isArray(value) ? value : [value];
  }

  /** A problem with its pictures in their places. */
  #parts(problem: string, given: { images: ImageSource[]; videos: VideoSource[] }, row: RawRow & { id: string }): Part[] {
    const numbered = numberedMarkers(problem, given.images), { videos } = given;
    const marked = imagesFirst(numbered.text, { images: numbered.images.length, videos: videos.length });
    try {
      const parts = markedParts(marked, { images: numbered.images, videos, row: row.id });
      return parts.map((part) => part.type === "image" ? { ...part, ...this.#bounds } : part);
    } catch (error) {
      const key = reasonOf(error).includes("<video>") ? this.#keys.video : this.#keys.image;
      throw badRow(row, key, `does not fit the text: ${reasonOf(error)}`);
    }
  }

  /** A picture: bytes, { bytes, path }, a data URL, or a path. */
  async #image(value: unknown, row: RawRow & { id: string }, attachments: Attachments): Promise<ImageSource> {
    const key = this.#keys.image, { bytes, path } = pieces(value);
    if (bytes instanceof Uint8Array && bytes.length > 0) return bytes.slice(); // by itself: it is a view of its column
    if (typeof path !== "string") throw badRow(row, key, "holds something that is neither bytes, nor a path, nor a data URL");
    const [head] = /^data:[^,]*;base64,/u.exec(path) ?? [];
    try {
      if (head !== undefined) return Uint8Array.fromBase64(path.slice(head.length));
      return await Deno.readFile(this.#path(path, { key, row, attachments }));
    } catch (error) {
      if (error instanceof KedgeError) throw error;
      throw badRow(row, key, `names a picture that cannot be read: ${reasonOf(error)}`);
    }
  }

  /** A video: its path. */
  #video(value: unknown, row: RawRow & { id: string }, attachments: Attachments): VideoSource {
    const key = this.#keys.video, { path } = pieces(value);
    if (typeof path !== "string") throw badRow(row, key, "holds something that is no path");
    return { path: this.#path(path, { key, row, attachments }) };
  }

  #path(path: string, place: { key: string; row: RawRow & { id: string }; attachments: Attachments }): string {
    const found = place.attachments.resolve(path);
    if (typeof found === "string") return found;
    throw badRow(place.row, place.key, `names a file that may not be read or is not there: ${found.refused}`);
  }
}

/** The bytes and the path that a value has. */
function pieces(value: unknown): { bytes?: unknown; path?: unknown } {
  if (typeof value === "string") return { path: value };
  if (value instanceof Uint8Array) return { bytes: value };
  return typeof value === "object" && value !== null ? value : {};
}
