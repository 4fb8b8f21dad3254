/**
 * From messages to what the model reads: template, tokenizer, pictures, and their placeholders.
 *
 * A picture's placeholder is one token in the template's text and as many in the prompt as the picture has merged patches. Only the
 * template can write one: the names of special tokens inside a message are refused, or read as plain text, so that no problem's text can
 * pose as a picture or as a turn.
 *
 * @module
 */
import { KedgeError } from "../../ffi/errors.ts";
import { ChatTemplate, type TemplateMessage } from "./chat_template.ts";
import { ImageProcessor } from "./image_processor.ts";
import { fieldsSet, type Message, ofRow, type Part, type PixelBounds, type Row } from "./messages.ts";
import { FAMILIES, familyOfFolder } from "../families.ts";
import type { Expand } from "./family_processor.ts";
import type { Prompt, Visual } from "../prompt.ts";
import { type DecodeOptions, Tokenizer } from "./tokenizer.ts";

/** The part of an image processor that a processor uses. With `open`, the pictures of a prompt that is too long are not decoded. */
export type Pictures = Pick<ImageProcessor, "image" | "video" | "mergeSize"> & Partial<Pick<ImageProcessor, "open">>;

/** The parts of a processor. */
export interface ProcessorParts extends PixelBounds {
  /** Text to tokens and back. */
  readonly tokenizer: Tokenizer;
  /** Default: `ChatTemplate.default`. */
  readonly template?: ChatTemplate;
  /** Default: `ImageProcessor.default`. */
  readonly images?: Pictures;
  /** Replaces a visual's placeholder. Default: one placeholder for each of its merged patches. */
  readonly expand?: Expand;
}

/** How messages are read. */
export interface ConversationOptions {
  /** The row of the messages, for errors. */
  readonly row?: Row;
  /** How the name of a special token inside a message is read: as an error (default), or as plain text. */
  readonly specialText?: "error" | "text";
}

/** How a prompt is made. */
export interface PromptOptions extends ConversationOptions {
  /** Longest prompt, in tokens; default: any. */
  readonly maxPromptTokens?: number;
  /** What happens to a longer prompt: an error (default), or a `Dropped` is returned. */
  readonly overlong?: "error" | "drop";
  /**
   * Cuts a longer prompt at its beginning or its end, but never inside a picture, whose placeholders and markers stay or go with it, and never
   * the start of the answer at the very end. Where that leaves nothing, `overlong` holds. Default: no cut.
   */
  readonly truncate?: "left" | "right";
  /** Pixels that the files of all its pictures may have together, by their headers; default: any. */
  readonly mostPixels?: number;
}

/** A prompt that was too long. */
export interface Dropped {
  /** Why. */
  readonly dropped: string;
  /** Its length, in tokens. */
  readonly tokens: number;
}

/** A prompt that holds the answers too. */
export interface Conversation extends Prompt {
  /** Tokens of the assistant's turns, [start, end): the answer and the special token that ends it. */
  readonly spans: readonly (readonly [start: number, end: number])[];
}

// Stands in a text for the name of a special token while the template is rendered: U+FDD0 and U+FDD1, which Unicode keeps for a program's own
// use, around the name's number.
const OPEN = "\uFDD0", CLOSE = "\uFDD1", STAND_IN = /\uFDD0(\d+)\uFDD1/gu;

const IMAGE = "<|image_pad|>", VIDEO = "<|video_pad|>", VISION_START = "<|vision_start|>", VISION_END = "<|vision_end|>";
const PLACEHOLDERS = { image: IMAGE, video: VIDEO } as const;

type Picture = Exclude<Part, { type: "text" }>;

/** Messages as the template sees them, and the names and pictures that were taken out of them. */
interface Plain {
  readonly messages: readonly TemplateMessage[];
  readonly names: readonly string[];
  readonly pictures: readonly Picture[];
}

/** A visual whose size is known and whose pixels may not be decoded yet. */
interface PendingVisual {
  readonly kind: Visual["kind"];
  readonly grid: Visual["grid"];
  readonly seconds?: readonly number[];
  /** Pixels of the file, 0 if it is decoded already. */
  readonly pixels: number;
  readonly visual: () => Promise<Visual>;
}

/** The tokens of a visual, its markers included: [start, end). */
interface VisualRange {
  readonly start: number;
  readonly end: number;
  readonly pending: PendingVisual;
}

/** Text to encode, or tokens; `pending`: the visual that they represent. */
type Item = ({ readonly text: string } | { readonly ids: readonly number[] }) & { readonly pending?: PendingVisual };

