/**
 * Serves the package as a registry does: the files that `deno publish` sends, over HTTP, with bare specifiers completed.
 *
 * @module
 */
import { posix } from "node:path";
import { runDeno } from "../deno.ts";
import { ROOT } from "../root.ts";

/** Returns the paths of the files that would be published. @throws if `deno publish` refuses the package. */
export async function publishedFiles(): Promise<string[]> {
  const { code, stdout, stderr } = await runDeno(["publish", "--dry-run", "--allow-dirty"], { cwd: ROOT });
  const text = stdout + stderr;
  if (code !== 0) throw new Error(`deno publish --dry-run ended with ${code}:\n${text}`);
  return [...text.matchAll(/^ +file:\/\/(\S+) \(/gm)].map(([, path]) => posix.relative(ROOT, decodeURIComponent(path!)));
}

/** The replacements for packages that the served package would find in its registry. */
const OWN: Readonly<Record<string, string>> = {
  "@std/assert": "/tools/std/assert/mod.ts",
  "@std/cli": "/tools/std/cli/mod.ts",
  "@std/cli/parse-args": "/tools/std/cli/parse_args.ts",
};

/** Completes a bare specifier. */
function whole(specifier: string, imports: Readonly<Record<string, string>>): string {
  const own = OWN[specifier];
  if (own !== undefined) return own;
  const name = Object.keys(imports).find((name) => specifier === name || specifier.startsWith(`${name}/`));
  if (name === undefined) throw new RangeError(`Cannot serve an import of "${specifier}": deno.json does not name it`);
  return imports[name]! + specifier.slice(name.length);
}

/** Completes the bare specifiers in a module's source. Comments are not changed. */
export function rewritten(source: string, imports: Readonly<Record<string, string>>): string {
  const bare = /^((?!\s*(?:\*|\/\/)).*?(?:\bfrom\s*|\bimport\s*\(?\s*))(["'])((?![./]|node:|npm:|jsr:|data:|https?:|file:)[^"'\n]+)\2/gm;
  return source.replace(bare, (_, before, quote, specifier) => `${before}${quote}${whole(specifier, imports)}${quote}`);
}

/** A server for a package. */
export interface Served extends AsyncDisposable {
  /** Host and port, such as "127.0.0.1:1234". */
  readonly host: string;
  /** The paths that were requested. */
  readonly asked: ReadonlySet<string>;
  /** The errors that occurred while serving. */
  readonly faults: readonly string[];
}

/**
 * Serves files of the project on a port of this machine.
 *
 * @param files The paths that exist. Others are not found, except the replacements in `tools/std`.
 * @param options `change`: replaces the text of a file.
 */
export function servePackage(files: readonly string[], options: { change?: (path: string, text: string) => string } = {}): Served {
  const { imports } = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)) as { imports: Record<string, string> };
  const known = new Set(files), asked = new Set<string>(), faults: string[] = [], { change = (_, text) => text } = options;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ url }) => {
    const path = decodeURIComponent(new URL(url).pathname).slice(1);
    asked.add(path);
    if (!known.has(path) && !Object.values(OWN).includes(`/${path}`)) {
      faults.push(`${path} is not in the package`);
      return new Response("not found", { status: 404 });
    }
    try {
      const text = change(path, Deno.readTextFileSync(`${ROOT}/${path}`));
      const [type, body] = path.endsWith(".ts") ? ["application/typescript", rewritten(text, imports)] : ["text/plain", text];
      return new Response(body, { headers: { "content-type": `${type}; charset=utf-8` } });
    } catch (error) {
      faults.push(`${path}: ${error}`);
      return new Response(`${error}`, { status: 500 });
    }
  });
  return { host: `127.0.0.1:${server.addr.port}`, asked, faults, [Symbol.asyncDispose]: () => server.shutdown() };
}
