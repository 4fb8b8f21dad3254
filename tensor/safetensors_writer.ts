/**
 * Writes safetensors files and sharded folders, a tensor at a time, so that a checkpoint may be larger than the memory.
 *
 * @module
 */
import { quote, SAFETENSORS_DTYPES, type SafetensorsDType, tensorBytes } from "./safetensors_header.ts";

/** A tensor to write. */
export interface SafetensorsEntry {
  /** Its name, once per file. */
  readonly name: string;
  /** Its element type. */
  readonly dtype: SafetensorsDType;
  /** Its dimensions; none for a scalar. */
  readonly shape: readonly number[];
  /** The bytes, or what gives them (whole or in parts) when their turn comes; nothing is kept of them. */
  readonly data: Uint8Array | (() => Uint8Array | Iterable<Uint8Array>);
}

interface Sized {
  readonly entry: SafetensorsEntry;
  readonly bytes: number;
}

// Where the wider types go first, each tensor lies on a multiple of its element (the header is padded to 8), as readers that map the file
// want it.
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

// A rename is on the disk only when its folder is. Windows opens no folders.
function syncFolder(path: string): void {
  if (Deno.build.os === "windows") return;
  using folder = Deno.openSync(path, { read: true });
  folder.syncSync();
}

/** Writes a file beside its name, and renames it once all of it is on the disk. */
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
    } catch { // the first error is the one to report
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
 * Writes one file: under its name stands either what stood there before or all of the new one, also after a crash.
 *
 * @param path The file.
 * @param entries The tensors. Their data is asked for one by one, in an order of the writer's choice (wider types first, else as given).
 * @param options `metadata`: strings for `__metadata__`.
 * @throws {RangeError} For a name that comes twice, or data that does not match its shape.
 *
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
 * Writes a checkpoint folder as transformers does: `model.safetensors`, or, where that would pass `maxShardBytes`,
 * `model-00001-of-0000N.safetensors` and an index, which is written last. The folder is made if need be.
 *
 * @param folder The folder. It must not hold a checkpoint yet, since several files cannot be replaced at once: write beside and rename.
 * @param entries The tensors, as of {@linkcode writeSafetensors}. One that is larger than a shard gets a shard of its own.
 * @param options `maxShardBytes`: default 5e9. `metadata`: for each file; default `{ format: "pt" }`, which transformers asks for.
 * @returns The names of the files.
 * @throws {RangeError} Where the folder holds a checkpoint, and as of {@linkcode writeSafetensors}.
 *
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
