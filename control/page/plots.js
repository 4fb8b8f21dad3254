/** Draws charts with uPlot. */
import { axisOf } from "./curves.js";
import { colour, el, forgetColours, show } from "./elements.js";
import { wordsOf } from "./words.js";

const plots = new Set();

/** Formats a number for an axis. */
const mark = (x) => x !== 0 && Math.abs(x) < 1e-3 ? Number(x.toPrecision(3)).toExponential() : show(x);

/** Draws a plot that follows the width of its box. The arrow keys move through its points. */
const plot = (box, options, data) => {
  const axis = {
    stroke: () => colour("--dim"),
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { stroke: () => colour("--line"), width: 1 },
  };
  const size = () => ({ width: Math.max(200, box.clientWidth), height: 220 });
  const axes = [{ ...axis, size: 32 }, { ...axis, size: 58, values: (_, splits) => splits.map(mark) }];
  const made = new uPlot({ ...size(), scales: { x: { time: false } }, axes, ...options }, data, box);
  const observer = new ResizeObserver(() => box.clientWidth > 0 && made.width !== size().width && made.setSize(size()));
  observer.observe(box);
  plots.add(made);
  return Object.assign(made, {
    end() {
      observer.disconnect();
      plots.delete(made);
      made.destroy();
    },
  });
};

/** Moves the plot's cursor with the arrow keys. */
const steered = (box, plotOf) => {
  let at = Infinity;
  box.tabIndex = 0;
  box.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key], made = plotOf();
    if (move === undefined || !made) return;
    event.preventDefault();
    const last = made.data[0].length - 1;
    at = Math.max(0, Math.min(last, Math.min(at, last + 1) + move));
    made.setCursor({ left: made.valToPos(made.data[0][at], "x"), top: 10 });
  });
  box.addEventListener("blur", () => plotOf()?.setCursor({ left: -10, top: -10 }));
  return box;
};

/** Dash patterns of the curves. Where curves meet, each shows through the gaps of the others. */
const DASHES = [[], [8, 5], [2, 4], [12, 4, 2, 4], [5, 3], [2, 7], [16, 4]];

/**
 * Makes the marks of the legend in colours of the style sheet, so that they follow the theme. `variables` are the colours of the series.
 */
const marks = (variables, { filled = false } = {}) => {
  const of = (i) => variables[i - 1] ? `var(${variables[i - 1]})` : "transparent";
  const dash = (_, i) => filled || i % DASHES.length === 1 ? "solid" : i % 3 === 0 ? "dotted" : "dashed";
  return { markers: { width: 2, stroke: (_, i) => of(i), fill: (_, i) => filled ? of(i) : "transparent", dash } };
};

/** Returns the legend's value: the one under the cursor, or else the newest. */
const value = (u, x, i, at) => show(at === null || at === undefined ? u.data?.[i]?.findLast((one) => one !== null) : x);

/** Replaces a plot's data and keeps its zoom. */
const refill = (made, data) => {
  const { min, max } = made.scales.x, [xs] = made.data, whole = !(min > xs[0] || max < xs.at(-1));
  made.setData(data, whole);
  if (!whole) made.redraw(true);
  if (made.cursor.left < 0) made.setLegend({ idx: null });
};

/** Makes a box whose plot is created when the box is on the page, and again when `shapeOf` changes. */
const drawn = (box, { shapeOf, optionsOf, dataOf }) => {
  let made, shape, now, waiting = false;
  const end = () => {
    made?.end();
    made = now = undefined;
  };
  const draw = () => {
    waiting = false;
    if (now === undefined) return;
    const wanted = shapeOf(now);
    if (made && wanted === shape) return refill(made, dataOf(now));
    made?.end();
    shape = wanted;
    made = plot(box, optionsOf(now), dataOf(now));
    made.setLegend({ idx: null });
  };
  box.role = "img";
  steered(box, () => made);
  const put = (next) => {
    now = next;
    if (!waiting) queueMicrotask(draw);
    waiting = true;
  };
  return { put, end };
};

/** Returns a curve's name for the legend. */
const nameOf = ({ label, same }) => same === undefined ? wordsOf(label) : `${wordsOf(label)} (the same as ${wordsOf(same)})`;

