/** Tests what a user's reward module can access. Every way is tried without permission and with it. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { GraderPool, type GraderPoolOptions, planReward } from "../../verify/mod.ts";
import { runDeno } from "../deno.ts";
import { ROOT } from "../root.ts";

/**
 * Ways to access something, by name. The module that tries them lies beside `helper.ts`, `own.txt`, `private.txt` and `link.txt`, which
 * links outside.
 */
const WAYS = {
  own: {
    helper: '(await import("./helper.ts")).helped',
    text: '(await import("./own.txt", { with: { type: "text" } })).default',
    npmPackage: "typeof z.object",
    kedge: 'extractAnswer("\\\\boxed{1}") !== undefined',
  },
  read: {
    importText: '(await import("SECRETS/secret.txt", { with: { type: "text" } })).default',
    importTextByName: 'await import(["SECRETS", "secret.txt"].join("/"), { with: { type: "text" } })',
    importJson: 'await import("SECRETS/secret.json", { with: { type: "json" } })',
    importModule: 'await import("SECRETS/secret.ts")',
    staticImport: 'await import("./reaches_out.ts")',
    fileUrl: 'await (await fetch("file://SECRETS/secret.txt")).text()',
    deno: 'Deno.readTextFileSync("SECRETS/secret.txt")',
    node: '(await import("node:fs")).readFileSync("SECRETS/secret.txt")',
    require: '(await import("node:module")).createRequire("file://SECRETS/x.js")("./secret.json")',
    worker: 'await worker(`import t from "file://SECRETS/secret.txt" with { type: "text" }; postMessage(t)`)',
    workerModule: 'await workerAt("file://SECRETS/speaks.ts")',
    folder: '[...Deno.readDirSync("SECRETS")].length',
  },
  net: {
    fetch: 'await (await fetch("http://HOST/")).text()',
    connect: 'Deno.connect({ hostname: "127.0.0.1", port: PORT }).then((c) => c.close())',
    importCode: 'await import("http://HOST/code.ts")',
    webSocket:
      'await new Promise((yes, no) => { const s = new WebSocket("ws://HOST/"); s.onopen = yes; s.onerror = (e) => /capable|access/i.test(e.message) ? no(e) : yes(e); })',
    workerFetch: 'await worker(`postMessage(await (await fetch("http://HOST/")).text())`)',
  },
  env: {
    deno: 'Deno.env.get("HOME").length',
    node: '(await import("node:process")).default.env.HOME.length',
  },
  /** No permission opens these. */
  never: {
    importThroughLink: 'await import("./link.txt", { with: { type: "text" } })',
    link: 'Deno.readTextFileSync(new URL("./link.txt", import.meta.url))',
    unimported: 'Deno.readTextFileSync(new URL("./private.txt", import.meta.url))',
    ownFolder: '[...Deno.readDirSync(new URL(".", import.meta.url))].length',
    write: 'Deno.writeTextFileSync("SECRETS/secret.txt", "")',
    writeOwn: 'Deno.writeTextFileSync(new URL("./own.txt", import.meta.url), "")',
    nodeWrite: '(await import("node:fs")).writeFileSync("SECRETS/secret.txt", "")',
    symlink: 'Deno.symlinkSync("SECRETS/private.txt", new URL("./l", import.meta.url))',
    command: 'new Deno.Command("cat", { args: ["SECRETS/secret.txt"] }).outputSync()',
    childProcess: '(await import("node:child_process")).execFileSync("cat", ["SECRETS/secret.txt"])',
    kill: 'Deno.kill(Deno.ppid, "SIGCONT")',
    library: 'Deno["dlopen"]("libc.so.6", {})',
    environment: "Object.keys(Deno.env.toObject()).length",
    system: "Deno.hostname()",
    home: '(await import("node:os")).homedir()',
    strangeHost: 'await fetch("http://127.0.0.1:OTHER/")',
    codeByName: 'await import("http://HOST/" + "other.ts")',
    strangeCode: 'await import("https://esm.sh/" + "x.ts")',
    strangePackage: 'await import("npm:kedge-" + "none")',
    strangeJsr: 'await import("jsr:@std/" + "path")',
    listen: "Deno.listen({ port: 0 }).close()",
    names: 'await Deno.resolveDns("localhost", "A")',
    sqlite: 'new (await import("node:sqlite")).DatabaseSync("SECRETS/database")',
    inspector: '(await import("node:inspector")).open(0)',
    stored: 'localStorage.setItem("a", "b")',
    cached: 'await caches.open("a")',
    asked: '(await Deno.permissions.request({ name: "read" })).state === "granted" || (() => { throw new Error("denied"); })()',
  },
} as const;

