/**
 * Checks that comments and documents refer only to what exists: files, sections of documents, and sections of docs/method.md.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { dirname, join } from "node:path";
import { filesBelow } from "../tools/imports.ts";
import { ROOT } from "./root.ts";

const SOURCE = /\.(ts|js|css|h|cuh|cu|cpp)$/;
// Golden files come from elsewhere, and tests and benches may name what lies beside a checkout (they say that they skip it).
const FILES = filesBelow(ROOT).filter((file) => !file.startsWith("tests/golden/") && !file.endsWith(".lock"));
const KNOWN = new Set(FILES);
const read = (file: string) => Deno.readTextFileSync(join(ROOT, file));

/** Returns the comments of a source text. Strings are excluded as far as single lines show them. */
function comments(source: string): string {
  const blocks = [...source.matchAll(/\/\*[\s\S]*?\*\//g)].map(([text]) => text.replace(/```[\s\S]*?```/g, ""));
  const lines = [...source.matchAll(/^[^"'`\n]*?\/\/(.*)$/gm)].map(([, text]) => text!);
  return [...blocks, ...lines].join("\n");
}

/** Returns the names of project files that a text mentions, such as `rl/atrl/graph.ts` or `team.h`. */
function mentioned(text: string): string[] {
  return [...text.matchAll(/(?<![\w./<*{-])((?:\.\.?\/)*(?:[\w-]+\/)*[\w-]+\.(?:md|ts|h|cuh|cu|cpp))(?![\w(*{-]|\.\w)/g)].map(([, name]) =>
    name!
  );
}

/** Tells whether a name is a file: from the root, from the folder of the text, or as the end of one file's path. */
function there(name: string, from: string): boolean {
  const plain = name.replace(/^(\.\.?\/)+/, "");
  return KNOWN.has(plain) || KNOWN.has(join(dirname(from), name)) || FILES.some((file) => file.endsWith(`/${plain}`));
}

const withoutBlocks = (markdown: string) => markdown.replace(/^```[^\n]*\n[\s\S]*?^```$/gm, "");

/** Returns the anchors of a Markdown document, as GitHub makes them. */
function anchors(markdown: string): Set<string> {
  const titles = [...withoutBlocks(markdown).matchAll(/^#{1,6} +(.*)$/gm)].map(([, title]) =>
    title!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
  );
  return new Set(titles.map((title) => title.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").trim().replaceAll(" ", "-")));
}

/** Returns the links of a Markdown document that lead to files or sections of the project. */
function links(markdown: string): string[] {
  const prose = withoutBlocks(markdown).replace(/`[^`\n]*`/g, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!).filter((link) => !/^[a-z]+:/.test(link));
}

Deno.test("comments name files that are there", () => {
  const beside = /^(tests|bench)\//;
  const missing = FILES.filter((file) => SOURCE.test(file)).flatMap((file) =>
    mentioned(comments(read(file)))
      .filter((name) => !there(name, file) && !(beside.test(file) && name.startsWith("../shared/")) && !EXAMPLES.has(name))
      .map((name) => `${file}: ${name}`)
  );
  assertEquals(missing, []);
});

// Names in comments that stand for a user's file or a system's file.
const EXAMPLES = new Set<string>(["./my_reward.ts", "./my_loss.ts", "./loss.ts", "mine.ts", "helper.ts"]);

Deno.test("links of documents lead to files and sections that are there", () => {
  const all = FILES.filter((file) => file.endsWith(".md")).flatMap((file) => links(read(file)).map((link) => ({ file, link })));
  const broken = all.filter(({ file, link }) => {
    const [path, anchor] = link.split("#"), target = path ? join(dirname(file), path) : file;
    if (!KNOWN.has(target)) return anchor !== undefined || !FILES.some((other) => other.startsWith(`${target.replace(/\/$/, "")}/`));
    return anchor !== undefined && !anchors(read(target)).has(anchor);
  });
  assertEquals(broken, []);
  assertEquals(all.length > 50, true, "the list must be that of the documents");
});

Deno.test("sections of docs/method.md that comments name are there", () => {
  const sections = new Set([...read("docs/method.md").matchAll(/^#+ (\d+(?:\.\d+)?)\.? /gm)].map(([, number]) => number!));
  const named = FILES.filter((file) => SOURCE.test(file) || file.endsWith(".md")).flatMap((file) =>
    [...read(file).matchAll(/method\.md\)?,? sections? ([\d.]+)(?:(?: and | to )([\d.]+))?/g)].flatMap(([, ...numbers]) =>
      numbers.filter((number) => number !== undefined).map((number) => ({ file, number: number.replace(/\.$/, "") }))
    )
  );
  assertEquals(named.filter(({ number }) => !sections.has(number)), []);
  assertEquals(named.length >= 10, true, "the kernels name the sections that they compute");
});

Deno.test("docs/architecture.md names functions and classes that are in the files that it names", () => {
  const named = [...read("docs/architecture.md").matchAll(/`([\w./]+\.(?:ts|cpp|cu|h))`: ((?:`#?\w+`(?:, )?)+)/g)].flatMap((
    [, file, names],
  ) => [...names!.matchAll(/`(#?\w+)`/g)].map(([, name]) => ({ file: file!, name: name! })));
  const missing = named.filter(({ file, name }) => !KNOWN.has(file) || !new RegExp(`(?<![\\w#])${name}\\b`).test(read(file)));
  assertEquals(missing, []);
  assertEquals(named.length >= 50, true);
});

Deno.test("CONTRIBUTING.md names files and folders that are there", () => {
  const spans = [...withoutBlocks(read("CONTRIBUTING.md")).matchAll(/`([^`\n]+)`/g)].map(([, span]) => span!);
  const paths = spans.flatMap((span) => /^[\w./-]+\/(?:[\w-]+\.\w+)?$|^[\w-]+\.(?:ts|json|md|h)$/.test(span) ? [span] : []);
  const missing = paths.filter((path) => !KNOWN.has(path) && !(path.endsWith("/") && FILES.some((file) => file.startsWith(path))));
  assertEquals(missing.filter((path) => !EXAMPLES.has(path)), []);
  assertEquals(paths.length >= 40, true, `only ${paths.length} paths were found`);
});

Deno.test("nothing but tests and benches refers to a folder beside the checkout", () => {
  const found = FILES.filter((file) => (SOURCE.test(file) || file.endsWith(".md")) && !/^(tests|bench|docs\/log)/.test(file))
    .filter((file) => /(^|[^\w])(\.\.\/)?shared\//m.test(read(file)));
  assertEquals(found, []);
});

Deno.test("the reference rules find what they are there to find", () => {
  assertEquals(mentioned("see rl/atrl/graph.ts and team.h; not `a.json`, not x.tsx"), ["rl/atrl/graph.ts", "team.h"]);
  assertEquals(there("rl/atrl/graph.ts", "mod.ts"), true);
  assertEquals(there("shared/ATRL.md", "mod.ts"), false);
  assertEquals([...anchors("# The method: AT-RL, exactly\n## 3. Weights: W(C_k)")], ["the-method-at-rl-exactly", "3-weights-wc_k"]);
  assertEquals([...anchors("## [A file](a.md)\n```sh\n# no title\n```\n")], ["a-file"]);
  assertEquals(links("[a](a.md#b), [w](https://w.example), `[c](c.md)`\n```ts\n[d](d.md)\n```\n"), ["a.md#b"]);
});
