import { assert, assertEquals } from "@std/assert";
import { cpSync } from "node:fs";
import { dirname } from "node:path";
import { configJsonSchema, paths } from "../actors/config/json_schema.ts";
import { loadConfig } from "../actors/config/load.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { EASYR1 } from "../actors/config/other_names.ts";
import { generated } from "../tools/generate_docs.ts";
import { generatedTasks } from "../tools/generate_tasks.ts";
import { exists } from "./files.ts";
import { ROOT } from "./root.ts";

const SLOW = Deno.args.includes("--slow");

const pages = (folder: string) =>
  Array.from(Deno.readDirSync(`${ROOT}/${folder}`), ({ name }) => `${folder}${name}`).filter((name) => name.endsWith(".md"));
const DOCUMENTS = ["README.md", ...pages("docs/"), ...pages("examples/")];
const read = (path: string) => Deno.readTextFileSync(`${ROOT}/${path}`);

/** Returns fenced blocks: the text after the fence, and the content. */
function blocks(text: string): { info: string; body: string }[] {
  return [...text.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].map(([, info, body]) => ({ info: info!.trim(), body: body! }));
}

Deno.test("the reference of the configuration, the tasks and the page of permissions match their sources", () => {
  for (const [path, text] of Object.entries({ ...generated(), ...generatedTasks() })) {
    assert(read(path) === text, `${path} is stale: run "deno task generate"`);
  }
});

Deno.test("every key with an EasyR1 name exists", () => {
  const known = paths([configJsonSchema()]);
  assertEquals(Object.keys(EASYR1).filter((path) => !known.includes(path)), []);
});

Deno.test("docs/config.md has every key", () => {
  const text = read("docs/config.md");
  const missing = paths([configJsonSchema()]).filter((path) =>
    !path.startsWith("reward.") && !text.includes(`| \`${path}\` |`) && !text.includes(`## \`${path}\`\n`)
  );
  assertEquals(missing, []);
});

Deno.test("every task that a document names is in deno.json", () => {
  const { tasks } = JSON.parse(read("deno.json")) as { tasks: Record<string, unknown> };
  const named = DOCUMENTS.flatMap((page) => [...read(page).matchAll(/deno task ([a-z][\w:-]*)/g)].map(([, name]) => `${page}: ${name}`));
  assertEquals(named.filter((name) => !(name.split(": ")[1]! in tasks)), []);
  assert(named.length > 20);
});

