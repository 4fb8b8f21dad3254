/**
 * Files of a run read at any offset, with and without waiting, and the step that a line of a log begins with.
 *
 * @module
 */

function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound;
}

/** Opens a file; undefined where there is none. */
export function openFileSync(path: string): Deno.FsFile | undefined {
  try {
    return Deno.openSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Opens a file and leaves the thread its turns meanwhile; undefined where there is none. */
export async function openFile(path: string): Promise<Deno.FsFile | undefined> {
  try {
    return await Deno.open(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Reads `length` bytes from `at` on; fewer where the file ends before. */
export function readAtSync(file: Deno.FsFile, { at, length }: { at: number; length: number }): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  file.seekSync(at, Deno.SeekMode.Start);
  let done = 0;
  for (let n: number | null; done < length && (n = file.readSync(bytes.subarray(done))) !== null;) done += n;
  return bytes.subarray(0, done);
}

/** Reads as {@linkcode readAtSync}, and leaves the thread its turns meanwhile. */
export async function readAt(file: Deno.FsFile, { at, length }: { at: number; length: number }): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  await file.seek(at, Deno.SeekMode.Start);
  let done = 0;
  // deno-lint-ignore no-await-in-loop -- until it is full
  for (let n: number | null; done < length && (n = await file.read(bytes.subarray(done))) !== null;) done += n;
  return bytes.subarray(0, done);
}

const decoder = new TextDecoder();

/**
 * Returns the step with which a line of a log begins; undefined for a line of another kind. The rest of the line, which may be long, is
 * not read.
 */
export function leadingStep(line: Uint8Array): number | undefined {
  const step = /^\s*\{\s*"step":\s*(\d+)\s*[,}]/.exec(decoder.decode(line.subarray(0, 40)))?.[1];
  return step === undefined ? undefined : Number(step);
}
