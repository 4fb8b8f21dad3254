"use strict";
{
  const { name, config, charts, histogram, samples } = JSON.parse(document.getElementById("data").textContent);
  const report = document.getElementById("report"), plots = [];

  /** An element; text goes in as text nodes, never as HTML. */
  const el = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children.filter((child) => child !== undefined));
    return made;
  };
  const colour = (variable) => getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
  const show = (x) => x === null || x === undefined ? "–" : String(Number(x.toPrecision(4)));
  const section = (title, ...children) => report.append(el("section", {}, el("h2", { textContent: title }), ...children));

  /** Draws a plot that follows its box's width, and whose points are reached with the arrow keys. */
  const plot = (box, options, data) => {
    const axis = {
      stroke: () => colour("--dim"),
      grid: { stroke: () => colour("--line"), width: 1 },
      ticks: { stroke: () => colour("--line") },
    };
    const size = () => ({ width: Math.max(200, box.clientWidth), height: 220 });
    const x = { ...axis, ...options.along };
    const made = new uPlot({ ...size(), scales: { x: { time: false } }, axes: [x, { ...axis, size: 58 }], ...options }, data, box);
    plots.push(made);
    new ResizeObserver(() => made.width !== size().width && made.setSize(size())).observe(box);
    let at = data[0].length;
    box.tabIndex = 0;
    box.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      at = Math.max(0, Math.min(data[0].length - 1, at + move));
      made.setCursor({ left: made.valToPos(data[0][at], "x"), top: 10 });
    });
  };
  const value = (_, x) => show(x);

  const chart = ({ title, along, xs, series, band }) => {
    const few = xs.length < 30,
      box = el("div", { className: "chart" }),
      figure = el("figure", { className: "chart" }, el("h3", { textContent: title }), box);
    const last = series.map(({ label, values }) => `${label} ${show(values.findLast((x) => x !== null))}`).join(", ");
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${title} along ${along}s ${xs[0]} to ${xs.at(-1)}; at the end: ${last}`);
    const lines = series.map(({ label }, i) => ({
      label,
      value,
      spanGaps: true,
      width: 2,
      stroke: () => colour(`--c${i % 6}`),
      points: { show: few, size: 5 },
      ...(i > 0 && { dash: [6, 3] }),
    }));
    const edges = band ? ["low", "high"].map((label) => ({ label, value, spanGaps: true, width: 0, points: { show: false } })) : [];
    const n = series.length;
    queueMicrotask(() =>
      plot(box, {
        series: [{ label: along }, ...lines, ...edges],
        ...(band && { bands: [{ series: [n + 2, n + 1], fill: () => colour("--band") }] }),
      }, [xs, ...series.map(({ values }) => values), ...band ? [band.low, band.high] : []])
    );
    return figure;
  };

  const distribution = ({ width, starts, all, anchors, threshold }) => {
    const box = el("div", { className: "chart" }), middles = starts.map((start) => start + width / 2);
    const sum = (list) => list.reduce((a, b) => a + b, 0);
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${sum(all)} tokens by connectivity, ${sum(anchors)} of them anchors; lowest anchor ${show(threshold)}`);
    const bars = (label, variable) => ({
      label,
      value,
      width: 0,
      fill: () => colour(variable),
      stroke: () => colour(variable),
      points: { show: false },
      paths: uPlot.paths.bars({ size: [0.9, Infinity] }),
    });
    const mark = (u) => {
      if (threshold === null) return;
      const left = Math.round(u.valToPos(threshold, "x", true)), { top, height } = u.bbox, { ctx } = u;
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
    queueMicrotask(() =>
      plot(box, {
        scales: {
          x: { time: false, range: () => [starts[0], starts.at(-1) + width] },
          y: { range: (_, __, high) => [0, high * 1.05 || 1] },
        },
        series: [{ label: "connectivity", value }, bars("tokens", "--c0"), bars("anchors", "--hot")],
        hooks: { draw: [mark] },
      }, [middles, all, anchors])
    );
    const note = threshold === null
      ? "No token is an anchor."
      : `Dashed line: ${
        show(threshold)
      }, the lowest connectivity of an anchor. Anchors are chosen within each answer, so other tokens can lie above it.`;
    return [box, el("p", { className: "note", textContent: `${sum(all)} tokens, ${sum(anchors)} of them anchors. ${note}` })];
  };

  const look = el("p", { className: "look" }),
    HINT = "Point at a token for its numbers, or move through an answer with Tab and the arrow keys.";
  look.setAttribute("aria-live", "polite");
  look.textContent = HINT;
  const connectivities = samples.flatMap(({ prompts }) => prompts).flatMap((prompt) => prompt.samples).flatMap(({ numbers }) =>
    numbers.connectivity ?? []
  );
  const most = connectivities.reduce((a, b) => Math.max(a, b ?? 0), 0);

  const answer = ({ tokens, anchor, numbers }) => {
    const spans = tokens.map((text, i) => {
      const span = el("span", {
        className: anchor[i] ? "token anchor" : "token",
        textContent: text || "\u25cc",
        tabIndex: i === 0 ? 0 : -1,
      });
      const heat = numbers.connectivity?.[i] ?? 0;
      if (most > 0) span.style.setProperty("--heat", `${Math.max(0, Math.round(75 * heat / most))}%`);
      const facts = Object.entries(numbers).map(([key, values]) => `${key} ${show(values[i])}`);
      const tell = () => look.textContent = [`${JSON.stringify(text)}${anchor[i] ? ", an anchor" : ""}`, ...facts].join(" · ");
      span.addEventListener("pointerenter", tell);
      span.addEventListener("focus", tell);
      return span;
    });
    // One stop of Tab for an answer; the arrows go through it.
    const whole = el("p", { className: "answer" }, ...spans);
    whole.addEventListener("keydown", (event) => {
      const at = spans.indexOf(document.activeElement);
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: spans.length - 1 }[event.key];
      if (at < 0 || !spans[to]) return;
      event.preventDefault();
      spans[at].tabIndex = -1;
      spans[to].tabIndex = 0;
      spans[to].focus();
    });
    return whole;
  };

  const sample = (one, truth) => {
    const rewards = Object.entries(one.reward).map(([key, x]) => `${key === "overall" ? "reward" : key} ${show(x)}`);
    const parts = [
      `sample ${show(one.number)}`,
      ...rewards,
      `truth ${truth || "–"}`,
      ...one.finish && one.finish !== "stop" ? [`cut off (${one.finish})`] : [],
    ];
    return el("div", { className: "sample" }, el("p", { className: "note", textContent: parts.join(" · ") }), answer(one));
  };

  const prompt = ({ id, text, truth, image, samples }) => {
    const picture = image && el("figure", { className: "picture" }, el("img", { src: image, alt: `The picture of ${id}` }));
    const words = el("div", {}, el("p", { className: "question", textContent: text }), ...samples.map((one) => sample(one, truth)));
    return el("article", { className: image ? "prompt" : "prompt bare" }, picture, words);
  };

  document.title = `${name} – report`;
  report.append(el("h1", { textContent: name }));
  const empty = charts.length === 0 && samples.length === 0;
  if (empty) report.append(el("p", { textContent: "This run is empty: it has logged no steps yet." }));

  const facts = el("dl", { className: "facts" });
  for (const key of ["val/accuracy", "val/accuracy_greedy", "reward/overall", "sft/loss"]) {
    const { xs, values } = charts.flatMap(({ xs, series }) => series.map((one) => ({ ...one, xs }))).find(({ label }) => label === key) ??
      {};
    if (!values) continue;
    const known = values.filter((x) => x !== null), way = known.length > 1 ? `${show(known[0])} → ${show(known.at(-1))}` : show(known[0]);
    facts.append(el("div", {}, el("dt", { textContent: `${key}, steps ${xs[0]} to ${xs.at(-1)}` }), el("dd", { textContent: way })));
  }
  report.append(facts);
  const [steps, warm] = ["step", "warm-start step"].map((along) => charts.filter((one) => one.along === along));
  for (const [title, own] of [["Steps", steps], ["Warm start", warm]]) {
    if (own.length > 0) section(title, el("div", { className: "charts" }, ...own.map(chart)));
  }
  if (histogram) section(`Connectivity of the tokens of step ${show(histogram.step)}`, ...distribution(histogram));
  if (samples.length > 0) {
    const key = el(
      "p",
      { className: "note" },
      "Colour: connectivity, 0 ",
      el("span", { className: "scale" }),
      ` ${show(most)}. Bold and underlined: anchors.`,
    );
    const shown = samples.map(({ step, prompts }, i) => {
      const title = `${i === 0 ? "The last logged step" : "The first, for comparison"}: step ${show(step)}`;
      return el("details", { open: true }, el("summary", {}, title), ...prompts.map(prompt));
    });
    section("Answers", key, ...shown, look);
  }
  if (config) {
    section(
      "Configuration",
      el("details", {}, el("summary", {}, "config.json, as the run resolved it"), el("pre", { textContent: config })),
    );
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((one) => one.redraw(false)));
}
