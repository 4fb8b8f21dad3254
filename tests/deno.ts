/**
 * Runs Deno's own commands.
 *
 * @module
 */
import type { ChildEnd } from "./child.ts";

/**
 * Runs `deno <args>`.
 *
 * @param options `cwd`: where. `env`: the whole environment but for PATH, HOME and DENO_DIR, which are this process's where it does not name them.
 *   `limit`: milliseconds after which it is killed; default 300,000.
 */
export async function runDeno(
  args: readonly string[],
  options: { cwd: string; env?: Readonly<Record<string, string>>; limit?: number },
): Promise<ChildEnd> {
  const own: Record<string, string> = { NO_COLOR: "1" };
  for (const name of ["PATH", "HOME", "DENO_DIR"]) {
    const value = Deno.env.get(name);
    if (value !== undefined) own[name] = value;
  }
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args: [...args],
    cwd: options.cwd,
    clearEnv: true,
    env: { ...own, ...options.env },
    stdin: "null",
    signal: AbortSignal.timeout(options.limit ?? 300_000),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
