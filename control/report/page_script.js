import { mostOf, sampleCard } from "../page/answers.js";
import { el, show } from "../page/elements.js";
import { heatmapLegend, heatmapSwitch, overlaidPicture } from "../page/picture.js";
import { chart, distribution, redrawPlots } from "../page/plots.js";
import { profileOf } from "../page/profile.js";
import { answerWithProfile } from "../page/answer_with_profile.js";
import { wordsOf } from "../page/words.js";

const { name, config, charts, rests, facts, histogram, samples } = JSON.parse(document.getElementById("data").textContent);
const report = document.getElementById("report");
const section = (title, ...children) => report.append(el("section", {}, el("h2", { textContent: title }), ...children));
const named = (words, key) => [words, " ", el("code", { textContent: key })];

const tokenFacts = el("p", {
  className: "token-facts",
  ariaLive: "polite",
  textContent: "Point at a token for its numbers and where it attends, or move through an answer with Tab and the arrow keys.",
});
const most = mostOf(samples.flatMap(({ prompts }) => prompts).flatMap((prompt) => prompt.samples));

const prompt = ({ id, text, truth, image, samples }) => {
  const picture = image && overlaidPicture(image, { alt: `The picture of ${id}` }), pictures = picture ? [picture] : [];
  const bodies = samples.map((one) =>
    answerWithProfile({ ...one, profile: profileOf(one) }, { most, pictures, tell: (words) => tokenFacts.textContent = words })
  );
  bodies[0]?.rest();
  const words = el(
    "div",
    {},
    el("p", { className: "question", textContent: text, tabIndex: 0 }),
    ...samples.map((one, i) => sampleCard(one, { truth, body: bodies[i].element })),
  );
  return el("article", { className: image ? "prompt" : "prompt bare" }, picture?.figure, words);
};

document.title = `${name} – report`;
report.append(el("h1", { textContent: name }));
if (charts.length + rests.length + samples.length === 0) {
  report.append(el("p", { textContent: "This run is empty: it has logged no steps yet." }));
}
const came = facts.map(({ title, label, along, from, to }) => {
  const way = from.x === to.x ? show(from.value) : `${show(from.value)} → ${show(to.value)}`;
  const words = `${title}${title.startsWith("Held-out") ? `, ${wordsOf(label)}` : ""}; ${along}s ${from.x} to ${to.x}`;
  return el("div", {}, el("dt", {}, ...named(words, label)), el("dd", { textContent: way }));
});
report.append(el("dl", { className: "facts" }, ...came));

if (samples.length > 0) {
  const shown = samples.map(({ step, prompts }, i) => {
    const title = `${i === 0 ? "The last logged step" : "The first, for comparison"}: step ${show(step)}`, details = el("details", {});
    // The content is made when it is opened, so that closed parts cost no time.
    const fill = () => details.open && details.children.length === 1 && details.append(...prompts.map(prompt));
    details.append(el("summary", {}, title));
    details.addEventListener("toggle", fill);
    details.open = i === 0;
    fill();
    return details;
  });
  section("Answers and their anchors", heatmapLegend(most), heatmapSwitch(), ...shown, tokenFacts);
}
const [steps, warm] = ["step", "warm-start step"].map((along) => charts.filter((one) => one.along === along));
for (const [title, records] of [["Steps", steps], ["Warm start", warm]]) {
  if (records.length > 0) section(title, el("div", { className: "charts" }, ...records.map((one) => chart(one).figure)));
}
if (rests.length > 0) {
  const lines = rests.map(({ title, label, value, along, points }) =>
    el("li", {}, ...named(`${title}: ${show(value)} ${points === 1 ? `at one ${along}` : `at each of ${points} ${along}s`}`, label))
  );
  section("What stayed the same", el("ul", { className: "rests" }, ...lines));
}
if (histogram) section(`Connectivity of the tokens of step ${show(histogram.step)}`, ...distribution(histogram).nodes);
if (config) {
  section("Configuration", el("details", {}, el("summary", {}, "config.json, as the run resolved it"), el("pre", { textContent: config })));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPlots);
