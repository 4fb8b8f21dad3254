/** Puts script into a data set's text, a model's output and a run's name. Every page must show it as text and never run it. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Page } from "playwright-core";
import type { Inspection } from "../../cli/inspect/inspection.ts";
import { inspectionPage } from "../../cli/inspect/page.ts";
import { writeReport } from "../../control/report/report.ts";
import { browserTest, type TestBrowser } from "./browser.ts";
import { StubApi } from "./stub_api.ts";
import { metricsLine, rolloutLines } from "./stub_run.ts";

const MARK = "globalThis.ranHere=1";
/** Strings that try to leave a text, an attribute, a script, a style, a comment and a template, or to enter a script. */
const HOSTILE = [
  `<script>${MARK}</script>`,
  `</script><script>${MARK}</script>`,
  `"><img src=x onerror="${MARK}">`,
  `'><svg onload='${MARK}'>`,
  `</title></style></textarea><iframe srcdoc="<script>parent.ranHere=1</script>"></iframe>`,
  `<!--<script>`,
  `--><a href="javascript:${MARK}">here</a>`,
  `\${${MARK}}{{constructor.constructor('${MARK}')()}}`,
  `<meta http-equiv="refresh" content="0;url=data:text/html,gone">`,
  `\u2028;${MARK}//\0<base href="//evil.example/">`,
].join(" ");

const hostileLines = (step: number) =>
  rolloutLines(step).map((line) => ({
    ...line,
    "prompt_id": HOSTILE,
    prompt: HOSTILE,
    truth: HOSTILE,
    response: HOSTILE,
    tokens: (line.tokens as string[]).map((word, i) => i % 3 === 0 ? HOSTILE : word),
    reward: { overall: 1, [HOSTILE]: 1 },
    finish: HOSTILE,
  }));
const hostileMetrics = (step: number) => ({ ...metricsLine(step), [`val/${HOSTILE}`]: 0.5, [HOSTILE]: 0.25 });

/** Runs in a page before its first byte. It reports elements that no page of Kedge creates. */
const WATCH = `
globalThis.found = [];
const odd = (at) => at.matches("iframe, object, embed, base, meta[http-equiv=refresh], a[href^='javascript:'], img[src=x]") ||
  [...at.attributes].some(({ name }) => name.startsWith("on"));
new MutationObserver((records) => {
  for (const node of records.flatMap(({ addedNodes }) => [...addedNodes])) {
    if (node instanceof Element) found.push(...[node, ...node.querySelectorAll("*")].filter(odd).map((at) => at.outerHTML.slice(0, 100)));
  }
}).observe(document, { childList: true, subtree: true });
`;

async function watched(browser: TestBrowser): Promise<Page> {
  const page = await browser.page();
  await page.addInitScript({ content: WATCH });
  return page;
}

/** Asserts that nothing ran, no element was added, no other host was asked, and the text is shown as text. */
async function assertQuiet(page: Page, browser: TestBrowser, scripts: number): Promise<void> {
  const seen = await page.evaluate("({ ran: globalThis.ranHere !== undefined, found, scripts: document.scripts.length })");
  assertEquals(seen, { ran: false, found: [], scripts });
  assertEquals(browser.complaints, []);
}