/** The source of the module. It tries every way that its input names. */
const TRIES = `import { z } from "npm:zod@^4.6.7";
import { extractAnswer } from "file://${ROOT}/verify/answer/extract.ts";
const workerAt = (url) => new Promise((yes, no) => {
  const worker = new Worker(url, { type: "module" }), end = (settle) => (event) => (event.preventDefault?.(), worker.terminate(), settle(event));
  worker.onmessage = end(yes);
  worker.onerror = end((event) => no(new Error(event.message)));
});
const worker = (code) => workerAt("data:application/javascript," + encodeURIComponent(code));
const ways = { ALL };
export default async ({ fields }) => {
  const open = { overall: 1 };
  for (const way of fields.ways) open[way] = await (async () => ways[way]())().then(() => 1, () => 0);
  return open;
};
`;

interface Place {
  /** The module's path. */
  readonly module: string;
  /** A folder with secrets. */
  readonly secrets: string;
  readonly host: string;
}

async function withPlace(body: (place: Place) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync(), secrets = `${folder}/secrets`, own = `${folder}/project/rewards`;
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    ({ url }) =>
      new Response(url.endsWith(".ts") ? "export {};" : "hello", {
        headers: { "content-type": url.endsWith(".ts") ? "application/typescript" : "text/plain" },
      }),
  );
  const other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    for (const path of [secrets, own]) Deno.mkdirSync(path, { recursive: true });
    const host = `127.0.0.1:${server.addr.port}`;
    const filled = (text: string) =>
      text.replaceAll("SECRETS", secrets).replaceAll("HOST", host).replaceAll("PORT", String(server.addr.port)).replaceAll(
        "OTHER",
        String((other.addr as Deno.NetAddr).port),
      );
    const ways = Object.entries(WAYS).flatMap(([kind, all]) =>
      Object.entries(all).map(([name, code]) => `"${kind}.${name}": async () => ${filled(code)}`)
    );
    const files = {
      [`${secrets}/secret.txt`]: "secret",
      [`${secrets}/secret.json`]: "{}",
      [`${secrets}/secret.ts`]: "export const secret = 1;",
      [`${secrets}/speaks.ts`]: 'postMessage("secret");',
      [`${own}/helper.ts`]: "export const helped = 1;",
      [`${own}/reaches_out.ts`]: 'import text from "../../secrets/secret.txt" with { type: "text" }; export default text;',
      [`${own}/own.txt`]: "own",
      [`${own}/private.txt`]: "private",
      [`${own}/tries.ts`]: TRIES.replace("ALL", () => ways.join(",\n")),
      [`${own}/static.ts`]: 'import text from "../../secrets/secret.txt" with { type: "text" }; export default () => text.length;',
    };
    for (const [path, text] of Object.entries(files)) Deno.writeTextFileSync(path, text);
    const link = await runDeno(["eval", `Deno.symlinkSync("${secrets}/secret.txt", "${own}/link.txt")`], { cwd: folder });
    assertEquals(link.code, 0, link.stderr);
    await body({ module: `file://${own}/tries.ts`, secrets, host });
  } finally {
    other.close();
    await server.shutdown();
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Returns the ways that succeed. */
async function open(module: string, options: GraderPoolOptions): Promise<string[]> {
  const ways = Object.entries(WAYS).flatMap(([kind, all]) => Object.keys(all).map((name) => `${kind}.${name}`));
  await using pool = new GraderPool(planReward(module, module), { workers: 1, timeLimit: 60_000, ...options });
  const [graded] = await pool.grade([{ response: "", truth: "", fields: { ways } }]);
  assertEquals(Object.keys(graded!.parts).length, ways.length, graded!.reason);
  return ways.filter((way) => graded!.parts[way] === 1);
}

const named = (...kinds: (keyof typeof WAYS)[]) => kinds.flatMap((kind) => Object.keys(WAYS[kind]).map((name) => `${kind}.${name}`));

Deno.test("a reward module can access its own folder's imports, packages, and what it has permission for", () =>
  withPlace(async ({ module, secrets, host }) => {
    const [without, granted] = await Promise.all([open(module, {}), open(module, { read: [secrets], net: [host], env: ["HOME"] })]);
    assertEquals(without, named("own"));
    assertEquals(granted, named("own", "read", "net", "env"));
    assertEquals(Deno.readTextFileSync(`${secrets}/secret.txt`), "secret");
  }));

Deno.test("a reward module whose static import lies outside its folder loads only with permission, and the error names the key", () =>
  withPlace(async ({ module, secrets }) => {
    const outside = module.replace("tries.ts", "static.ts"), asked = [{ response: "", truth: "" }];
    await using shut = new GraderPool(planReward(outside, outside), { workers: 1 });
    const error = await assertRejects(() => shut.grade(asked), KedgeError, 'Requires read access to "');
    assertStringIncludes(error.message, "`grader.read` of the configuration permits");
    await using granted = new GraderPool(planReward(outside, outside), { workers: 1, read: [`${secrets}/secret.txt`] });
    assertEquals((await granted.grade(asked))[0]!.overall, 6);
  }));
