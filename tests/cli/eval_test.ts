import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { extractAnswer } from "../../verify/mod.ts";
import { runChild } from "../child.ts";
import { ROOT } from "../root.ts";
import { MODEL_PERMISSIONS, withModel } from "./model.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads counts as a leak

const PICTURE = `${ROOT}/tests/golden/image_processor_synthetic/rgb_wide.png`;
const run = (...args: string[]) => runChild("cli/eval.ts", { permissions: MODEL_PERMISSIONS, args });
const lines = (path: string) => Deno.readTextFileSync(path).trim().split("\n").map((line) => JSON.parse(line));

const ROWS = [
  { question: "What is 1 + 1?", answer: "2", subject: "sum", level: 1 },
  { question: "What is 2 + 3?", answer: "5", subject: "sum", level: 2 },
  { question: "What is 2 x 3?", answer: "6", subject: "product", level: 1 },
];

Deno.test("eval prints a table with groups and writes every answer; the same seed gives the same answers with any limit", () =>
  withModel(async (folder) => {
    Deno.writeTextFileSync(`${folder}/rows.jsonl`, ROWS.map((row) => `${JSON.stringify(row)}\n`).join(""));
    Deno.writeTextFileSync(
      `${folder}/reward.ts`,
      "export default ({ fields }) => fields.level === 1 ? 1 : 0;\n",
    );
    const args = ["--model", `${folder}/model`, "--data", `${folder}/rows.jsonl`, "--prompt-key", "question", "--format-prompt", "boxed"];
    const sampled = [
      ...args,
      "--n",
      "4",
      "--k",
      "1,4",
      "--max-tokens",
      "8",
      "--seed",
      "2",
      "--reward",
      `${folder}/reward.ts`,
      "--device",
      "cpu",
    ];
    const [whole, part] = await Promise.all([
      run(...sampled, "--by", "subject,level", "--predictions", `${folder}/whole.jsonl`),
      run(...sampled, "--limit", "2", "--predictions", `${folder}/part.jsonl`),
    ]);
    assertEquals([whole.code, part.code], [0, 0], whole.stderr + part.stderr);
    const table = whole.stdout.split("\n").map((line) => line.split(/\s{2,}/));
    assertStringIncludes(whole.stdout, "3 problems, 4 answers each, temperature 1, top-p 1, seed 2, on cpu");
    assertEquals(table[2], ["subject", "level", "problems", "accuracy %", "avg@4 %", "pass@1 %", "pass@4 %", "maj@4 %", "reward"]);
    assertMatch(table[3]!.join("|"), /^all\|3\|66\.7 \[20\.8, 93\.9\]\|66\.7 \[0\.0, 100\.0\]b\|.*\|0\.667$/);
    assertEquals(table.slice(4, 7).map((row) => [...row.slice(0, 3), row.at(-1)]), [
      ["product", "1", "1", "1.000"],
      ["sum", "1", "1", "1.000"],
      ["sum", "2", "1", "0.000"],
    ]);
    const predictions = lines(`${folder}/whole.jsonl`);
    assertEquals(
      predictions.map(({ id, sample }) => [id, sample]),
      [0, 1, 2].flatMap((row) => [0, 1, 2, 3].map((n) => [`rows.jsonl:${row}`, n])),
    );
    const { id: _, response, answer, tokens, finish, ...first } = predictions[0]!;
    assertEquals(first, {
      sample: 0,
      prompt: "What is 1 + 1?\n\nReason step by step, and put the final answer in \\boxed{}.",
      truth: "2",
      accuracy: 1,
      reward: 1,
      fields: { subject: "sum", level: 1 },
    });
    assertEquals(answer, extractAnswer(response)?.answer ?? null);
    assertEquals([typeof response, tokens <= 8, ["stop", "length"].includes(finish)], ["string", true, true]);
    assertEquals(new Set(predictions.map(({ response }) => response)).size > 3, true);
    assertEquals(lines(`${folder}/part.jsonl`), predictions.slice(0, 8));
  }));

Deno.test("eval uses the held-out boards, and decodes greedily for one answer", () =>
  withModel(async (folder) => {
    const args = [
      "--model",
      `${folder}/model`,
      "--data",
      "board",
      "--limit",
      "2",
      "--max-tokens",
      "4",
      "--predictions",
      `${folder}/p.jsonl`,
    ];
    const { code, stdout, stderr } = await run(...args, "--board-options", '{"side":2,"digits":3}', "--seed", "9");
    assertEquals(code, 0, stderr);
    assertStringIncludes(stdout, "on board/val: 2 problems, 1 answers each, greedy, seed 9");
    assertEquals(stdout.includes("avg@1"), false);
    const [first] = lines(`${folder}/p.jsonl`);
    assertStringIncludes(first.prompt, "<image>");
    assertEquals([first.accuracy, first.reward, "kind" in first.fields], [0, 0, true]);
  }));

Deno.test("eval reads pictures and columns by the given names, and grades with the given verifier", () =>
  withModel(async (folder) => {
    Deno.mkdirSync(`${folder}/pictures`);
    Deno.copyFileSync(PICTURE, `${folder}/pictures/wide.png`);
    const row = { q: "How many circles?", a: "A", pic: "wide.png", options: ["5", "6"] };
    Deno.writeTextFileSync(`${folder}/rows.jsonl`, `${JSON.stringify(row)}\n`);
    const keys = ["--prompt-key", "q", "--answer-key", "a", "--image-key", "pic", "--image-dir", `${folder}/pictures`];
    const reward = ["--reward", '{"parts":{"accuracy":{"use":"multiple_choice","weight":0.5},"format":{"use":"format","weight":0.5}}}'];
    const args = [
      "--model",
      `${folder}/model`,
      "--data",
      `${folder}/rows.jsonl`,
      "--max-tokens",
      "4",
      "--predictions",
      `${folder}/p.jsonl`,
    ];
    const { code, stderr } = await run(...args, ...keys, ...reward);
    assertEquals(code, 0, stderr);
    const [{ prompt, truth }] = lines(`${folder}/p.jsonl`);
    assertEquals([prompt.includes("<image>"), prompt.includes("How many circles?"), truth], [true, true, "A"]);
  }));

Deno.test("eval as a process: a mistake ends with code 2, a failure with 1, both with a plain message; without videos missing video programs are not mentioned", () =>
  withModel(async (folder) => {
    Deno.writeTextFileSync(`${folder}/rows.jsonl`, `${JSON.stringify(ROWS[0])}\n`);
    const base = ["--model", `${folder}/model`, "--data", `${folder}/rows.jsonl`, "--prompt-key", "question"];
    const [mistake, failure, help] = await Promise.all([
      run(...base, "--n", "0"),
      run(...base, "--by", "topic", "--max-tokens", "1"),
      run("--help"),
    ]);
    assertEquals([mistake.code, failure.code, help.code], [2, 1, 0]);
    assertEquals(
      mistake.stderr,
      'Cannot evaluate: --n is "0", but must be a whole number of at least 1\ndeno task eval --help lists the options\n',
    );
    assertMatch(failure.stderr, /^(\d+ of \d+ answers.*\n)?Cannot .*no record has a column "topic".*\n$/);
    assertStringIncludes(help.stdout, "--board-options JSON");
  }));
