/**
 * Finds the permissions that a grading process needs to load users' reward modules. A module may import files of its own folder, Kedge's
 * code, and packages by name.
 *
 * @module
 */
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** Tells whether a reward module is one of Kedge's own, such as the one that asks an HTTP service, and not a user's. */
export function isOwnModule(url: string): boolean {
  return url.startsWith(VERIFIERS);
}

/** The URL of this folder, which holds them. */
const VERIFIERS = new URL(".", import.meta.url).href;

/** The files and permissions that a process needs to load users' modules. */
export interface ModuleAccess {
  /** The modules themselves and the files that they import from their own folders and from Kedge's code, as real paths. */
  readonly files: readonly string[];
  /** The deno.json that belongs to the first local module. */
  readonly config: string | undefined;
}

/** Options for the Deno process that finds these files. */
export interface AccessOptions {
  /** Path or name of the Deno program. */
  readonly deno: string;
  /** The modules that are the users' own. */
  readonly users: readonly string[];
  /** Hosts that modules may be imported from. */
  readonly imports: readonly string[];
  /** Environment and folder of the Deno process. */
  readonly start: Deno.CommandOptions;
  /** Aborts the request. */
  readonly signal: AbortSignal;
  /** The time limit in milliseconds. */
  readonly limit: number;
}

/** Kedge's folder, whose code modules may import; undefined if Kedge was loaded from a host. */
const KEDGE = import.meta.url.startsWith("file:") ? fileURLToPath(new URL("..", import.meta.url)) : undefined;

/** Resolves links in a path where this process may read it; otherwise returns the path unchanged. */
function real(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return path;
  }
}

/** Returns the nearest deno.json above a folder, or undefined if there is none or this process may not read it. */
function configAbove(folder: string): string | undefined {
  for (let at = folder;; at = dirname(at)) {
    for (const name of ["deno.json", "deno.jsonc"]) {
      try {
        if (Deno.statSync(`${at}/${name}`).isFile) return `${at}/${name}`;
      } catch { // tries the next folder
      }
    }
    if (dirname(at) === at) return undefined;
  }
}

/** Returns the options that make `deno` resolve modules as it does for the users' own. */
export function importFlags(config: string | undefined, imports: readonly string[]): string[] {
  return [
    "--quiet",
    "--no-lock",
    ...(config === undefined ? ["--no-config"] : ["--config", config]),
    imports.length > 0 ? `--allow-import=${imports.join(",")}` : "--deny-import",
  ];
}

/** Returns a module that imports others and does nothing else. */
function importing(modules: readonly string[]): string {
  return `data:application/javascript,${encodeURIComponent(modules.map((url) => `import ${JSON.stringify(url)};`).join(""))}`;
}

/**
 * Asks Deno what modules import, without running them. Deno fetches packages and remote modules into its cache meanwhile, so that a process
 * without network access finds them there.
 *
 * @param modules URLs. Errors about unreadable ones are left to the process that loads them, which reports the reason.
 */
export async function moduleAccess(modules: readonly string[], options: AccessOptions): Promise<ModuleAccess> {
  const local = options.users.filter((url) => url.startsWith("file:")).map((url) => fileURLToPath(url));
  const config = local.length === 0 ? undefined : configAbove(dirname(real(local[0]!)));
  const folders = local.map((path) => dirname(real(path)));
  const late = new AbortController(), timer = setTimeout(() => late.abort(), options.limit);
  let imported: string[] = [];
  try {
    const { stdout } = await new Deno.Command(options.deno, {
      ...options.start,
      args: ["info", "--json", ...importFlags(config, options.imports), importing(modules)],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      signal: AbortSignal.any([options.signal, late.signal]),
    }).output();
    const { modules: all } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: { specifier: string }[] };
    imported = all.map(({ specifier }) => specifier).filter((url) => url.startsWith("file:")).map((url) => real(fileURLToPath(url)));
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.NotFound) throw error; // there is no Deno program to ask
  } finally {
    clearTimeout(timer);
  }
  const isIn = (folder: string, path: string) => !/^\.\.(?:[/\\]|$)/.test(relative(folder, path));
  const isOwn = (path: string) =>
    folders.some((folder) => isIn(folder, path)) || (KEDGE !== undefined && path.endsWith(".ts") && isIn(KEDGE, path));
  return { files: [...new Set([...local.map(real), ...imported.filter(isOwn)])], config };
}
