/**
 * The tokenizer of a model folder: byte-level BPE, as in every Qwen.
 *
 * The hub's package does the BPE. Special tokens are split off here, so that a caller can have their names in a text read as
 * text, and decoding is done on bytes, so that a stream never shows half a character.
 *
 * @module
 */
import { Tokenizer as Bpe } from "@huggingface/tokenizers";
import { KedgeError } from "../../ffi/errors.ts";
import { MOST_TOKENS } from "../config/kinds.ts";
import { readJson } from "../config/folder_files.ts";

/** How `Tokenizer.encode` reads a text. */
export interface EncodeOptions {
  /** How the name of a special token in the text is read: as that token (default), or as ordinary text. */
  readonly special?: "token" | "text";
}

/** How tokens become text. */
export interface DecodeOptions {
  /** Whether special tokens are left out; default false. */
  readonly skipSpecialTokens?: boolean;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

interface Parts {
  readonly bpe: Bpe;
  readonly added: readonly AddedToken[];
  readonly vocabSize: number;
  readonly named: ReadonlyMap<string, string>;
}

// The printable character that byte-level BPE writes for each byte: itself for ! to ~, ¡ to ¬ and ® to ÿ; the others count on from U+0100.
const BYTE_OF: ReadonlyMap<string, number> = (() => {
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return new Map(Array.from({ length: 256 }, (_, byte) => [String.fromCharCode(printable(byte) ? byte : next++), byte]));
})();

const UTF8 = new TextEncoder();

/** The bytes of a token of the BPE. */
function bytesOf(token: string): Uint8Array {
  const bytes = Array.from(token, (char) => BYTE_OF.get(char));
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : UTF8.encode(token);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < MOST_TOKENS;
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

/** Checks the model of a tokenizer.json, and says how many ids it has. */
function checkModel(model: unknown, bad: (words: string) => KedgeError): number {
  if (!isObject(model) || !isObject(model.vocab) || !Array.isArray(model.merges)) throw bad("model.vocab or model.merges is missing");
  if (model.type !== undefined && model.type !== "BPE") throw bad(`model.type is ${JSON.stringify(model.type)}, not "BPE"`);
  if (model.dropout) throw bad("model.dropout is set, with which a text has no fixed tokens");
  const vocab = model.vocab;
  let size = 0;
  for (const token in vocab) {
    const id = vocab[token];
    if (!isId(id)) throw bad(`the id of ${JSON.stringify(token)} is ${JSON.stringify(id)}`);
    size = Math.max(size, id + 1);
  }
  for (const char of BYTE_OF.keys()) {
    // The BPE would silently drop such a byte.
    if (!Object.hasOwn(vocab, char)) throw bad(`model.vocab has no token for byte ${BYTE_OF.get(char)} (${JSON.stringify(char)})`);
  }
  for (const [i, merge] of model.merges.entries()) {
    const pair: unknown[] = isString(merge) ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    if (pair.length !== 2 || !pair.every(isString)) throw bad(`model.merges[${i}] is no pair`);
    if (!Object.hasOwn(vocab, `${pair[0]}${pair[1]}`)) throw bad(`model.merges[${i}] makes a token that is not in model.vocab`);
  }
  return size;
}

function addedToken(entry: unknown, bad: (words: string) => KedgeError): AddedToken {
  if (!isObject(entry) || !isId(entry.id) || !isString(entry.content) || entry.content === "") {
    throw bad(`an added token has no content, or no id below ${MOST_TOKENS}`);
  }
  const { id, content, special } = entry;
  const odd = ["single_word", ...special ? ["lstrip", "rstrip", "normalized"] : []].find((flag) => entry[flag] === true);
  if (odd) throw bad(`added token ${JSON.stringify(content)} has ${odd} set, which is not supported`);
  return { id, content, special: special === true };
}

/** The tokens that tokenizer_config.json names, as "eos_token" to "<|im_end|>". */
function namedTokens(config: Record<string, unknown>): Map<string, string> {
  const named = new Map<string, string>();
  for (const [key, value] of Object.entries(config)) {
    const content = isObject(value) ? value.content : value;
    if (key.endsWith("_token") && isString(content)) named.set(key, content);
  }
  return named;
}

function read(folder: string): Parts {
  const path = `${folder}/tokenizer.json`;
  const bad = (words: string, cause?: unknown) => new KedgeError("BadCheckpoint", `Cannot read ${path}: ${words}`, { path }, { cause });
  const json = readJson(path), config = readJson(`${folder}/tokenizer_config.json`) ?? {};
  if (!json) throw bad("there is no such file");
  const modelSize = checkModel(json.model, bad);
  if (!isObject(json.decoder) || json.decoder.type !== "ByteLevel") throw bad("its decoder is not ByteLevel: only byte-level BPE is read");

  const entries = Array.isArray(json.added_tokens) ? [...json.added_tokens as unknown[]] : [];
  const listed = new Set(entries.map((entry) => isObject(entry) ? entry.content : undefined));
  // Tokens that were added for a fine-tuned model may be in the config only.
  for (const [id, entry] of Object.entries(isObject(config.added_tokens_decoder) ? config.added_tokens_decoder : {})) {
    if (isObject(entry) && !listed.has(entry.content)) entries.push({ ...entry, id: Number(id) });
  }
  const named = namedTokens(config);
  const extra = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : [];
  const special = new Set([...named.values(), ...extra.map((token) => isObject(token) ? token.content : token)]);
  const added = entries.map((entry) => addedToken(entry, bad)).map((token) =>
    special.has(token.content) ? { ...token, special: true } : token
  );
  const ordinary = new Set(added.filter((token) => !token.special).map((token) => token.content));
  try {
    const bpe = new Bpe({ ...json, added_tokens: entries.filter((entry) => ordinary.has((entry as AddedToken).content)) }, {});
    return { bpe, added, vocabSize: added.reduce((size, { id }) => Math.max(size, id + 1), modelSize), named };
  } catch (cause) {
    throw bad((cause as Error).message, cause);
  }
}

/**
 * Text to token ids and back.
 *
 * @example
 * ```ts
 * import { Tokenizer } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
 * let next = 0x100;
 * const vocab = Object.fromEntries(Array.from({ length: 256 }, (_, byte) => [String.fromCharCode(printable(byte) ? byte : next++), byte]));
 * const folder = Deno.makeTempDirSync();
 * Deno.writeTextFileSync(
 *   `${folder}/tokenizer.json`,
 *   JSON.stringify({
 *     "model": { "type": "BPE", vocab: { ...vocab, "Hi": 256 }, "merges": ["H i"] },
 *     "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false },
 *     "normalizer": null,
 *     "post_processor": null,
 *     "decoder": { "type": "ByteLevel" },
 *     "added_tokens": [{ id: 257, content: "<|im_end|>", special: true }],
 *   }),
 * );
 * const tokenizer = Tokenizer.fromFolder(folder);
 * assertEquals([...tokenizer.encode("Hi!<|im_end|>")], [256, 33, 257]);
 * assertEquals(tokenizer.decode([256, 33, 257], { skipSpecialTokens: true }), "Hi!");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class Tokenizer {
  readonly #bpe: Bpe;
  readonly #added: ReadonlyMap<number, AddedToken>;
  readonly #specialIds: ReadonlyMap<string, number>;
  readonly #specialNames: RegExp | undefined;
  readonly #named: ReadonlyMap<string, string>;
  /** One more than the highest id. A model's embedding may have more rows. */
  readonly vocabSize: number;

  private constructor({ bpe, added, vocabSize, named }: Parts) {
    this.#bpe = bpe;
    this.#added = new Map(added.map((token) => [token.id, token]));
    this.#specialIds = new Map(added.filter((token) => token.special).map((token) => [token.content, token.id]));
    const names = [...this.#specialIds.keys()].sort((a, b) => b.length - a.length);
    // With its one capturing group, a split keeps the names at odd indices.
    this.#specialNames = names.length > 0 ? new RegExp(`(${names.map((name) => RegExp.escape(name)).join("|")})`, "u") : undefined;
    this.#named = named;
    this.vocabSize = vocabSize;
  }

  /**
   * Reads `tokenizer.json` and, if there is one, `tokenizer_config.json`.
   *
   * @param folder The model folder.
   * @throws {KedgeError} `BadCheckpoint` if a file is missing or broken, or is not a byte-level BPE.
   *
   * @example
   * ```ts
   * import { Tokenizer } from "@kedge/kedge/model";
   * import { KedgeError } from "@kedge/kedge/tensor";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => Tokenizer.fromFolder("no/such/folder"), KedgeError, "no/such/folder/tokenizer.json");
   * ```
   */
  static fromFolder(folder: string): Tokenizer {
    return new Tokenizer(read(folder));
  }

  /** The special tokens: their text, and their ids. */
  get specialTokens(): ReadonlyMap<string, number> {
    return this.#specialIds;
  }

  /** The tokens that tokenizer_config.json gives a role, as "eos_token" to "<|im_end|>". */
  get namedTokens(): ReadonlyMap<string, string> {
    return this.#named;
  }

  /**
   * Encodes a text. It adds no tokens, such as a beginning or an end. A lone surrogate is read as U+FFFD.
   *
   * @param text The text.
   * @param options How the names of special tokens are read.
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array<ArrayBuffer> {
    if (options.special === "text") return Int32Array.from(this.#ordinary(text));
    return Int32Array.from(this.split(text).flatMap((part, i) => i % 2 ? [this.#specialIds.get(part)!] : this.#ordinary(part)));
  }

  /**
   * Cuts a text at the names of special tokens: [text, name, text, ..., text]. A text may be "". If several names begin at the same character,
   * the longest counts.
   */
  split(text: string): string[] {
    return this.#specialNames ? text.split(this.#specialNames) : [text];
  }

  #ordinary(text: string): number[] {
    return text === "" ? [] : this.#bpe.encode(text, { add_special_tokens: false }).ids;
  }

  /**
   * Decodes tokens to text. Bytes that are not UTF-8 become U+FFFD. An id without a token, such as a spare row of the embedding, gives no text.
   *
   * @param tokens Ids.
   * @param options Whether special tokens are left out.
   */
  decode(tokens: Iterable<number>, options: DecodeOptions = {}): string {
    const stream = new TokenStream(this, options);
    return Array.from(tokens, (id) => stream.push(id)).join("") + stream.end();
  }

  /** The UTF-8 bytes of a token, which may begin or end inside a character. They are empty for an id without a token. */
  bytes(id: number): Uint8Array {
    const added = this.#added.get(id);
    return added ? UTF8.encode(added.content) : bytesOf(this.#bpe.id_to_token(id) ?? "");
  }

  /** Whether an id is that of a special token. */
  isSpecial(id: number): boolean {
    return this.#added.get(id)?.special === true;
  }

  /** The id of a token, by its spelling in tokenizer.json; undefined if there is none. */
  idOf(token: string): number | undefined {
    return this.#specialIds.get(token) ?? this.#bpe.token_to_id(token);
  }
}

/**
 * Decodes tokens one by one. A token may end inside a character; then its bytes wait for the rest. The results are whole
 * characters, and together they are the text of `Tokenizer.decode`.
 *
 * @example
 * ```ts
 * import { TokenStream } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const oneByteEach = { bytes: (id: number) => Uint8Array.of(id), isSpecial: () => false };
 * const stream = new TokenStream(oneByteEach);
 * assertEquals([0x61, 0xc3, 0xa9].map((id) => stream.push(id)), ["a", "", "é"]);
 * assertEquals(stream.end(), "");
 * ```
 */
export class TokenStream {
  readonly #tokenizer: Pick<Tokenizer, "bytes" | "isSpecial">;
  readonly #skip: boolean;
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

  /**
   * A stream that has seen no token.
   *
   * @param tokenizer The tokenizer of the tokens.
   * @param options Whether special tokens are left out.
   */
  constructor(tokenizer: Pick<Tokenizer, "bytes" | "isSpecial">, options: DecodeOptions = {}) {
    this.#tokenizer = tokenizer;
    this.#skip = options.skipSpecialTokens ?? false;
  }

  /** Adds a token. @returns The characters that it completes; may be "". */
  push(id: number): string {
    if (this.#skip && this.#tokenizer.isSpecial(id)) return "";
    return this.#utf8.decode(this.#tokenizer.bytes(id), { stream: true });
  }

  /** Returns the text that is left: U+FFFD for an incomplete character. The stream begins anew. */
  end(): string {
    return this.#utf8.decode();
  }
}