/** Tokens, the visuals among them, and where each segment ends. */
interface Encoded {
  readonly tokens: Int32Array<ArrayBuffer>;
  readonly ranges: readonly VisualRange[];
  readonly ends: readonly number[];
}

/**
 * Makes prompts out of messages, and text out of tokens.
 *
 * @example
 * ```ts
 * import { Processor, Tokenizer } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * // A tokenizer that knows bytes and the names of pictures' tokens; of a model, all comes with `Processor.fromFolder`.
 * const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
 * let next = 0x100;
 * const vocab = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [String.fromCharCode(printable(byte) ? byte : next++), byte]));
 * const special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"];
 * const folder = Deno.makeTempDirSync();
 * Deno.writeTextFileSync(
 *   `${folder}/tokenizer.json`,
 *   JSON.stringify({
 *     "model": { "type": "BPE", vocab, "merges": [] },
 *     "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false },
 *     "normalizer": null,
 *     "post_processor": null,
 *     "decoder": { "type": "ByteLevel" },
 *     "added_tokens": special.map((content, i) => ({ id: 256 + i, content, special: true })),
 *   }),
 * );
 * const processor = new Processor({ tokenizer: Tokenizer.fromFolder(folder) });
 * const image = { data: new Uint8Array(56 * 56 * 3), width: 56, height: 56 };
 * const prompt = await processor.prompt([{ role: "user", content: [{ type: "image", image }, { type: "text", text: "What is it?" }] }]);
 * assertEquals(prompt.visuals[0]!.grid, { t: 1, h: 4, w: 4 });
 * assertEquals(prompt.tokens.filter((id) => id === 260).length, 4); // placeholders
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class Processor {
  /** Text to tokens and back. */
  readonly tokenizer: Tokenizer;
  /** Messages to text. */
  readonly template: ChatTemplate;
  /** Pictures to patches. */
  readonly images: Pictures;
  readonly #bounds: PixelBounds;
  readonly #expand: Expand;

  /**
   * A processor of its parts.
   *
   * @param parts The parts; bounds for images (not videos) that have none of their own.
   * @throws {KedgeError} `BadCheckpoint` if the tokenizer lacks the tokens around pictures.
   */
  constructor(parts: ProcessorParts) {
    const { tokenizer, template = ChatTemplate.default, images = ImageProcessor.default, minPixels, maxPixels } = parts;
    const missing = [IMAGE, VIDEO, VISION_START, VISION_END].filter((name) => !tokenizer.specialTokens.has(name));
    if (missing.length > 0) {
      throw new KedgeError("BadCheckpoint", `Cannot mark pictures: the tokenizer has no special token ${missing.join(", ")}`);
    }
    this.tokenizer = tokenizer;
    this.template = template;
    this.images = images;
    this.#bounds = fieldsSet({ minPixels, maxPixels });
    this.#expand = parts.expand ?? FAMILIES[0]!.processor.expand;
  }

  /**
   * The processor of a model folder.
   *
   * @param folder The folder.
   * @param options Bounds for images (not videos) that have none of their own; default: the folder's.
   * @throws {KedgeError} `BadCheckpoint` if a file is missing or broken.
   *
   * @example
   * ```ts
   * import { Processor } from "@kedge/kedge/model";
   * import { KedgeError } from "@kedge/kedge/tensor";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => Processor.fromFolder("no/such/folder"), KedgeError, "no/such/folder/tokenizer.json");
   * ```
   */
  static fromFolder(folder: string, options: PixelBounds = {}): Processor {
    return new Processor({
      ...options,
      tokenizer: Tokenizer.fromFolder(folder),
      template: ChatTemplate.fromFolder(folder),
      images: ImageProcessor.fromFolder(folder),
      expand: familyOfFolder(folder).processor.expand,
    });
  }

  /**
   * The prompt that messages make, up to where the answer begins.
   *
   * @param messages Turns.
   * @param options Limits, and words for errors.
   * @throws {KedgeError} `BadData` naming the row: for the name of a special token in a text, for placeholders that do not match the pictures, for a
   *   picture that cannot be read, for a prompt over its limit.
   */
  prompt(messages: readonly Message[], options?: PromptOptions & { overlong?: "error" }): Promise<Prompt>;
  /** The same; `overlong: "drop"` leaves a prompt over its limit out. */
  prompt(messages: readonly Message[], options: PromptOptions): Promise<Prompt | Dropped>;
  async prompt(messages: readonly Message[], options: PromptOptions = {}): Promise<Prompt | Dropped> {
    const { row, maxPromptTokens = Infinity, overlong = "error", truncate, mostPixels = Infinity } = options;
    if (!(maxPromptTokens > 0)) throw new RangeError(`Cannot keep prompts within ${maxPromptTokens} tokens`);
    const plain = this.#plain(messages, options);
    const text = this.#render(plain, { row }), whole = await this.#encode([text], plain, row);
    const pixels = whole.ranges.reduce((sum, { pending }) => sum + pending.pixels, 0);
    if (pixels > mostPixels) {
      const words = `its pictures have ${pixels} pixels, and ${mostPixels} are allowed`;
      throw new KedgeError("BadData", `Cannot make the prompt${ofRow(row)}: ${words}`, { row, pixels, mostPixels });
    }
    const { length } = whole.tokens;
    if (length <= maxPromptTokens) return await this.#decoded(whole);
    const kept = truncate && cut(whole, { tail: this.#tail(text, plain, whole, row), max: maxPromptTokens, side: truncate });
    if (kept) return await this.#decoded(kept);
    const words = `it has ${length} tokens, and ${maxPromptTokens} are allowed`;
    if (overlong === "drop") return { dropped: words, tokens: length };
    throw new KedgeError("BadData", `Cannot make the prompt${ofRow(row)}: ${words}`, { row, tokens: length, maxPromptTokens });
  }

  /**
   * Messages with the assistant's turns in them, for learning from given answers. Each of these turns is encoded on its own behind the
   * prompt before it, as a policy would have written it.
   *
   * @param messages Turns, of which some are the assistant's.
   * @param options Words for errors.
   * @throws {KedgeError} The errors of `prompt`; `Unsupported` for a template that writes an earlier turn otherwise once a later one follows.
   */
  async conversation(messages: readonly Message[], options: ConversationOptions = {}): Promise<Conversation> {
    const { row } = options, plain = this.#plain(messages, options);
    const text = this.#render(plain, { row, answer: false });
    const turns = messages.flatMap(({ role }, i) => {
      if (role !== "assistant") return [];
      const start = this.#render(plain, { row, count: i }), end = this.#render(plain, { row, count: i + 1, answer: false });
      if (!text.startsWith(end) || !end.startsWith(start)) {
        throw unsupported(this.template, `message ${i} is not written behind the prompt before it`);
      }
      const parts = this.tokenizer.split(end.slice(start.length));
      // What follows the special token that ends the answer, as a line break, is the template's.
      return [{ start: start.length, end: parts.length > 1 ? end.length - parts.at(-1)!.length : end.length }];
    });
    const cuts = [0, ...turns.flatMap(({ start, end }) => [start, end]), text.length];
    const segments = cuts.slice(1).map((end, i) => text.slice(cuts[i], end));
    const whole = await this.#encode(segments, plain, row), { ends } = whole;
    return { ...await this.#decoded(whole), spans: turns.map((_, i) => [ends[2 * i]!, ends[2 * i + 1]!] as const) };
  }

  /** The text of tokens; see `Tokenizer.decode`. */
  decode(tokens: Iterable<number>, options?: DecodeOptions): string {
    return this.tokenizer.decode(tokens, options);
  }

  /** Takes the names of special tokens out of the texts, and the pictures out of the parts. */
  #plain(messages: readonly Message[], options: ConversationOptions): Plain {
    const { row, specialText = "error" } = options, names: string[] = [], pictures: Picture[] = [];
    if (messages.length === 0) throw new RangeError(`Cannot make the prompt${ofRow(row)}: it has no message`);
    const standIn = (name: string) => `${OPEN}${names.push(name) - 1}${CLOSE}`;
    const plainText = (text: string, message: number) => {
      const whole = this.tokenizer.split(text).map((piece, i) => {
        if (i % 2 === 0) return piece.replaceAll(OPEN, standIn);
        if (specialText === "text") return standIn(piece);
        const words =
          `message ${message} holds ${piece}, the name of a special token; give pictures as parts, or read it with specialText: "text"`;
        throw new KedgeError("BadData", `Cannot make the prompt${ofRow(row)}: ${words}`, { row, message, name: piece });
      }).join("");
      // A text that ends inside a name would complete it with the text behind it: an empty stand-in keeps them apart.
      const end = whole.trimEnd();
      return this.#endsInName(end) ? end + standIn("") + whole.slice(end.length) : whole;
    };
    const plain = messages.map(({ role, content }, m) => ({
      role,
      content: typeof content === "string" ? plainText(content, m) : content.map((part) => {
        if (part.type === "text") return { type: part.type, text: plainText(part.text, m) };
        pictures.push(part);
        return { type: part.type };
      }),
    }));
    return { messages: plain, names, pictures };
  }

  /** Whether a text ends with the beginning of a special token's name. */
  #endsInName(text: string): boolean {
    return this.tokenizer.specialTokens.keys().some((name) => {
      for (let length = name.length - 1; length > 0; length--) if (text.endsWith(name.slice(0, length))) return true;
      return false;
    });
  }

  /** The text of the first `count` messages (default: all), and of the start of an answer where `answer` (default: true). */
  #render(plain: Plain, options: { row: Row | undefined; count?: number; answer?: boolean }): string {
    const { row, count, answer = true } = options;
    return this.template.render(plain.messages.slice(0, count), {
      addGenerationPrompt: answer,
      tokens: this.tokenizer.namedTokens,
      ...row === undefined ? {} : { row },
    });
  }

  /** Reads the sizes of the pictures, in order for each kind. Images are decoded later, if the prompt is short enough. */
  async #pendingVisuals(plain: Plain, row: Row | undefined): Promise<Record<"image" | "video", PendingVisual[]>> {
    const pending = await Promise.all(plain.pictures.map((part, i) =>
      naming({ row, picture: i }, async (): Promise<PendingVisual> => {
        const done = (visual: Visual) => {
          const { kind, grid, seconds } = visual;
          return { kind, grid, ...fieldsSet({ seconds }), pixels: 0, visual: () => Promise.resolve(visual) };
        };
        if (part.type === "image") {
          const { minPixels, maxPixels } = part, options = { ...this.#bounds, ...fieldsSet({ minPixels, maxPixels }) };
          if (!this.images.open) return done(await this.images.image(part.image, options));
          const { grid, pixels, visual } = await this.images.open(part.image, options);
          return { kind: "image", grid, pixels, visual: () => naming({ row, picture: i }, visual) };
        }
        const { type: _type, video, ...settings } = part;
        return done(await this.images.video(video, fieldsSet(settings)));
      })
    ));
    return { image: pending.filter(({ kind }) => kind === "image"), video: pending.filter(({ kind }) => kind === "video") };
  }

  /** A prompt with its pictures decoded. */
  async #decoded({ tokens, ranges }: Omit<Encoded, "ends">): Promise<Prompt> {
    return { tokens, visuals: await Promise.all(ranges.map(({ pending }) => pending.visual())) };
  }

  /** The tokens of text without placeholders of pictures. */
  #ordinary(text: string, names: readonly string[]): Int32Array {
    return this.tokenizer.encode(text.replaceAll(STAND_IN, (_, index: string) => names[Number(index)]!), { special: "text" });
  }

  /** Encodes rendered text, each segment on its own, and expands the placeholders of visuals. */
  async #encode(segments: readonly string[], plain: Plain, row: Row | undefined): Promise<Encoded> {
    const parts = segments.map((segment) => this.tokenizer.split(segment));
    for (const [kind, name] of Object.entries(PLACEHOLDERS)) {
      const written = parts.reduce((count, pieces) => count + pieces.filter((piece) => piece === name).length, 0);
      const expected = plain.pictures.filter(({ type }) => type === kind).length;
      if (written === expected) continue;
      const words = `the chat template of ${this.template.name} writes ${written} ${kind} placeholders, and the messages have ${expected}`;
      throw new KedgeError("BadData", `Cannot make the prompt${ofRow(row)}: ${words}`, { row, kind, written, given: expected });
    }
    const pending = await this.#pendingVisuals(plain, row);
    const left = { image: pending.image.values(), video: pending.video.values() };
    const tokens: number[] = [], ends: number[] = [], ranges: VisualRange[] = [];
    for (const pieces of parts) {
      this.#write(this.#items(pieces, left), { tokens, ranges, names: plain.names });
      ends.push(tokens.length);
    }
    return { tokens: Int32Array.from(tokens), ranges, ends };
  }

  /** A segment's text and tokens, with each visual's placeholder replaced by what represents it. */
  #items(pieces: readonly string[], left: Record<"image" | "video", Iterator<PendingVisual>>): Item[] {
    const ids = this.tokenizer.specialTokens, items: Item[] = [];
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i]!;
      if (i % 2 === 0) {
        if (piece !== "") items.push({ text: piece });
        continue;
      }
      const pending: PendingVisual | undefined = piece === IMAGE
        ? left.image.next().value
        : piece === VIDEO
        ? left.video.next().value
        : undefined;
      if (!pending) {
        items.push({ ids: [ids.get(piece)!] });
        continue;
      }
      const { pieces: own, replacesMarkers = false } = this.#expand(pending, this.images.mergeSize);
      const marked = pieces[i - 1] === "" && pieces[i - 2] === VISION_START && pieces[i + 1] === "" && pieces[i + 2] === VISION_END;
      const start = marked ? [{ ids: [ids.get(VISION_START)!], pending }] : [],
        end = marked ? [{ ids: [ids.get(VISION_END)!], pending }] : [];
      if (marked) items.pop();
      const written = own.flatMap((piece): Item[] => {
        if ("placeholders" in piece) {
          return [{ ids: new Array<number>(piece.placeholders).fill(ids.get(PLACEHOLDERS[pending.kind])!), pending }];
        }
        return this.tokenizer.split(piece.text).map((text, k) => k % 2 === 0 ? { text, pending } : { ids: [ids.get(text)!], pending });
      });
      items.push(...replacesMarkers ? written : [...start, ...written, ...end]);
      if (marked) i += 2;
    }
    return items;
  }

  /** Encodes items. Neighbouring texts are encoded as one, since a token may lie across their border; it then counts to the later of them. */
  #write(items: readonly Item[], to: { tokens: number[]; ranges: VisualRange[]; names: readonly string[] }): void {
    const { tokens, ranges, names } = to;
    const own = (pending: PendingVisual | undefined, start: number, end: number) => {
      if (!pending || start === end) return;
      const last = ranges.at(-1);
      if (last?.pending === pending) ranges[ranges.length - 1] = { ...last, end };
      else ranges.push({ start, end, pending });
    };
    for (let i = 0; i < items.length;) {
      const item = items[i]!, start = tokens.length;
      if ("ids" in item) {
        for (const id of item.ids) tokens.push(id);
        own(item.pending, start, tokens.length);
        i++;
        continue;
      }
      const texts: { text: string; pending?: PendingVisual }[] = [];
      for (let next = items[i]; next && "text" in next; next = items[++i]) texts.push(next);
      const whole = texts.map(({ text }) => text).join(""), written = this.#ordinary(whole, names);
      for (const id of written) tokens.push(id);
      let before = "", from = 0;
      for (const { text, pending } of texts) {
        before += text;
        const until = before === whole ? written.length : Math.max(from, common(written, this.#ordinary(before, names)));
        own(pending, start + from, start + until);
        from = until;
      }
    }
  }

  /** Tokens of the start of the answer, at the end of a prompt. */
  #tail(text: string, plain: Plain, { tokens }: Encoded, row: Row | undefined): number {
    const body = this.#render(plain, { row, answer: false });
    const tail = this.tokenizer.encode(text.slice(body.length));
    const from = tokens.length - tail.length;
    if (text.startsWith(body) && tail.every((id, i) => id === tokens[from + i])) return tail.length;
    throw unsupported(this.template, "it writes the start of an answer elsewhere than at the end");
  }
}

