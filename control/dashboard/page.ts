import PLOT from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import PLOT_STYLE from "uplot/dist/uPlot.min.css" with { type: "text" };
import { z } from "zod";
import { tunableSchema } from "../../actors/config/tunable.ts";
import { hashesOf, htmlOf, scriptOf } from "../page/document.ts";
import STYLE from "../page/style.css" with { type: "text" };
import { MODULES } from "./modules.ts";
import OWN_STYLE from "./style.css" with { type: "text" };

/** What the form needs to know about a tunable field. */
interface About {
  readonly description?: string;
  readonly enum?: readonly string[];
}

interface Schema extends About {
  readonly properties?: Readonly<Record<string, Schema>>;
}

/** Returns the schemas of the tunable fields, by path. */
function aboutTunable(): Record<string, About> {
  const walk = ({ properties, description, enum: choices }: Schema, path: string): [string, About][] =>
    properties
      ? Object.entries(properties).flatMap(([key, inner]) => walk(inner, path === "" ? key : `${path}.${key}`))
      : [[path, { ...(description !== undefined && { description }), ...(choices && { enum: choices }) }]];
  return Object.fromEntries(walk(z.toJSONSchema(tunableSchema, { io: "input" }) as Schema, ""));
}

// The icon is an anchor.
const ICON = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cg fill='none' stroke='%23ff7a1a' " +
  "stroke-width='3' stroke-linecap='round'%3E%3Ccircle cx='16' cy='6' r='3'/%3E%3Cpath d='M16 9v19M10 14h12M5 20c1 5 5 8 11 8s10-3 11-8'/%3E%3C/g%3E%3C/svg%3E";

/**
 * Makes the dashboard's page. It contains no data of the run. Its script asks the endpoint that serves it, with the user's token.
 *
 * @returns The page's text and the headers to serve it with. They allow only its own scripts and styles and requests to its own endpoint,
 * and forbid framing.
 * @example
 * ```ts
 * import { dashboardPage } from "@kedge/kedge/control";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const { html, headers } = dashboardPage();
 * assertStringIncludes(html, "<title>");
 * assertStringIncludes(headers["content-security-policy"]!, "default-src 'none'");
 * ```
 */
export function dashboardPage(): { html: string; headers: Record<string, string> } {
  const scripts = [PLOT, scriptOf(MODULES)], styles = [PLOT_STYLE, STYLE, OWN_STYLE];
  const policy = [
    "default-src 'none'",
    "connect-src 'self'",
    "img-src data: blob:",
    `script-src ${hashesOf(scripts)}`,
    `style-src ${hashesOf(styles)}`,
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return {
    html: htmlOf({
      title: "Kedge",
      head: `<meta name="referrer" content="no-referrer">\n<link rel="icon" href="${ICON}">`,
      styles,
      body: `<noscript>The dashboard is drawn by a script inside this page.</noscript>\n<div id="dashboard"></div>`,
      data: { about: aboutTunable() },
      scripts,
    }),
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
    },
  };
}
