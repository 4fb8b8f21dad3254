/**
 * Builds the native libraries on first use, into a cache keyed by everything that shapes them: sources, flags, the compiler and the processor's
 * features as the compiler sees them. The work of several processes or workers that start at once is done once.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { KedgeError } from "./errors.ts";
import { environment } from "./environment.ts";
import { compileOnOrder, type CompileOrder } from "./build_worker.ts";

/** A library to build. */
export interface Build {
  /** File name without prefix and suffix, such as "kedge_cpu". */
  readonly name: string;
  /** Its name in the progress line, such as "CPU kernels". */
  readonly label: string;
  /** Compilers to try, in this order; names are looked up in PATH. */
  readonly compilers: readonly string[];
  /** The advice for the user if none of them is there. */
  readonly advice: string;
  /** Sources by relative path: every file is laid out under one folder, in which the compiler runs. */
  readonly sources: Readonly<Record<string, string>>;
  /** The sources that are compiled; the others are headers, and a change to one rebuilds the units that include it. */
  readonly units: readonly string[];
  readonly compileFlags: readonly string[];
  /** Further flags of some of the units. */
  readonly unitFlags?: Readonly<Record<string, readonly string[]>>;
  readonly linkFlags: readonly string[];
  /** Arguments that make the compiler print its version, and whatever of the machine enters the code it emits. */
  readonly identify: readonly string[];
}

/** Options of {@linkcode buildLibrary}. */
export interface BuildOptions {
  /** Folder of the cache; default {@linkcode cacheFolder}. */
  cache?: string;
  /** Takes the progress lines; default: standard error. */
  progress?: (line: string) => void;
  /** Compilers that run at once; default: one for each logical core. */
  jobs?: number;
}

/** A compiler that answered. */
interface Compiler {
  readonly command: string;
  /** The compiler's own description and that of the machine. */
  readonly identity: string;
}

const SUFFIX = Deno.build.os === "darwin" ? "dylib" : "so";

/**
 * The folder of the cache: `.cache` in the package's own folder where that is on disk and may be written, else the user's cache folder.
 *
 * @throws {KedgeError} `Build` if neither can be used.
 */
export function cacheFolder(): string {
  const candidates: string[] = [];
  if (import.meta.url.startsWith("file:")) candidates.push(join(dirname(dirname(fileURLToPath(import.meta.url))), ".cache"));
  const home = environment("HOME");
  if (home) candidates.push(join(home, Deno.build.os === "darwin" ? "Library/Caches/kedge" : ".cache/kedge"));
  const refused: string[] = [];
  for (const folder of candidates) {
    try {
      Deno.mkdirSync(folder, { recursive: true });
      const probe = join(folder, `.probe-${crypto.randomUUID()}`);
      Deno.writeTextFileSync(probe, "");
      Deno.removeSync(probe);
      return folder;
    } catch (error) {
      refused.push(`${folder}: ${(error as Error).message}`);
    }
  }
  throw new KedgeError(
    "Build",
    `Cannot find a folder for the built kernels: ${refused.join("; ") || "HOME is unknown (--allow-env=HOME)"}. Grant --allow-read and ` +
      `--allow-write for one of them, or name one in the option "cache".`,
  );
}

/** The environment that compilers run in: Deno refuses to spawn with LD_LIBRARY_PATH set under a plain --allow-run=c++, and CUDA images set it. */
export function compilerEnvironment(temporary: string): Record<string, string> {
  const PATH = environment("PATH") ?? "/usr/local/bin:/usr/bin:/bin:/usr/local/cuda/bin";
  return { PATH, TMPDIR: temporary, HOME: temporary, LC_ALL: "C" };
}

/** The first compiler that runs, or the reasons why none does. */
export function findCompiler(build: Pick<Build, "compilers" | "identify">): Compiler | { readonly missing: string } {
  const missing: string[] = [];
  for (const command of build.compilers) {
    try {
      const options: Deno.CommandOptions = { args: [...build.identify], clearEnv: true, env: compilerEnvironment("/tmp"), stdin: "null" };
      const { success, stdout, stderr } = new Deno.Command(command, options).outputSync();
      if (success) return { command, identity: new TextDecoder().decode(stdout) };
      missing.push(`${command} answers: ${new TextDecoder().decode(stderr).trim().split("\n")[0]}`);
    } catch (error) {
      const why = error instanceof Deno.errors.NotFound ? "is not in PATH" : `cannot be run: ${(error as Error).message}`;
      missing.push(`${command} ${why}`);
    }
  }
  return { missing: missing.join("; ") };
}

const digest = (...parts: readonly string[]): string => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest("hex").slice(0, 24);
};

