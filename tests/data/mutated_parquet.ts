/**
 * Reads damaged copies of a Parquet file, in a process of its own: prints what came of each, and at the end the most memory that it took.
 *
 * usage: mutated_parquet.ts FILE FOLDER FIRST COUNT SEED: COUNT copies, from the one with number FIRST on
 *
 * @module
 */
import process from "node:process";
import { ParquetDataset } from "../../data/parquet.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Draws } from "../control/http/mutator.ts";

/** Returns the file with some bytes changed, missing or repeated. Half of the changes are in the footer, which describes the rest. */
function damaged(file: Uint8Array<ArrayBuffer>, draws: Draws): Uint8Array<ArrayBuffer> {
  const bytes = file.slice(), footer = new DataView(bytes.buffer).getUint32(bytes.length - 8, true) + 8;
  const place = () => draws.chance(2) ? bytes.length - 1 - draws.below(footer) : draws.below(bytes.length);
  for (let n = draws.below(6); n >= 0; n--) bytes[place()] = draws.one([0, 1, 0x7f, 0x80, 0xff, draws.below(256)]);
  if (draws.chance(6)) {
    // A number that never ends.
    const at = place();
    bytes.fill(0xff, at, at + 1 + draws.below(9));
  }
  if (draws.chance(8)) return bytes.slice(0, draws.below(bytes.length));
  if (!draws.chance(8)) return bytes;
  const at = draws.below(bytes.length), length = draws.below(64);
  return new Uint8Array([...bytes.subarray(0, at), ...bytes.subarray(at, at + length), ...bytes.subarray(at)]);
}

/** Returns "rows", or the code of the error. */
async function outcome(path: string): Promise<string> {
  try {
    const dataset = await ParquetDataset.open(path);
    for (const index of new Set([0, dataset.size >> 1, dataset.size - 1])) {
      // deno-lint-ignore no-await-in-loop -- one after the other
      await dataset.sample(index);
    }
    return "rows";
  } catch (error) {
    return error instanceof KedgeError ? error.code : `${error instanceof Error ? error.stack : error}`;
  }
}

const [file, folder] = Deno.args as [string, string], [first, count, seed] = Deno.args.slice(2).map(Number) as [number, number, number];
const bytes = Deno.readFileSync(file), draws = new Draws(seed), path = `${folder}/damaged.parquet`;
const say = (line: unknown) => Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
for (let i = 0; i < first + count; i++) {
  const copy = damaged(bytes, draws);
  if (i < first) continue;
  Deno.writeFileSync(path, copy);
  const start = performance.now();
  // deno-lint-ignore no-await-in-loop -- one after the other
  say({ i, what: await outcome(path), ms: Math.round(performance.now() - start), peak: Math.round(process.resourceUsage().maxRSS / 1024) });
}
