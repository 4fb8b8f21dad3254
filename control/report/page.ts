import PLOT from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import PLOT_STYLE from "uplot/dist/uPlot.min.css" with { type: "text" };
import ANSWERS from "../page/answers.js" with { type: "text" };
import CURVES from "../page/curves.js" with { type: "text" };
import ELEMENTS from "../page/elements.js" with { type: "text" };
import FIELDS from "../page/fields.js" with { type: "text" };
import HEATMAP from "../page/heatmap.js" with { type: "text" };
import PICTURE from "../page/picture.js" with { type: "text" };
import PLOTS from "../page/plots.js" with { type: "text" };
import PROFILE from "../page/profile.js" with { type: "text" };
import ANSWER_WITH_PROFILE from "../page/answer_with_profile.js" with { type: "text" };
import STYLE from "../page/style.css" with { type: "text" };
import WORDS from "../page/words.js" with { type: "text" };
import SCRIPT from "./page_script.js" with { type: "text" };
import { chartsOf, constantOf } from "../page/curves.js";
import { scriptOf, sealedPage } from "../page/document.ts";
import { histogramOf } from "../page/histogram.js";
import { Ledger } from "../page/ledger.js";
import { stepSamples } from "../page/samples.js";
import type { RunRecord } from "./read.ts";

/** The page's scripts. Each comes after those that it needs while it loads. */
const MODULES = [ELEMENTS, FIELDS, CURVES, WORDS, PLOTS, ANSWERS, HEATMAP, PICTURE, PROFILE, ANSWER_WITH_PROFILE, SCRIPT];

const FACTS: readonly string[] = ["val/accuracy", "val/accuracy_greedy", "reward/overall", "sft/loss"];

/** A chart, as `chartsOf` makes it. */
interface Chart {
  readonly title: string;
  readonly along: string;
  readonly xs: readonly number[];
  readonly series: readonly { readonly label: string; readonly values: readonly (number | null)[]; readonly same?: string }[];
  readonly least: number;
  readonly band?: { readonly low: readonly (number | null)[]; readonly high: readonly (number | null)[] };
}

/** Separates charts that change from constant ones, which are shown as a line of text. A curve with a band stays a chart. */
function apart(charts: readonly Chart[]) {
  const rests = charts.flatMap(({ title, xs, along, series, band }) =>
    band && xs.length > 1 ? [] : series.flatMap(({ label, values }) => {
      const value = constantOf({ values });
      return value === undefined ? [] : [{ title, label, value, along, points: values.filter((one) => one !== null).length }];
    })
  );
  const resting = new Set(rests.map(({ title, label }) => `${title}/${label}`));
  const moving = charts.map((chart) => ({ ...chart, series: chart.series.filter(({ label }) => !resting.has(`${chart.title}/${label}`)) }));
  return { charts: moving.filter(({ series }) => series.length > 0), rests };
}

/** Returns the run's results: the first and the last value of some metrics. */
function factsOf(charts: readonly Chart[]) {
  const all = charts.flatMap(({ title, along, xs, series }) => series.map(({ label, values }) => ({ title, along, xs, label, values })));
  return all.filter(({ label }) => FACTS.includes(label)).map(({ title, along, xs, label, values }) => {
    const measured = values.flatMap((value, i) => value === null ? [] : [{ x: xs[i]!, value }]),
      [from, to] = [measured[0]!, measured.at(-1)!];
    return { title, label, along, from, to };
  });
}
/** The number of steps that curves are made of. If there are more, every second one of the older half is dropped, repeatedly. */
const MOST_LINES = 20_000;
/** The number of points of a curve. */
const MOST_POINTS = 4000;

/** Makes the page of a run. Everything that comes from the run is embedded as JSON, and the page's script turns it into text nodes. */
export function reportPage({ name, config, metrics, rollouts: { first, last } }: RunRecord): string {
  const logged = last.length > 0 ? last : first, ledger = new Ledger(MOST_LINES);
  for (const line of metrics) ledger.add(line);
  const charts: Chart[] = chartsOf(ledger, MOST_POINTS);
  return sealedPage({
    title: "Report of a run",
    styles: [PLOT_STYLE, STYLE],
    body: `<noscript>The report is drawn by a script inside this file.</noscript>\n<main id="report"></main>`,
    data: {
      name,
      config: config && JSON.stringify(config, null, 2),
      ...apart(charts),
      facts: factsOf(charts),
      histogram: histogramOf(logged),
      samples: [logged, last.length > 0 ? first : []].filter((lines) => lines.length > 0).map((lines) =>
        stepSamples(lines, ({ profile }) => ({ profile }))
      ),
    },
    scripts: [PLOT, scriptOf(MODULES)],
  });
}
