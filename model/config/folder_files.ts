/**
 * Reads the small files of a model folder.
 *
 * @module
 */
import { KedgeError } from "../../ffi/errors.ts";
import { SECTION } from "./kinds.ts";
import { show } from "./section.ts";

/** An object as JSON has it. */
export type Json = Record<string, unknown>;

/** The error for a file of a model folder that is at fault. */
export function badFile(path: string, faults: readonly string[], cause?: unknown): KedgeError {
  return new KedgeError("BadCheckpoint", `Cannot read ${path}: ${faults.join("; ")}`, { path, faults }, { cause });
}

/** The most bytes of a file that is read whole. No tokenizer has a third of it. */
const MOST_FILE_BYTES: number = 128 * 2 ** 20;

/** Reads a file of a model folder as text; undefined if there is no such file. @throws {KedgeError} `BadCheckpoint` if it cannot be read, or is too large. */
export function readFolderText(path: string): string | undefined {
  try {
    const { size } = Deno.statSync(path);
    if (size > MOST_FILE_BYTES) throw badFile(path, [`it has ${size} bytes, and ${MOST_FILE_BYTES} are allowed`]);
    return Deno.readTextFileSync(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    if (cause instanceof KedgeError) throw cause;
    throw badFile(path, [(cause as Error).message], cause);
  }
}

/** Reads the object of a JSON file; undefined if there is no such file. @throws {KedgeError} `BadCheckpoint` if it holds something else. */
export function readJson(path: string): Json | undefined {
  const text = readFolderText(path);
  if (text === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw badFile(path, [(cause as Error).message], cause);
  }
  const object = SECTION.schema.safeParse(json);
  if (!object.success) throw badFile(path, [`it is ${show(json)}, not an object`]);
  return object.data;
}
