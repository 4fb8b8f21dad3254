/** Tests the pool of grading processes: results, the time limit, crashes, garbage, batches, permissions, cancelling, closing. */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { type GraderIncident, GraderPool, planReward, type RewardInput } from "../../verify/mod.ts";
import { runChild } from "../child.ts";
import { afterDeath, CliProcess, evaluated } from "../cli_process.ts";
import { ROOT } from "../root.ts";

const BASE = `file://${ROOT}/examples/`;
const sample = (response: string, truth = "5"): RewardInput => ({ response, truth });

/** Makes a plan for a module with this source. */
function moduleOf(source: string): ReturnType<typeof planReward> {
  return planReward(`file://${writeModule(source)}`, BASE);
}

const folder = Deno.makeTempDirSync();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
let modules = 0;
function writeModule(source: string): string {
  const path = `${folder}/module_${modules++}.ts`;
  Deno.writeTextFileSync(path, source);
  return path;
}

/** Returns the ticks of processor time that processes have used, or null for a process that has ended. */
async function ticks(pids: readonly number[]): Promise<(number | null)[]> {
  const { stdout, stderr } = await runChild("tests/verify/rewards_ticks.ts", { permissions: ["--allow-all"], args: pids.map(String) });
  assert(stdout !== "", stderr);
  return JSON.parse(stdout) as (number | null)[];
}

const rest = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const STUCK = `export default (input) => {
  if (input.response === "stuck") for (;;);
  if (input.response === "regex") return /^(a+)+$/.test("a".repeat(50) + "b") ? 1 : 0;
  return Number(input.response);
};`;

Deno.test("rewards come back in order, with their parts", async () => {
  await using pool = new GraderPool(planReward("math_format", BASE), { workers: 2 });
  const inputs = Array.from({ length: 100 }, (_, i) => sample(`<think>so</think> \\boxed{${i % 10}}`));
  const graded = await pool.grade(inputs);
  assertEquals(graded.map(({ parts }) => parts.accuracy), inputs.map((_, i) => i % 10 === 5 ? 1 : 0));
  assert(graded.every(({ parts, overall }) => parts.format === 1 && Math.abs(overall - 0.9 * parts.accuracy! - 0.1) < 1e-12));
  assertEquals(await pool.grade([]), []);
});

Deno.test("without children the pool's own thread grades, with the same results", async () => {
  const inputs = [sample("<think>so</think> \\boxed{5}"), sample("\\boxed{4}"), sample(""), sample("5")];
  await using pool = new GraderPool(planReward("math_format", BASE), { workers: 1 });
  const here = new GraderPool(planReward("math_format", BASE), { workers: 0 });
  assertEquals(await here.grade(inputs), await pool.grade(inputs));
  assertEquals(here.pids, []);
  await assertRejects(() => here.grade(inputs, { signal: AbortSignal.abort() }), DOMException);
  await here[Symbol.asyncDispose]();
  await assertRejects(() => here.grade(inputs), TypeError, "the pool is closed");
  assertThrows(() => new GraderPool(moduleOf(STUCK), { workers: 0 }), RangeError, "the reward has modules");
});

Deno.test("children start with the first work, stay, and end with the pool", async () => {
  let left: number[];
  {
    await using pool = new GraderPool(planReward("math", BASE), { workers: 2 });
    assertEquals(pool.pids, []);
    await pool.grade([sample("5")]);
    const first = pool.pids;
    assertEquals(first.length, 1);
    await pool.grade([sample("6")]);
    assertEquals(pool.pids, first);
    left = first;
  }
  assertEquals(await ticks(left), [null]);
});

for (const bait of ["stuck", "regex"]) {
  Deno.test(`a grader that is stuck (${bait}) is killed at the time limit and uses no more processor time`, async () => {
    const incidents: GraderIncident[] = [], timeLimit = 1_500;
    await using pool = new GraderPool(moduleOf(STUCK), { workers: 1, timeLimit, onIncident: (incident) => incidents.push(incident) });
    assertEquals((await pool.grade([sample("1")]))[0]!.overall, 1);
    const [stuck] = pool.pids, [before] = await ticks([stuck!]);
    const start = performance.now();
    const grading = pool.grade([sample("2"), sample(bait), sample("3"), sample("4")]);
    await new Promise((resolve) => setTimeout(resolve, 300)); // thirty ticks of a core
    const [running] = await ticks([stuck!]), measured = performance.now() - start;
    const graded = await grading, taken = performance.now() - start;
    assertEquals(graded.map(({ overall }) => overall), [2, 0, 3, 4]);
    assertEquals(graded[1]!.reason, `not graded within ${timeLimit} ms; the grader was killed`);
    assertEquals(incidents.map(({ kind, sample }) => [kind, sample]), [["timeout", 1]]);
    assert(taken < timeLimit + 10_000, `${taken} ms`);
    assertEquals(await ticks([stuck!]), [null], "the process is gone, and its time with it");
    assert(!pool.pids.includes(stuck!));
    // It used its core until then, unless the machine was too slow to measure it.
    if (measured < timeLimit) assert(running! > before!, `${before} ticks before, ${running} after ${measured} ms`);
  });
}