Deno.test("configurations in documents are valid", () => {
  const folder = Deno.makeTempDirSync();
  let count = 0;
  try {
    for (const page of DOCUMENTS) {
      const inShell = blocks(read(page)).flatMap(({ info, body }) =>
        info.startsWith("sh") ? [...body.matchAll(/^cat > \S+\.jsonc <<'END'\n([\s\S]*?)^END$/gm)].map(([, text]) => text!) : []
      );
      for (const text of [...blocks(read(page)).filter(({ info }) => info === "jsonc").map(({ body }) => body), ...inShell]) {
        Deno.writeTextFileSync(`${folder}/config.jsonc`, text);
        loadConfig({ file: `${folder}/config.jsonc` });
        count++;
      }
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  assert(count >= 2, `only ${count} were found`);
});

/** A command of a block: a file to write, or words. */
type Command = { readonly file: string; readonly text: string } | { readonly words: readonly string[] };

/** Parses the commands of a shell block, as far as documents use shell: words, quotes, and here documents. */
function commands(block: string): Command[] {
  const found: Command[] = [];
  for (let rest = block.replace(/\\\n\s*/g, ""); rest !== "";) { // a command may continue over several lines
    const here = /^cat > (\S+) <<'END'\n([\s\S]*?)^END\n/m.exec(rest);
    if (here?.index === 0) {
      found.push({ file: here[1]!, text: here[2]! });
      rest = rest.slice(here[0].length);
      continue;
    }
    const end = rest.indexOf("\n"), line = rest.slice(0, end);
    rest = rest.slice(end + 1);
    const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(#.*)|(\S+)/g)].flatMap(([, a, b, , d]) => a ?? b ?? d ?? []);
    if (words.length > 0) found.push({ words });
  }
  return found;
}

const short = (text: string) => text.replace("/step-60", "/step-2");

/**
 * Shortens trainings of the built-in task, whose checkpoints then have other step numbers. Trainings on one's own rows are short already.
 */
function shorter(words: readonly string[]): string[] {
  const named = words.map(short);
  if (words.slice(0, 3).join(" ") !== "deno task train") return named;
  const steps = words.includes("trainer.maxSteps=70") ? 3 : 2, own = words.includes("--config");
  const sets = own
    ? []
    : ["sft.steps=20", "sft.warmupSteps=0", `trainer.maxSteps=${steps}`, "trainer.saveFreq=1", "trainer.valFreq=0", "val.limit=16"];
  return [...named, ...sets.flatMap((set) => ["--set", set])];
}

/** Copies the project as a clone has it, with the kernels that were built already. */
function copyProject(to: string): void {
  const skipped = new Set([".git", ".ci", ".cache", "runs", "tests", "bench", "docs", "node_modules", "MATH-Vision"]);
  for (const { name } of Deno.readDirSync(ROOT)) if (!skipped.has(name)) cpSync(`${ROOT}/${name}`, `${to}/${name}`, { recursive: true });
  using device = CpuDevice.open();
  const built = dirname(device.library);
  cpSync(built, `${to}/.cache/${built.split("/").at(-1)}`, { recursive: true });
}

/** Returns a command's words for this test. */
function wordsOf(words: readonly string[]): string[] {
  const [program, ...args] = SLOW ? words : shorter(words);
  assertEquals(program, "deno", `this test does not know how to run "${words.join(" ")}"`);
  return args;
}

async function runIn(folder: string, command: Command): Promise<void> {
  if ("file" in command) return Deno.writeTextFileSync(`${folder}/${command.file}`, SLOW ? command.text : short(command.text));
  const { words } = command;
  if (words[0] === "mkdir") return Deno.mkdirSync(`${folder}/${words.at(-1)}`, { recursive: true });
  const { code, stdout, stderr } = await new Deno.Command("deno", { args: wordsOf(words), cwd: folder, stdin: "null" }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n");
  assertEquals(code, 0, `${words.join(" ")}\n${text}`);
}

/** Returns the commands of the quick start under fences with these words. */
const quickStart = (fence: string) =>
  blocks(read("docs/quick_start.md")).filter(({ info }) => info === fence).flatMap(({ body }) => commands(body));

async function withCopy(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    copyProject(folder);
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const MADE = [
  ...[
    "runs/board/report.html",
    "predictions.jsonl",
    "mine/rows.jsonl",
    "runs/mine_board/metrics.jsonl",
    "inspect/inspect.html",
    "exported/config.json",
  ],
];

Deno.test(`every command of the quick start runs${SLOW ? "" : "; trainings cut short (in full with --slow)"}`, async () => {
  await withCopy(async (folder) => {
    const all = quickStart("sh");
    for (const command of all) {
      // deno-lint-ignore no-await-in-loop -- each stands on those before it
      await runIn(folder, command);
    }
    assert(all.length >= 15, `only ${all.length} commands were found`);
    assertEquals(MADE.filter((file) => !exists(`${folder}/${file}`)), []);
  });
});

Deno.test({
  name: `the quick start's run that serves answers at the address that it prints${SLOW ? "" : " (skipped: runs with --slow)"}`,
  ignore: !SLOW,
  fn: async () => {
    await withCopy(async (folder) => {
      const [command, ...more] = quickStart("sh serve");
      assert(command && "words" in command && more.length === 0 && command.words.at(-1) === "--serve");
      const args = [...wordsOf(command.words), "127.0.0.1:0"]; // a free port
      await using child = new Deno.Command("deno", { args, cwd: folder, stdin: "null", stdout: "piped", stderr: "null" }).spawn();
      let said = "", found: RegExpExecArray | null = null;
      const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      while (!found) {
        // deno-lint-ignore no-await-in-loop -- until the line has come
        const { value, done } = await lines.read();
        assert(!done, said);
        found = /(http:\/\/127\.0\.0\.1:\d+)\/#token=(\S+)\n/.exec(said += value);
      }
      const [, url, token] = found, headers = { authorization: `Bearer ${token}` };
      const status = await (await fetch(`${url}/v1/status`, { headers })).json() as { name: string };
      assertEquals(status.name, "watched");
      const stopped = await fetch(`${url}/v1/stop`, { method: "POST", headers });
      assertEquals([stopped.status, await stopped.json() !== null], [200, true]);
      for (let done = false; !done;) {
        // deno-lint-ignore no-await-in-loop -- to its end
        done = (await lines.read()).done;
      }
      assertEquals((await child.status).code, 0);
    });
  },
});
