/**
 * Writes safetensors files and sharded folders, one tensor at a time, so that a checkpoint may be larger than the memory.
 *
 * @module
 */
import { quote, SAFETENSORS_DTYPES, type SafetensorsDType, tensorBytes } from "./safetensors_header.ts";

/** A tensor to write. */
export interface SafetensorsEntry {
  /** Its name, which must be unique in a file. */
  readonly name: string;
  /** Its element type. */
  readonly dtype: SafetensorsDType;
  /** Its dimensions. A scalar has none. */
  readonly shape: readonly number[];
  /** The bytes, or a function that returns them (whole or in parts) when they are written. Nothing of them is kept. */
  readonly data: Uint8Array | (() => Uint8Array | Iterable<Uint8Array>);
}

interface Sized {
  readonly entry: SafetensorsEntry;
  readonly bytes: number;
}

// Wider types come first, so that each tensor begins at a multiple of its element size (the header is padded to 8). Readers that map the
// file need that.
function sized(entries: Iterable<SafetensorsEntry>): Sized[] {
  const seen = new Set<string>();
  const all = Array.from(entries, (entry) => {
    const { name, dtype, shape } = entry;
    if (name === "__metadata__") throw new RangeError("Cannot write a tensor named __metadata__: the format keeps that name");
    if (seen.has(name)) throw new RangeError(`Cannot write ${quote(name)}: it comes twice`);
    seen.add(name);
    if (!Object.hasOwn(SAFETENSORS_DTYPES, dtype)) throw new RangeError(`Cannot write ${quote(name)}: its dtype is ${dtype}`);
    const bytes = tensorBytes(dtype, shape);
    if (bytes === undefined) throw new RangeError(`Cannot write ${quote(name)}: its shape is [${shape.join(", ")}]`);
    return { entry, bytes };
  });
  return all.sort((a, b) => SAFETENSORS_DTYPES[b.entry.dtype] - SAFETENSORS_DTYPES[a.entry.dtype]);
}

