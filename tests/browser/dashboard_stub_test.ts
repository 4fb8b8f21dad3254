import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import type { Page } from "playwright-core";
import { browserTest, type TestBrowser } from "./browser.ts";
import { StubApi } from "./stub_api.ts";
import { metricsLine, picture } from "./stub_run.ts";

/** Opens the page with its token and waits until its first curves are drawn. */
async function opened(browser: TestBrowser, options: { api: StubApi; width?: number; touch?: boolean; view?: string }): Promise<Page> {
  const { api, width = 1280, touch = false, view } = options, page = await browser.page({ width, touch });
  await page.goto(api.signed);
  await page.waitForSelector(".charts figure canvas");
  if (view !== undefined) await page.click(`nav a[href="#${view}"]`);
  return page;
}

const chartWords = (page: Page, title: string) => page.getAttribute(`figure.chart:has(h3:text-is("${title}")) [role=img]`, "aria-label");
/** Returns how dark each region of a picture is drawn. */
const shades = (page: Page, within = ".view:not([hidden]) .picture >> nth=0") =>
  page.$eval(within, (figure) => [...figure.querySelectorAll("rect")].map((rect) => Number(rect.getAttribute("fill-opacity"))));

browserTest("the page asks for the token, says when it is refused, and keeps it out of the address", async (browser) => {
  await using api = new StubApi();
  const page = await browser.page();
  await page.goto(api.url);
  await page.fill("#token", "wrong");
  await page.keyboard.press("Enter");
  await page.waitForSelector("text=The endpoint has refused the token.");
  assertEquals(await page.$(".charts"), null);
  await page.fill("#token", api.token);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".charts figure canvas");
  await page.reload();
  await page.waitForSelector(".charts figure canvas");
  await page.goto("about:blank");
  await page.goto(api.signed);
  await page.waitForSelector(".charts figure canvas");
  assertEquals(page.url(), api.url);
  // The browser itself logs a refused request.
  assertEquals(browser.complaints.filter((words) => !words.includes("401")), []);
});

browserTest("curves, numbers and the answers grow as events come", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api });
  assertStringIncludes((await chartWords(page, "Reward"))!, "steps 1 to 12;");
  assertStringIncludes((await page.textContent(".head"))!, "step 12 of 100");
  api.step();
  api.step();
  await page.waitForSelector(`figure:has(h3:text-is("Reward")) [aria-label*="steps 1 to 14;"]`);
  await page.waitForSelector("text=step 14 of 100");
  await page.click('nav a[href="#answers"]');
  await page.waitForSelector("text=2 prompts, 4 answers of step 14.");
  api.step();
  await page.waitForSelector("text=4 answers of step 15.");
  await page.selectOption("#answers-step", "11");
  await page.waitForSelector("text=4 answers of step 11.");
  api.step();
  await page.click("text=Show step 16, the newest");
  await page.waitForSelector("text=4 answers of step 16.");
  assertEquals(browser.complaints, []);
});

browserTest("the token under the pointer draws where it looked; leaving draws the anchors' mean", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api, view: "answers" });
  await page.waitForSelector(".view:not([hidden]) .token");
  const mean = await shades(page);
  await page.hover(".view:not([hidden]) .token >> nth=4");
  await page.waitForSelector('.view:not([hidden]) >> text=Where " 4" attends.');
  const own = await shades(page), profiles = (api.rollouts.get(12)![0] as { profile: { shares: string } }).profile;
  const bytes = [...Uint8Array.fromBase64(profiles.shares)].slice(4 * 16, 5 * 16), most = Math.max(...bytes);
  assertEquals(own, bytes.map((byte) => Number((0.8 * (1 - byte / most)).toFixed(3))));
  assertStringIncludes((await page.textContent(".view:not([hidden]) .token-facts"))!, '" 4" · connectivity ');
  await page.hover("h1");
  await page.waitForSelector(".view:not([hidden]) >> text=Where the anchors of sample 0 attend, on average.");
  assertEquals(await shades(page), mean);
  assertEquals(browser.complaints, []);
});

browserTest("a tap selects a token", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api, width: 390, touch: true, view: "answers" });
  await page.tap(".view:not([hidden]) .token >> nth=4");
  await page.waitForSelector('.view:not([hidden]) >> text=Where " 4" attends.');
  await page.tap(".view:not([hidden]) .token >> nth=6");
  await page.waitForSelector('.view:not([hidden]) >> text=Where " blue" attends.');
  assertEquals(browser.complaints, []);
});

