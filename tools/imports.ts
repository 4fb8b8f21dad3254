/**
 * Reads the import graph of the package's TypeScript files from their text: static imports, re-exports, and dynamic imports of a literal.
 *
 * @module
 */
import { dirname, join, relative } from "node:path";

/** An import of one file by another. Paths are relative to the root. Bare specifiers are omitted. */
export interface ImportEdge {
  readonly from: string;
  readonly to: string;
}

const IGNORED = new Set([".git", ".cache", ".gpu", "node_modules", "runs"]);

/** Returns every `.ts` file below `root`, relative to it, sorted. */
export function typescriptFiles(root: string): string[] {
  return filesBelow(root).filter((file) => file.endsWith(".ts"));
}

/** Returns every file of the project below `root`, relative to it, sorted. Caches, runs and packages are omitted. */
export function filesBelow(root: string): string[] {
  const found: string[] = [];
  const walk = (folder: string) => {
    for (const entry of Deno.readDirSync(folder)) {
      if (IGNORED.has(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory) walk(path);
      else if (entry.isFile) found.push(relative(root, path));
    }
  };
  walk(root);
  return found.sort();
}

/** Returns the relative imports of a source text. `file` is its path relative to the root. */
export function importsOf(file: string, source: string): ImportEdge[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const pattern =
    /(?:^|[\s;])(?:import|export)\s[^"';]*?from\s*["']([^"']+)["']|(?:^|[\s;])import\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/g;
  const edges: ImportEdge[] = [];
  for (const [, from, bare, dynamic] of code.matchAll(pattern)) {
    const specifier = (from ?? bare ?? dynamic)!;
    if (specifier.startsWith(".")) edges.push({ from: file, to: join(dirname(file), specifier) });
  }
  return edges;
}