Deno.test("a sample that never settles, throws, exits, overflows memory or prints garbage affects no other sample", async () => {
  const plan = moduleOf(`export const reward = async (input) => {
    switch (input.response) {
      case "never": return await new Promise(() => {});
      case "throw": throw new Error("no such answer");
      case "throw null": throw null;
      case "later": setTimeout(() => { throw new Error("afterwards"); }, 0); return await new Promise((r) => setTimeout(r, 300));
      case "exit": Deno.exit(3);
      case "memory": { const all = []; for (;;) all.push(new Array(1e6).fill(Math.random())); }
      case "garbage": Deno.stdout.writeSync(new TextEncoder().encode('{"kind":"graded"}\\n')); return 1;
      case "partial": Deno.stdout.writeSync(new TextEncoder().encode("abc")); return 1;
      case "log": console.log("a word"); console.error("another"); return 0.5;
      case "null": return null;
      case "infinite": return { overall: Infinity };
      case "text": return { overall: 1, style: "good" };
      case "nan": return { overall: NaN, style: 1 };
      default: return 1;
    }
  };`);
  const incidents: GraderIncident[] = [];
  await using pool = new GraderPool(plan, { workers: 2, timeLimit: 1_000, memory: 64, onIncident: (incident) => incidents.push(incident) });
  const bad = ["never", "throw", "throw null", "later", "exit", "memory", "garbage", "partial", "null", "infinite", "text"];
  const inputs = [...bad.flatMap((one) => [one, "good"]), "log", "nan"].map((response) => sample(response));
  const graded = await pool.grade(inputs);
  for (const [i, { response }] of inputs.entries()) {
    const { overall, reason } = graded[i]!;
    if (response === "good") assertEquals([overall, reason], [1, undefined]);
    else if (response === "log") assertEquals([overall, reason], [0.5, undefined]);
    else if (response === "nan") assertEquals([overall, reason], [NaN, undefined]);
    else assertEquals([response, overall, typeof reason], [response, 0, "string"]);
  }
  const kinds = Object.fromEntries(incidents.map(({ kind, input }) => [input.response, kind]));
  for (
    const [response, kind] of [["never", "timeout"], ["throw", "threw"], ["exit", "crash"], ["garbage", "garbage"], ["partial", "garbage"]]
  ) {
    assertEquals(kinds[response!], kind, response);
  }
  assertEquals(incidents.filter(({ kind }) => kind === "shape").length, 1, "wrong shapes are reported once");
  assertStringIncludes(graded[inputs.findIndex(({ response }) => response === "text")]!.reason!, 'its "style" is "good"');
});

Deno.test("a batch is graded together; if it fails, each sample is graded alone", async () => {
  const plan = moduleOf(`let calls = 0;
  export const batch = (inputs, options) => {
    calls++;
    if (inputs.some(({ response }) => response === "stuck")) for (;;);
    if (inputs.some(({ response }) => response === "throw")) throw new Error("one of them");
    if (inputs.some(({ response }) => response === "short")) return inputs.slice(1).map(() => 1);
    return inputs.map(() => ({ overall: options.value, size: inputs.length, calls }));
  };`);
  const limited = { ...plan, options: { value: 7 } };
  await using pool = new GraderPool(limited, { workers: 1, timeLimit: 300, batchSize: 8 });
  const whole = await pool.grade(["1", "2", "3"].map((response) => sample(response)));
  assertEquals(whole, Array.from({ length: 3 }, () => ({ overall: 7, parts: { size: 3, calls: 1 } })));
  for (const breaker of ["throw", "short", "stuck"]) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const graded = await pool.grade([sample("1"), sample(breaker), sample("3")]);
    assertEquals(graded.map(({ overall, parts }) => [overall, parts.size]), [[7, 1], [0, undefined], [7, 1]], breaker);
  }
});

