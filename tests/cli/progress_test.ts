import { assert, assertEquals } from "@std/assert";
import { loadConfig } from "../../actors/config/load.ts";
import type { TrainerEvent, TrainerStatus } from "../../actors/messages.ts";
import { columnsOf, cutTo } from "../../cli/train/columns.ts";
import { Progress, progressLine } from "../../cli/train/progress.ts";
import { Screen } from "./screen.ts";

const { config } = loadConfig({ sets: [] });
const warm = (step: number): TrainerEvent => ({ kind: "metrics", line: { step: 0, phase: "sft", "sft_step": step, "sft/loss": 1.2345 } });
const made = (step: number, more: object = {}): TrainerEvent => ({
  kind: "metrics",
  line: { step, "reward/overall": 0.8, "response_length/mean": 31.25, "perf/throughput": 19_000, ...more },
});
const status = (state: TrainerStatus["state"], step = 0): TrainerEvent => ({
  kind: "status",
  status: { state, name: "board", step, maxSteps: 60, pausing: state === "paused", accounts: {} },
});

/** Makes a screen that shows a run's progress. The test controls its clock. */
function shown(columns: number) {
  const screen = new Screen(columns), clock = { now: 0 }, resized = new Set<() => void>();
  const onResize = (listener: () => void) => (resized.add(listener), () => void resized.delete(listener));
  const out = {
    terminal: true,
    columns: () => screen.columns,
    write: (text: string) => screen.write(text),
    now: () => clock.now,
    onResize,
  };
  const progress = new Progress(config, out);
  const take = (event: TrainerEvent, milliseconds = 1000) => {
    clock.now += milliseconds;
    progress.show(event);
  };
  const resize = (wide: number) => {
    screen.resize(wide);
    resized.forEach((listener) => listener());
  };
  return { screen, progress, take, resize, resized, [Symbol.dispose]: () => progress[Symbol.dispose]() };
}

Deno.test("progress is one line that fits, at every width from 40 to 200", () => {
  for (let columns = 40; columns <= 200; columns++) {
    using run = shown(columns);
    const { screen, take, progress } = run;
    progress.note("Kedge: begins");
    for (const n of [1, 2, 120]) take(warm(n));
    assertEquals(screen.lines.length, 2, `${columns} columns: ${JSON.stringify(screen.lines)}`);
    assert(/^(\[[# ]+\] )?warm start 120 of 600 {2}[\d smin]+ left/.test(screen.lines[1]!), screen.lines[1]);
    take({ kind: "note", text: "a note that stays" });
    for (const step of [1, 12]) take(made(step));
    assertEquals(screen.lines.slice(0, 2), ["Kedge: begins", "a note that stays"]);
    assertEquals(screen.lines.length, 3, `${columns} columns: ${JSON.stringify(screen.lines)}`);
    assert(/^\[#+ +\] step 12 of 60 {2}5 s left/.test(screen.lines[2]!), screen.lines[2]);
    assert(columnsOf(screen.lines[2]!) < columns);
  }
});

Deno.test("progress shows more if there is room for it", () => {
  const progress = {
    name: "step",
    step: 12,
    total: 60,
    left: 95,
    facts: ["reward 0.800", "accuracy 0.750", "length 31.2", "19000 tokens/s"],
  };
  assertEquals(progressLine(progress, 39), "step 12 of 60  1 min 35 s left");
  assertEquals(progressLine(progress, 79), "[###             ] step 12 of 60  1 min 35 s left  reward 0.800  accuracy 0.750");
  assertEquals(
    progressLine(progress, 199),
    "[#####                   ] step 12 of 60  1 min 35 s left  reward 0.800  accuracy 0.750  length 31.2  19000 tokens/s",
  );
  assertEquals(progressLine(progress, 12), "step 12 of …");
});

Deno.test("a terminal that changes its width keeps one line of progress", () => {
  using run = shown(120);
  const { screen, take, progress, resize, resized } = run;
  progress.note("Kedge: begins");
  take(made(7));
  take(made(8));
  for (const columns of [120, 60, 41, 40, 90, 45, 200, 40]) {
    resize(columns);
    assertEquals(
      screen.lines.map((line) => line.replace(/^\[.*?\] /, "").slice(0, 12)),
      ["Kedge: begin", "step 8 of 60"],
      `${columns} columns`,
    );
    assert(screen.lines[1]!.includes("step 8 of 60  52 s left") && columnsOf(screen.lines[1]!) < columns, screen.lines[1]);
  }
  progress[Symbol.dispose]();
  assertEquals(resized.size, 0);
});

Deno.test("the line shows when the run evaluates or is paused, and a pause does not count for the time left", () => {
  using run = shown(80);
  const { screen, take } = run;
  take(status("warm-start"));
  take(warm(1));
  take(status("running"));
  assert(screen.lines[0]!.endsWith("step 0 of 60  evaluating"), screen.lines[0]);
  for (const step of [1, 2, 3]) take(made(step));
  assert(screen.lines[0]!.includes("step 3 of 60  57 s left"), screen.lines[0]);
  take(status("paused", 3));
  assert(screen.lines[0]!.endsWith("step 3 of 60  paused"), screen.lines[0]);
  take(made(4), 1_000_000);
  take(made(5));
  assert(screen.lines[0]!.includes("step 5 of 60  55 s left"), screen.lines[0]);
});

Deno.test("without a terminal there are plain lines, now and then", () => {
  let text = "";
  const out = { terminal: false, columns: () => 40, write: (more: string) => void (text += more), now: () => 0, onResize: () => () => {} };
  using progress = new Progress(config, out);
  for (const n of [1, 50, 51, 600]) progress.show(warm(n));
  progress.show(status("running"));
  progress.show(made(1, { "val/accuracy": 0.25, "val/accuracy_greedy": 0.5 }));
  progress.end("60 of 60 steps");
  assertEquals(text.split("\n"), [
    "warm start 50 of 600  0 s left  loss 1.234",
    "warm start 600 of 600  0 s left  loss 1.234",
    "step 1: held-out accuracy 0.250 sampled, 0.500 greedy",
    "step 1 of 60  reward 0.800  accuracy 0.250  length 31.3  19000 tokens/s",
    "60 of 60 steps (0 s)",
    "",
  ]);
});

Deno.test("wide characters take two columns, and a text is cut between characters", () => {
  assertEquals(["abc", "数える", "한글", "e\u0301", "👩‍🔬", "‑–…", "ＡＢ", "\u200b"].map(columnsOf), [3, 6, 4, 1, 2, 3, 4, 0]);
  assertEquals([cutTo("数える", 6), cutTo("数える", 5), cutTo("数える", 4), cutTo("abc", 0)], ["数える", "数え…", "数…", ""]);
  const progress = { name: "ステップ", step: 1, total: 2, left: undefined, facts: ["報酬 0.5"] };
  for (let columns = 1; columns < 60; columns++) assert(columnsOf(progressLine(progress, columns)) <= columns, `${columns} columns`);
});