function headerBytes(tensors: readonly Sized[], metadata: Readonly<Record<string, string>> | undefined): Uint8Array {
  const fields: string[] = [];
  if (metadata) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let offset = 0;
  for (const { entry: { name, dtype, shape }, bytes } of tensors) {
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, offset + bytes] })}`);
    offset += bytes;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const length = Math.ceil(json.byteLength / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.byteLength;) done += file.writeSync(bytes.subarray(done));
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
}

// A rename is on the disk only when its folder is. Windows cannot open folders.
function syncFolder(path: string): void {
  if (Deno.build.os === "windows") return;
  using folder = Deno.openSync(path, { read: true });
  folder.syncSync();
}

/** Writes a file under a temporary name, and renames it when all of it is on the disk. */
function writeAtomically(path: string, write: (file: Deno.FsFile) => void): void {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    {
      using file = Deno.openSync(temporary, { write: true, createNew: true });
      write(file);
      file.syncSync();
    }
    Deno.renameSync(temporary, path);
  } catch (error) {
    try {
      Deno.removeSync(temporary);
    } catch { // the first error is reported
    }
    throw error;
  }
  syncFolder(folderOf(path));
}

function writeTensors(path: string, tensors: readonly Sized[], metadata: Readonly<Record<string, string>> | undefined): void {
  writeAtomically(path, (file) => {
    writeAll(file, headerBytes(tensors, metadata));
    for (const { entry, bytes } of tensors) {
      const data = typeof entry.data === "function" ? entry.data() : entry.data;
      let written = 0;
      for (const part of data instanceof Uint8Array ? [data] : data) {
        writeAll(file, part);
        written += part.byteLength;
      }
      if (written !== bytes) {
        throw new RangeError(
          `Cannot write ${quote(entry.name)}: its data is ${written} bytes, ${entry.dtype} of [${entry.shape}] is ${bytes}`,
        );
      }
    }
  });
}

/**
 * Writes one file. Its name refers either to the old file or to the complete new one, even after a crash.
 *
 * @param path The file.
 * @param entries The tensors. Their data is requested one by one, in an order that the writer chooses (wider types first, otherwise as
 * given).
 * @param options `metadata`: strings for `__metadata__`.
 * @throws {RangeError} for a name that occurs twice, or data that does not match its shape.
 * @example
 * ```ts
 * import { SafetensorsFile, writeSafetensors } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * writeSafetensors(path, [{ name: "a", dtype: "U8", shape: [2], data: Uint8Array.of(1, 2) }], { metadata: { by: "hand" } });
 * using file = SafetensorsFile.open(path);
 * assertEquals([[...file.read("a")], file.metadata.get("by")], [[1, 2], "hand"]);
 * Deno.removeSync(path);
 * ```
 */
export function writeSafetensors(
  path: string,
  entries: Iterable<SafetensorsEntry>,
  options: { metadata?: Readonly<Record<string, string>> } = {},
): void {
  writeTensors(path, sized(entries), options.metadata);
}

/**
 * Writes a checkpoint folder as transformers does: `model.safetensors`, or, if that would exceed `maxShardBytes`,
 * `model-00001-of-0000N.safetensors` and an index. The index is written last. The folder is created if necessary.
 *
 * @param folder The folder. It must not contain a checkpoint, because several files cannot be replaced at once. Write to another folder and
 * rename it.
 * @param entries The tensors: see {@linkcode writeSafetensors}. A tensor that is larger than a shard gets its own shard.
 * @param options `maxShardBytes`: default 5e9. `metadata`: for each file; default `{ format: "pt" }`, which transformers requires.
 * @returns The names of the files.
 * @throws {RangeError} if the folder contains a checkpoint, and as {@linkcode writeSafetensors} does.
 * @example
 * ```ts
 * import { writeSharded } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync();
 * const entries = ["a", "b"].map((name) => ({ name, dtype: "U8" as const, shape: [2], data: Uint8Array.of(1, 2) }));
 * assertEquals(writeSharded(folder, entries, { maxShardBytes: 2 }), [
 *   "model-00001-of-00002.safetensors",
 *   "model-00002-of-00002.safetensors",
 *   "model.safetensors.index.json",
 * ]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function writeSharded(
  folder: string,
  entries: Iterable<SafetensorsEntry>,
  options: { maxShardBytes?: number; metadata?: Readonly<Record<string, string>> } = {},
): string[] {
  const { maxShardBytes = 5e9, metadata = { format: "pt" } } = options;
  if (!(maxShardBytes > 0)) throw new RangeError(`Cannot write ${folder}: maxShardBytes is ${maxShardBytes}`);
  const shards: Sized[][] = [[]];
  let filled = 0, total = 0;
  for (const tensor of sized(entries)) {
    if (filled + tensor.bytes > maxShardBytes && shards.at(-1)!.length > 0) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += tensor.bytes;
    total += tensor.bytes;
  }
  Deno.mkdirSync(folder, { recursive: true });
  const old = Array.from(Deno.readDirSync(folder), (entry) => entry.name).find((name) =>
    /^model.*\.safetensors(\.index\.json)?$/.test(name)
  );
  if (old !== undefined) throw new RangeError(`Cannot write a checkpoint into ${folder}: it holds ${old}; write beside it and rename`);
  const count = shards.length, digits = (n: number) => String(n).padStart(5, "0");
  const names = shards.map((_, i) => count === 1 ? "model.safetensors" : `model-${digits(i + 1)}-of-${digits(count)}.safetensors`);
  shards.forEach((shard, i) => writeTensors(`${folder}/${names[i]!}`, shard, metadata));
  if (count === 1) return names;
  const weights = shards.flatMap((shard, i) => shard.map(({ entry }) => [entry.name, names[i]!] as const));
  const index = { "metadata": { "total_size": total }, "weight_map": Object.fromEntries(weights) };
  writeAtomically(
    `${folder}/model.safetensors.index.json`,
    (file) => writeAll(file, new TextEncoder().encode(JSON.stringify(index, null, 2) + "\n")),
  );
  return [...names, "model.safetensors.index.json"];
}
