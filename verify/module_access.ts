/**
 * What a grading process must be allowed so that users' reward modules load, and no more: a module may import what lies in its own folder, Kedge's
 * code, and packages by name.
 *
 * @module
 */
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** What is needed to load users' modules. */
export interface ModuleAccess {
  /** Files that they import from their own folders and of Kedge's code, they themselves among them; real paths. */
  readonly files: readonly string[];
  /** The deno.json that belongs to the first local module. */
  readonly config: string | undefined;
}

/** How Deno is asked. */
export interface AccessOptions {
  /** Deno's program. */
  readonly deno: string;
  /** Of the modules, the users' own. */
  readonly users: readonly string[];
  /** Hosts that modules may be imported from. */
  readonly imports: readonly string[];
  /** Environment and folder of the process that is asked. */
  readonly start: Deno.CommandOptions;
  /** Gives the question up. */
  readonly signal: AbortSignal;
  /** Milliseconds that it may take. */
  readonly limit: number;
}

/** Kedge's folder, whose code modules may import; undefined where it comes from a host. */
const KEDGE = import.meta.url.startsWith("file:") ? fileURLToPath(new URL("../..", import.meta.url)) : undefined;

/** A path without links, where this process may look; else as it is. */
function real(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return path;
  }
}

/** The nearest deno.json above a folder; undefined where there is none, or this process may not look. */
function configAbove(folder: string): string | undefined {
  for (let at = folder;; at = dirname(at)) {
    for (const name of ["deno.json", "deno.jsonc"]) {
      try {
        if (Deno.statSync(`${at}/${name}`).isFile) return `${at}/${name}`;
      } catch { // the next
      }
    }
    if (dirname(at) === at) return undefined;
  }
}

/** Options of `deno` by which it finds modules, as it does for the users' own. */
export function importFlags(config: string | undefined, imports: readonly string[]): string[] {
  return [
    "--quiet",
    "--no-lock",
    ...(config === undefined ? ["--no-config"] : ["--config", config]),
    imports.length > 0 ? `--allow-import=${imports.join(",")}` : "--deny-import",
  ];
}

/** A module that imports others and does nothing. */
function importing(modules: readonly string[]): string {
  return `data:application/javascript,${encodeURIComponent(modules.map((url) => `import ${JSON.stringify(url)};`).join(""))}`;
}

/**
 * Asks Deno what modules import, without running them. What comes from a registry or a host is brought into Deno's cache on the way, so that a process without network
 * finds it there.
 *
 * @param modules URLs. What cannot be read is left to the process that loads them, which says why.
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
    if (error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.NotFound) throw error; // there is no Deno to ask
  } finally {
    clearTimeout(timer);
  }
  const isIn = (folder: string, path: string) => !/^\.\.(?:[/\\]|$)/.test(relative(folder, path));
  const isOwn = (path: string) =>
    folders.some((folder) => isIn(folder, path)) || (KEDGE !== undefined && path.endsWith(".ts") && isIn(KEDGE, path));
  return { files: [...new Set([...local.map(real), ...imported.filter(isOwn)])], config };
}