browserTest("the dashboard shows script from data, model and run as text, on every view", async (browser) => {
  await using api = new StubApi();
  api.metrics = Array.from({ length: 12 }, (_, i) => hostileMetrics(i + 1));
  api.rollouts = new Map([[11, hostileLines(11)], [12, hostileLines(12)]]);
  api.words = [" a", HOSTILE, " b"];
  Object.assign(api.status, { name: HOSTILE, error: HOSTILE, accounts: { [HOSTILE]: 1000 } });
  const page = await watched(browser), elsewhere: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(api.url) && !/^(data|blob):/.test(request.url())) elsewhere.push(request.url());
  });
  await page.goto(api.signed);
  await page.waitForSelector(".charts figure canvas");
  const scripts = await page.evaluate<number>("document.scripts.length");
  const views = await page.$$eval("nav a[href^='#']", (links) => links.map((link) => link.getAttribute("href")!));
  assertEquals(views.length >= 4, true, `views: ${views}`);
  for (const view of views) {
    // deno-lint-ignore no-await-in-loop -- one view after the other
    await page.click(`nav a[href="${view}"]`);
    api.emit("note", { text: HOSTILE });
    api.emit("tuned", { changed: [{ path: HOSTILE, from: HOSTILE, to: HOSTILE }], fromStep: 13 });
    api.emit("checkpoint", { step: 12, path: HOSTILE });
    api.setState({ state: "failed", error: HOSTILE });
    // deno-lint-ignore no-await-in-loop -- one view after the other
    await page.waitForTimeout(150);
    // deno-lint-ignore no-await-in-loop -- one view after the other
    await assertQuiet(page, browser, scripts);
  }
  await page.click('nav a[href="#answers"]');
  await page.hover(".token:visible >> nth=3");
  assertStringIncludes((await page.textContent("body"))!, `<script>${MARK}</script>`);
  api.setState({ state: "running" }); // a failed run does not answer
  await page.click('nav a[href="#chat"]');
  await page.fill("textarea", HOSTILE);
  await page.click("form:has(textarea) button[type=submit]");
  await page.waitForFunction(`document.body.textContent.split(${JSON.stringify(MARK)}).length > 2`);
  await assertQuiet(page, browser, scripts);
  const docs = await watched(browser);
  await docs.goto(`${api.url}docs#token=${api.token}`);
  await docs.waitForSelector("text=How the run stands");
  await assertQuiet(docs, browser, await docs.evaluate<number>("document.scripts.length"));
  assertEquals(elsewhere, []);
});

browserTest("report.html shows script from data, model and run as text", async (browser) => {
  const folder = Deno.makeTempDirSync();
  try {
    const lines = (all: readonly unknown[]) => all.map((line) => `${JSON.stringify(line)}\n`).join("");
    Deno.writeTextFileSync(`${folder}/config.json`, JSON.stringify({ name: HOSTILE, reward: HOSTILE, data: { system: HOSTILE } }));
    Deno.writeTextFileSync(`${folder}/metrics.jsonl`, lines(Array.from({ length: 12 }, (_, i) => hostileMetrics(i + 1))));
    Deno.writeTextFileSync(`${folder}/rollouts.jsonl`, lines([...hostileLines(1), ...hostileLines(12)]));
    const page = await watched(browser);
    await page.goto(`file://${writeReport(folder)}`);
    await page.waitForSelector("figure canvas");
    const scripts = await page.evaluate<number>("document.scripts.length");
    await page.hover(".token:visible >> nth=3");
    assertStringIncludes((await page.textContent("main"))!, `<script>${MARK}</script>`);
    await assertQuiet(page, browser, scripts);
    assertEquals(scripts, 3);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

browserTest("the page of inspect shows script from a prompt, a model and its name as text", async (browser) => {
  const token = { text: HOSTILE, special: false, connectivity: 0.5, anchor: true, cluster: 0, weight: 1, profile: [1] };
  const inspection: Inspection = {
    prompt: HOSTILE,
    picture: { data: new Uint8Array(12).fill(100), width: 2, height: 2 },
    regions: [{ left: 0, top: 0, width: 2, height: 2 }],
    tokens: [token, token],
    cut: false,
  };
  const path = Deno.makeTempFileSync({ suffix: ".html" });
  try {
    const png = Uint8Array.fromBase64(
      "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAAAAAC4HznGAAAAEElEQVR4nGPwE0hnsdFLAgAGDwGWl2zW7wAAAABJRU5ErkJggg==",
    );
    Deno.writeTextFileSync(path, inspectionPage(inspection, { png, title: HOSTILE }));
    const page = await watched(browser);
    await page.goto(`file://${path}`);
    await page.hover(".token:visible >> nth=1");
    assertStringIncludes((await page.textContent("body"))!, `<script>${MARK}</script>`);
    await assertQuiet(page, browser, 2);
  } finally {
    Deno.removeSync(path);
  }
});
