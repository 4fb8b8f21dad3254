/**
 * Finds functions, classes and constants that a file exports and no other takes, as text. Types are left out: a signature may name one for whoever calls.
 *
 * @module
 */
import { dirname, join } from "node:path";

/** A file's source by its path. */
export type Sources = ReadonlyMap<string, string>;

/** A name that a file imports from another file, or "*" for all of its names. */
interface Use {
  readonly from: string;
  readonly name: string;
}

/** The names that a file exports, those of them that come from other files, and the names that it uses. */
interface Module {
  /** Values that it declares and exports, by name. */
  readonly own: Set<string>;
  /** Names that it passes on, and where from. */
  readonly passed: Map<string, Use>;
  /** Files of which it passes on every name. */
  readonly stars: string[];
  readonly uses: Use[];
}

const DECLARED = /^export\s+(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:function\*?|class|const|let|enum)\s+(\w+)/gm;
const FROM =
  /(?:^|[\s;])(import|export)\s+(?:type\s+)?(\*(?:\s+as\s+[\w$]+)?|[\w$]+|(?:[\w$]+\s*,\s*)?\{[^}]*\})\s*from\s*["'](\.[^"']+)["']/g;
const DYNAMIC = /(?:import\(|new URL\(|import\.meta\.resolve\()\s*["'](\.[^"']+)["']/g;

/** The names of a list in braces: as they are at the source, and here. */
function names(list: string): { there: string; here: string }[] {
  return list.replace(/[{}]/g, "").split(",").map((part) => part.trim().replace(/^type\s+/, "")).filter((part) => part !== "").map(
    (part) => {
      const [there, here = there] = part.split(/\s+as\s+/) as [string, string?];
      return { there, here };
    },
  );
}

function parse(path: string, source: string): Module {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  // Examples in comments run as tests, and take what they import.
  const examples = source.replace(/^\s*\* ?/gm, "");
  const module: Module = { own: new Set(), passed: new Map(), stars: [], uses: [] };
  const at = (specifier: string) => join(dirname(path), specifier);
  for (const [, name] of code.matchAll(DECLARED)) module.own.add(name!);
  for (const [, word, what, specifier] of examples.matchAll(FROM)) {
    const from = at(specifier!);
    if (word === "export" && what === "*") module.stars.push(from);
    else if (word === "export") { for (const { there, here } of names(what!)) module.passed.set(here, { from, name: there }); }
    else if (!what!.includes("{")) module.uses.push({ from, name: "*" });
    else for (const { there } of names(what!.slice(what!.indexOf("{")))) module.uses.push({ from, name: there });
  }
  for (const [, specifier] of code.matchAll(DYNAMIC)) module.uses.push({ from: at(specifier!), name: "*" });
  return module;
}

/**
 * Exports that no other file takes, as "file: name".
 *
 * @param entries Files whose exports are for the outside.
 */
export function unusedExports(sources: Sources, entries: readonly string[]): string[] {
  const modules = new Map([...sources].map(([path, source]) => [path, parse(path, source)]));
  const used = new Set<string>(), seen = new Set<string>();
  const take = ({ from, name }: Use): void => {
    const module = modules.get(from), key = `${from}: ${name}`;
    if (!module || seen.has(key)) return;
    seen.add(key);
    if (name === "*") {
      for (const each of [...module.own, ...module.passed.keys()]) take({ from, name: each });
      for (const star of module.stars) take({ from: star, name: "*" });
      return;
    }
    used.add(key);
    const passed = module.passed.get(name);
    if (passed) take(passed);
    else if (!module.own.has(name)) { for (const star of module.stars) take({ from: star, name }); }
  };
  for (const entry of entries) take({ from: entry, name: "*" });
  for (const { uses } of modules.values()) for (const use of uses) take(use);
  return [...modules].flatMap(([path, { own }]) => [...own].map((name) => `${path}: ${name}`)).filter((key) => !used.has(key)).sort();
}
