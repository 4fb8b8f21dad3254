/** The view of the run's curves, which grow with the run. */
import { el, show } from "../page/elements.js";
import { chartsOf } from "../page/curves.js";
import { chart } from "../page/plots.js";
import { wordsOf } from "../page/words.js";

const POINTS = 2000, ROWS = 25;

/** Makes a table of a chart's newest points. */
const tableOf = ({ title, along, xs, series }) => {
  const head = el(
    "tr",
    {},
    ...[along, ...series.map(({ label }) => `${wordsOf(label)} (${label})`)].map((text) => el("th", { scope: "col", textContent: text })),
  );
  const rows = xs.map((x, i) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", textContent: String(x) }),
      ...series.map(({ values }) => el("td", { textContent: show(values[i]) })),
    )
  ).slice(-ROWS).reverse();
  return el(
    "table",
    {},
    el("caption", { textContent: `${title}: the newest of ${xs.length} points` }),
    el("thead", {}, head),
    el("tbody", {}, ...rows),
  );
};

const panel = (first) => {
  const { figure, update, end } = chart(first), box = el("div", { className: "table" });
  const details = el("details", {}, el("summary", { textContent: "Numbers" }), box);
  let now = first;
  const fill = () => details.open && box.replaceChildren(tableOf(now));
  details.addEventListener("toggle", fill);
  figure.append(details);
  return {
    figure,
    end,
    update(next) {
      now = next;
      update(next);
      fill();
    },
  };
};

/** The charts: `element`, `draw(ledger)`, which returns whether there is a chart. */
export const curvesView = () => {
  const panels = new Map(), grid = el("div", { className: "charts" });
  return {
    element: grid,
    draw(ledger) {
      const charts = chartsOf(ledger, POINTS);
      for (const one of charts) {
        if (panels.has(one.title)) panels.get(one.title).update(one);
        else panels.set(one.title, panel(one));
      }
      const figures = charts.map(({ title }) => panels.get(title).figure);
      if (figures.length !== grid.children.length) grid.replaceChildren(...figures);
      return charts.length > 0;
    },
    /** Removes all charts, because a run that starts over needs new ones. */
    clear() {
      for (const { end } of panels.values()) end();
      panels.clear();
      grid.replaceChildren();
    },
  };
};
