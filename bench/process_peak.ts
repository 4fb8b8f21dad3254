/**
 * Runs a program of this folder's repository, and measures the memory that it takes.
 *
 * @module
 */

/** What a program took. */
export interface ProcessPeak {
  /** The most memory of the process and its children together, as /proc tells every 0.2 seconds. What processes share is counted once. */
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * The bytes of a process and all of its children; 0 if it has ended. Shared pages count by share (PSS): a child that has just been forked would else count its
 * parent's memory again.
 */
function memoryOf(pid: number): number {
  try {
    const kib = /^Pss:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`))?.[1];
    const children = Array.from(
      Deno.readDirSync(`/proc/${pid}/task`),
      ({ name }) => Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`).split(" ").filter((child) => child !== ""),
    );
    return 1024 * Number(kib ?? 0) + children.flat().reduce((sum, child) => sum + memoryOf(Number(child)), 0);
  } catch {
    return 0; // it has ended meanwhile
  }
}

/**
 * Runs a program by Deno with all permissions.
 *
 * @throws {Error} with what it printed, if it fails.
 */
export async function peakOf(args: readonly string[]): Promise<ProcessPeak> {
  const start = performance.now();
  const child = new Deno.Command(Deno.execPath(), { args: ["run", "-A", ...args], stdout: "piped", stderr: "piped" }).spawn();
  let bytes = 0;
  const timer = setInterval(() => bytes = Math.max(bytes, memoryOf(child.pid)), 200);
  const { code, stdout, stderr } = await child.output();
  clearInterval(timer);
  const text = new TextDecoder();
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}:\n${text.decode(stdout)}${text.decode(stderr)}`);
  return { bytes, seconds: (performance.now() - start) / 1000 };
}
