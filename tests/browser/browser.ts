import type { Browser, Page } from "playwright-core";
import { findProgram } from "../../cli/train/programs.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** The path of a Chromium in PATH; undefined where there is none. */
export function findChromium(): string | undefined {
  return NAMES.map(findProgram).find((path) => path !== undefined);
}

const path = findChromium();

/** Why browser tests cannot run here; undefined where they can. */
function obstacle(): string | undefined {
  if (path === undefined) return `none of ${NAMES.join(", ")} is in PATH`;
  // Playwright reads the whole environment and files under /proc/sys, which Deno allows to those alone who may do all.
  const names = ["read", "write", "net", "env", "sys", "run", "ffi"] as const;
  return names.every((name) => Deno.permissions.querySync({ name }).state === "granted") ? undefined : "without -A";
}

const why = obstacle();

/** What a page is opened with. */
export interface PageOptions {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  readonly touch?: boolean;
}

/** A browser and all that its pages have complained of. */
export class TestBrowser implements AsyncDisposable {
  readonly #browser: Browser;
  /** Errors, warnings and violations of the content security policy that pages have logged. */
  readonly complaints: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** Starts Chromium. In a container it has no sandbox of its own. */
  static async launch(): Promise<TestBrowser> {
    const { chromium } = await import("playwright-core");
    return new TestBrowser(
      await chromium.launch({ executablePath: path!, headless: true, args: ["--no-sandbox", "--disable-dev-shm-usage"] }),
    );
  }

  /** A blank page in a context of its own. */
  async page({ width = 1280, height = 900, dark = false, touch = false }: PageOptions = {}): Promise<Page> {
    const context = await this.#browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", hasTouch: touch });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000); // of a machine with much else to do
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(message.text());
    });
    return page;
  }

  /** Ends the browser with all its pages. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/**
 * A test that needs Chromium; where it cannot run it is skipped, and its name says why. Ops and resources are not watched: playwright keeps its pipes to the browser's process and timers of its
 * own until after the browser has closed.
 */
export function browserTest(name: string, body: (browser: TestBrowser) => Promise<void>): void {
  Deno.test({
    name: why === undefined ? name : `${name} (skipped: ${why})`,
    ignore: why !== undefined,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      await using browser = await TestBrowser.launch();
      await body(browser);
    },
  });
}
