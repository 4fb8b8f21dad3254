/**
 * Runs a file of the project in a separate process, with only the permissions that it needs.
 *
 * @module
 */
import { ROOT } from "./root.ts";

/** How a child ended. */
export interface ChildEnd {
  code: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs `deno run <permissions> <file> <args>` in the project's root.
 *
 * @param options `env` is the whole environment of the child but for HOME and DENO_DIR, which say where Deno keeps its cache; PATH defaults to this
 *   process's own. `signal` ends it. `ownMemory`: whether it asks for its peak memory (tests/hop.ts).
 */
export async function runChild(
  file: string,
  options: {
    permissions: readonly string[];
    args?: readonly string[];
    env?: Readonly<Record<string, string>>;
    signal?: AbortSignal;
    ownMemory?: boolean;
  },
): Promise<ChildEnd> {
  const own: Record<string, string> = {};
  for (const name of ["PATH", "HOME", "DENO_DIR"]) {
    const value = Deno.env.get(name);
    if (value !== undefined) own[name] = value;
  }
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args: [
      ...options.ownMemory ? ["run", "--quiet", "--no-prompt", "--allow-run", "tests/hop.ts"] : [],
      ...["run", "--quiet", "--no-prompt", ...options.permissions, file, ...options.args ?? []],
    ],
    cwd: ROOT,
    clearEnv: true,
    env: { ...own, NO_COLOR: "1", ...options.env },
    stdin: "null",
    signal: options.signal,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
