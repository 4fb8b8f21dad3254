import { syncFolder, writeWhole } from "./whole_file.ts";

/** A line of a log, about a step. */
export interface Line extends Readonly<Record<string, unknown>> {
  /** The step that it tells of. */
  readonly step: number;
}

/**
 * A file of JSON lines that a run appends to. Each line is written whole, in one call.
 *
 * @example
 * ```ts
 * import { Lines } from "./lines.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync(), lines = new Lines(`${folder}/metrics.jsonl`);
 * lines.append({ step: 1, loss: 0.5 }, { step: 2, loss: 0.4 });
 * assertEquals(lines.discardAfter(1), 1); // the run goes on from step 1
 * assertEquals(lines.read(), [{ step: 1, loss: 0.5 }]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class Lines {
  /** Touches nothing yet. @param path The file; it is made by the first line. */
  constructor(readonly path: string) {}

  /** Adds lines. */
  append(...lines: readonly Readonly<Record<string, unknown>>[]): void {
    if (lines.length === 0) return;
    const bytes = new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    using file = Deno.openSync(this.path, { append: true, create: true });
    for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
  }

  /** All lines; torn ones are left out. */
  read(): Line[] {
    return this.#texts().flatMap((text) => parse(text) ?? []);
  }

  /**
   * Moves the lines of steps above `step`, and torn ones, to `<path>.discarded`: they are of a run that ended before its next checkpoint. The
   * file is replaced whole.
   *
   * @param step That of the checkpoint; -1 discards all.
   * @param isLater Whether a line of this very step is of after the checkpoint.
   * @returns How many lines went.
   */
  discardAfter(step: number, isLater: (line: Line) => boolean = () => false): number {
    const texts = this.#texts(), kept: string[] = [], gone: string[] = [];
    for (const text of texts) {
      const line = parse(text);
      (line && (line.step < step || (line.step === step && !isLater(line))) ? kept : gone).push(text);
    }
    // A whole line may still lack its end, and the next one would run on in it.
    if (gone.length === 0 && (texts.length === 0 || this.#ended())) return 0;
    if (gone.length > 0) {
      using file = Deno.openSync(`${this.path}.discarded`, { append: true, create: true });
      const bytes = new TextEncoder().encode(gone.map((text) => `${text}\n`).join(""));
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
      file.syncSync();
    }
    writeWhole(this.path, kept.map((text) => `${text}\n`).join(""));
    return gone.length;
  }

  /** Waits until the lines are on the disk. */
  sync(): void {
    try {
      using file = Deno.openSync(this.path, { append: true });
      file.syncSync();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    syncFolder(this.path.replace(/\/?[^/]*$/, "") || ".");
  }

  #ended(): boolean {
    using file = Deno.openSync(this.path);
    file.seekSync(-1, Deno.SeekMode.End);
    const last = new Uint8Array(1);
    return file.readSync(last) === 1 && last[0] === 0x0a;
  }

  #texts(): string[] {
    try {
      return Deno.readTextFileSync(this.path).split("\n").filter((text) => text !== "");
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }
}

function parse(text: string): Line | undefined {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && typeof value?.step === "number" ? value : undefined;
  } catch {
    return undefined;
  }
}
