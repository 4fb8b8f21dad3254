import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { TUNABLE } from "../../actors/config/tunable.ts";
import { ALLOWED, allows } from "../../control/dashboard/controls.js";
import { fieldsOf } from "../../control/dashboard/documentation.js";
import { EventParser, follow } from "../../control/dashboard/event_stream.js";
import { secondsLeft } from "../../control/dashboard/header.js";
import { dashboardPage } from "../../control/dashboard/page.ts";
import { progressOf, progressWords } from "../../control/dashboard/run_progress.js";
import { tokenIn } from "../../control/dashboard/token.js";
import { nestedOf } from "../../control/dashboard/tuning.js";
import { durationOf } from "../../control/page/duration.js";
import { axisOf, chartsOf, thinned } from "../../control/page/curves.js";
import { Ledger } from "../../control/page/ledger.js";
import { heatmapOf, outlineOf } from "../../control/page/heatmap.js";
import { meanProfile, profileOf } from "../../control/page/profile.js";
import { RUN_STATES } from "../../actors/run_control.ts";

const { html, headers } = dashboardPage(), policy = headers["content-security-policy"]!;
const between = (tag: string) => [...html.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, "gs"))].map(([, text]) => text!);
const sourcesOf = (directive: string) => policy.match(new RegExp(`${directive} ([^;]*)`))![1]!.split(" ");

