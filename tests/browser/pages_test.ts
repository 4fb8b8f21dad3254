// Tests the pages that open from disk, and the heat maps that all pages draw over pictures.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import sharp from "sharp";
import type { Locator, Page } from "playwright-core";
import type { Inspection } from "../../cli/inspect/inspection.ts";
import { inspectionPage } from "../../cli/inspect/page.ts";
import { writeReport } from "../../control/report/report.ts";
import { browserTest } from "./browser.ts";
import { StubApi } from "./stub_api.ts";
import { metricsLine, rolloutLines, warmLine } from "./stub_run.ts";

/** Pixels [32, 32, 3]: four by four squares of strong colours. */
const COLOURS = [[40, 80, 220], [220, 40, 30], [240, 220, 50], [30, 180, 60]] as const;
const painted = () =>
  Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3), square = Math.floor(pixel / 256) * 4 + Math.floor(pixel % 32 / 8);
    return COLOURS[(square + Math.floor(square / 4)) % 4]![i % 3]!;
  });
const png = async () => new Uint8Array(await sharp(painted(), { raw: { width: 32, height: 32, channels: 3 } }).png().toBuffer());

/** Returns the hue in degrees and the largest of the three components. */
function hueOf([r, g, b]: readonly [number, number, number]): { hue: number; light: number } {
  const light = Math.max(r, g, b), span = light - Math.min(r, g, b);
  const sector = light === r ? (g - b) / span : light === g ? 2 + (b - r) / span : 4 + (r - g) / span;
  return { hue: (60 * sector + 360) % 360, light };
}

/** Returns the colours of the middles of the sixteen squares on the screen. */
async function squares(picture: Locator): Promise<{ hue: number; light: number }[]> {
  const { data, info } = await sharp(await picture.screenshot()).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return Array.from({ length: 16 }, (_, i) => {
    const [x, y] = [i % 4, Math.floor(i / 4)].map((n) => Math.floor((n + 0.4) * info.width / 4)) as [number, number];
    return hueOf([...data.subarray(3 * (y * info.width + x))] as unknown as [number, number, number]);
  });
}

/**
 * Asserts what a heat map changes in the page's first picture: regions with less attention are darker, hues stay, and the switch shows the
 * original picture.
 */
async function keepsHues(page: Page): Promise<void> {
  const frame = page.locator(".overlaid:visible").first(), box = page.locator(".heatmap-switch:visible").first();
  await frame.scrollIntoViewIfNeeded();
  const drawn = await squares(frame);
  await box.uncheck();
  const plain = await squares(frame);
  await box.check();
  for (const [i, { hue, light }] of plain.entries()) {
    assert(Math.abs((drawn[i]!.hue - hue + 540) % 360 - 180) <= 4, `square ${i}: hue ${hue} became ${drawn[i]!.hue}`);
    assert(drawn[i]!.light <= light + 1, `square ${i} became lighter`);
  }
  const darkest = Math.min(...drawn.map(({ light }, i) => light / plain[i]!.light));
  assert(darkest < 0.5, `the darkest square has ${darkest} of its light`);
}