/** Makes a chart of lines. @returns Its figure, a function that updates its data, and one that ends it. */
export const chart = (first) => {
  const box = el("div", { className: "chart" }), names = el("p", { className: "note names" });
  let now = first;
  const { put: draw, end } = drawn(box, {
    shapeOf: ({ series, band }) => JSON.stringify([series.map(({ label, same }) => [label, same]), band !== undefined]),
    dataOf: ({ xs, series, band }) => [xs, ...series.map(({ values }) => values), ...band ? [band.low, band.high] : []],
    optionsOf: ({ along, series, band }) => {
      const lines = series.map((one, i) => ({
        label: nameOf(one),
        value,
        spanGaps: true,
        width: series.some(({ same }) => same === one.label) ? 5 : 2, // the other curve runs along the middle of this one
        stroke: () => colour(`--c${i % 6}`),
        points: { show: (u) => u.data[0].length < 30, size: 5, fill: () => colour("--paper") },
        dash: DASHES[i % DASHES.length],
      }));
      const edges = band ? ["low", "high"].map((label) => ({ label, value, spanGaps: true, width: 0, points: { show: false } })) : [];
      const n = series.length;
      return {
        scales: { x: { time: false }, y: { range: (_, low, high) => low === null ? [0, 1] : axisOf(low, high, now.least) } },
        legend: marks(series.map((_, i) => `--c${i % 6}`)),
        series: [{ label: along, value }, ...lines, ...edges],
        ...(band && { bands: [{ series: [n + 2, n + 1], fill: () => colour("--band") }] }),
      };
    },
  });
  const update = (next) => {
    now = next;
    names.textContent = next.series.map(({ label }) => label).join(" \u00b7 ");
    const last = next.series.map((one) => `${nameOf(one)} ${show(one.values.findLast((x) => x !== null))}`).join(", ");
    box.ariaLabel = `${next.title} along ${next.along}s ${next.xs[0]} to ${next.xs.at(-1)}; at the end: ${last}`;
    draw(next);
  };
  update(first);
  return { figure: el("figure", { className: "chart" }, el("h3", { textContent: first.title }), names, box), update, end };
};

/** Makes the histogram of connectivity. @returns Its nodes, a function that updates its data, and one that ends it. */
export const distribution = (first) => {
  const box = el("div", { className: "chart" }), note = el("p", { className: "note" });
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  let now = first;
  const pointed = (_, x) => show(x);
  const bars = (label, variable) => ({
    label,
    value: pointed,
    width: 0,
    fill: () => colour(variable),
    stroke: () => colour(variable),
    points: { show: false },
    paths: uPlot.paths.bars({ size: [0.9, Infinity] }),
  });
  const edge = (u) => {
    if (now.threshold === null) return;
    const left = Math.round(u.valToPos(now.threshold, "x", true)), { top, height } = u.bbox, { ctx } = u;
    ctx.save();
    ctx.strokeStyle = colour("--ink");
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(left, top);
    ctx.lineTo(left, top + height);
    ctx.stroke();
    ctx.restore();
  };
  const { put: draw, end } = drawn(box, {
    shapeOf: () => "bars",
    dataOf: ({ starts, width, all, anchors }) => [starts.map((start) => start + width / 2), all, anchors],
    optionsOf: () => ({
      scales: {
        x: { time: false, range: () => [now.starts[0], now.starts.at(-1) + now.width] },
        y: { range: (_, __, high) => [0, high * 1.05 || 1] },
      },
      legend: marks(["--c0", "--hot"], { filled: true }),
      series: [{ label: "connectivity", value: pointed }, bars("tokens", "--c0"), bars("anchors", "--hot")],
      hooks: { draw: [edge] },
    }),
  });
  const update = (next) => {
    now = next;
    const { all, anchors, threshold } = next, lowest = show(threshold);
    box.ariaLabel = `${sum(all)} tokens by connectivity, ${sum(anchors)} of them anchors; lowest anchor ${lowest}`;
    note.textContent = `${sum(all)} tokens, ${sum(anchors)} of them anchors. ${
      threshold === null
        ? "No token is an anchor."
        : `Dashed line: ${lowest}, the lowest connectivity of an anchor. Anchors are chosen within each answer, so other tokens can lie above it.`
    }`;
    draw(next);
  };
  update(first);
  return { nodes: [box, note], update, end };
};

/** Redraws all plots in the theme's colours. */
export const redrawPlots = () => {
  forgetColours();
  for (const one of plots) one.redraw(false);
};
