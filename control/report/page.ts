import { createHash } from "node:crypto";
import PLOT from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import PLOT_STYLE from "uplot/dist/uPlot.min.css" with { type: "text" };
import SCRIPT from "./page_script.js" with { type: "text" };
import STYLE from "./page_style.css" with { type: "text" };
import { chartsOf } from "./curves.ts";
import { histogramOf } from "./histogram.ts";
import type { RunRecord } from "./read.ts";
import { stepSamples } from "./samples.ts";

/** Data inside a script element: no "<" in it can end the element. Six digits of a number are enough to look at. */
function embedded(data: unknown): string {
  const short = (_: string, value: unknown) => typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  return JSON.stringify(data, short).replaceAll("<", "\\u003c");
}

/** Only the page's own scripts and styles run, known by their hashes; nothing is loaded. */
function policyOf(scripts: readonly string[], styles: readonly string[]): string {
  const hashes = (texts: readonly string[]) =>
    texts.map((text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`).join(" ");
  return `default-src 'none'; img-src data:; script-src ${hashes(scripts)}; style-src ${
    hashes(styles)
  }; base-uri 'none'; form-action 'none'`;
}

/** The page of a run. All that comes from the run goes in as JSON, and the page's script turns it into text nodes. */
export function reportPage({ name, config, metrics, rollouts: { first, last } }: RunRecord): string {
  const logged = last.length > 0 ? last : first;
  const data = {
    name,
    config: config && JSON.stringify(config, null, 2),
    charts: chartsOf(metrics),
    histogram: histogramOf(logged),
    samples: [logged, last.length > 0 ? first : []].filter((lines) => lines.length > 0).map(stepSamples),
  };
  const scripts = [PLOT, SCRIPT], styles = [PLOT_STYLE, STYLE];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policyOf(scripts, styles)}">
<title>Report of a run</title>
${styles.map((style) => `<style>${style}</style>`).join("\n")}
</head>
<body>
<noscript>The report is drawn by a script inside this file.</noscript>
<main id="report"></main>
<script type="application/json" id="data">${embedded(data)}</script>
${scripts.map((script) => `<script>${script}</script>`).join("\n")}
</body>
</html>
`;
}