/** Gives a folder to write pages into, which the browser opens from disk. */
async function withPages(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

browserTest(
  "a report shows answers before curves, keeps the hues of pictures, and says in a line what stayed the same",
  (browser) =>
    withPages(async (folder) => {
      const image = `data:image/png;base64,${(await png()).toBase64()}`, long = Array.from({ length: 2000 }, (_, i) => ` word${i}`);
      const lines = [1, 12].flatMap((step) => rolloutLines(step)).map((line) => ({ ...line, ...("image" in line && { image }) }));
      const metrics = [1, 2].map(warmLine).concat(Array.from({ length: 12 }, (_, i) => metricsLine(i + 1)));
      const write = (name: string, all: readonly object[]) =>
        Deno.writeTextFileSync(`${folder}/${name}`, all.map((line) => `${JSON.stringify(line)}\n`).join(""));
      write("metrics.jsonl", metrics);
      write("rollouts.jsonl", lines);
      const page = await browser.page({ width: 390, height: 844 });
      await page.goto(`file://${writeReport(folder)}`);
      const end = () => page.evaluate("document.querySelector('.answer').getBoundingClientRect().bottom + scrollY") as Promise<number>;
      const reached = await end();
      assert(reached < 1500, `the first answer ends at ${reached}`);
      assertEquals(await page.evaluate("document.documentElement.scrollWidth"), 390);
      const heads = await page.$$eval("h2", (all) => all.map(({ textContent }) => textContent));
      assertEquals(heads.slice(0, 4), ["Answers and their anchors", "Steps", "Warm start", "What stayed the same"]);
      assertEquals(await page.$$eval(".rests li", (all) => all.map(({ textContent }) => textContent)), [
        "Learning rate: 0.0001 at each of 12 steps actor/lr",
      ]);
      assertEquals(await page.$('figure.chart:has(h3:text-is("Learning rate"))'), null);
      assertEquals(await page.textContent('figure.chart:has(h3:text-is("Reward")) .names'), "reward/overall \u00b7 reward/accuracy");
      await keepsHues(page);
      await page.hover(".token >> nth=4");
      await page.waitForSelector('text=Where " 4" attends.');
      // A long answer and a long question scroll inside their own boxes.
      write("rollouts.jsonl", [{
        ...lines[0],
        tokens: long,
        connectivity: long.map(() => 0.1),
        anchor: [],
        cluster: [],
        prompt: long.join(""),
        profile: undefined,
      }]);
      await page.goto(`file://${writeReport(folder)}`);
      const far = await end();
      assert(far < 4000, `the first answer ends at ${far}`);
      assertEquals(browser.complaints, []);
    }),
);

browserTest(
  "inspect's page keeps the hues of the picture, says in words that attention is uniform, and sets clusters apart from digits",
  (browser) =>
    withPages(async (folder) => {
      const regions = Array.from({ length: 16 }, (_, i) => ({ left: i % 4 * 8, top: Math.floor(i / 4) * 8, width: 8, height: 8 }));
      const token = { special: false, connectivity: 0.2, anchor: false, cluster: 3, weight: 1, profile: regions.map(() => 0.01) };
      const inspection: Inspection = {
        prompt: "which <b>digit</b> ?",
        picture: { data: painted(), width: 32, height: 32 },
        regions,
        tokens: [
          { ...token, text: "the" },
          { ...token, text: " 7", anchor: true, connectivity: 0.6, profile: regions.map((_, r) => r === 5 ? 0.2 : 0.02) },
          { ...token, text: "<|im_end|>", special: true },
        ],
        cut: false,
      };
      Deno.writeTextFileSync(`${folder}/inspect.html`, inspectionPage(inspection, { png: await png(), title: "<m>: a.png" }));
      const page = await browser.page({ width: 390, height: 844 });
      await page.goto(`file://${folder}/inspect.html`);
      await page.waitForSelector("text=Where the anchors attend, on average. Maximum: middle.");
      assertEquals(await page.evaluate("document.documentElement.scrollWidth"), 390);
      assertEquals([await page.textContent("h1"), await page.textContent(".question")], ["<m>: a.png", "which <b>digit</b> ?"]);
      await keepsHues(page);
      assertEquals(await page.textContent(".answer"), "the 7<|im_end|>", "a cluster's number is no part of the answer");
      const mark = await page.evaluate(`{
      const { content, verticalAlign, borderTopWidth, marginLeft } = getComputedStyle(document.querySelectorAll(".token")[1], "::after");
      ({ content, verticalAlign, borderTopWidth, gap: parseFloat(marginLeft) });
    }`) as { content: string; verticalAlign: string; borderTopWidth: string; gap: number };
      assertStringIncludes(mark.content, '"3"');
      assertEquals([mark.verticalAlign, mark.borderTopWidth, mark.gap > 1], ["super", "1px", true]);
      await page.focus(".token >> nth=0");
      await page.waitForSelector('text=Where "the" attends. The attention is nearly uniform: no region has more than 1 times the average.');
      assertEquals(await page.$$eval(".overlaid rect", (all) => all.length), 0, "uniform attention darkens nothing");
      await page.keyboard.press("ArrowRight");
      await page.waitForSelector('text=Where " 7" attends.');
      assertEquals(await page.textContent(".token-facts"), '" 7", an anchor \u00b7 connectivity 0.6 \u00b7 cluster 3 \u00b7 weight 1');
      assertEquals(browser.complaints, []);
    }),
);

browserTest("the dashboard shows an answer beside its picture first, and keeps its hues", async (browser) => {
  await using api = new StubApi();
  const image = `data:image/png;base64,${(await png()).toBase64()}`;
  api.rollouts.set(12, api.rollouts.get(12)!.map((line) => ({ ...line, ...("image" in line && { image }) })));
  const page = await browser.page({ width: 1440 });
  await page.goto(api.signed);
  await page.waitForSelector(".token:visible");
  await page.waitForSelector(".charts figure canvas");
  assertEquals(await page.locator("h2:visible").allTextContents(), [
    "Where the newest answer attends",
    "Curves",
    "Anchors and other tokens",
    "Events",
  ]);
  await keepsHues(page);
  await page.hover(".token:visible >> nth=4");
  await page.waitForSelector('text=Where " 4" attends.');
  api.step();
  await page.waitForTimeout(3500);
  assertStringIncludes((await page.textContent("a[href='#answers']:visible >> nth=1"))!, "step 12", "what is being looked at stays");
  await page.hover("h1");
  api.step();
  await page.waitForSelector("a:text-is('All answers of step 14')");
  assertEquals(browser.complaints, []);
});

browserTest(
  "while the page connects no button acts and no heading stands over nothing; then the head counts the warm start",
  async (browser) => {
    await using api = new StubApi();
    api.metrics = Array.from({ length: 20 }, (_, i) => warmLine(i + 1));
    api.rollouts.clear();
    Object.assign(api.status, { state: "warm-start", step: 0, maxSteps: 60 });
    const page = await browser.page({ width: 390 }), open = () => page.locator("button:visible:not([disabled])").allTextContents();
    await page.route("**/v1/**", () => {}); // the endpoint does not answer
    await page.goto(api.signed);
    await page.waitForSelector("text=Connecting to the run…");
    for (const view of ["run", "answers", "chat", "settings"]) {
      // deno-lint-ignore no-await-in-loop -- one view after the other
      await page.click(`nav a[href="#${view}"]`);
      // deno-lint-ignore no-await-in-loop -- as above
      assertEquals(await open(), [], view);
    }
    await page.click('nav a[href="#run"]');
    assertEquals([
      await page.locator("h2:visible").count(),
      await page.locator(".head dt:visible, .badge:visible, progress:visible").count(),
    ], [0, 0]);
    await page.unroute("**/v1/**");
    await page.reload();
    await page.waitForSelector("text=warm start: step 20 of 600");
    await page.waitForSelector("figure.chart:has(h3:text-is('Loss of the warm start'))");
    assertStringIncludes((await page.textContent(".head .facts"))!, "time left in the warm start1 min 56 s");
    assertEquals(await page.textContent(".badge"), "warm start");
    assertEquals(await open(), ["Pause", "Stop"]);
    assertEquals(await page.locator("h2:visible").allTextContents(), ["Curves", "Events"]);
    await page.click("text=Pause");
    await page.waitForSelector("text=Pausing after this step of the warm start…");
    api.setState({ state: "paused" });
    await page.waitForSelector("text=Paused after step 20 of the warm start.");
    assertEquals(await open(), ["Resume", "Stop"]);
    assertEquals(browser.complaints, []);
  },
);
