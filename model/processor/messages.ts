/**
 * Messages to the model: turns of text, images and videos, and how they are read from data.
 *
 * @module
 */
import { z } from "zod";
import { KedgeError } from "../../ffi/errors.ts";
import type { VideoSettings } from "./video_sampling.ts";

/** A picture's pixels, or a frame's. */
export interface PixelData {
  /** u8 [height, width, 3], RGB. */
  readonly data: Uint8Array;
  /** Columns. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** A picture: the bytes of a file (JPEG, PNG, WebP, GIF), or its pixels. */
export type ImageSource = Uint8Array | PixelData;

/** A video: its frames and their rate, or a file for ffmpeg. */
export type VideoSource = { readonly frames: readonly ImageSource[]; readonly fps: number } | { readonly path: string };

/** Bounds of a picture's pixels after resizing. Default: those of the processor. */
export interface PixelBounds {
  /** The fewest pixels. */
  readonly minPixels?: number;
  /** The most pixels. */
  readonly maxPixels?: number;
}

/** The fields that are set, without those that are undefined. */
export function fieldsSet<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** A piece of a turn. */
export type Part =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image"; readonly image: ImageSource } & PixelBounds
  | { readonly type: "video"; readonly video: VideoSource } & Partial<VideoSettings>;

/** A turn. */
export interface Message {
  /** Whose turn it is. */
  readonly role: "system" | "user" | "assistant";
  /** A text, or pieces of text and pictures. */
  readonly content: string | readonly Part[];
}

/** Names a row of data: its number, or a name. */
export type Row = number | string;

/** " of row 7" for an error's message; empty if the row has no name. */
export function ofRow(row: Row | undefined): string {
  return row === undefined ? "" : ` of row ${row}`;
}

const NO_PICTURE =
  'it is neither bytes, nor { data, width, height } with 3 bytes a pixel, nor a "data:...;base64,..." URL (a path must be read first)';
const bytes = z.instanceof(Uint8Array);
const dataUrl = z.string().transform((url, context) => {
  const [head] = /^data:[^,]*;base64,/u.exec(url) ?? [];
  try {
    if (head) return Uint8Array.fromBase64(url.slice(head.length));
  } catch {
    // The union below reports it.
  }
  context.addIssue({ code: "custom" });
  return z.NEVER;
});
const size = z.int().positive();
const isFull = ({ data, width, height }: PixelData) => data.length === 3 * width * height;
const pixels = z.strictObject({ data: bytes, width: size, height: size }).refine(isFull, NO_PICTURE);
const image: z.ZodType<ImageSource> = z.union([bytes, pixels, dataUrl], { error: NO_PICTURE });
const bounds = { minPixels: size.optional(), maxPixels: size.optional() };
const part: z.ZodType<Part> = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text"), text: z.string() }),
  z.strictObject({ type: z.literal("image"), image, ...bounds }),
  z.strictObject({
    type: z.literal("video"),
    video: z.strictObject({ frames: z.array(image).min(1), fps: z.number().positive() }),
    ...bounds,
  }),
]);

/**
 * The type that zod infers. It is not documented, since its page would need one for each of zod's types.
 *
 * @ignore
 */
export type MessagesSchema = z.ZodType<Message[]>;

/**
 * Messages from outside. A picture is bytes, pixels or a data URL, and a video is its frames. Paths are refused, so that a sender cannot have
 * files of this machine read.
 */
export const messagesSchema: MessagesSchema = z.array(z.strictObject({
  role: z.enum(["system", "user", "assistant"]),
  content: z.union([z.string(), z.array(part)], { error: "it is neither a text nor a list of parts" }),
})).min(1);

/**
 * Checks messages that come from outside.
 *
 * @param value The value to check.
 * @param options `row`: names the row in errors.
 * @throws {KedgeError} `BadData` naming the row and each place that is wrong.
 *
 * @example
 * ```ts
 * import { parseMessages } from "@kedge/kedge/model";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(parseMessages([{ role: "user", content: "Hi" }]).length, 1);
 * assertThrows(() => parseMessages([{ role: "users", content: "Hi" }], { row: 7 }), Error, "row 7: 0.role");
 * ```
 */
export function parseMessages(value: unknown, options: { row?: Row } = {}): Message[] {
  const result = messagesSchema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.flatMap(flatten);
  throw new KedgeError("BadData", `Cannot read the messages${ofRow(options.row)}: ${faults.join("; ")}`, {
    row: options.row,
    faults,
  });
}

/** An issue as "0.content.2.image: words". For a union, the issues of the alternative that was checked deepest, if any went inside. */
function flatten(issue: z.core.$ZodIssue): string[] {
  const depth = (issues: readonly z.core.$ZodIssue[]) => Math.max(0, ...issues.map(({ path }) => path.length));
  const [best] = issue.code === "invalid_union" ? issue.errors.toSorted((a, b) => depth(b) - depth(a)) : [];
  const ownWords = best === undefined || depth(best) === 0 || issue.path.at(-1) === "image";
  if (ownWords) return [`${issue.path.join(".") || "the list"}: ${issue.message}`];
  return best.flatMap((inner) => flatten({ ...inner, path: [...issue.path, ...inner.path] }));
}

/** Images and videos for the markers of a text. */
export interface Marked {
  /** Those of the markers, in order. */
  readonly images?: readonly ImageSource[];
  /** Those of the markers, in order. */
  readonly videos?: readonly VideoSource[];
}

/**
 * Cuts a text with markers `<image>` and `<video>` into parts, with a picture in place of each marker. Only these markers count: `<image1>` is text.
 *
 * @param text The text.
 * @param options The pictures; bounds of their pixels; `row`: names the row in errors.
 * @throws {KedgeError} `BadData` that names the row, if there are not as many markers as pictures.
 *
 * @example
 * ```ts
 * import { markedParts } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const image = new Uint8Array([1]);
 * assertEquals(markedParts("How many in <image>?", { images: [image] }), [
 *   { type: "text", text: "How many in " },
 *   { type: "image", image },
 *   { type: "text", text: "?" },
 * ]);
 * ```
 */
export function markedParts(text: string, options: Marked & PixelBounds & { row?: Row }): Part[] {
  const { images = [], videos = [], row, minPixels, maxPixels } = options;
  const bounds = fieldsSet({ minPixels, maxPixels });
  const pieces = text.split(/(<image>|<video>)/u);
  for (const [marker, sources] of [["<image>", images], ["<video>", videos]] as const) {
    const markers = pieces.filter((piece) => piece === marker).length;
    if (markers === sources.length) continue;
    const words = `Cannot place the pictures${ofRow(row)}: the text has ${markers} ${marker} markers, and ${sources.length} are given`;
    throw new KedgeError("BadData", words, { row, markers, given: sources.length });
  }
  const left = { images: images.values(), videos: videos.values() };
  return pieces.flatMap((piece): Part[] => {
    if (piece === "<image>") return [{ type: "image", image: left.images.next().value!, ...bounds }];
    if (piece === "<video>") return [{ type: "video", video: left.videos.next().value!, ...bounds }];
    return piece === "" ? [] : [{ type: "text", text: piece }];
  });
}
