import type { Browser, Page } from "playwright-core";
import { findProgram } from "../../cli/train/programs.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** Returns the path of a Chromium in PATH, or undefined if there is none. */
export function findChromium(): string | undefined {
  return NAMES.map(findProgram).find((path) => path !== undefined);
}

const path = findChromium();

/** Returns why browser tests cannot run here, or undefined if they can. */
function obstacle(): string | undefined {
  if (path === undefined) return `none of ${NAMES.join(", ")} is in PATH`;
  // Playwright reads the whole environment and files under /proc/sys. Deno permits that only with all permissions.
  const names = ["read", "write", "net", "env", "sys", "run", "ffi"] as const;
  return names.every((name) => Deno.permissions.querySync({ name }).state === "granted") ? undefined : "without -A";
}

const why = obstacle();

/** How to open a page. */
export interface PageOptions {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  readonly touch?: boolean;
}

/** A browser that collects the complaints of its pages. */
export class TestBrowser implements AsyncDisposable {
  readonly #browser: Browser;
  /** The errors, warnings and violations of the content security policy that pages have logged. */
  readonly complaints: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** Starts Chromium. In a container it runs without its own sandbox. */
  static async launch(): Promise<TestBrowser> {
    const { chromium } = await import("playwright-core");
    return new TestBrowser(
      await chromium.launch({ executablePath: path!, headless: true, args: ["--no-sandbox", "--disable-dev-shm-usage"] }),
    );
  }

  /** Opens a blank page in a new context. */
  async page({ width = 1280, height = 900, dark = false, touch = false }: PageOptions = {}): Promise<Page> {
    const context = await this.#browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", hasTouch: touch });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000); // for a busy machine
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(message.text());
    });
    return page;
  }

  /** Closes the browser and all its pages. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/**
 * Defines a test that needs Chromium. If it cannot run, it is skipped, and its name says why. Ops and resources are not checked, because
 * playwright keeps its pipes to the browser and some timers until after the browser has closed.
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
