/**
 * Tests that a damaged Parquet file gives rows or an error, in bounded time and memory. It reads four copies, one of which was once read
 * forever. With `--slow` it reads 200 copies of each file with a new seed, also of a file of real data if that exists. `--seed=N` repeats a
 * run.
 */
import { assert, assertEquals } from "@std/assert";
import { runChild } from "../child.ts";
import { exists } from "../files.ts";
import { ROOT } from "../root.ts";
import { LITTLE_PARQUET } from "./little_parquet.ts";
import { inFolder } from "./rows.ts";

const SLOW = Deno.args.includes("--slow"),
  SEED = Number(Deno.args.find((arg) => arg.startsWith("--seed="))?.slice(7) ?? Date.now() % 2 ** 31);
const REAL = `${ROOT}/../shared/data/mathvision/test-00000-of-00001.parquet`;
/** The maximum MiB of the process, including Deno. The real file has two. */
const MOST = 600;

/** Returns the outcome of each copy, by its number. */
async function outcomes(file: string, { folder, first, count, seed }: { folder: string; first: number; count: number; seed: number }) {
  const permissions = ["--allow-read", `--allow-write=${folder}`], args = [file, folder, ...[first, count, seed].map(String)];
  const signal = AbortSignal.timeout(60_000 + 1000 * count), start = performance.now();
  const { code, stdout, stderr } = await runChild("tests/data/mutated_parquet.ts", { permissions, args, signal, ownMemory: true });
  const said = stdout.split("\n").filter((line) => line !== "").map((line) =>
    JSON.parse(line) as { i: number; what: string; ms: number; peak: number }
  );
  assertEquals([code, stderr, said.length], [0, "", count], `${file}, seed ${seed}: it ended after copy ${said.at(-1)?.i}`);
  for (const { i, what, ms, peak } of said) {
    assert(what === "rows" || what === "BadData", `${file}, seed ${seed}, copy ${i}: ${what}`);
    assert(ms < 10_000, `${file}, seed ${seed}, copy ${i} took ${ms} ms`);
    assert(peak < MOST, `${file}, seed ${seed}, copy ${i}: ${peak} MiB`);
  }
  const rows = said.filter(({ what }) => what === "rows").length, seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (SLOW) {
    const peak = Math.max(...said.map((each) => each.peak)), slowest = Math.max(...said.map(({ ms }) => ms));
    // deno-lint-ignore no-console -- figures for the log
    console.log(
      `${file.split("/").at(-1)}, seed ${seed}: ${rows} rows, ${count - rows} BadData, ${seconds} s, slowest ${slowest} ms, ${peak} MiB`,
    );
  }
  return said.map(({ what }) => what);
}

Deno.test("a Parquet file that would be read forever is refused, and similar copies give rows or BadData", () =>
  inFolder(async (folder) => {
    const file = `${folder}/little.parquet`;
    Deno.writeFileSync(file, Uint8Array.fromBase64(LITTLE_PARQUET));
    assertEquals((await outcomes(file, { folder, first: 98, count: 4, seed: 2 }))[1], "BadData");
    if (!SLOW) return;
    const kinds = new Set(await outcomes(file, { folder, first: 0, count: 200, seed: SEED }));
    for (const each of ["verl", "encodings"]) {
      for (const what of await outcomes(`${ROOT}/tests/data/${each}.parquet`, { folder, first: 0, count: 200, seed: SEED })) {
        kinds.add(what);
      }
    }
    assertEquals(kinds.size, 2, "some are read, and some are not");
  }));

Deno.test({
  name: `200 damaged copies of a Parquet file of real data give rows or BadData${
    SLOW ? exists(REAL) ? "" : " (skipped: it is not here)" : " (skipped: --slow)"
  }`,
  ignore: !SLOW || !exists(REAL),
  fn: () =>
    inFolder(async (folder) => {
      assertEquals(new Set(await outcomes(REAL, { folder, first: 0, count: 200, seed: SEED })).size, 2, "some are read, and some are not");
    }),
});