browserTest("the keyboard reaches the tokens and goes through them", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api, view: "answers" });
  await page.waitForSelector(".view:not([hidden]) .token");
  await page.focus("#answers-step");
  const focused = () => page.$eval(":focus", (at) => `${at.className}:${at.textContent}`);
  // deno-lint-ignore no-await-in-loop -- one key after the other
  for (let i = 0; i < 4; i++) await page.keyboard.press("Tab"); // the switch, the prompt's summary, its button, its first answer
  assertEquals(await focused(), "token: the");
  await page.keyboard.press("ArrowRight");
  assertEquals(await focused(), "token anchor: red");
  await page.waitForSelector('.view:not([hidden]) >> text=Where " red" attends.');
  const held = await page.textContent(".said:has-text('answers of')");
  api.step();
  await page.waitForSelector("text=Show step 13, the newest");
  assertEquals(await page.textContent(".said:has-text('answers of')"), held, "what is being read stays");
  await page.keyboard.press("End");
  assertEquals(await focused(), "token: 7");
  assertEquals(browser.complaints, []);
});

browserTest("a changed setting is sent, and a refused one is marked", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api, view: "settings" });
  await page.fill("[id='tune-optim.lr']", "5e-5");
  await page.selectOption("[id='tune-atrl.mode']", "hard");
  await page.click("form:has(.fields) button[type=submit]");
  await page.waitForSelector('form .said:text-is(\'From step 13: optim.lr 0.0001 → 0.00005, atrl.mode "soft" → "hard".\')');
  assertEquals(api.to("/v1/config").filter(({ method }) => method === "PATCH").map(({ body }) => body), [{
    optim: { lr: 5e-5 },
    atrl: { mode: "hard" },
  }]);
  await page.fill("[id='tune-rollout.temperature']", "-1");
  await page.click("form:has(.fields) button[type=submit]");
  await page.waitForSelector("[id='tune-rollout.temperature'][aria-invalid=true]");
  assertEquals(await page.textContent("[id='tune-rollout.temperature-fault']"), "Cannot tune: it must be at least 0");
  assertEquals(browser.complaints.filter((words) => !words.includes("422")), []);
});

browserTest("commands are enabled if the state permits them, and their result is shown", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api });
  const open = () =>
    page.$$eval("[aria-label=Steering] button", (all) => all.filter((one) => !one.hasAttribute("disabled")).map((one) => one.textContent));
  assertEquals(await open(), ["Pause", "Stop", "Checkpoint", "Evaluate"]);
  await page.click("text=Evaluate");
  await page.waitForSelector("text=evaluate: Cannot evaluate: no data (the run is running)");
  await page.click("text=Checkpoint");
  await page.waitForSelector("text=Checkpoint of step 12: runs/stub/checkpoints/step-12");
  await page.click("text=Pause");
  await page.waitForSelector(".controls .said:text-is('Pausing after this step…')");
  await page.waitForSelector(".badge:text-is('pausing after this step')");
  assertEquals(await open(), ["Resume", "Stop", "Checkpoint", "Evaluate"]);
  api.step();
  api.setState({ state: "paused" });
  await page.waitForSelector(".controls .said:text-is('Paused after step 13.')");
  await page.waitForSelector(".badge:text-is('paused')");
  assertEquals(await open(), ["Resume", "Stop", "Checkpoint", "Evaluate"]);
  await page.click("text=Resume");
  await page.waitForSelector(".controls .said:text-is('The run continues: it is running.')");
  assertEquals(await page.textContent(".badge"), "running");
  await page.click('button:text-is("Stop")');
  assertEquals(api.to("/v1/stop").length, 0, "it asks first");
  await page.keyboard.press("Escape");
  await page.click('button:text-is("Stop")');
  await page.click("text=Stop it");
  await page.waitForSelector(".controls .said:text-is('Stopping after this step, with a checkpoint…')");
  assertEquals([await open(), api.to("/v1/stop").length], [[], 1]);
  api.setState({ state: "stopped" });
  await page.waitForSelector(".badge:text-is('stopped')");
  assertEquals(await open(), ["Start"]);
  assertEquals(browser.complaints.filter((words) => !words.includes("409")), []);
});

browserTest("the chat's answer comes word by word, with where it looked", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api, view: "chat" });
  await page.fill("textarea", "what do you see ?");
  await page.setInputFiles("input[type=file]", {
    name: "a.png",
    mimeType: "image/png",
    buffer: Buffer.from(picture().split(",")[1]!, "base64"),
  });
  await page.waitForSelector(".preview img");
  await page.click("form.ask button[type=submit]");
  await page.waitForSelector("text=answering…");
  await page.waitForSelector("text=The policy after step 12");
  assertEquals(await page.textContent(".talk .answer"), " i see a red 4 .");
  await page.hover(".talk .token >> nth=3");
  await page.waitForSelector('.view:not([hidden]) >> text=Where " red" attends.');
  assertEquals((await shades(page, ".talk .picture")).length, 16);
  const body = api.to("/v1/chat/completions")[0]!.body as Record<string, unknown>,
    [message] = body.messages as [{ content: unknown[] }];
  assertEquals([body.stream, body.connectivity, body.temperature, body["max_tokens"]], [true, true, 1, 256]);
  assertEquals(message.content, [
    { type: "image_url", "image_url": { url: picture().replace("bmp", "png") } },
    { type: "text", text: "what do you see ?" },
  ]);
  assertEquals(browser.complaints, []);
});