/** The files that a compiler reads for `roots`: itself and, in turn, what it includes in quotes. */
function included(roots: readonly string[], sources: Build["sources"]): Set<string> {
  const reached = new Set<string>(), pending = [...roots];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (reached.has(path)) continue;
    const text = sources[path];
    if (text === undefined) continue; // the compiler's own, or the compiler will say so
    reached.add(path);
    for (const [, name] of text.matchAll(/^\s*#\s*include\s*"([^"]+)"/gm)) pending.push(posix.join(posix.dirname(path), name!));
  }
  return reached;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * The path of a library, built if the cache does not hold it.
 *
 * @throws {KedgeError} `Build`, with the compiler's own words in `details.output` and in the message.
 */
export function buildLibrary(build: Build, options: BuildOptions = {}): string {
  const cache = options.cache ?? cacheFolder();
  const progress = options.progress ?? ((line) => Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`)));
  const compiler = findCompiler(build);
  if ("missing" in compiler) {
    throw new KedgeError("Build", `Cannot build the ${build.label}: ${compiler.missing}. ${build.advice}`, { label: build.label });
  }
  const flags = [compiler.command, compiler.identity, ...build.compileFlags];
  const files = Object.entries(build.sources).sort(([a], [b]) => a < b ? -1 : 1);
  const forced = build.compileFlags.filter((flag) => flag in build.sources);
  const objects = build.units.map((path) => {
    const read = [...included([path, ...forced], build.sources)].sort();
    return { path, key: digest(...flags, ...build.unitFlags?.[path] ?? [], ...read.flatMap((file) => [file, build.sources[file]!])) };
  });
  const folder = join(cache, `${build.name}-${digest(...objects.flatMap(({ key }) => key), ...build.linkFlags)}`);
  const library = join(folder, `lib${build.name}.${SUFFIX}`);
  if (exists(library)) return library;

  Deno.mkdirSync(join(cache, "objects"), { recursive: true });
  sweep(cache);
  const lock = Deno.openSync(`${folder}.lock`, { create: true, write: true });
  try {
    try {
      lock.lockSync(true); // the system releases it when its holder dies
    } catch {
      // A file system without locks: the work may be done twice, and the first rename wins.
    }
    if (exists(library)) return library;
    progress(`Kedge: building ${build.label} (first use, ${build.units.length} files with ${compiler.command}) ...`);
    const start = performance.now();
    const temporary = `${folder}.${crypto.randomUUID()}`;
    try {
      for (const [path, text] of files) {
        Deno.mkdirSync(dirname(join(temporary, "src", path)), { recursive: true });
        Deno.writeTextFileSync(join(temporary, "src", path), text);
      }
      compile(build, { ...options, command: compiler.command, temporary, objects: join(cache, "objects"), keys: objects });
      Deno.removeSync(join(temporary, "src"), { recursive: true });
      publish(temporary, folder, library);
    } finally {
      Deno.removeSync(temporary, { recursive: true });
    }
    progress(`Kedge: built ${build.label} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  } finally {
    lock.close();
  }
  return library;
}

/** Removes what builds that were killed an hour ago and more have left. */
function sweep(cache: string): void {
  for (const folder of [cache, join(cache, "objects")]) {
    for (const { name } of Deno.readDirSync(folder)) {
      if (!/\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name)) continue;
      try {
        const { mtime } = Deno.statSync(join(folder, name));
        if (mtime && Date.now() - mtime.getTime() > 3_600_000) Deno.removeSync(join(folder, name), { recursive: true });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error; // another sweeps too
      }
    }
  }
}

/** Renames the finished folder into its place. Where file locks do not work, several get here: the first rename wins, the others find it full. */
function publish(temporary: string, folder: string, library: string): void {
  try {
    Deno.renameSync(temporary, folder);
  } catch (error) {
    if (!exists(library)) throw error;
    return;
  }
  Deno.mkdirSync(temporary); // for the caller's removal
}

const SIGNAL_BYTES = 1 << 16;

interface CompileSetting extends BuildOptions {
  command: string;
  temporary: string;
  objects: string;
  keys: readonly { readonly path: string; readonly key: string }[];
}

/** Compiles in parallel, and blocks: the compilers run under a worker's event loop while this thread waits for its word. */
function compile(build: Build, setting: CompileSetting): void {
  const signal = new SharedArrayBuffer(SIGNAL_BYTES);
  const units = setting.keys.map(({ path, key }) => {
    const final = join(setting.objects, `${key}.o`), made = `${final}.${crypto.randomUUID()}`;
    return { source: path, args: [...build.compileFlags, ...build.unitFlags?.[path] ?? [], "-c", path, "-o", made], made, final };
  });
  const output = join(setting.temporary, `lib${build.name}.${SUFFIX}`);
  const order: CompileOrder = {
    signal,
    command: setting.command,
    env: compilerEnvironment(setting.temporary),
    folder: join(setting.temporary, "src"),
    jobs: setting.jobs ?? navigator.hardwareConcurrency,
    units: units.filter(({ final }) => !exists(final)),
    link: [...units.map(({ final }) => final), ...build.linkFlags, "-o", output],
  };
  const source = `data:application/javascript,${encodeURIComponent(`(${compileOnOrder})();`)}`;
  const worker = new Worker(source, { type: "module", name: "kedge-build" });
  try {
    worker.postMessage(order);
    const state = new Int32Array(signal, 0, 2);
    Atomics.wait(state, 0, 0);
    if (state[0] === 1) return;
    const output = new TextDecoder().decode(Uint8Array.from(new Uint8Array(signal, 8, state[1])));
    throw new KedgeError("Build", `Cannot build the ${build.label}: ${output}`, { label: build.label, output });
  } finally {
    worker.terminate();
  }
}