Deno.test("the example module grades, by itself and as a part", async () => {
  await using alone = new GraderPool(planReward("./custom_reward.ts", BASE), { workers: 1 });
  assertEquals(await alone.grade([sample("one two")]), [{ overall: 1, parts: { words: 2 } }]);
  const parts = {
    accuracy: { use: "math", weight: 0.75 },
    brevity: { use: "./custom_reward.ts", weight: 0.25, options: { words: 2 } },
  };
  await using part = new GraderPool(planReward({ parts }, BASE), { workers: 1 });
  const [graded] = await part.grade([sample("The answer is 5.")]);
  assertEquals(graded, { overall: 0.875, parts: { accuracy: 1, brevity: 0.5 }, answer: "5" });
});

Deno.test("a module can do only what it has permission for", async () => {
  const secret = writeModule("export const secret = 1;"), helper = writeModule("export const helped = 2;");
  const source = `import { helped } from "./${helper.split("/").at(-1)}";
  const may = async (act) => { try { await act(); return 1; } catch (error) { return error instanceof Deno.errors.NotCapable ? 0 : NaN; } };
  export default async () => ({
    overall: helped,
    read: await may(() => Deno.readTextFile(${JSON.stringify(secret)})),
    write: await may(() => Deno.writeTextFile(${JSON.stringify(`${folder}/written`)}, "")),
    net: await may(() => Deno.connect({ hostname: "127.0.0.1", port: 9 })),
    env: await may(() => Deno.env.get("HOME")),
    run: await may(() => new Deno.Command("true").output()),
    import: await may(() => import(["file://", ${JSON.stringify(secret)}].join(""))),
  });`;
  const none = { read: 0, write: 0, net: 0, env: 0, run: 0, import: NaN };
  {
    await using pool = new GraderPool(moduleOf(source), { workers: 1 });
    const [{ overall, parts }] = await pool.grade([sample("")]) as [{ overall: number; parts: Record<string, number> }];
    assertEquals(overall, 2);
    assertEquals(parts, none); // the import fails with a TypeError
  }
  await using pool = new GraderPool(moduleOf(source), { workers: 1, read: [secret] });
  assertEquals((await pool.grade([sample("")]))[0]!.parts.read, 1);
});

Deno.test("a module that does not load gives an error with Deno's message", async () => {
  for (
    const [source, words] of [["export default (", "SyntaxError"], ['import "./missing.ts"; export default () => 1;', "missing.ts"], [
      "export const x = 1;",
      "exports no function",
    ]]
  ) {
    await using pool = new GraderPool(moduleOf(source!), { workers: 1 });
    // deno-lint-ignore no-await-in-loop -- one after the other
    const error = await assertRejects(() => pool.grade([sample("1"), sample("2")]), KedgeError);
    assertEquals(error.code, "BadData");
    assertStringIncludes(error.message, "Cannot load the reward file://");
    assertStringIncludes(error.message, words!);
  }
});

Deno.test("cancelling rejects with the reason, kills the child, and does not affect other calls", async () => {
  await using pool = new GraderPool(moduleOf(STUCK), { workers: 1, timeLimit: 60_000 });
  await pool.grade([sample("1")]);
  const [stuck] = pool.pids, controller = new AbortController();
  const given = pool.grade([sample("stuck"), sample("2")], { signal: controller.signal }), other = pool.grade([sample("3")]);
  await rest(100);
  controller.abort(new Error("enough"));
  await assertRejects(() => given, Error, "enough");
  assertEquals((await other).map(({ overall }) => overall), [3]);
  assertEquals(await ticks([stuck!]), [null]);
  await assertRejects(() => pool.grade([sample("1")], { signal: AbortSignal.abort(new Error("before")) }), Error, "before");
});

Deno.test("a full queue makes callers wait, and everything is graded", async () => {
  await using pool = new GraderPool(moduleOf(STUCK), { workers: 2, capacity: 3 });
  const calls = await Promise.all(
    [0, 1, 2].map((call) => pool.grade(Array.from({ length: 50 }, (_, i) => sample(String(100 * call + i))))),
  );
  assertEquals(
    calls.map((graded) => graded.map(({ overall }) => overall)),
    [0, 1, 2].map((call) => Array.from({ length: 50 }, (_, i) => 100 * call + i)),
  );
});

