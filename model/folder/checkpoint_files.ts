/**
 * Writes model folders: all of one or nothing.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import type { SafetensorsEntry } from "../../tensor/safetensors_writer.ts";
import { writeSharded } from "../../tensor/safetensors_writer.ts";
import { configToJson, type ModelConfig, type SpecialTokens } from "../config/config.ts";
import { type Json, readJson } from "../config/folder_files.ts";

/** Files of a model folder that describe its tokenizer and its processor, not its weights. */
const PROCESSOR_FILES: readonly string[] = [
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.json",
  "merges.txt",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.json",
  "chat_template.jinja",
  "preprocessor_config.json",
  "video_preprocessor_config.json",
  "processor_config.json",
];

// A rename is on the disk only after a sync of its folder. Windows cannot open folders.
function syncFolder(path: string): void {
  if (Deno.build.os === "windows") return;
  using folder = Deno.openSync(path, { read: true });
  folder.syncSync();
}

/** Writes a file and waits until it is on the disk. */
export function writeSynced(path: string, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  for (let done = 0; done < bytes.byteLength;) done += file.writeSync(bytes.subarray(done));
  file.syncSync();
}

function entriesOf(folder: string): string[] | undefined {
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Writes a folder under another name and renames it when all of it is on the disk, so that nobody sees half of it. A killed process may leave
 * a folder `NAME.<id>.tmp`, which may be removed.
 *
 * @param path The folder. It may be there only if it is empty.
 * @param write Writes the files into the folder that it is given, and syncs them.
 * @throws {RangeError} if the folder holds something.
 */
export function writeFolder(path: string, write: (temporary: string) => void): void {
  const target = resolve(path), there = entriesOf(target);
  if (there && there.length > 0) throw new RangeError(`Cannot write ${path}: it holds ${there[0]}; write to a new folder`);
  const temporary = `${target}.${crypto.randomUUID()}.tmp`;
  try {
    Deno.mkdirSync(temporary, { recursive: true });
    write(temporary);
    syncFolder(temporary);
    if (there) Deno.removeSync(target);
    Deno.renameSync(temporary, target);
  } catch (error) {
    try {
      Deno.removeSync(temporary, { recursive: true });
    } catch { // the first error is the one to report
    }
    throw error;
  }
  syncFolder(dirname(target));
}

/** The tokenizer and processor files of a folder, by name; none without a folder. */
export function processorFiles(from: string | undefined): [name: string, bytes: Uint8Array<ArrayBuffer>][] {
  const there = from === undefined ? [] : entriesOf(from) ?? [];
  return PROCESSOR_FILES.filter((name) => there.includes(name)).map((name) => [name, Deno.readFileSync(`${from}/${name}`)]);
}

/** The object of a generation_config.json: the original with these ids, or a new one. */
function generationJson({ eos, bos, pad }: SpecialTokens, original: Json | undefined): Json {
  const value = eos.length === 1 ? eos[0]! : eos.length === 0 ? null : [...eos];
  if (!original) {
    return {
      ...bos === undefined ? {} : { "bos_token_id": bos },
      ...pad === undefined ? {} : { "pad_token_id": pad },
      "eos_token_id": value,
    };
  }
  const same = JSON.stringify([original["eos_token_id"]].flat()) === JSON.stringify(eos);
  if (same) return original;
  // With this key, transformers takes the ids of config.json instead.
  const { "_from_model_config": _, ...rest } = original;
  return { ...rest, "eos_token_id": value };
}

/** Options of {@linkcode writeModelFolder}. */
interface ModelFolder {
  /** Its `dtype` is that of the entries. */
  readonly config: ModelConfig;
  /** The weights, spelled as the hub does. */
  readonly entries: Iterable<SafetensorsEntry>;
  /** Default 5e9. */
  readonly maxShardBytes?: number;
  /** Folder whose tokenizer and processor files are copied. */
  readonly from?: string;
  /** Files of `from` that are not copied. */
  readonly leave?: readonly string[];
  /** Whether config.json and generation_config.json keep the layout and the other keys that they have in `from`. Default true. */
  readonly keepConfig?: boolean;
  /** Further files by name, as text. A file that is copied is ignored. */
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * Writes a model folder in the hub's layout, all of it or nothing ({@linkcode writeFolder}).
 *
 * @throws {RangeError} if the folder holds something.
 * @throws {KedgeError} `BadCheckpoint` if a config of `from` is unreadable. A config.json of another kind of model is ignored.
 */
export function writeModelFolder(folder: string, model: ModelFolder): void {
  const { config, from, maxShardBytes } = model;
  const text = new TextEncoder(), json = (value: Json) => text.encode(`${JSON.stringify(value, null, 2)}\n`);
  const keep = from !== undefined && (model.keepConfig ?? true);
  const original = keep ? readJson(`${from}/config.json`) : undefined;
  const sameType = original?.["model_type"] === config.modelType ? original : undefined;
  const generation = keep && (sameType || !original) ? readJson(`${from}/generation_config.json`) : undefined;
  const files = new Map<string, Uint8Array>([
    ["config.json", json(configToJson(config, { original: sameType }))],
    ["generation_config.json", json(generationJson(config.tokens, generation))],
  ]);
  for (const [name, words] of Object.entries(model.files ?? {})) files.set(name, text.encode(words));
  for (const [name, bytes] of processorFiles(from)) if (!model.leave?.includes(name)) files.set(name, bytes);
  writeFolder(folder, (temporary) => {
    for (const [name, bytes] of files) writeSynced(`${temporary}/${name}`, bytes);
    writeSharded(temporary, model.entries, { maxShardBytes });
  });
}
