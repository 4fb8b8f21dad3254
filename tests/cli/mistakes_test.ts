// deno-lint-ignore-file no-console camelcase -- what commands print is caught; programs are named as their files
/**
 * Tests what each command prints for its likeliest mistakes, and its exit code. Commands run in this process; separate programs run as
 * child processes.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ablate } from "../../cli/ablate.ts";
import { build } from "../../cli/build.ts";
import { endOf } from "../../cli/command.ts";
import { doctor } from "../../cli/doctor.ts";
import { evalModel } from "../../cli/eval.ts";
import { exportModel } from "../../cli/export.ts";
import { initModel } from "../../cli/init_model.ts";
import { inspect } from "../../cli/inspect.ts";
import { train } from "../../cli/train.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { openDevice } from "../../ffi/open.ts";
import { type ChildEnd, runChild } from "../child.ts";
import { ROOT } from "../root.ts";
import { withModel } from "./model.ts";

openDevice("auto")[Symbol.dispose](); // a library that a test loads counts as a leak
await import("sharp"); // so does the picture decoder

type Command = (args: readonly string[]) => number | Promise<number>;
/** Arguments ("F" is the test's folder, "M" the model in it), and parts of the message. The exit code is 2 unless a number comes first. */
type Case = readonly [args: readonly string[], ...said: (string | number)[]];

const COMMANDS: Readonly<Record<string, Command>> = {
  train,
  serve: (args) => train(args, { stays: true }),
  sft: (args) => train(args, { warmStartOnly: true }),
  ablate,
  eval: evalModel,
  inspect,
  export: exportModel,
  "init-model": initModel,
  build,
  doctor,
};

const RUN: readonly Case[] = [
  [["F/my.jsonc"], 'unexpected argument "F/my.jsonc"; did you mean --config F/my.jsonc?'],
  [["--confg", "F/my.jsonc"], 'unknown option "--confg"; did you mean --config?'],
  [["--config"], "--config needs a value: --config FILE"],
  [["--config", "--dry-run"], "--config needs a value"],
  [["--config="], "--config needs a value"],
  [["--config", "F/my.json"], "--config F/my.json: there is no such file; did you mean F/my.jsonc?"],
  [["--config", "F"], "it is a folder, not a file"],
  [["--config", "F/broken.jsonc"], "F/broken.jsonc:1:", "brace expected"],
  [["--config", "F/wrong.jsonc"], 'unknown key "rollout.temprature"; did you mean "temperature"?'],
  [["--config", "F/my.jsonc", "--config", "F/wrong.jsonc"], "--config is given 2 times"],
  [["-config", "F/my.jsonc"], "options begin with two dashes: --config"],
  [["config", "F/my.jsonc"], 'unexpected argument "config"; did you mean --config?'],
  [["--set", "rollout.n"], 'Cannot set "rollout.n": it takes a.b=value'],
  [["--set", "rollout.n", "8"], "--set takes one argument: --set rollout.n=8"],
  [["--set", "rollout.n=many"], "rollout.n: ", "expected number"],
  [["--set", "optim.learningRate=1e-5"], 'did you mean "optim.lr"?'],
  [["--set", "algorithm.advantage=rloo"], 'did you mean "algorithm.advEstimator"?'],
  [["rollout.n=8"], "did you mean --set rollout.n=8?"],
  [["--rollout.n", "8"], "did you mean --set rollout.n=8?"],
  [["--learning_rate=1e-5"], "did you mean --set optim.lr=1e-5?"],
  [["--name", "a/b"], "name: 1 to 100 letters, digits"],
  [["--name", "-x"], "--name needs a value"],
  [["--dry-run=perhaps"], '--dry-run accepts no value, but got "perhaps"'],
  [["--", "--dry-run"], 'leave the "--" out'],
  [["M"], "did you mean --set model.path=M?"],
  [["F/rows.jsonl"], "did you mean --set data.task=files --set data.trainFiles=F/rows.jsonl?"],
  [["--set", "data.task=files"], "set model.path", "set data.trainFiles"],
];

