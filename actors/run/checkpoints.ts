import { crc32 } from "node:zlib";
import { KedgeError } from "../../ffi/errors.ts";
import { writeFolder } from "../../model/folder/checkpoint_files.ts";
import type { SafetensorsEntry } from "../../tensor/safetensors_writer.ts";
import { writeSafetensors } from "../../tensor/safetensors_writer.ts";

/** What a checkpoint holds beside the model. */
export interface CheckpointParts {
  /** Writes the model folder, under a path that is not there yet. */
  readonly model: (folder: string) => void;
  readonly tensors: readonly SafetensorsEntry[];
  /** Plain data. */
  readonly state: Readonly<Record<string, unknown>>;
  /** Of a comparison between checkpoints; higher is better. */
  readonly score?: number;
}

/** A checkpoint that is whole. */
export interface Checkpoint {
  readonly step: number;
  readonly path: string;
  readonly state: Readonly<Record<string, unknown>>;
  readonly score: number | undefined;
}

interface Seal {
  readonly step: number;
  readonly score?: number;
  readonly state: Readonly<Record<string, unknown>>;
  /** Bytes and CRC-32 of every other file, by name. */
  readonly files: Readonly<Record<string, readonly [bytes: number, crc: number]>>;
}

const SEAL = "trainer.json";

/** A file's bytes and CRC-32, read a piece at a time. */
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

function writeSynced(path: string, text: string): void {
  using file = Deno.openSync(path, { write: true, createNew: true });
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
  file.syncSync();
}

/**
 * The checkpoints of a run: `checkpoints/step-N`, each a model folder with `trainer.safetensors` and `trainer.json` beside the weights. One is written under
 * another name, synced and renamed; its seal, `trainer.json`, is written last and names the size and the CRC-32 of every other file.
 */
export class Checkpoints {
  readonly #folder: string;
  readonly #limit: number;
  readonly #best: boolean;

  /**
   * @param run The run's directory.
   * @param options `saveLimit`: how many of the newest are kept. `saveBest`: whether the best by score is kept beside them.
   */
  constructor(run: string, options: { saveLimit: number; saveBest: boolean }) {
    this.#folder = `${run}/checkpoints`;
    this.#limit = options.saveLimit;
    this.#best = options.saveBest;
  }

  /**
   * Writes a checkpoint, and then removes those that are too many.
   *
   * @returns Its path.
   * @throws What writing threw, such as for a full disk: the older checkpoints stand as they were.
   */
  save(step: number, { model, tensors, state, score }: CheckpointParts): string {
    const path = `${this.#folder}/step-${step}`;
    Deno.mkdirSync(this.#folder, { recursive: true });
    remove(path);
    writeFolder(path, (temporary) => {
      model(`${temporary}/model`);
      for (const { name } of Deno.readDirSync(`${temporary}/model`)) Deno.renameSync(`${temporary}/model/${name}`, `${temporary}/${name}`);
      Deno.removeSync(`${temporary}/model`);
      writeSafetensors(`${temporary}/trainer.safetensors`, tensors);
      const files = Object.fromEntries(Array.from(Deno.readDirSync(temporary), ({ name }) => [name, fingerprint(`${temporary}/${name}`)]));
      const seal = { step, ...(score !== undefined && { score }), state, files } as Seal;
      writeSynced(`${temporary}/${SEAL}`, `${JSON.stringify(seal)}\n`);
    });
    this.#prune();
    return path;
  }

  /** Steps that have a folder, rising. */
  steps(): number[] {
    try {
      return Array.from(Deno.readDirSync(this.#folder), ({ name }) => /^step-(\d+)$/.exec(name)?.[1])
        .filter((step) => step !== undefined).map(Number).sort((a, b) => a - b);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }

  /**
   * Reads a checkpoint.
   *
   * @throws {KedgeError} `BadCheckpoint` where a file is missing, torn or changed.
   */
  read(step: number): Checkpoint {
    const path = `${this.#folder}/step-${step}`;
    const bad = (words: string) => new KedgeError("BadCheckpoint", `Cannot read ${path}: ${words}`, { path });
    let seal: Seal;
    try {
      seal = JSON.parse(Deno.readTextFileSync(`${path}/${SEAL}`));
    } catch (error) {
      throw bad(`${SEAL}: ${(error as Error).message}`);
    }
    for (const [name, [bytes, crc]] of Object.entries(seal.files)) {
      let found: [number, number];
      try {
        found = fingerprint(`${path}/${name}`);
      } catch (error) {
        throw bad(`${name}: ${(error as Error).message}`);
      }
      if (found[0] !== bytes || found[1] !== crc) {
        throw bad(`${name} has ${found[0]} bytes, CRC ${found[1]}; ${bytes}, ${crc} were written`);
      }
    }
    return { step, path, state: seal.state, score: seal.score };
  }

  /** The newest checkpoint that is whole; `skipped`: why newer ones are not. Undefined where there is none. */
  latest(): { checkpoint: Checkpoint | undefined; skipped: string[] } {
    const skipped: string[] = [];
    for (const step of this.steps().reverse()) {
      try {
        return { checkpoint: this.read(step), skipped };
      } catch (error) {
        if (!(error instanceof KedgeError)) throw error;
        skipped.push(error.message);
      }
    }
    return { checkpoint: undefined, skipped };
  }

  /** Removes what killed processes left half written. */
  sweep(): void {
    if (this.steps().length === 0) return;
    for (const { name } of Deno.readDirSync(this.#folder)) if (name.endsWith(".tmp")) remove(`${this.#folder}/${name}`);
  }

  #prune(): void {
    const steps = this.steps(), keep = new Set(steps.slice(-this.#limit));
    if (this.#best) {
      const scored = steps.map((step) => ({ step, score: this.#score(step) })).filter(({ score }) => score !== undefined);
      const best = scored.reduce<typeof scored[number] | undefined>((a, b) => a && a.score! > b.score! ? a : b, undefined);
      if (best) keep.add(best.step);
    }
    for (const step of steps) if (!keep.has(step)) remove(`${this.#folder}/step-${step}`);
  }

  #score(step: number): number | undefined {
    try {
      return (JSON.parse(Deno.readTextFileSync(`${this.#folder}/step-${step}/${SEAL}`)) as Seal).score;
    } catch {
      return undefined; // a torn one is not the best
    }
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