browserTest("a picture of the step goes to the chat with its question", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api, view: "answers" });
  await page.click("text=Ask this in the chat >> nth=0");
  assertEquals(await page.inputValue("textarea"), "what is the red number plus the blue number ?");
  assertEquals(await page.getAttribute(".preview img", "src"), picture());
});

browserTest("a broken stream is continued after the last event, and the page shows it meanwhile", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api });
  api.step();
  await page.waitForSelector("text=step 13 of 100");
  await page.waitForSelector(".connection:text-is('live')");
  const metrics = api.to("/v1/metrics").length;
  api.cut(true);
  await page.waitForSelector(".connection:has-text('no connection')");
  api.step();
  api.cut(false);
  await page.waitForSelector("text=step 14 of 100");
  await page.waitForSelector(".connection:text-is('live')");
  assertEquals([api.to("/v1/events")[0]!.lastEventId, api.to("/v1/events").at(-1)!.lastEventId], [null, "stub-2"]);
  assertEquals(api.to("/v1/metrics").length, metrics, "nothing is fetched twice");
  const again = page.waitForResponse("**/v1/metrics*");
  api.emit("reset", {});
  await again;
  assertEquals(api.to("/v1/metrics").length, metrics + 1, "after a reset everything is");
});

browserTest("nothing is wider than a telephone, and no part of the page breaks the policy", async (browser) => {
  await using api = new StubApi();
  const page = await opened(browser, { api, width: 390 });
  for (const view of ["run", "answers", "chat", "settings", "api"]) {
    // deno-lint-ignore no-await-in-loop -- one view after the other
    await page.click(`nav a[href="#${view}"]`);
    // deno-lint-ignore no-await-in-loop -- it shows what it has fetched
    await page.waitForSelector(
      { run: "canvas", answers: ".token:visible", chat: "textarea", settings: ".field", api: ".operation" }[view]!,
    );
    // deno-lint-ignore no-await-in-loop -- one view after the other
    assertEquals(await page.evaluate("document.documentElement.scrollWidth"), 390, view);
  }
  await page.selectOption("[aria-label=Theme]", "dark");
  assertEquals(await page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(20, 23, 26)");
  await page.goto(`${api.url}docs`);
  await page.waitForSelector("text=How the run stands");
  assertEquals(browser.complaints, []);
});

browserTest("hostile text stays text", async (browser) => {
  await using api = new StubApi();
  const evil = "<img src=x onerror=alert(1)><script>alert(1)</script>";
  api.status.name = evil;
  api.rollouts.set(
    12,
    api.rollouts.get(12)!.map((line) => ({
      ...line,
      prompt: evil,
      truth: evil,
      "prompt_id": evil,
      tokens: [evil],
      image: "javascript:alert(1)",
    })),
  );
  const page = await opened(browser, { api, view: "answers" });
  await page.waitForSelector(".view:not([hidden]) .token");
  assertEquals([await page.textContent("h1"), await page.textContent(".token:visible"), await page.textContent(".question:visible")], [
    evil,
    evil,
    evil,
  ]);
  assertEquals([await page.$$eval("main img, h1 img", (all) => all.length), browser.complaints], [0, []]);
});

browserTest("a run of 10,000 steps is drawn in a moment", async (browser) => {
  await using api = new StubApi();
  api.metrics = Array.from({ length: 10_000 }, (_, i) => metricsLine(i + 1));
  api.status.step = 10_000;
  const page = await opened(browser, { api });
  await page.waitForTimeout(1000);
  await page.evaluate(`{
    globalThis.longest = 0;
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => longest = Math.max(longest, duration))).observe({ type: "longtask" });
  }`);
  for (let i = 0; i < 5; i++) {
    api.step();
    // deno-lint-ignore no-await-in-loop -- a run that goes on
    await page.waitForTimeout(600);
  }
  assertStringIncludes((await chartWords(page, "Reward"))!, "to 10005;");
  const longest = await page.evaluate("longest") as number;
  assert(longest < 500, `the page was busy for ${longest} ms`);
});
