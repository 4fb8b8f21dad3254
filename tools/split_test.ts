// deno-lint-ignore-file no-console -- a command
/**
 * `deno test` in several processes side by side, each on cores of its own, since most tests keep one core busy. Files are dealt out by the seconds that they took when
 * tests/seconds.json was written. Where cores cannot be set apart (no `taskset`), it is one process.
 *
 * usage: split_test.ts [options of deno test] PATH... [--record] [-- arguments of the tests]
 *   --record   writes tests/seconds.json
 *
 * @module
 */

const SECONDS = new URL("../tests/seconds.json", import.meta.url);

/** A file of tests and how long it takes. */
interface Weighed {
  readonly path: string;
  readonly seconds: number;
}

/** What a group of files came to. */
interface Outcome {
  readonly code: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The test files below paths, as `deno test` finds them. */
export function testFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!Deno.statSync(path).isDirectory) return [path];
    return Array.from(Deno.readDirSync(path)).flatMap(({ name, isDirectory }) => {
      const inner = `${path.replace(/\/$/, "")}/${name}`;
      return isDirectory ? testFiles([inner]) : /^(.*[_.])?test\.[jt]sx?$/.test(name) ? [inner] : [];
    });
  }).sort();
}

/** Deals files out to groups so that the longest group is short: the longest file first, each to the group with the least. */
export function deal(files: readonly Weighed[], groups: number): string[][] {
  const out = Array.from({ length: groups }, () => ({ paths: [] as string[], seconds: 0 }));
  for (const { path, seconds } of files.toSorted((a, b) => b.seconds - a.seconds || (a.path < b.path ? -1 : 1))) {
    const least = out.reduce((a, b) => b.seconds < a.seconds ? b : a);
    least.paths.push(path);
    least.seconds += seconds;
  }
  return out.map(({ paths }) => paths.sort());
}

/** The counts of the last line that `deno test` prints, such as "ok | 8 passed (2 steps) | 0 failed | 1 ignored (3s)". */
export function counts(output: string): Omit<Outcome, "code"> {
  // deno-lint-ignore no-control-regex -- colours
  const plain = output.replace(/\x1b\[[\d;]*m/g, ""), lines = plain.split("\n").filter((line) => /\| \d+ passed/.test(line));
  const of = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(lines.at(-1) ?? "")?.[1] ?? 0);
  return { passed: of("passed"), failed: of("failed"), skipped: of("ignored") };
}

/** Seconds of each file, from a report in JUnit's format. */
export function secondsOf(report: string): Record<string, number> {
  const out: Record<string, number> = {};
  for (const [, name, inner] of report.matchAll(/<testsuite name="([^"]+)"[^>]*>([\s\S]*?)<\/testsuite>/g)) {
    const path = name!.replace(/^\.\//, "");
    for (const [, time] of inner!.matchAll(/<testcase [^>]*time="([\d.]+)"/g)) out[path] = (out[path] ?? 0) + Number(time);
  }
  return out;
}

async function run(
  group: readonly string[],
  given: { options: string[]; rest: string[]; cores: string | undefined; live: boolean; junit: string | undefined },
) {
  const { options, rest, cores, live, junit } = given;
  const test = ["test", ...options, ...junit === undefined ? [] : [`--junit-path=${junit}`], ...group, ...rest];
  const [command, args] = cores === undefined ? [Deno.execPath(), test] : ["taskset", ["-c", cores, Deno.execPath(), ...test]];
  const child = new Deno.Command(command, { args, stdout: "piped", stderr: "piped" }).spawn(), pieces: Uint8Array[] = [];
  const take = async (stream: ReadableStream<Uint8Array>, out: { writeSync(bytes: Uint8Array): number }) => {
    for await (const bytes of stream) {
      pieces.push(bytes);
      if (live) { for (let done = 0; done < bytes.length;) done += out.writeSync(bytes.subarray(done)); }
    }
  };
  await Promise.all([take(child.stdout, Deno.stdout), take(child.stderr, Deno.stderr)]);
  const { code } = await child.status, output = pieces.map((bytes) => new TextDecoder().decode(bytes)).join("");
  if (!live) console.log(output);
  return { code, ...counts(output) };
}

function hasTaskset(): boolean {
  try {
    return new Deno.Command("taskset", { args: ["-V"], stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** Runs the command. @returns The exit code: that of the first group that failed. */
export async function splitTest(args: readonly string[]): Promise<number> {
  const end = args.indexOf("--"), own = end < 0 ? args : args.slice(0, end), rest = end < 0 ? [] : args.slice(end);
  const record = own.includes("--record"), options = own.filter((arg) => arg.startsWith("-") && arg !== "--record");
  const files = testFiles(own.filter((arg) => !arg.startsWith("-")));
  const seconds = JSON.parse(Deno.readTextFileSync(SECONDS)) as Record<string, number>;
  const cores = navigator.hardwareConcurrency, processes = hasTaskset() ? Math.max(1, Math.min(4, cores, files.length)) : 1;
  const groups = deal(files.map((path) => ({ path, seconds: seconds[path] ?? 1 })), processes), each = Math.floor(cores / processes);
  const junit = (i: number) => record ? `/tmp/kedge_seconds_${Deno.pid}_${i}.xml` : undefined;
  const outcomes = await Promise.all(groups.map((group, i) =>
    run(group, {
      options,
      rest,
      cores: processes === 1 ? undefined : `${i * each}-${(i + 1) * each - 1}`,
      live: i === 0,
      junit: junit(i),
    })
  ));
  if (record) {
    const taken = Object.assign({}, ...groups.map((_, i) => secondsOf(Deno.readTextFileSync(junit(i)!)))) as Record<string, number>;
    const lines = Object.keys(taken).sort().map((path) =>
      `  ${JSON.stringify(path)}: ${Math.max(0.1, Math.round(10 * taken[path]!) / 10)}`
    );
    Deno.writeTextFileSync(SECONDS, `{\n${lines.join(",\n")}\n}\n`);
  }
  const sum = (pick: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + pick(outcome), 0);
  console.log(`${sum((o) => o.passed)} passed, ${sum((o) => o.failed)} failed, ${sum((o) => o.skipped)} skipped`);
  return outcomes.find(({ code }) => code !== 0)?.code ?? 0;
}

if (import.meta.main) Deno.exit(await splitTest(Deno.args));
