/** The view of a step's answers, with heat maps of where their tokens attend. */
import { mostOf, sampleCard } from "../page/answers.js";
import { el, show } from "../page/elements.js";
import { heatmapLegend, heatmapSwitch, overlaidPicture } from "../page/picture.js";
import { profileOf } from "../page/profile.js";
import { answerWithProfile } from "../page/answer_with_profile.js";
import { stepSamples } from "../page/samples.js";

const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

const SHOWN = 4000; // the number of tokens up to which prompts are open at first

/** Makes the card of a prompt with its answers. The answers are drawn when the card is opened. */
const promptCard = ({ id, text, truth, image, samples }, { open, most, tell, ask }) => {
  const fill = () => {
    const picture = image && overlaidPicture(image, { alt: `The picture of ${id}` });
    const bodies = samples.map((one) => answerWithProfile(one, { most, tell, pictures: picture ? [picture] : [] }));
    const button = el("button", { type: "button", textContent: "Ask this in the chat" });
    button.addEventListener("click", () => ask({ text, image }));
    const words = el(
      "div",
      {},
      el("p", { className: "question", textContent: text }),
      el("p", {}, button),
      ...samples.map((one, i) => sampleCard(one, { truth, body: bodies[i].element })),
    );
    bodies[0]?.rest();
    return el("article", { className: image ? "prompt" : "prompt bare" }, picture?.figure, words);
  };
  const mean = samples.reduce((sum, { reward }) => sum + (reward.overall ?? 0), 0) / samples.length;
  const details = el("details", {}, el("summary", { textContent: `${id}: ${count(samples.length, "answer")}, mean reward ${show(mean)}` }));
  const opened = () => details.open && details.children.length === 1 && details.append(fill());
  details.addEventListener("toggle", opened);
  details.open = open;
  if (open) opened();
  return details;
};

/**
 * The answers of a step: `element`, `show()` when the view opens, `arrived(step)` when the answers of a step are available.
 *
 * @param rollouts A `Rollouts`.
 * @param options `ask` puts a question into the chat.
 */
export const answersView = (rollouts, { ask }) => {
  const tokenFacts = el("p", { className: "token-facts", ariaLive: "polite" }),
    list = el("div"),
    meaning = el("div"),
    key = el("div", { hidden: true }, meaning, heatmapSwitch()),
    message = el("p", { className: "said", role: "status" });
  const steps = el("select", { id: "answers-step", hidden: true }), newest = el("button", { type: "button", hidden: true });
  const label = el("label", { htmlFor: "answers-step", textContent: "Answers of", hidden: true });
  const HINT = "Point at a token, tap it, or move through an answer with Tab and the arrow keys.";
  let shown, following = true, last = -1, asked = 0;
  const draw = (answer) => {
    const lines = answer.samples, { step, prompts } = stepSamples(lines, (line) => ({ profile: profileOf(line) }));
    const most = mostOf(prompts.flatMap(({ samples }) => samples));
    shown = answer.step;
    last = Math.max(last, answer.steps.at(-1) ?? -1);
    tokenFacts.textContent = lines.length > 0 ? HINT : "";
    const options = answer.steps.toReversed().map((one) => el("option", { value: String(one), textContent: `step ${one}` }));
    steps.replaceChildren(...options);
    steps.value = String(answer.step);
    steps.hidden = label.hidden = options.length === 0;
    newest.hidden = shown === last || last < 0;
    message.textContent = lines.length > 0
      ? `${count(prompts.length, "prompt")}, ${count(lines.length, "answer")} of step ${show(step)}.`
      : "No answers have been logged yet.";
    let tokens = 0;
    const cards = prompts.map((one) => {
      const open = tokens < SHOWN;
      tokens += one.samples.reduce((sum, sample) => sum + sample.tokens.length, 0);
      return promptCard(one, { open, most, tell: (words) => tokenFacts.textContent = words, ask });
    });
    key.hidden = lines.length === 0;
    meaning.replaceChildren(heatmapLegend(most));
    list.replaceChildren(...cards);
  };
  const load = async (step) => {
    const request = ++asked;
    try {
      const answer = await (step === undefined ? rollouts.newest() : rollouts.of(step));
      if (request === asked) draw(answer);
    } catch (error) {
      message.textContent = error.message;
    }
  };
  // The list must not change while a token in it is under the pointer or has the focus.
  const held = () => list.matches(":hover") && list.querySelector(".token:hover") !== null || list.contains(document.activeElement);
  steps.addEventListener("change", () => {
    following = Number(steps.value) === last;
    load(Number(steps.value));
  });
  newest.addEventListener("click", () => {
    following = true;
    load();
    steps.focus();
  });
  return {
    element: el(
      "div",
      {},
      el("div", { className: "row" }, label, steps, newest, message),
      key,
      list,
      tokenFacts,
    ),
    show: () => (shown === undefined || following && shown !== last) && load(),
    arrived(step, visible) {
      last = step;
      if (visible && following && !held()) return load();
      newest.textContent = `Show step ${step}, the newest`;
      newest.hidden = shown === undefined || shown === step;
    },
    clear() {
      shown = undefined;
      last = -1;
    },
  };
};