Deno.test("closing rejects waiting samples and ends a child that is stuck or still loading", async () => {
  const pool = new GraderPool(moduleOf(STUCK), { workers: 1, timeLimit: 60_000 });
  const waiting = pool.grade([sample("stuck"), sample("1")]);
  await rest(20);
  const { pids } = pool;
  const rejected = assertRejects(() => waiting, TypeError, "the pool is closed");
  await pool[Symbol.asyncDispose]();
  await rejected;
  assertEquals(await ticks(pids), pids.map(() => null));
  assertEquals(pool.pids, []);
  await assertRejects(() => pool.grade([sample("1")]), TypeError, "Cannot grade: the pool is closed");
});

Deno.test("a wrapper around Deno, which a time limit would not end, is refused", async () => {
  const wrapper = `${folder}/wrapper`, pool = `file://${ROOT}/verify/pool/grader_pool.ts`;
  Deno.writeTextFileSync(wrapper, '#!/bin/sh\ndeno "$@"\n', { mode: 0o755 });
  const program = writeModule(`import { GraderPool } from ${JSON.stringify(pool)};
    await using pool = new GraderPool({ parts: [{ name: "a", weight: 1, verifier: "math", options: {} }], modules: [] }, { workers: 1, deno: ${
    JSON.stringify(wrapper)
  } });
    await pool.grade([{ response: "5", truth: "5" }]).catch((error) => Deno.stdout.writeSync(new TextEncoder().encode(String(error.code) + error.message)));`);
  const { stdout, stderr } = await runChild(program, { permissions: ["--allow-all"] });
  assertStringIncludes(stdout, "Unsupported", stderr);
  assertStringIncludes(stdout, "is a wrapper around Deno", stderr);
});

Deno.test("wrong limits are refused", () => {
  const plan = planReward("math", BASE);
  assertThrows(() => new GraderPool(plan, { workers: -1 }), RangeError, "`workers` is -1");
  assertThrows(() => new GraderPool(plan, { timeLimit: NaN }), RangeError, "`timeLimit` is NaN");
  assertThrows(() => new GraderPool(plan, { capacity: 1.5 }), RangeError, "`capacity` is 1.5");
});

Deno.test("inputs that JSON cannot hold reject the call, and the pool still works", async () => {
  await using pool = new GraderPool(planReward("math", BASE), { workers: 1 });
  await assertRejects(() => pool.grade([{ ...sample("5"), fields: { big: 1n } }]), TypeError);
  assertEquals((await pool.grade([sample("5")])).map(({ overall }) => overall), [1]);
});

Deno.test("ten megabytes and odd characters reach the child and come back unchanged", async () => {
  await using pool = new GraderPool(planReward("exact", BASE), { workers: 1 });
  const odd = 'naïve\n\u2028\u0000"\\ 😀';
  const graded = await pool.grade([sample(`${"x".repeat(10_000_000)}<answer>${odd}</answer>`, odd), sample("y", odd)]);
  assertEquals(graded.map(({ overall }) => overall), [1, 0]);
});

/** Waits ten times 50 ms. If the process is suspended during one wait, the others remain. */
const SLOW = `export default (input) => {
  if (input.response === "regex") /^(a+)+$/.test("a".repeat(50) + "b");
  if (input.response === "slow") for (let i = 0; i < 10; i++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  return 0.5;
};`;

/** Starts an owner whose grader works on "slow" or "regex". */
async function owner(response: string, timeLimit: number): Promise<{ process: CliProcess; grader: number }> {
  const process = new CliProcess("tests/verify/grader_owner.ts", [`file://${writeModule(SLOW)}`, response, String(timeLimit)]);
  return { process, grader: Number((await process.says(/^(\d+)$/m))[1]) };
}

Deno.test("a stuck grader ends when its owner is killed", async () => {
  const { process, grader } = await owner("regex", 600_000);
  process.child.kill("SIGKILL");
  await process.end();
  assertEquals(await afterDeath([grader]), []);
});

Deno.test("signals that a terminal or a service manager sends to all processes do not affect any sample", async () => {
  const { process, grader } = await owner("slow", 60_000);
  await evaluated(`for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) Deno.kill(${grader}, signal);`);
  assertEquals((await process.end()).code, 0, process.output);
  assertStringIncludes(process.output, '"overall":0.5');
});

Deno.test("time during which all processes were suspended, as after Ctrl-Z, does not count", async () => {
  const { process, grader } = await owner("slow", 1_500);
  await evaluated(`Deno.kill(${process.child.pid}, "SIGSTOP"); Deno.kill(${grader}, "SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 1_800));
    Deno.kill(${process.child.pid}, "SIGCONT"); Deno.kill(${grader}, "SIGCONT");`);
  assertEquals((await process.end()).code, 0, process.output);
  assertStringIncludes(process.output, '"overall":0.5');
});
