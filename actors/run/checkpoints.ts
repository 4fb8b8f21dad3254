import { crc32 } from "node:zlib";
import { z } from "zod";
import { KedgeError } from "../../ffi/errors.ts";
import { writeFolder } from "../../model/folder/checkpoint_files.ts";
import { SafetensorsFile } from "../../tensor/safetensors.ts";
import type { SafetensorsEntry } from "../../tensor/safetensors_writer.ts";
import { writeSafetensors } from "../../tensor/safetensors_writer.ts";
import { namesIn, removeAll, syncFolder, writeSynced } from "./whole_file.ts";

/** The part of a checkpoint besides the model. */
export interface CheckpointParts {
  /** Writes the model folder to a path that does not exist yet. Its files are then moved to the top of the checkpoint. */
  readonly model: (folder: string) => void;
  /** The tensors of `trainer.safetensors`. */
  readonly tensors: readonly SafetensorsEntry[];
  /** Adds further files to the folder, as `trainer-1.safetensors` of other ranks. */
  readonly beside?: (folder: string) => void;
  /** Plain data for JSON: no NaN, no undefined. */
  readonly state: Readonly<Record<string, unknown>>;
  /** The number by which checkpoints are compared. Higher is better. */
  readonly score?: number;
}

/** A checkpoint that is whole. */
export interface Checkpoint {
  /** The step after which it was written. */
  readonly step: number;
  /** Its folder, which is a model folder too. */
  readonly path: string;
  /** The state that was saved. */
  readonly state: Readonly<Record<string, unknown>>;
  /** The score that was saved. */
  readonly score: number | undefined;
}

/** A checkpoint with its tensors. The caller closes the tensors. */
export interface LoadedCheckpoint extends Checkpoint {
  /** The open file `trainer.safetensors`. */
  readonly tensors: SafetensorsFile;
}

interface Seal {
  readonly step: number;
  readonly score?: number;
  readonly state: Readonly<Record<string, unknown>>;
  /** The size and CRC-32 of every other file, by name. */
  readonly files: Readonly<Record<string, readonly [bytes: number, crc: number]>>;
}

const count = z.int().nonnegative();
const sealSchema = z.object({
  step: count,
  score: z.number().optional(),
  state: z.record(z.string(), z.unknown()),
  files: z.record(z.string(), z.tuple([count, count])),
});

const SEAL = "trainer.json", TENSORS = "trainer.safetensors";

/** Returns the paths of the files of a checkpoint that hold what the trainer has besides the model: one for each rank that had a part of it. */
export function trainerFiles(folder: string): string[] {
  const names = namesIn(folder).filter((name) => /^trainer-\d+\.safetensors$/.test(name)).sort();
  return [TENSORS, ...names].map((name) => `${folder}/${name}`);
}

/** Returns a file's size and CRC-32. */
function fingerprint(path: string): [number, number] {
  using file = Deno.openSync(path);
  const piece = new Uint8Array(4 * 2 ** 20);
  let bytes = 0, crc = 0;
  for (let n = file.readSync(piece); n !== null; n = file.readSync(piece)) {
    crc = crc32(piece.subarray(0, n), crc);
    bytes += n;
  }
  return [bytes, crc];
}

/** Returns whether a folder is a checkpoint, whole or torn. No other folder is removed. */
function isSealed(path: string): boolean {
  return namesIn(path).includes(SEAL);
}

/** Returns the text of a seal: its JSON, with the CRC-32 of that JSON as the last key. */
function sealText(seal: Seal): string {
  return `${JSON.stringify({ ...seal, "checksum": crc32(JSON.stringify(seal)) })}\n`;
}

