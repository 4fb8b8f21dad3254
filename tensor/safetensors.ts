/**
 * Reads safetensors files and folders, one tensor at a time. Opening a file reads and checks only its header.
 *
 * @module
 */
import { KedgeError } from "../ffi/errors.ts";
import { duplicateKey, MAX_HEADER_BYTES, parseHeader, quote, type TensorInfo } from "./safetensors_header.ts";

export { SAFETENSORS_DTYPES, type SafetensorsDType, type TensorInfo } from "./safetensors_header.ts";

function bad(path: string, words: string, cause?: unknown): KedgeError {
  return new KedgeError("BadCheckpoint", `Cannot read ${path}: ${words}`, { path }, { cause });
}

/** Fills `into` from an offset of the file. */
function readAt(file: Deno.FsFile, path: string, at: number, into: Uint8Array): void {
  file.seekSync(at, Deno.SeekMode.Start);
  for (let filled = 0; filled < into.byteLength;) {
    const count = file.readSync(into.subarray(filled));
    if (count === null || count === 0) throw bad(path, `it ended at byte ${at + filled}: it was cut while open`);
    filled += count;
  }
}

function room(path: string, name: string, bytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    const message = `Cannot read ${path}: tensor ${quote(name)} has ${bytes} bytes; read it in ranges`;
    throw new KedgeError("OutOfMemory", message, { asked: bytes }, { cause });
  }
}

/**
 * An open safetensors file. Its header has been checked completely: names, types, shapes, sizes, and that the tensors fill the file without
 * gaps or overlaps.
 *
 * @example
 * ```ts
 * import { SafetensorsFile, writeSafetensors } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * writeSafetensors(path, [{ name: "w", dtype: "U8", shape: [3], data: new Uint8Array([1, 2, 3]) }]);
 * using file = SafetensorsFile.open(path);
 * assertEquals(file.tensors.get("w")?.shape, [3]);
 * assertEquals(file.read("w"), new Uint8Array([1, 2, 3]));
 * Deno.removeSync(path);
 * ```
 */
export class SafetensorsFile implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #dataStart: number;
  #closed = false;
  /** The tensors by name, in the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The strings of `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;

  private constructor(readonly path: string, file: Deno.FsFile) {
    this.#file = file;
    const size = file.statSync().size;
    if (size < 8) throw bad(path, `it has ${size} bytes, and the length of a header takes 8`);
    const prefix = new Uint8Array(8);
    readAt(file, path, 0, prefix);
    const length = new DataView(prefix.buffer).getBigUint64(0, true);
    if (length > MAX_HEADER_BYTES) throw bad(path, `its header claims ${length} bytes, at most ${MAX_HEADER_BYTES} are read`);
    if (Number(length) > size - 8) throw bad(path, `its header claims ${length} bytes, but ${size - 8} follow`);
    const header = new Uint8Array(Number(length));
    readAt(file, path, 8, header);
    this.#dataStart = 8 + header.byteLength;
    try {
      ({ tensors: this.tensors, metadata: this.metadata } = parseHeader(header, size - this.#dataStart));
    } catch (cause) {
      throw bad(path, (cause as Error).message, cause);
    }
  }

  /**
   * Opens a file.
   *
   * @param path The file.
   * @throws {KedgeError} `BadCheckpoint` if the file cannot be opened or violates the format.
   */
  static open(path: string): SafetensorsFile {
    let file: Deno.FsFile;
    try {
      file = Deno.openSync(path, { read: true });
    } catch (cause) {
      throw bad(path, (cause as Error).message, cause);
    }
    try {
      return new SafetensorsFile(path, file);
    } catch (error) {
      file.close();
      throw error instanceof KedgeError ? error : bad(path, (error as Error).message, error);
    }
  }

  /**
   * Returns the bytes of a tensor, little-endian and row-major.
   *
   * @param name The tensor.
   * @param into The destination, of the tensor's size. Default: a new array.
   * @throws {KedgeError} `BadCheckpoint` if the file has no tensor of that name.
   */
  read(name: string, into?: Uint8Array): Uint8Array {
    const { bytes } = this.#find(name);
    if (into && into.byteLength !== bytes) {
      throw new RangeError(`Cannot read ${quote(name)}: it has ${bytes} bytes, the target ${into.byteLength}`);
    }
    const target = into ?? room(this.path, name, bytes);
    this.readRange(name, { offset: 0, into: target });
    return target;
  }

  /**
   * Reads a part of a tensor: as many bytes as `into` holds.
   *
   * @param name The tensor.
   * @param range `offset`: where the part begins, in bytes; `into`: the destination.
   * @throws {KedgeError} `BadCheckpoint` if the file has no tensor of that name.
   */
  readRange(name: string, range: { offset: number; into: Uint8Array }): void {
    const info = this.#find(name), { offset, into } = range;
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + into.byteLength > info.bytes) {
      throw new RangeError(`Cannot read ${quote(name)}: bytes ${offset} to ${offset + into.byteLength} of ${info.bytes}`);
    }
    readAt(this.#file, this.path, this.#dataStart + info.offset + offset, into);
  }

  #find(name: string): TensorInfo {
    if (this.#closed) throw new TypeError(`Cannot read ${this.path}: it was closed`);
    const info = this.tensors.get(name);
    if (!info) throw bad(this.path, `it has no tensor ${quote(name)}`);
    return info;
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#file.close();
  }
}

