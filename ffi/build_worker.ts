/**
 * Runs compilers in parallel for a thread that waits on shared memory: word 0 becomes 1 when all went well, 2 when not; then word 1 holds the length
 * of the words that follow.
 *
 * @module
 */
/** The message that starts the compile worker. */
export interface CompileOrder {
  readonly signal: SharedArrayBuffer;
  readonly command: string;
  readonly env: Record<string, string>;
  readonly folder: string;
  readonly jobs: number;
  /** Each an object: built as `<final>.<unique>` and renamed, so that a half-written one is never taken for it. */
  readonly units: readonly { readonly source: string; readonly args: readonly string[]; readonly made: string; readonly final: string }[];
  readonly link: readonly string[];
}

/**
 * What the worker does. Its text is the worker's module, so that it names nothing outside of itself: a module that came over the network would need the
 * thread that waits.
 */
export function compileOnOrder(): void {
  async function run(order: CompileOrder, args: readonly string[]): Promise<string | undefined> {
    const { success, stderr, code } = await new Deno.Command(order.command, {
      args: [...args],
      cwd: order.folder,
      clearEnv: true,
      env: order.env,
      stdin: "null",
      stdout: "null",
    }).output();
    return success ? undefined : `${order.command} gave ${code} for "${args.join(" ")}":\n${new TextDecoder().decode(stderr).trim()}`;
  }

  /** Compiles the objects that are missing, `jobs` at a time, and links them. @returns The message of the first failure. */
  async function build(order: CompileOrder): Promise<string | undefined> {
    const queue = order.units.values();
    let failure: string | undefined;
    const lane = async () => {
      for (const unit of queue) {
        if (failure !== undefined) return;
        // deno-lint-ignore no-await-in-loop -- a lane runs one compiler at a time
        const words = await run(order, unit.args);
        if (words === undefined) Deno.renameSync(unit.made, unit.final);
        else failure ??= words;
      }
    };
    await Promise.all(Array.from({ length: Math.max(1, order.jobs) }, lane));
    return failure ?? await run(order, order.link);
  }

  addEventListener("message", async ({ data }: MessageEvent<CompileOrder>) => {
    let words: string | undefined;
    try {
      words = await build(data);
    } catch (error) {
      words = `${error}`;
    }
    const state = new Int32Array(data.signal, 0, 2), text = new Uint8Array(data.signal, 8);
    if (words !== undefined) {
      const bytes = new TextEncoder().encode(words).subarray(0, text.length);
      text.set(bytes);
      state[1] = bytes.length;
    }
    Atomics.store(state, 0, words === undefined ? 1 : 2);
    Atomics.notify(state, 0);
  });
}