Deno.test("the page loads nothing, and is small", () => {
  const text = html.replace(/\/\*\*.*?\*\//gs, ""); // a type in a comment may say import("...")
  assertEquals(
    text.match(
      /\b(src|href)\s*=\s*["'](?!data:)|\burl\(|@import|\bimport\s*\(|\bimport .* from\b|<(link|script) (?!rel="icon"|type="application\/json")/g,
    ),
    null,
  );
  assert(html.length < 200_000, `${html.length} characters`);
});

Deno.test("the page's policy permits exactly the scripts and styles in it", () => {
  const hashes = (texts: string[]) => texts.map((text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`);
  assertEquals(sourcesOf("script-src"), hashes(between("script")));
  assertEquals(sourcesOf("style-src"), hashes(between("style")));
  assertEquals([between("script").length, between("style").length], [2, 3]);
  for (const rule of ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]) {
    assert(policy.split("; ").includes(rule), rule);
  }
  assertEquals(/unsafe|\son[a-z]+="|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(/.test(html), false);
  assertEquals(/<[^>]+\sstyle=/.test(html), false, "a style attribute is refused by the policy");
});

Deno.test("the page's scripts parse", () => {
  for (const script of between("script")) new Function(script);
});

Deno.test("the page has a description of every tunable field", () => {
  const { about } = JSON.parse(html.match(/<script type="application\/json" id="data">(.*?)<\/script>/s)![1]!);
  assertEquals(Object.keys(about).sort(), [...TUNABLE].sort());
  assertEquals(about["atrl.mode"].enum.includes("soft"), true);
});

Deno.test("events are parsed completely, however the stream is split", () => {
  const text =
    'retry: 250\r\n\r\n: hello\n\nid: a-1\nevent: status\ndata: {"a":1}\n\nid: a-2\r\ndata: x\r\ndata:y\r\n\r\ndata: z\r\rid: a-3\n\n';
  const whole = [{ id: "a-1", event: "status", data: '{"a":1}' }, { id: "a-2", event: "message", data: "x\ny" }, {
    id: "a-2",
    event: "message",
    data: "z",
  }];
  for (let size = 1; size <= text.length; size++) {
    const parser = new EventParser(), events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
    assertEquals(events, whole, `pieces of ${size}`);
    assertEquals(parser.retry, 250);
  }
});

/** A response that streams these texts. With a signal, it stays open until the signal aborts. */
const streamOf = (texts: string[], signal?: AbortSignal) =>
  new Response(
    new ReadableStream({
      start(controller) {
        for (const text of texts) controller.enqueue(new TextEncoder().encode(text));
        if (signal) signal.addEventListener("abort", () => controller.error(signal.reason));
        else controller.close();
      },
    }),
  );

Deno.test("a stream that ends is reopened with the last event's id, after growing delays", async () => {
  const over = new AbortController(), ids: (string | undefined)[] = [], waits: number[] = [], seen: string[] = [];
  const answers = [
    () => streamOf(["id: e-1\ndata: one\n\n"]),
    () => Promise.reject(new Error("down")),
    (signal: AbortSignal) => streamOf(["id: e-2\ndata: two\n\n"], signal),
  ];
  await follow((last: string | undefined, signal: AbortSignal) => {
    ids.push(last);
    return answers[ids.length - 1]!(signal);
  }, {
    signal: over.signal,
    first: 4,
    most: 1000,
    silence: 30,
    onState: (word: string, seconds?: number) => word === "waiting" && (waits.push(seconds! * 1000), ids.length === 3 && over.abort()),
    onEvent: ({ data }: { data: string }) => seen.push(data),
  });
  assertEquals(ids, [undefined, "e-1", "e-1"]);
  assertEquals(seen, ["one", "two"]);
  assertEquals(waits, [4, 8, 4], "a stream that has given an event starts afresh; one that falls silent counts as ended");
});

Deno.test("a refused token is not used again", async () => {
  let asked = 0;
  const open = () => {
    asked++;
    return Promise.reject(Object.assign(new Error("no"), { status: 401 }));
  };
  await follow(open, { signal: new AbortController().signal, first: 1, onState: () => {}, onEvent: () => {} });
  assertEquals(asked, 1);
});

Deno.test("a ledger keeps one entry per step, in order, up to its limit", () => {
  const ledger = new Ledger(100);
  for (let step = 1; step <= 1000; step++) ledger.add({ step, "reward/overall": step, time: "now" });
  ledger.add({ step: 1000, "val/accuracy": 0.5 });
  ledger.add({ step: 999, "reward/overall": -1 });
  ledger.add({ step: 0, phase: "sft", "sft_step": 3, "sft/loss": 2 });
  assert(ledger.steps.length <= 100 && ledger.steps.length >= 50);
  assertEquals([ledger.steps[0]!.x, ledger.steps.at(-1)!.x], [1, 1000]);
  assertEquals(ledger.steps.map(({ x }) => x), ledger.steps.map(({ x }) => x).toSorted((a, b) => a - b));
  assertEquals(ledger.steps.at(-1)!.numbers, { step: 1000, "reward/overall": 1000, "val/accuracy": 0.5 });
  assertEquals([ledger.latest("reward/overall"), ledger.steps.at(-2)!.numbers["reward/overall"], ledger.warm.length], [1000, -1, 1]);
});

Deno.test("a long curve is drawn with few points, its peaks among them", () => {
  const ledger = new Ledger();
  for (let step = 1; step <= 10_007; step++) ledger.add({ step, "actor/loss": step === 5003 ? 9 : step === 7001 ? -9 : Math.sin(step) });
  const [chart] = chartsOf(ledger, 2000);
  assert(chart!.xs.length <= 2000 && chart!.xs.length > 1000, `${chart!.xs.length} points`);
  assertEquals([chart!.xs[0], chart!.xs.at(-1)], [1, 10_007]);
  for (const x of [5003, 7001]) assert(chart!.xs.includes(x), `step ${x}`);
  assertEquals(thinned([{ x: 1 }, { x: 2 }], () => undefined, 2), [{ x: 1 }, { x: 2 }]);
});

Deno.test("overlapping curves are marked, and nearly constant values get an axis on which they look constant", () => {
  const ledger = new Ledger();
  for (let step = 1; step <= 20; step++) {
    const reward = step / 20, noise = 1e-3 * Math.sin(step);
    ledger.add({
      step,
      "reward/overall": reward,
      "reward/accuracy": reward + 1e-3,
      "atrl/anchor_fraction": 0.156 + noise,
      "actor/grad_norm": 50 + noise,
    });
    ledger.add({ step, "val/accuracy": reward, "val/accuracy_greedy": 1 - reward });
  }
  const [reward, val, anchors, norm] = chartsOf(ledger);
  assertEquals(reward!.series.map(({ same }: { same?: string }) => same), [undefined, "reward/overall"]);
  assertEquals(val!.series.map(({ same }: { same?: string }) => same), [undefined, undefined]);
  for (const one of [anchors!, norm!]) {
    const values = one.series[0]!.values as number[], [low, high] = [Math.min(...values), Math.max(...values)];
    const [from, to] = axisOf(low, high, one.least);
    assert(from <= low && high <= to && to - from > 20 * (high - low), `${one.title}: ${from} to ${to}`);
  }
  assertEquals(axisOf(0, 10, 1), [0, 10.8]);
  assertEquals(axisOf(0, 0, 0.1).map((x) => Number(x.toFixed(6))), [0, 0.108]);
});

Deno.test("a heat map names its maximum and its ratio to uniform attention, and outlines regions above half of it", () => {
  const regions = Array.from(
    { length: 9 },
    (_, i) => ({ visual: 0, left: i % 3 / 3, top: Math.floor(i / 3) / 3, width: 1 / 3, height: 1 / 3 }),
  );
  const { most, uniform, position, regions: drawn } = heatmapOf(regions, [0, 0.05, 0.4, 0, 0, 0.3, 0, 0, 0]);
  assertEquals([Number(most.toFixed(6)), uniform, position], [4.8, false, "upper right"]);
  assertEquals(drawn.map(({ heat }: { heat: number }) => Number(heat.toFixed(3))), [0, 0.125, 1, 0, 0, 0.75, 0, 0, 0]);
  const length = outlineOf(drawn).reduce((sum, [x, y, toX, toY]) => sum + toX - x + toY - y, 0);
  assertEquals(Number(length.toFixed(4)), 2, "two squares on one another: six sides");
  assertEquals([heatmapOf(regions, regions.map((_, i) => 1 + i / 50)).uniform, heatmapOf(regions, []).most], [true, 0]);
  // Regions at a border are smaller; the frames of a video have the same rectangles.
  const border = [{ left: 0, top: 0, width: 2, height: 2 }, { left: 2, top: 0, width: 1, height: 2 }];
  assertEquals(heatmapOf(border, [0.2, 0.4]).regions.map(({ heat }: { heat: number }) => heat), [0.25, 1]);
  assertEquals(heatmapOf([...border, ...border], [0.1, 0.2, 0.1, 0.2]).regions.map(({ heat }: { heat: number }) => heat), [0.25, 1]);
});

Deno.test("progress counts the warm start while it lasts, even when it is paused", () => {
  const ledger = new Ledger(), status = { state: "warm-start", name: "a", step: 0, maxSteps: 60, pausing: false, accounts: {} };
  const words = (state: string, more = {}) => progressWords(progressOf({ ...status, state, ...more }, ledger, { warmSteps: 600 }));
  assertEquals([words("idle"), words("paused"), words("done", { step: 60 })], ["not started", "step 0 of 60", "step 60 of 60"]);
  for (let i = 1; i <= 120; i++) ledger.add({ step: 0, phase: "sft", "sft_step": i, "sft/loss": 1, "timing_s/step": 0.1 });
  assertEquals(["warm-start", "paused", "running"].map((state) => words(state)), [
    "warm start: step 120 of 600",
    "warm start: step 120 of 600",
    "step 0 of 60",
  ]);
  assertEquals(Math.round(secondsLeft(ledger, progressOf(status, ledger, { warmSteps: 600 }))), 48);
  ledger.add({ step: 3, "reward/overall": 1 });
  assertEquals(words("paused", { step: 3 }), "step 3 of 60");
  assertEquals(progressOf(undefined, ledger), undefined);
});

Deno.test("a profile is read back as it was written", () => {
  const regions = [0, 1].map((i) => ({ visual: 0, left: i / 2, top: 0, width: 0.5, height: 1 })), tokens = ["a", "b"];
  const profile = profileOf({ tokens, profile: { scale: 0.5, regions, shares: Uint8Array.of(255, 0, 51, 102).toBase64() } })!;
  assertEquals([profile.sharesOf(0), profile.sharesOf(1)], [[0.5, 0], [0.1, 0.2]]);
  assertEquals(meanProfile(profile, [true, true]), [0.3, 0.1]);
  assertEquals(meanProfile(profile, [false, false]), undefined);
  assertEquals([profileOf({ tokens }), profileOf({ tokens, profile: { regions: [{}], shares: "", scale: 1 } })], [undefined, undefined]);
});

Deno.test("commands are offered only in fitting states", () => {
  assertEquals(Object.values(ALLOWED).flat().filter((state) => !(RUN_STATES as readonly string[]).includes(state)), []);
  const open = (state: string, pausing = false) => Object.keys(ALLOWED).filter((order) => allows(order, { state, pausing }));
  assertEquals(open("running"), ["pause", "stop", "checkpoint", "evaluate"]);
  assertEquals(open("running", true), ["resume", "stop", "checkpoint", "evaluate"]);
  assertEquals([open("paused", true), open("done"), open("stopping")], [["resume", "stop", "checkpoint", "evaluate"], [], []]);
  assertEquals(Object.keys(ALLOWED).filter((order) => allows(order, undefined)), [], "where nothing is known of the run");
  const inWarm = Object.keys(ALLOWED).filter((order) => allows(order, { state: "paused", pausing: true, warm: true }));
  assertEquals(inWarm, ["resume", "stop"], "the warm start has no checkpoints");
});

Deno.test("a change by path becomes a part of a configuration", () => {
  assertEquals(nestedOf({ "optim.lr": 1, "algorithm.kl.coefficient": 2, "algorithm.entropyCoefficient": 3 }), {
    optim: { lr: 1 },
    algorithm: { kl: { coefficient: 2 }, entropyCoefficient: 3 },
  });
});

Deno.test("the estimate of the time left includes evaluations", () => {
  const ledger = new Ledger();
  for (let step = 1; step <= 60; step++) ledger.add({ step, "timing_s/step": 2, ...(step % 10 === 0 && { "timing_s/validation": 10 }) });
  assertEquals(secondsLeft(ledger, { warm: false, done: 60, total: 160 }), 300);
  assertEquals([3.2, 65, 7260, 180_000, NaN].map(durationOf), ["4 s", "1 min 5 s", "2 h 1 min", "2 d 2 h", "–"]);
});

Deno.test("a token is read from the address's fragment", () => {
  assertEquals(["#token=a%2Bb", "#run", "", "#token=", "#x=1&token=t"].map(tokenIn), ["a+b", undefined, undefined, undefined, "t"]);
});

Deno.test("fields of a schema are found through references, even recursive ones", () => {
  const node = { type: "object", required: ["a"], properties: { a: { type: "integer" }, next: { $ref: "#/components/schemas/Node" } } };
  const fields = fieldsOf({ components: { schemas: { Node: node } } }, { type: "array", items: { $ref: "#/components/schemas/Node" } });
  assertEquals(fields.slice(0, 3).map(({ name, type, required }) => [name, type, required]), [["a", "integer", true], [
    "next",
    "object",
    false,
  ], [
    "next.a",
    "integer",
    true,
  ]]);
  assert(fields.length < 20);
});