const INDEX = "model.safetensors.index.json";
const SINGLE = "model.safetensors";

/** Tells whether a name is a plain file name. A shard must be in the folder of its index. */
function isPlainName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\\\0]/.test(name);
}

/** Reads the shard of each tensor from an index. */
function readIndex(path: string): Map<string, string> {
  let text: string, parsed: unknown;
  try {
    if (Deno.statSync(path).size > MAX_HEADER_BYTES) throw new Error(`it is larger than ${MAX_HEADER_BYTES} bytes`);
    text = new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path));
    parsed = JSON.parse(text);
  } catch (cause) {
    throw bad(path, (cause as Error).message, cause);
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw bad(path, `it has the key ${quote(twice)} twice`);
  const map = (parsed as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) throw bad(path, "it has no weight_map");
  const shards = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map as Record<string, unknown>)) {
    if (typeof file !== "string" || !isPlainName(file)) {
      throw bad(path, `tensor ${quote(tensor)} lies in ${quote(String(JSON.stringify(file)))}, which is no file name within the folder`);
    }
    shards.set(tensor, file);
  }
  return shards;
}

function list(names: readonly string[]): string {
  return names.slice(0, 20).map(quote).join(", ") + (names.length > 20 ? ` and ${names.length - 20} more` : "");
}

/**
 * A checkpoint folder: `model.safetensors`, or shards with `model.safetensors.index.json`. All of its files are open, and all headers are
 * checked.
 *
 * @example
 * ```ts
 * import { SafetensorsFolder, writeSharded } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync();
 * const entries = ["a", "b"].map((name, i) => ({ name, dtype: "U8" as const, shape: [2], data: Uint8Array.of(i, i) }));
 * writeSharded(folder, entries, { maxShardBytes: 2 });
 * using checkpoint = SafetensorsFolder.open(folder);
 * assertEquals([[...checkpoint.tensors.keys()], [...checkpoint.read("b")]], [["a", "b"], [1, 1]]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class SafetensorsFolder implements Disposable {
  readonly #files: SafetensorsFile[] = [];
  readonly #owner = new Map<string, SafetensorsFile>();
  /** The tensors of all shards by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;

  private constructor(readonly path: string, shards: Map<string, string> | undefined) {
    const tensors = new Map<string, TensorInfo>();
    this.tensors = tensors;
    const faults: string[] = [];
    try {
      for (const name of shards ? new Set(shards.values()) : [SINGLE]) {
        const file = SafetensorsFile.open(`${path}/${name}`);
        this.#files.push(file);
        const surplus = shards ? [...file.tensors.keys()].filter((tensor) => shards.get(tensor) !== name) : [];
        if (surplus.length > 0) faults.push(`${name} holds ${list(surplus)}, which the index does not place there`);
        for (const [tensor, info] of file.tensors) {
          if (shards && shards.get(tensor) !== name) continue;
          tensors.set(tensor, info);
          this.#owner.set(tensor, file);
        }
      }
      const missing = [...shards?.keys() ?? []].filter((tensor) => !tensors.has(tensor));
      if (missing.length > 0) faults.unshift(`its shards lack ${list(missing)}`);
      if (faults.length > 0) throw bad(`${path}/${INDEX}`, faults.join("; "));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Opens a folder. `model.safetensors` takes precedence over an index, as in transformers.
   *
   * @param path The folder.
   * @throws {KedgeError} `BadCheckpoint`. If the index and the shards disagree, the message lists all of the tensors.
   */
  static open(path: string): SafetensorsFolder {
    const names = new Set<string>();
    try {
      for (const entry of Deno.readDirSync(path)) names.add(entry.name);
    } catch (cause) {
      throw bad(path, (cause as Error).message, cause);
    }
    if (names.has(SINGLE)) return new SafetensorsFolder(path, undefined);
    if (names.has(INDEX)) return new SafetensorsFolder(path, readIndex(`${path}/${INDEX}`));
    throw bad(path, `it holds neither ${SINGLE} nor ${INDEX}`);
  }

  /** The `__metadata__` of the first file. */
  get metadata(): ReadonlyMap<string, string> {
    return this.#files[0]?.metadata ?? new Map();
  }

  /** Reads a tensor: see {@linkcode SafetensorsFile.read}. */
  read(name: string, into?: Uint8Array): Uint8Array {
    return this.#find(name).read(name, into);
  }

  /** Reads a part of a tensor: see {@linkcode SafetensorsFile.readRange}. */
  readRange(name: string, range: { offset: number; into: Uint8Array }): void {
    this.#find(name).readRange(name, range);
  }

  #find(name: string): SafetensorsFile {
    const file = this.#owner.get(name);
    if (!file) throw bad(this.path, `it has no tensor ${quote(name)}`);
    return file;
  }

  /** Closes all files. */
  [Symbol.dispose](): void {
    for (const file of this.#files) file[Symbol.dispose]();
  }
}
