import { assertEquals, assertStringIncludes } from "@std/assert";
import { histogramOf } from "../../control/page/histogram.js";
import { writeReport } from "../../control/report/report.ts";

/** Makes the page of a run with these files. */
function pageOf(files: Readonly<Record<string, string>>): string {
  const folder = Deno.makeTempDirSync({ dir: "/tmp" });
  try {
    for (const [name, text] of Object.entries(files)) Deno.writeTextFileSync(`${folder}/${name}`, text);
    const path = writeReport(`${folder}/`);
    assertEquals(path, `${folder}/report.html`);
    return Deno.readTextFileSync(path);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Returns the data for the page's script. */
function dataOf(page: string) {
  return JSON.parse(page.match(/<script type="application\/json" id="data">(.*?)<\/script>/s)![1]!);
}

const PNG = "data:image/png;base64,AAAA";
const line = (step: number, more: object = {}) =>
  JSON.stringify({
    step,
    "prompt_id": "p",
    sample: 0,
    prompt: "how many ?",
    truth: "4",
    response: "a b",
    tokens: ["a", " b"],
    connectivity: [0.25, 1],
    anchor: [0, 1],
    weights: [0.5, 1.5],
    reward: { overall: 1 },
    ...more,
  });

Deno.test("the page loads nothing", () => {
  const page = pageOf({ "metrics.jsonl": '{"step":1,"reward/overall":0.5}\n', "rollouts.jsonl": `${line(1, { image: PNG })}\n` });
  const code = page.replace(/\/\*\*.*?\*\//gs, ""); // a type in a comment may say import("...")
  assertEquals([...code.matchAll(/(?:src|href)\s*=\s*["']?(?:https?:)?\/\/|url\(|@import|<link|\bimport\s*\(|fetch\(/g)].map(String), []);
  assertStringIncludes(page, `content="default-src 'none'; img-src data:; script-src 'sha256-`);
  assertEquals(/unsafe-(inline|eval)/.test(page), false);
});

Deno.test("hostile text stays inside the data, and reads back as it was", () => {
  const response = '</script><script>alert(1)</script><!-- " \u2028', image = 'javascript:alert(1)"';
  const page = pageOf({
    "config.json": JSON.stringify({ name: response }),
    "rollouts.jsonl": line(1, { prompt: response, truth: response, tokens: [response], image }),
  });
  assertEquals(page.includes("alert(1)</script>"), false);
  assertEquals(page.match(/<\/script>/g)!.length, 3);
  const { name, samples } = dataOf(page), [prompt] = samples[0].prompts;
  assertEquals([name, prompt.text, prompt.truth, prompt.samples[0].tokens[0]], [response, response, response, response]);
  assertEquals(prompt.image, undefined);
});

Deno.test("a torn last line is left out", () => {
  const page = pageOf({
    "metrics.jsonl": '{"step":1,"actor/loss":0.5}\n{"step":2,"actor/lo',
    "rollouts.jsonl": `${line(1)}\n${line(2)}\n${line(3).slice(0, 40)}`,
  });
  const { charts, rests, samples } = dataOf(page);
  assertEquals([charts, rests], [[], [{ title: "Loss", label: "actor/loss", value: 0.5, along: "step", points: 1 }]]);
  assertEquals(samples.map(({ step }: { step: number }) => step), [2, 1]);
});

Deno.test("an empty run gives a page without charts", () => {
  const page = pageOf({}), { charts, rests, facts, samples, histogram } = dataOf(page);
  assertEquals([charts, rests, facts, samples, histogram], [[], [], [], [], undefined]);
  assertStringIncludes(page, "This run is empty");
});

Deno.test("the picture of a prompt's first answer is shown for the prompt", () => {
  const page = pageOf({ "rollouts.jsonl": `${line(1, { image: PNG })}\n${line(1, { sample: 1 })}\n` }),
    [prompt] = dataOf(page).samples[0].prompts;
  assertEquals([prompt.image, prompt.samples.length], [PNG, 2]);
});

Deno.test("the warm start has separate curves, and a validation is drawn with its interval", () => {
  const lines = [
    { step: 0, phase: "sft", "sft_step": 1, "sft/loss": 6, "timing_s/step": 9 },
    { step: 0, phase: "sft", "sft_step": 2, "sft/loss": 5, "timing_s/step": 9 },
    { step: 0, "val/accuracy": 0.5, "val/accuracy_low": 0.4, "val/accuracy_high": 0.6 },
    { step: 1, "timing_s/step": 2, "actor/lr": 1e-4, "val/accuracy": 0.5, "val/accuracy_low": 0.4, "val/accuracy_high": 0.6 },
    { step: 2, "timing_s/step": 3, "actor/lr": 1e-4 },
  ];
  const { charts, rests, facts } = dataOf(pageOf({ "metrics.jsonl": lines.map((one) => `${JSON.stringify(one)}\n`).join("") }));
  assertEquals(charts, [
    {
      title: "Held-out accuracy",
      along: "step",
      xs: [0, 1],
      series: [{ label: "val/accuracy", values: [0.5, 0.5] }],
      least: 0.1,
      band: { low: [0.4, 0.4], high: [0.6, 0.6] },
    },
    { title: "Seconds of a step", along: "step", xs: [1, 2], series: [{ label: "timing_s/step", values: [2, 3] }], least: 1 },
    { title: "Loss of the warm start", along: "warm-start step", xs: [1, 2], series: [{ label: "sft/loss", values: [6, 5] }], least: 1.2 },
  ]);
  assertEquals(rests, [{ title: "Learning rate", label: "actor/lr", value: 1e-4, along: "step", points: 2 }]);
  assertEquals(facts[1], {
    title: "Loss of the warm start",
    label: "sft/loss",
    along: "warm-start step",
    from: { x: 1, value: 6 },
    to: { x: 2, value: 5 },
  });
});

Deno.test("the histogram counts tokens and anchors, and marks the lowest anchor", () => {
  const lines = [
    { step: 7, connectivity: [0, 0.25, 0.5, 1], anchor: [0, 0, 1, 1] },
    { step: 7, connectivity: [0.3, null], anchor: [1, 1] },
    { step: 7 },
  ];
  assertEquals(histogramOf(lines, 4), {
    step: 7,
    width: 0.25,
    starts: [0, 0.25, 0.5, 0.75],
    all: [1, 2, 1, 1],
    anchors: [0, 1, 1, 1],
    threshold: 0.3,
  });
  assertEquals(histogramOf([{ step: 1 }]), undefined);
});
