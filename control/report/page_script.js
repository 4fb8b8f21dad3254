import { answer, factsOf, heatKey, mostOf, sampleCard } from "../page/answers.js";
import { el, show } from "../page/elements.js";
import { chart, distribution, redrawPlots } from "../page/plots.js";

const { name, config, charts, histogram, samples } = JSON.parse(document.getElementById("data").textContent);
const report = document.getElementById("report");
const section = (title, ...children) => report.append(el("section", {}, el("h2", { textContent: title }), ...children));

const look = el("p", {
  className: "look",
  ariaLive: "polite",
  textContent: "Point at a token for its numbers, or move through an answer with Tab and the arrow keys.",
});
const most = mostOf(samples.flatMap(({ prompts }) => prompts).flatMap((prompt) => prompt.samples));

const prompt = ({ id, text, truth, image, samples }) => {
  const picture = image && el("figure", { className: "picture" }, el("img", { src: image, alt: `The picture of ${id}` }));
  const said = (one) => answer(one, { most, look: (i) => look.textContent = factsOf(one, i) });
  const words = el(
    "div",
    {},
    el("p", { className: "question", textContent: text }),
    ...samples.map((one) => sampleCard(one, { truth, said: said(one) })),
  );
  return el("article", { className: image ? "prompt" : "prompt bare" }, picture, words);
};

document.title = `${name} – report`;
report.append(el("h1", { textContent: name }));
const empty = charts.length === 0 && samples.length === 0;
if (empty) report.append(el("p", { textContent: "This run is empty: it has logged no steps yet." }));

const facts = el("dl", { className: "facts" });
for (const key of ["val/accuracy", "val/accuracy_greedy", "reward/overall", "sft/loss"]) {
  const { xs, values } = charts.flatMap(({ xs, series }) => series.map((one) => ({ ...one, xs }))).find(({ label }) => label === key) ?? {};
  if (!values) continue;
  const known = values.filter((x) => x !== null), way = known.length > 1 ? `${show(known[0])} → ${show(known.at(-1))}` : show(known[0]);
  facts.append(el("div", {}, el("dt", { textContent: `${key}, steps ${xs[0]} to ${xs.at(-1)}` }), el("dd", { textContent: way })));
}
report.append(facts);
const [steps, warm] = ["step", "warm-start step"].map((along) => charts.filter((one) => one.along === along));
for (const [title, own] of [["Steps", steps], ["Warm start", warm]]) {
  if (own.length > 0) section(title, el("div", { className: "charts" }, ...own.map((one) => chart(one).figure)));
}
if (histogram) section(`Connectivity of the tokens of step ${show(histogram.step)}`, ...distribution(histogram).nodes);
if (samples.length > 0) {
  const shown = samples.map(({ step, prompts }, i) => {
    const title = `${i === 0 ? "The last logged step" : "The first, for comparison"}: step ${show(step)}`;
    return el("details", { open: true }, el("summary", {}, title), ...prompts.map(prompt));
  });
  section("Answers", heatKey(most), ...shown, look);
}
if (config) {
  section("Configuration", el("details", {}, el("summary", {}, "config.json, as the run resolved it"), el("pre", { textContent: config })));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPlots);