const CASES: Readonly<Record<string, readonly Case[]>> = {
  train: [
    ...RUN,
    [["--token", "x"], "--token needs --serve"],
    [["--port", "80"], "did you mean --serve :PORT?"],
    [["--serve", "http://x"], 'Cannot listen at "http://x": it must be HOST:PORT'],
    [["--set", "model.path=F/none", "--dry-run"], 1, "F/none"],
  ],
  serve: [
    ...RUN.filter(([args]) => !["F/my.jsonc", "config", "rollout.n=8", "M", "F/rows.jsonl"].includes(args[0]!) && args[2] !== "8"),
    [["F/my.jsonc"], 'Cannot listen at "F/my.jsonc": it must be HOST:PORT'],
    [[":1", ":2"], 'unexpected argument ":2": only 1 ADDRESS is accepted'],
    [["--port", "80"], "did you mean deno task serve :PORT?"],
    [["--serve", ":80"], "did you mean deno task serve ADDRESS?"],
    [["x:99999"], 'Cannot listen at "x:99999"'],
  ],
  sft: [...RUN, [["--stpes", "5"], "did you mean --set sft.steps=5?"], [["--set", "sft.learningRate=1"], 'did you mean "sft.lr"?']],
  ablate: [
    [["--seed", "3"], 'unknown option "--seed"; did you mean --seeds?'],
    [["--rates", "1e-4,x"], '--rates has "x"'],
    [["--preset", "minute"], "did you mean minutes?"],
    [["--seeds"], "--seeds needs a value: --seeds N"],
    [["--seeds", "0"], '--seeds is "0", but must be a whole number of at least 1'],
    [["--steps", "ten"], '--steps is "ten"'],
    [["--methods", "off,sofd"], "but must be one of off, soft", "did you mean soft?"],
    [["--set", "rollout"], 'Cannot set "rollout": it takes a.b=value'],
    [["--set", "rolout.n=2"], 'did you mean "rollout.n"?'],
    [["--dir", "F/not.png"], "--dir F/not.png: it is a file, not a folder"],
    [["--out", "F/none/x"], "the folder F/none does not exist; create it first"],
    [["5"], 'unexpected argument "5"'],
    [["--steps", "3", "--steps", "4"], "--steps is given 2 times"],
  ],
  eval: [
    [[], "missing --model DIR and --data FILE|board"],
    [["--model", "M"], "missing --data FILE|board"],
    [["--modle", "M"], "did you mean --model?"],
    [["M", "--data", "board"], "did you mean --model M?"],
    [["F/rows.jsonl", "--model", "M"], "did you mean --data F/rows.jsonl?"],
    [["--model", "F/modle", "--data", "board"], "--model F/modle: there is no such folder; did you mean F/model?"],
    [["--model", "F/run", "--data", "board"], "it is not a model folder", "did you mean F/run/checkpoints/step-12?"],
    [["--model", "F/not.png", "--data", "board"], "it is a file, not a folder"],
    [["--model", "M", "--data", "F/row.jsonl"], "there is no such file; did you mean F/rows.jsonl?"],
    [["--model", "M", "--data", "F/pictures"], 1, "name the files in it"],
    [["--model", "M", "--data", "F/bad.jsonl"], 1, "row 0 of F/bad.jsonl", "is not JSON"],
    [["--model", "M", "--data", "F/noanswer.jsonl"], 1, 'its "answer" is missing; the row has problem, reply'],
    [["--model", "M", "--data", "board", "--n", "few"], '--n is "few", but must be a whole number of at least 1'],
    [["--model", "M", "--data", "board", "--n", "0"], '--n is "0"'],
    [["--model", "M", "--data", "board", "--k", "1,x"], '--k is "x"'],
    [["--model", "M", "--data", "board", "--k", "4"], "--k 4 needs at least that many answers to each question: --n 4"],
    [["--model", "M", "--data", "board", "--n", "2", "--temperature", "0"], "all 2 answers would be the same"],
    [["--model", "M", "--data", "board", "--temperature", "-1"], 'write one that begins with "-" as --temperature=-1'],
    [["--model", "M", "--data", "board", "--top-p", "1.5"], '--top-p is "1.5", but must be a number from 0 to 1'],
    [["--model", "M", "--data", "board", "--max-token", "8"], "did you mean --max-tokens?"],
    [["--model", "M", "--data", "board", "--reward", "maths"], 'unknown reward "maths"'],
    [["--model", "M", "--data", "board", "--reward", "{"], "--reward is not JSON"],
    [["--model", "M", "--data", "board", "--board-options", '{"sid":3}'], "unknown option sid"],
    [["--model", "M", "--data", "F/rows.jsonl", "--board-options", "{}"], "applies only to --data board"],
    [["--model", "M", "--data", "board", "--format-prompt", "boxed"], "applies only to --data FILE"],
    [["--model", "M", "--data", "F/rows.jsonl", "--format-prompt", "boxd"], "a text with {content} once"],
    [["--model", "M", "--data", "board", "--predictions", "F"], "--predictions F: it is a folder, not a file"],
    [["--model", "M", "--data", "board", "--predictions", "F/none/p.jsonl"], "the folder F/none does not exist; create it first"],
    [["--model", "M", "--data", "board", "--device", "gpu"], "but must be auto, cpu, cuda or cuda:N"],
    [["--checkpoint", "M", "--data", "board"], "did you mean --model DIR?"],
  ],
  inspect: [
    [[], "missing --model DIR and --image FILE and --prompt TEXT"],
    [["--model", "M", "--image", "F/none.png", "--prompt", "x"], "--image F/none.png: there is no such file; did you mean F/not.png?"],
    [["--model", "M", "--image", "F/pictures", "--prompt", "x"], "it is a folder, not a file"],
    [["--model", "F/pictures", "--image", "F/not.png", "--prompt", "x"], "it is not a model folder: it has no config.json"],
    [["--model", "M", "--image", "F/not.png", "--prompt", "x", "--out", "F/o"], 1, "Cannot read the picture", "JPEG, PNG"],
    [["--model", "M", "--image", "F/not.png", "--prompt"], "--prompt needs a value: --prompt TEXT"],
    [
      ["--model", "M", "--image", "F/not.png", "--prompt", "What", "is"],
      'put a text of several words in quotes: --prompt "What is ..."',
    ],
    [["--model", "M", "--image", "F/not.png", "--prompt", "x", "--out", "F/not.png"], "it is a file, not a folder"],
    [["--model", "M", "--image", "F/not.png", "--prompt", "x", "--max-tokens", "0"], '--max-tokens is "0"'],
    [["--model", "M", "--picture", "F/not.png"], "did you mean --image FILE?"],
    [["--model", "M", "--image", "F/not.png", "--prompt", "x", "--device", "cuda0"], "but must be auto, cpu, cuda or cuda:N"],
    [["F/not.png", "--model", "M"], "did you mean --image F/not.png?"],
  ],
  export: [
    [[], "missing --checkpoint DIR and --out DIR"],
    [["M", "F/out"], "did you mean --checkpoint M?"],
    [["--model", "M", "--out", "F/out"], "did you mean --checkpoint DIR?"],
    [["--checkpoint", "F/run", "--out", "F/out"], "did you mean F/run/checkpoints/step-12?"],
    [["--checkpoint", "F/none", "--out", "F/out"], "there is no such folder"],
    [["--checkpoint", "F/not.png", "--out", "F/out"], "it is a file, not a folder"],
    [["--checkpoint", "M", "--out", "M"], "it already exists and is not empty; name another folder"],
    [["--checkpoint", "M", "--out", "F/not.png/out"], "F/not.png is a file, not a folder"],
    [["--checkpoint", "M", "--out", "F/out", "--dtype", "fp16"], '--dtype is "fp16", but must be one of bf16, f32'],
    [["--checkpoint", "M", "--outt", "F/out"], "did you mean --out?"],
    [["--checkpoint", "M", "--out"], "--out needs a value"],
    [["--checkpoint", "F/run/checkpoints/step-12", "--out", "F/out"], 1, "F/run/checkpoints/step-12/config.json"],
  ],
  "init-model": [
    [[], "missing --preset NAME and --tokenizer DIR and --out DIR"],
    [["--preset", "3B", "--tokenizer", "M", "--out", "F/new"], "did you mean 3b?"],
    [["--presett", "tiny"], "did you mean --preset?"],
    [["tiny", "--tokenizer", "M", "--out", "F/new"], 'unexpected argument "tiny"'],
    [["--preset", "tiny", "--tokenizer", "F/none", "--out", "F/new"], "--tokenizer F/none: there is no such folder"],
    [["--preset", "tiny", "--tokenizer", "F/not.png", "--out", "F/new"], "it is a file, not a folder"],
    [["--preset", "tiny", "--tokenizer", "F/pictures", "--out", "F/new"], 1, "F/pictures/tokenizer.json"],
    [["--preset", "tiny", "--tokenizer", "M", "--out", "M"], "it already exists and is not empty"],
    [["--preset", "tiny", "--tokenizer", "M", "--out", "F/new", "--seed", "1.5"], '--seed is "1.5", but must be a whole number'],
    [["--preset", "tiny", "--tokenizer", "M", "--out", "F/new", "--dtype", "f16"], "but must be one of f32, bf16"],
    [["--preset", "tiny", "--tokenizer", "M", "--out", "F/new", "--scheme", "fanin"], "did you mean fan-in?"],
  ],
  build: [
    [["--cppu"], "did you mean --cpu?"],
    [["cuda"], 'unexpected argument "cuda"; did you mean --cuda?'],
    [["--cuda=12"], '--cuda accepts no value, but got "12"'],
    [["--cache"], "--cache needs a value: --cache DIR"],
    [["--cache", "F/not.png"], "it is a file, not a folder"],
    [["--cpu", "--cuda"], "give one of them, or none"],
  ],
  doctor: [
    [["--gpus"], "did you mean --gpu?"],
    [["gpu"], 'unexpected argument "gpu"; did you mean --gpu?'],
    [["--gpu=1"], '--gpu accepts no value, but got "1"'],
    [["--fix"], 'unknown option "--fix"'],
    [["--report", "/nonexistent"], "--report /nonexistent: there is no such folder"],
  ],
};

