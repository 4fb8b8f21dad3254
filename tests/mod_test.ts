import { assertEquals } from "@std/assert";
import { runChild } from "./child.ts";
import { runDeno } from "./deno.ts";
import { ROOT } from "./root.ts";

/** The entry points that a program can import, by their name in the package. */
const EXPORTS = (JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)) as { exports: Record<string, string> }).exports;
const ENTRIES = Object.values(EXPORTS).map((path) => path.slice(2));

/** The part of `deno doc --json` about an export that is read here. */
interface Documented {
  readonly name: string;
  readonly declarations: readonly {
    readonly kind: string;
    readonly jsDoc?: { readonly doc?: string; readonly tags?: readonly { readonly kind: string; readonly doc?: string }[] };
  }[];
}

/** The exports of a module. */
async function exportsOf(path: string): Promise<Documented[]> {
  const { code, stdout, stderr } = await runDeno(["doc", "--json", path], { cwd: ROOT });
  assertEquals(code, 0, stderr);
  const { nodes } = JSON.parse(stdout) as { nodes: Record<string, { symbols: Documented[] }> };
  return Object.values(nodes).flatMap(({ symbols }) => symbols);
}

/** Functions and classes without an example that asserts. */
function withoutExample(symbols: readonly Documented[]): string[] {
  const shown = ({ declarations }: Documented) =>
    declarations.some(({ jsDoc }) => jsDoc?.tags?.some(({ kind, doc }) => kind === "example" && /\bassert\w*\(/.test(doc ?? "")));
  const code = symbols.filter(({ declarations }) => declarations.some(({ kind }) => kind === "function" || kind === "class"));
  return code.filter((symbol) => !shown(symbol)).map(({ name }) => name);
}

Deno.test("importing the library needs no permission", async () => {
  const { code, stderr } = await runChild("mod.ts", { permissions: [] });
  assertEquals([code, stderr], [0, ""]);
});

Deno.test("a script in another folder imports the entry points through the checkout's configuration", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const names = Object.keys(EXPORTS).map((name) => `@kedge/kedge${name.slice(1)}`);
    const source = `${names.map((name, i) => `import * as entry${i} from "${name}";`).join("\n")}
      console.log([${names.map((_, i) => `entry${i}`)}].map((entry) => Object.keys(entry).length > 0).join());`;
    Deno.writeTextFileSync(`${folder}/script.ts`, source);
    const { stdout, stderr } = await runDeno(["run", "--no-prompt", `--config=${ROOT}/deno.json`, "script.ts"], { cwd: folder });
    assertEquals([stdout, stderr], [`${names.map(() => true).join()}\n`, ""]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a name that has moved is what it is at its new place, and the front page does not list it", async () => {
  const front = await import("../mod.ts") as Record<string, unknown>;
  const places = Object.keys(EXPORTS).filter((name) => name !== "." && name !== "./control").map((name) => name.slice(2));
  const listed = new Set((await exportsOf("mod.ts")).map(({ name }) => name));
  let moved = 0;
  for (const place of places) {
    // deno-lint-ignore no-await-in-loop -- a few modules that are loaded already
    const [old, entry] = await Promise.all([import(`../deprecated/${place}.ts`), import(`../${EXPORTS[`./${place}`]}`)]);
    const text = Deno.readTextFileSync(`${ROOT}/deprecated/${place}.ts`);
    const renamed = new Map([...text.matchAll(/const (\w+): typeof \w+\.(\w+)/g)].map(([, name, now]) => [name!, now!]));
    assertEquals([...renamed.keys()].sort(), Object.keys(old).sort());
    for (const [name, now] of renamed) assertEquals([name, front[name] === entry[now], listed.has(name)], [name, true, false]);
    moved += renamed.size;
  }
  assertEquals([moved > 100, listed.size < 60], [true, true]);
});

Deno.test("every exported function and class has an example that asserts", async () => {
  const symbols = (await Promise.all(ENTRIES.map(exportsOf))).flat();
  assertEquals(withoutExample(symbols), []);
  assertEquals(symbols.length > 300, true, "the list must be that of the library");
});

Deno.test("the rule for examples finds violations", () => {
  const symbol = (kind: string, doc?: string): Documented => ({
    name: `${kind}: ${doc}`,
    declarations: [{ kind, jsDoc: { doc: "assertEquals(1, 1)", tags: doc === undefined ? [] : [{ kind: "example", doc }] } }],
  });
  const symbols = [
    symbol("function"),
    symbol("class", "run()"),
    symbol("class", "assert(run())"),
    symbol("function", "assertEquals(1, 1)"),
    symbol("interface"),
  ];
  assertEquals(withoutExample(symbols), ["function: undefined", "class: run()"]);
});

Deno.test("every export and each of its public members is documented, and names no type that is not exported", async () => {
  const { code, stderr } = await runDeno(["doc", "--lint", ...ENTRIES], { cwd: ROOT });
  assertEquals([code, stderr.split("\n").filter((line) => /^\s*(error|-->)/.test(line))], [0, []]);
});
