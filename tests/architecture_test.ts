import { assertEquals } from "@std/assert";
import { ROOT } from "./root.ts";
import { unusedExports } from "../tools/exports.ts";
import { type ImportEdge, importsOf, typescriptFiles } from "../tools/imports.ts";
import { generate } from "../tools/generate_ffi.ts";

const FLOORS: Readonly<Record<string, number>> = {
  kernels: 0,
  ffi: 1,
  tensor: 2,
  model: 3,
  verify: 3,
  rl: 3,
  data: 4,
  actors: 5,
  control: 6,
  cli: 7,
  deprecated: 8,
};
// Folders beside the floors. They may import from the floors, but not the reverse.
const BESIDE = new Set(["tests", "bench", "examples", "docs", "tools"]);

// Files whose exports are for users.
const ENTRIES = Object.values(JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)).exports as Record<string, string>)
  .map((path) => path.replace(/^\.\//, ""));

/** Returns why an import breaks the order of the floors; undefined if it does not. */
function fault(from: string, to: string): string | undefined {
  const [source, target] = [from.split("/")[0]!, to.split("/")[0]!];
  if (BESIDE.has(source) || source === target) return undefined;
  if (BESIDE.has(target)) return `${from} imports ${to}, which is no part of the library`;
  if (from === "mod.ts" || to === "deno.json") return undefined; // the package's name and version are everybody's
  const [own, other] = [FLOORS[source], FLOORS[target]];
  if (own === undefined) return `${from} stands on no floor`;
  if (other === undefined) return `${from} imports ${to}, which stands on no floor`;
  if (other > own) return `${from} (floor ${own}) imports ${to} (floor ${other})`;
  if (other === own) return `${from} imports ${to}, a neighbour on floor ${own}`;
  return undefined;
}

Deno.test("no file imports from a floor above its own, nor from a neighbour", () => {
  const files = typescriptFiles(ROOT);
  const faults = files.flatMap((file) => importsOf(file, Deno.readTextFileSync(`${ROOT}/${file}`)))
    .map(({ from, to }) => fault(from, to)).filter((f) => f !== undefined);
  assertEquals(faults, []);
  assertEquals(files.some((file) => file.startsWith("tensor/")), true, "the walk must see the house");
});

Deno.test("the check of floors finds violations", () => {
  assertEquals(fault("ffi/a.ts", "tensor/b.ts"), "ffi/a.ts (floor 1) imports tensor/b.ts (floor 2)");
  assertEquals(fault("model/a.ts", "rl/b.ts"), "model/a.ts imports rl/b.ts, a neighbour on floor 3");
  assertEquals(fault("tensor/a.ts", "tests/b.ts"), "tensor/a.ts imports tests/b.ts, which is no part of the library");
  assertEquals(fault("tensor/a.ts", "ffi/b.ts"), undefined);
  const source =
    'import {\n  a,\n} from "../x/a.ts";\nexport * from "./b.ts"; await import("../c.ts");\n// import "./no.ts"\nimport "./side.ts";';
  assertEquals(importsOf("d/e.ts", source).map((e) => e.to), ["x/a.ts", "d/b.ts", "c.ts", "d/side.ts"]);
});

/** Returns the circles of an import graph. The files of each are in the order of the imports, from the first by name. */
function circles(edges: readonly ImportEdge[]): string[][] {
  const targets = Map.groupBy(edges, ({ from }) => from), found = new Map<string, string[]>(), done = new Set<string>();
  const walk = (file: string, path: readonly string[]) => {
    const at = path.indexOf(file);
    if (at >= 0) {
      const circle = path.slice(at),
        first = circle.indexOf(circle.toSorted()[0]!),
        turned = [...circle.slice(first), ...circle.slice(0, first)];
      found.set(turned.join(" "), turned);
      return;
    }
    if (done.has(file)) return;
    for (const { to } of targets.get(file) ?? []) walk(to, [...path, file]);
    done.add(file);
  };
  for (const file of targets.keys()) walk(file, []);
  return [...found.values()];
}

Deno.test("no files import each other in a circle", () => {
  const edges = typescriptFiles(ROOT).flatMap((file) => importsOf(file, Deno.readTextFileSync(`${ROOT}/${file}`)));
  assertEquals(circles(edges), []);
});

Deno.test("the search for circles finds circles", () => {
  const edges = (...pairs: string[]) => pairs.map((pair) => ({ from: pair[0]!, to: pair[1]! }));
  assertEquals(circles(edges("ab", "bc", "ac", "dc")), []);
  assertEquals(circles(edges("cb", "ba", "ac", "dc", "de", "ed")), [["a", "c", "b"], ["d", "e"]]);
  assertEquals(circles(edges("aa")), [["a"]]);
});

Deno.test("every function, class and constant that the house exports is imported by another file, or belongs to the public interface", () => {
  const sources = new Map(typescriptFiles(ROOT).map((file) => [file, Deno.readTextFileSync(`${ROOT}/${file}`)]));
  const unused = unusedExports(sources, ENTRIES).filter((key) => FLOORS[key.split("/")[0]!] !== undefined);
  assertEquals(unused, []);
});

Deno.test("the search for unused exports finds what it is there to find", () => {
  const sources = new Map(Object.entries({
    "mod.ts": 'export { shown } from "./a/shown.ts";\nexport * from "./a/all.ts";',
    "a/shown.ts": "export const shown = 1;\nexport function hidden() {}",
    "a/all.ts": "export class Whole {}\nexport interface Type {}",
    "a/user.ts": 'import { type Taken, other as mine } from "../b/b.ts";\nconst all = await import("./late.ts");',
    "b/b.ts": 'export abstract class Taken {}\nexport * from "./root.ts";\nexport async function left() {}',
    "b/root.ts": ["/**", ' * import { shownOnce } from "./root.ts";', " */", "export const other = 1;", "export function shownOnce() {}"]
      .join(
        "\n",
      ),
    "a/late.ts": "export const late = 1;",
  }));
  assertEquals(unusedExports(sources, ["mod.ts"]), ["a/shown.ts: hidden", "b/b.ts: left"]);
});

Deno.test("Deno.dlopen is called inside ffi/ only", () => {
  const name = ["Deno", "dlopen("].join(".");
  const callers = typescriptFiles(ROOT).filter((file) => Deno.readTextFileSync(`${ROOT}/${file}`).includes(name));
  assertEquals(callers.filter((file) => !file.startsWith("ffi/")), []);
  assertEquals(callers.length > 0, true);
});

Deno.test("the generated files mirror kernels/", () => {
  for (const [path, text] of Object.entries(generate())) {
    assertEquals(Deno.readTextFileSync(`${ROOT}/${path}`) === text, true, `${path} is stale: run "deno task generate"`);
  }
});