/** Returns a command's exit code and message. */
async function ended(command: Command, args: readonly string[]): Promise<{ code: number; words: string }> {
  try {
    return { code: await command(args), words: "" };
  } catch (error) {
    return endOf(error);
  }
}

/** Returns the text that a function prints. */
async function logged(body: () => unknown): Promise<string> {
  const { log } = console, lines: string[] = [], { writeSync } = Deno.stdout;
  console.log = (...all: unknown[]) => lines.push(all.join(" "));
  Deno.stdout.writeSync = (bytes) => {
    lines.push(new TextDecoder().decode(bytes));
    return bytes.length;
  };
  try {
    await body();
  } finally {
    console.log = log;
    Deno.stdout.writeSync = writeSync;
  }
  return lines.join("\n");
}

function makeFiles(folder: string): void {
  const files = {
    "rows.jsonl": '{"problem":"1 + 1?","answer":"2"}\n',
    "bad.jsonl": '{"problem":"1 + 1?"\n',
    "noanswer.jsonl": '{"problem":"1 + 1?","reply":"2"}\n',
    "not.png": "no picture",
    "my.jsonc": '{ "rollout": { "n": 4 } }',
    "wrong.jsonc": '{ "rollout": { "temprature": 1 } }',
    "broken.jsonc": '{ "rollout": { "n": 4 ',
    "run/checkpoints/step-12/config.json": "{}",
    "run/checkpoints/step-3/config.json": "{}",
    "pictures/x.txt": "",
  };
  for (const [path, text] of Object.entries(files)) {
    Deno.mkdirSync(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeTextFileSync(`${folder}/${path}`, text);
  }
}

Deno.test("each command explains its likeliest mistakes and suggests what was meant, without a stack trace", () =>
  withModel(async (folder) => {
    makeFiles(folder);
    const whole = (text: string) =>
      text.replace(/^M$/, "F/model").replaceAll(/\bF(?=$|\/|:)/g, folder).replaceAll(/(?<=[= ])M(?=$|[ ?])/g, `${folder}/model`);
    for (const [name, cases] of Object.entries(CASES)) {
      for (const [args, ...said] of cases) {
        const wanted = typeof said[0] === "number" ? said[0] : 2, pieces = said.filter((piece) => typeof piece === "string");
        let end = { code: 0, words: "" };
        // deno-lint-ignore no-await-in-loop -- what one says is not to mix with another's
        const out = await logged(async () => end = await ended(COMMANDS[name]!, args.map(whole)));
        const what = `${name} ${args.join(" ")}: ${end.words}`;
        assertEquals(end.code, wanted, what);
        for (const piece of pieces) assertStringIncludes(end.words, whole(piece), what);
        assert(/^Cannot [a-z]/.test(end.words) && !/^\s+at /m.test(end.words), what);
        assert(end.words.split("\n").length <= 3, what);
        if (wanted === 2) assertEquals(out, "", what);
      }
    }
  }));

Deno.test("each command has its own help, wherever --help stands", async () => {
  const helps = new Set<string>();
  for (const [name, command] of Object.entries(COMMANDS)) {
    for (const args of [["--help"], ["-h"], ["--nonsense", "--help"]]) {
      let code: number | undefined;
      // deno-lint-ignore no-await-in-loop -- as above
      const help = await logged(async () => code = await command(args));
      assertEquals(code, 0, name);
      assertStringIncludes(help, `usage: deno task ${name}`);
      helps.add(help);
    }
  }
  assertEquals(helps.size, Object.keys(COMMANDS).length);
});

Deno.test("an unexpected error keeps its stack trace; Kedge's own and the system's do not", () => {
  const end = (error: unknown) => endOf(error).words;
  assertStringIncludes(end(new TypeError("Cannot read properties of undefined (reading 'x')")), "a bug in Kedge");
  assertStringIncludes(end(new TypeError("x is not a function")), "at ");
  assertEquals(end(new RangeError("Cannot read a.jsonc: it is odd")), "Cannot read a.jsonc: it is odd");
  assertEquals(end(new KedgeError("BadData", "odd", {})), "odd");
  assertEquals(end(new Deno.errors.PermissionDenied("no leave")), "no leave");
});

/** Programs that read their arguments in the main module. The gate tries those in {@linkcode FEW}; `--slow` tries all. */
const PROGRAMS: Readonly<Record<string, readonly [file: string, args: readonly string[], said: string]>> = {
  bench: [
    "bench/all.ts",
    ["gem"],
    '"gem" is not a benchmark; the benchmarks are gemm, attention, adamw, partition, atrl; did you mean gemm?',
  ],
  "bench gemm": ["bench/gemm.ts", ["--round", "3"], 'unknown option "--round"; did you mean --rounds?'],
  "bench attention": ["bench/attention.ts", ["--rounds", "x"], '--rounds is "x", but must be a whole number of at least 1'],
  "bench adamw": ["bench/adamw.ts", ["1000"], 'unexpected argument "1000"'],
  "bench partition": ["bench/partition.ts", ["--graphs"], "--graphs needs a value: --graphs N"],
  "bench atrl": ["bench/atrl.ts", ["--preset", "big"], "but must be one of tiny, small"],
  "bench:step": ["bench/step.ts", ["--dtype", "fp16"], "but must be one of f32, bf16"],
  "bench:verifier": ["bench/verifier.ts", ["--golden", "none.jsonl"], "--golden none.jsonl: there is no such file"],
  "bench:cuda": ["bench/cuda_resources.ts", ["--spill"], "did you mean --spills?"],
  gemm_mixed: ["bench/gemm_mixed.ts", ["--blass", "x"], "did you mean --blas?"],
  peer: ["bench/peer.ts", ["--config", "deno.json"], "it is a file, not a folder"],
  serve_load: ["bench/serve_load.ts", ["--turns", "-1"], "as --turns=-1"],
  generate: ["tools/generate.ts", ["--chek"], "did you mean --check?"],
};

const FEW = ["bench", "bench:step", "generate"];

Deno.test("benchmarks and tools explain mistakes too, and --help runs none of them", async () => {
  const permissions = ["--allow-ffi", "--allow-read", "--allow-env", "--allow-sys"],
    all = Object.entries(PROGRAMS).filter(([name]) => FEW.includes(name) || Deno.args.includes("--slow")),
    ends: [string, ChildEnd][] = [];
  const asks = [
    ...all.map(([name, [file, args, said]]) => ({ name, file, args, said, code: 2 })),
    ...["bench", "generate"].map((name) => ({
      name,
      file: PROGRAMS[name]![0],
      args: ["--help"],
      said: `usage: deno task ${name}`,
      code: 0,
    })),
  ];
  const next = asks[Symbol.iterator]();
  const work = async () => {
    for (const { name, file, args, said, code } of next) {
      // deno-lint-ignore no-await-in-loop -- two at once
      const end = await runChild(file, { permissions, args });
      ends.push([name, end]);
      assertEquals([end.code, (end.stdout + end.stderr).includes(said)], [code, true], `${name}: ${end.stdout}${end.stderr}`);
      assert(code === 0 || end.stdout === "", `${name} ran: ${end.stdout}`);
    }
  };
  await Promise.all([work(), work()]);
  assertEquals(ends.length, asks.length);
});

Deno.test("a port in use is reported with its address and what to use instead; no task mentions programs that it does not need", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `127.0.0.1:${(listener.addr as Deno.NetAddr).port}`, folder = Deno.makeTempDirSync();
  try {
    const permissions = ["--allow-read", "--allow-run", "--allow-env=PATH,HOME,DENO_DIR,KEDGE_TOKEN"];
    const { code, stderr } = await runChild("cli/serve.ts", { permissions, args: [address, "--set", `runDir=${folder}`] });
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, `Cannot listen on ${address}: another program listens there, perhaps another run. Give another HOST:PORT`);
    assert(!/os error|^\s+at /m.test(stderr), stderr);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)) as { tasks: Record<string, { command: string }> };
  for (const [name, { command }] of Object.entries(tasks)) {
    // Deno warns about programs in --allow-run that do not exist, unless --quiet is set.
    if (/^deno run .*--allow-run=\S*(ffmpeg|nvcc)/.test(command)) assertStringIncludes(command, "deno run --quiet ", name);
  }
});
