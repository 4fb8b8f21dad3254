import PLOT from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import PLOT_STYLE from "uplot/dist/uPlot.min.css" with { type: "text" };
import ANSWERS from "../page/answers.js" with { type: "text" };
import ELEMENTS from "../page/elements.js" with { type: "text" };
import PLOTS from "../page/plots.js" with { type: "text" };
import STYLE from "../page/style.css" with { type: "text" };
import SCRIPT from "./page_script.js" with { type: "text" };
import { chartsOf } from "../page/curves.js";
import { hashesOf, htmlOf, scriptOf } from "../page/document.ts";
import { histogramOf } from "../page/histogram.js";
import { Ledger } from "../page/ledger.js";
import { stepSamples } from "../page/samples.js";
import type { RunRecord } from "./read.ts";

/** The page of a run. All that comes from the run goes in as JSON, and the page's script turns it into text nodes. */
export function reportPage({ name, config, metrics, rollouts: { first, last } }: RunRecord): string {
  const logged = last.length > 0 ? last : first, ledger = new Ledger();
  for (const line of metrics) ledger.add(line);
  const scripts = [PLOT, scriptOf([ELEMENTS, PLOTS, ANSWERS, SCRIPT])], styles = [PLOT_STYLE, STYLE];
  // Only the page's own scripts and styles run; nothing is loaded.
  const policy = `default-src 'none'; img-src data:; script-src ${hashesOf(scripts)}; style-src ${
    hashesOf(styles)
  }; base-uri 'none'; form-action 'none'`;
  return htmlOf({
    title: "Report of a run",
    head: `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    styles,
    body: `<noscript>The report is drawn by a script inside this file.</noscript>\n<main id="report"></main>`,
    data: {
      name,
      config: config && JSON.stringify(config, null, 2),
      charts: chartsOf(ledger),
      histogram: histogramOf(logged),
      samples: [logged, last.length > 0 ? first : []].filter((lines) => lines.length > 0).map((lines) => stepSamples(lines)),
    },
    scripts,
  });
}
