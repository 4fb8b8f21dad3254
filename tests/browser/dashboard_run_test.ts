// Tests the dashboard with a real run, as a user sees it.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import "sharp";
import type { Page } from "playwright-core";
import { dashboardPage } from "../../control/dashboard/page.ts";
import { serveControl } from "../../control/http/serve.ts";
import { RunController } from "../../control/run/run_controller.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { LITTLE, logged, withRunDir } from "../actors/little_run.ts";
import { browserTest } from "./browser.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as a leak

const SIZES = [[1280, 900], [390, 844]] as const;

/** Returns the number of steps in the curve of rewards. */
async function steps(page: Page): Promise<number> {
  const words = await page.getAttribute('figure.chart:has(h3:text-is("Reward")) [role=img]', "aria-label");
  return Number(/steps \d+ to (\d+)/.exec(words ?? "")?.[1] ?? 0);
}

/** Saves a screenshot in the folder of `--screenshots=FOLDER`. */
async function photograph(page: Page, name: string): Promise<void> {
  const folder = Deno.args.find((arg) => arg.startsWith("--screenshots="))?.split("=")[1];
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
}

browserTest("a run is started, paused, tuned, resumed, watched and stopped from the page, which needs the token", async (browser) => {
  await withRunDir(async (folder) => {
    const sets = [
      ...LITTLE,
      `runDir=${folder}`,
      "trainer.maxSteps=100000",
      "trainer.saveFreq=0",
      "data.maxResponseLength=24",
      "rollout.n=4",
    ];
    await using control = new RunController({ sets });
    await using server = serveControl(control, { port: 0, page: dashboardPage() });
    const page = await browser.page({ width: 1280, height: 900 });
    await page.goto(server.url);
    await page.waitForSelector("#token");
    assertEquals(await page.$(".badge:visible"), null, "without the token nothing is shown of the run");
    await page.fill("#token", "not-the-token");
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=The endpoint has refused the token.");
    assertEquals((await control.status()).state, "idle");
    await page.goto("about:blank");
    await page.goto(`${server.url}/#token=${server.token}`);
    await page.waitForSelector(".badge:text-is('idle')");

    await page.click('[aria-label=Steering] button:text-is("Start")');
    await page.waitForSelector(".badge:text-is('running')", { timeout: 180_000 });
    await page.waitForSelector('figure.chart:has(h3:text-is("Reward")) [role=img]', { timeout: 30_000 });
    const first = await steps(page);
    const grows = async (above: number) => {
      // deno-lint-ignore no-await-in-loop -- it waits
      for (let i = 0; await steps(page) <= above; i++) {
        assert(i < 200, `the curve stays at ${above}`);
        // deno-lint-ignore no-await-in-loop -- as above
        await page.waitForTimeout(100);
      }
    };
    await grows(first);

    await page.click('[aria-label=Steering] button:text-is("Pause")');
    await page.waitForSelector(".badge:text-is('paused')");
    const rests = (await control.status()).step;
    await page.waitForTimeout(500);
    assertEquals((await control.status()).step, rests);

    await page.click('nav a[href="#settings"]');
    await page.fill("[id='tune-optim.lr']", "2e-4");
    await page.click("form:has(.fields) button[type=submit]");
    await page.waitForSelector(`form .said:text-is("From step ${rests + 1}: optim.lr 0.001 → 0.0002.")`);
    await page.click('[aria-label=Steering] button:text-is("Resume")');
    await page.waitForSelector(".badge:text-is('running')");
    await page.click('nav a[href="#run"]');
    await grows(rests + 2);
    const rates = logged(`${folder}/board`).filter((line) => "actor/lr" in line).map((line) => [line.step, line["actor/lr"]]);
    assertEquals(rates.slice(rests - 1, rests + 1), [[rests, 1e-3], [rests + 1, 2e-4]]);

    await page.click('[aria-label=Steering] button:text-is("Pause")');
    await page.waitForSelector(".badge:text-is('paused')");
    await page.click('nav a[href="#answers"]');
    await page.hover(".token:visible >> nth=2");
    const looked = await page.waitForSelector(".view:not([hidden]) .picture:has-text('attends.')");
    const shades = await looked.$$eval("svg rect", (all) => all.map((rect) => Number(rect.getAttribute("fill-opacity"))));
    // The region with the most attention keeps its brightness. If attention is nearly uniform, the page says so.
    assert(
      shades.length === 0 ? (await looked.textContent())!.includes("nearly uniform") : shades.length >= 9 && Math.min(...shades) === 0,
      `${shades}`,
    );
    assertStringIncludes((await page.textContent(".view:not([hidden]) .token-facts"))!, "connectivity");

    await page.click('nav a[href="#chat"]');
    await page.fill("textarea", "what is the red number ?");
    await page.click("form.ask button[type=submit]");
    await page.waitForSelector("text=The policy after step", { timeout: 30_000 });

    for (const [width, height] of SIZES) {
      // deno-lint-ignore no-await-in-loop -- one after the other
      await page.setViewportSize({ width, height });
      for (const view of ["run", "answers", "chat", "settings", "api"]) {
        // deno-lint-ignore no-await-in-loop -- as above
        await page.click(`nav a[href="#${view}"]`);
        // deno-lint-ignore no-await-in-loop -- as above
        await page.waitForTimeout(300); // curves adopt the new width in the next frame
        // deno-lint-ignore no-await-in-loop -- as above
        const wide = await page.$eval("html", (html) => html.scrollWidth);
        assert(wide <= width, `${view} is ${wide} pixels wide, of ${width}`);
        // deno-lint-ignore no-await-in-loop -- as above
        await photograph(page, `${view}-${width}`);
      }
    }
    await page.click('[aria-label=Steering] button:text-is("Stop")');
    await page.click("text=Stop it");
    await page.waitForSelector(".badge:text-is('stopped')", { timeout: 30_000 });
    assertEquals((await control.status()).state, "stopped");
    assertEquals((await control.checkpoints()).at(-1)!.step, (await control.status()).step);
    assertEquals(browser.complaints.filter((words) => !words.includes("401")), []);
    assertEquals(server.counts().unexpected, 0);
  });
});
