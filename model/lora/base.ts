/**
 * The base model of adapters: where it is, and a print of it by which a changed one is recognised.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { KedgeError } from "../../ffi/errors.ts";
import { SafetensorsFolder } from "../../tensor/safetensors.ts";
import { badFile, readJson } from "../config/folder_files.ts";

/** The file of an adapter folder that tells of its base. */
export const BASE_FILE = "kedge_base.json";
/** The file that makes a folder an adapter's, as PEFT names it. */
export const ADAPTER_CONFIG = "adapter_config.json";

/** What to do where the base of adapters lies elsewhere. */
export const ELSEWHERE = "give the base's folder (--base DIR), or correct base_model_name_or_path in adapter_config.json";

/** The base model of adapters. */
export interface AdapterBase {
  /** Its folder on this machine, as an absolute path. */
  readonly folder: string;
  /** What PEFT loads it by: an id of the hub, or the folder. */
  readonly name: string;
  /** The hub's commit. */
  readonly revision?: string | undefined;
  /** A hash of its config.json and of samples of its weights. */
  readonly print: string;
}

/**
 * Whether a folder holds adapters instead of a model.
 *
 * @example
 * ```ts
 * import { isAdapterFolder } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync();
 * assertEquals(isAdapterFolder(folder), false);
 * Deno.writeTextFileSync(`${folder}/adapter_config.json`, "{}");
 * assertEquals(isAdapterFolder(folder), true);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function isAdapterFolder(folder: string): boolean {
  try {
    return Deno.statSync(`${folder}/${ADAPTER_CONFIG}`).isFile;
  } catch {
    return false;
  }
}

const SAMPLE_BYTES = 1024, SAMPLES = 3;

/** Keys of a config.json that say nothing of the model. */
const IDLE: ReadonlySet<string> = new Set(["_name_or_path", "transformers_version", "use_cache"]);

/** A value with the keys of its objects in order. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => !IDLE.has(key)).sort(([a], [b]) => a < b ? -1 : 1);
  return Object.fromEntries(entries.map(([key, inner]) => [key, ordered(inner)]));
}

/**
 * A hash of a model: of its config.json, and of each tensor the name, the type, the shape and 1 KiB at the start, the middle and the end.
 *
 * It takes a fraction of a second for a model of any size, where all bytes of a 7B model would take half a minute at each start. Training changes all
 * elements of a tensor, so that a trained base is noticed; a change of a few rows, away from the samples, is not. A folder that is copied or cut into other
 * shards keeps its print. It is made from the files alone, so that another version of Kedge gives the same.
 *
 * @throws {KedgeError} `BadCheckpoint` if the folder cannot be read.
 */
function basePrint(folder: string): string {
  const path = `${folder}/config.json`, config = readJson(path), hash = createHash("sha256");
  if (!config) throw badFile(path, ["there is no such file"]);
  hash.update(JSON.stringify(ordered(config)));
  using files = SafetensorsFolder.open(folder);
  for (const [name, { dtype, shape, bytes }] of [...files.tensors].sort(([a], [b]) => a < b ? -1 : 1)) {
    hash.update(JSON.stringify([name, dtype, shape]));
    const piece = Math.min(bytes, SAMPLE_BYTES), into = new Uint8Array(piece);
    for (let i = 0; i < SAMPLES && piece > 0; i++) {
      files.readRange(name, { offset: Math.floor((bytes - piece) * i / (SAMPLES - 1)), into });
      hash.update(into);
    }
  }
  return hash.digest("hex");
}

/**
 * The base that an adapter folder names.
 *
 * @returns `name`: an id of the hub or a folder. `folder`: where it lay when Kedge wrote the adapter; undefined in PEFT's own.
 * @throws {KedgeError} `BadCheckpoint` if the folder does not say.
 */
export function namedBase(folder: string): { name: string; revision?: string; folder?: string; print?: string } {
  const path = `${folder}/${ADAPTER_CONFIG}`, config = readJson(path), own = readJson(`${folder}/${BASE_FILE}`) ?? {};
  const text = (value: unknown) => typeof value === "string" && value !== "" ? value : undefined;
  const name = text(config?.["base_model_name_or_path"]);
  if (name === undefined) throw badFile(path, ["it has no base_model_name_or_path"]);
  const [revision, at, print] = [text(config!["revision"]), text(own["folder"]), text(own["sha256"])];
  return { name, ...(revision && { revision }), ...(at && { folder: at }), ...(print && { print }) };
}

/** The folder of an adapter's base, where it is on this machine; undefined where it is not. */
export function baseFolder(adapter: string): string | undefined {
  const { folder, name } = namedBase(adapter);
  return [folder, name].find((path) => path !== undefined && hasConfig(path));
}

function hasConfig(folder: string): boolean {
  try {
    return Deno.statSync(`${folder}/config.json`).isFile;
  } catch {
    return false;
  }
}

/** What a caller says of the base of adapters. */
export interface GivenBase {
  /** Default: the one that the folder of adapters names. */
  readonly folder?: string;
  /** What PEFT loads it by. Default: an id of the hub that the folder of adapters names, or the base's folder. */
  readonly name?: string | undefined;
  /** The hub's commit. */
  readonly revision?: string | undefined;
}

/** Describes the base of new adapters. */
export function newBase(folder: string, { name, revision }: GivenBase = {}): AdapterBase {
  const path = resolve(folder);
  return { folder: path, name: name ?? path, revision, print: basePrint(path) };
}

/**
 * Finds the base of a folder of adapters, and checks that it is the one that they were trained on.
 *
 * @throws {KedgeError} `BadCheckpoint` if it is not on this machine, or has changed.
 */
export function openBase(adapter: string, given: GivenBase = {}): AdapterBase {
  const named = namedBase(adapter), folder = given.folder ?? baseFolder(adapter);
  if (folder === undefined) {
    const words = `its base model ${named.name} is no folder here; ${ELSEWHERE}`;
    throw new KedgeError("BadCheckpoint", `Cannot load the adapter ${adapter}: ${words}`, {
      path: adapter,
      base: named.name,
    });
  }
  const isHub = /^\w[\w.-]*\/\w[\w.-]*$/.test(named.name) && !hasConfig(named.name);
  const base = newBase(folder, given.name !== undefined || !isHub ? given : named);
  if (named.print !== undefined && named.print !== base.print) {
    const words = `the base model ${folder} is not the one that it was trained on: its config.json or its weights have changed`;
    throw new KedgeError("BadCheckpoint", `Cannot load the adapter ${adapter}: ${words}. Put back the old base, or name its folder`, {
      path: adapter,
      base: folder,
    });
  }
  return base;
}