/** An error of a picture with the row and the picture's number. */
async function naming<T>({ row, picture }: { row: Row | undefined; picture: number }, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof KedgeError)) throw cause;
    const words = `Cannot make the prompt${ofRow(row)}: picture ${picture}: ${cause.message}`;
    throw new KedgeError(cause.code, words, { ...cause.details, row, picture }, { cause });
  }
}

function unsupported(template: ChatTemplate, words: string): KedgeError {
  return new KedgeError("Unsupported", `Cannot use the chat template of ${template.name} here: ${words}`, { path: template.name });
}

/** How many of the first tokens are equal. */
function common(a: Int32Array, b: Int32Array): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/** A prompt cut to `max` tokens, of which the last `tail` stay; undefined if nothing else would be left. */
function cut(
  { tokens, ranges }: Encoded,
  options: { tail: number; max: number; side: "left" | "right" },
): Omit<Encoded, "ends"> | undefined {
  const { tail, max, side } = options, body = tokens.length - tail, room = max - tail;
  if (room <= 0) return undefined;
  let [from, to] = side === "left" ? [body - room, body] : [0, room];
  const split = ranges.find(({ start, end }) => side === "left" ? start < from && from < end : start < to && to < end);
  if (split && side === "left") from = split.end;
  if (split && side === "right") to = split.start;
  if (from >= to) return undefined;
  return {
    tokens: Int32Array.from([...tokens.subarray(from, to), ...tokens.subarray(body)]),
    ranges: ranges.filter(({ start, end }) => from <= start && end <= to),
  };
}