function readSeal(path: string, step: number): Seal {
  const value: unknown = JSON.parse(Deno.readTextFileSync(path));
  if (typeof value !== "object" || value === null) throw new Error("it holds no object");
  const { checksum, ...seal } = value as Seal & { checksum: number };
  if (crc32(JSON.stringify(seal)) !== checksum) throw new Error("its checksum is not that of its content: it was edited, or is torn");
  const { error } = sealSchema.safeParse(seal);
  if (error) throw new Error(error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
  if (seal.step !== step) throw new Error(`it is that of step ${seal.step}`);
  const outside = Object.keys(seal.files).find((name) => !/^[^/\\\0]+$/.test(name) || name === "." || name === "..");
  if (outside !== undefined) throw new Error(`${JSON.stringify(outside)} is no file name`);
  return seal;
}

/**
 * The checkpoints of a run. Each is a model folder `checkpoints/step-N` with `trainer.safetensors` and `trainer.json` beside the weights.
 * A checkpoint is written under another name, synced and renamed. Its seal, `trainer.json`, is written last; it holds the size and CRC-32
 * of every other file, and its own CRC-32.
 *
 * @example
 * ```ts
 * import { Checkpoints } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const run = Deno.makeTempDirSync();
 * const checkpoints = new Checkpoints(run, { saveLimit: 2, saveBest: true });
 * const model = (folder: string) => Deno.mkdirSync(folder); // or `saveModel`
 * for (const [step, score] of [[1, 0.5], [2, 0.9], [3, 0.7], [4, 0.8]] as const) {
 *   checkpoints.save(step, { model, tensors: [], state: { lr: 1e-5 }, score });
 * }
 * assertEquals(checkpoints.steps(), [2, 3, 4]); // the newest two, and the best
 * assertEquals(checkpoints.latest().checkpoint!.state, { lr: 1e-5 });
 * Deno.removeSync(run, { recursive: true });
 * ```
 */
export class Checkpoints {
  readonly #folder: string;
  readonly #limit: number;
  readonly #best: boolean;
  readonly #kind: "step" | "warm";

  /**
   * Changes nothing on the disk. Another process may write checkpoints meanwhile.
   *
   * @param run The run's directory.
   * @param options `saveLimit`: how many of the newest are kept. `saveBest`: whether the one with the best score is kept too; of equals,
   *   the latest. `kind`: "warm" for the checkpoints within a warm start, `checkpoints/warm-N`, which counts its own steps.
   */
  constructor(run: string, options: { saveLimit: number; saveBest: boolean; kind?: "step" | "warm" }) {
    const { saveLimit, saveBest, kind = "step" } = options;
    this.#kind = kind;
    if (!(Number.isInteger(saveLimit) && saveLimit > 0)) throw new RangeError(`Cannot keep checkpoints: saveLimit is ${saveLimit}`);
    this.#folder = `${run}/checkpoints`;
    this.#limit = saveLimit;
    this.#best = saveBest;
  }

  /**
   * Writes a checkpoint, and then removes those beyond the limit. An older checkpoint of the same step is replaced when the new one is
   * whole.
   *
   * @returns Its path.
   * @throws {KedgeError} `BadCheckpoint` if it cannot be written, for example because the disk is full. The older checkpoints are not
   *   changed.
   */
  save(step: number, { model, tensors, state, score, beside }: CheckpointParts): string {
    if (!(Number.isSafeInteger(step) && step >= 0)) throw new RangeError(`Cannot write a checkpoint: the step is ${step}`);
    const path = this.path(step), staged = `${path}.${crypto.randomUUID()}.whole.tmp`;
    try {
      Deno.mkdirSync(this.#folder, { recursive: true });
      writeFolder(staged, (temporary) => {
        model(`${temporary}/model`);
        for (const name of namesIn(`${temporary}/model`)) Deno.renameSync(`${temporary}/model/${name}`, `${temporary}/${name}`);
        removeAll(`${temporary}/model`);
        writeSafetensors(`${temporary}/${TENSORS}`, tensors);
        beside?.(temporary);
        const files = Object.fromEntries(namesIn(temporary).sort().map((name) => [name, fingerprint(`${temporary}/${name}`)]));
        const isFinite = score !== undefined && Number.isFinite(score);
        writeSynced(`${temporary}/${SEAL}`, sealText({ step, ...(isFinite && { score }), state, files }));
      });
      if (namesIn(path).length > 0 && !isSealed(path)) throw new Error(`the folder has no ${SEAL}, so it is not a checkpoint`);
      removeAll(path);
      Deno.renameSync(staged, path);
      syncFolder(this.#folder);
    } catch (cause) {
      removeAll(staged);
      if (cause instanceof KedgeError || cause instanceof RangeError || cause instanceof TypeError) throw cause;
      const words = `Cannot write ${path}: ${(cause as Error).message}; the older checkpoints are untouched`;
      throw new KedgeError("BadCheckpoint", words, { path, step }, { cause });
    }
    this.#prune();
    return path;
  }

  /** Whether at least one of them is certainly written by Kedge: the checksum of its `trainer.json` is right. */
  get isRuns(): boolean {
    return this.steps().some((step) => {
      try {
        return readSeal(`${this.path(step)}/${SEAL}`, step) !== undefined;
      } catch {
        return false;
      }
    });
  }

  /** Returns the steps of all checkpoints, in rising order. */
  steps(): number[] {
    const names = new RegExp(`^${this.#kind}-(\\d+)$`);
    return namesIn(this.#folder).map((name) => names.exec(name)?.[1])
      .filter((step) => step !== undefined).map(Number).sort((a, b) => a - b);
  }

  /** Lists the checkpoints by rising step. Their files are not checked. The score of a torn one is unknown. */
  list(): { step: number; path: string; score: number | undefined }[] {
    return this.steps().map((step) => ({ step, path: this.path(step), score: this.#score(step) }));
  }

  /**
   * Reads a checkpoint, and checks every byte of it.
   *
   * @throws {KedgeError} `BadCheckpoint` if a file is missing, torn or changed.
   */
  read(step: number): Checkpoint {
    const path = this.path(step);
    let seal: Seal;
    try {
      seal = readSeal(`${path}/${SEAL}`, step);
    } catch (error) {
      throw this.#bad(step, `${SEAL}: ${(error as Error).message}`);
    }
    for (const [name, [bytes, crc]] of Object.entries(seal.files)) {
      let read: [number, number];
      try {
        read = fingerprint(`${path}/${name}`);
      } catch (error) {
        throw this.#bad(step, `${name}: ${(error as Error).message}`);
      }
      if (read[0] !== bytes || read[1] !== crc) {
        throw this.#bad(step, `${name} has ${read[0]} bytes, CRC ${read[1]}; ${bytes}, ${crc} were written`);
      }
    }
    return { step, path, state: seal.state, score: seal.score };
  }

  #bad(step: number, words: string): KedgeError {
    const path = this.path(step);
    return new KedgeError("BadCheckpoint", `Cannot read ${path}: ${words}`, { path, step });
  }

  /** Reads a checkpoint as {@linkcode Checkpoints.read}, and opens its tensors. */
  load(step: number): LoadedCheckpoint {
    const checkpoint = this.read(step);
    return { ...checkpoint, tensors: SafetensorsFile.open(`${checkpoint.path}/${TENSORS}`) };
  }

  /**
   * Returns the newest whole checkpoint, or undefined if there is none. `skipped`: why newer ones were passed over.
   *
   * @param check Throws if a run cannot resume from a checkpoint's state.
   */
  latest(check: (checkpoint: Checkpoint) => void = () => {}): { checkpoint: Checkpoint | undefined; skipped: string[] } {
    const skipped: string[] = [];
    for (const step of this.steps().reverse()) {
      try {
        const checkpoint = this.read(step);
        try {
          check(checkpoint);
        } catch (error) {
          throw this.#bad(step, `${SEAL}: ${(error as Error).message}`);
        }
        return { checkpoint, skipped };
      } catch (error) {
        if (!(error instanceof KedgeError)) throw error;
        skipped.push(error.message);
      }
    }
    return { checkpoint: undefined, skipped };
  }

  /** Renames the checkpoints of steps above `step` to `step-N.discarded`. A run that resumes from `step` ignores them. */
  discardAfter(step: number): void {
    for (const later of this.steps().filter((other) => other > step)) {
      removeAll(`${this.path(later)}.discarded`);
      Deno.renameSync(this.path(later), `${this.path(later)}.discarded`);
    }
  }

  /** Removes all checkpoints of this kind, for example at the end of a warm start. */
  clear(): void {
    for (const step of this.steps()) this.#remove(step);
  }

  /** Removes unfinished checkpoints of killed processes. Call it only while this process holds the run's lock. */
  sweep(): void {
    for (const name of namesIn(this.#folder)) if (/^[a-z]+-\d+\..*\.tmp$/.test(name)) removeAll(`${this.#folder}/${name}`);
  }

  /** Returns the path of a step's checkpoint, whether it exists or not. */
  path(step: number): string {
    return `${this.#folder}/${this.#kind}-${step}`;
  }

  #prune(): void {
    const all = this.list(), keep = new Set(all.slice(-this.#limit).map(({ step }) => step));
    if (this.#best) {
      const scored = all.filter(({ score }) => score !== undefined);
      const best = scored.reduce<typeof scored[number] | undefined>((a, b) => a && a.score! > b.score! ? a : b, undefined);
      if (best) keep.add(best.step);
    }
    for (const { step } of all) if (!keep.has(step)) this.#remove(step);
  }

  /** Removes a checkpoint. It is renamed first, so that a kill leaves no incomplete checkpoint under its name. */
  #remove(step: number): void {
    const path = this.path(step);
    if (!isSealed(path)) return;
    Deno.renameSync(path, `${path}.pruned.tmp`);
    removeAll(`${path}.pruned.tmp`);
  }

  #score(step: number): number | undefined {
    try {
      return readSeal(`${this.path(step)}/${SEAL}`, step).score;
    } catch {
      return undefined; // a torn checkpoint is never the best
    }
  }
}
