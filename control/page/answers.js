/** Draws answers, token by token. */
import { el, show } from "./elements.js";

/** Returns the highest connectivity of samples, or 0 if there is none. */
export const mostOf = (samples) => samples.flatMap(({ numbers }) => numbers.connectivity ?? []).reduce((a, b) => Math.max(a, b ?? 0), 0);

/** Formats a token and its numbers as a line. */
export const factsOf = ({ tokens, anchor, classes, numbers }, i) =>
  [
    `${JSON.stringify(tokens[i])}${anchor[i] ? ", an anchor" : ""}`,
    ...classes ? [`class ${classes[i]}`] : [],
    ...Object.entries(numbers).map(([key, values]) => `${key} ${show(values[i])}`),
  ].join(" · ");

/**
 * Draws the tokens of an answer, coloured by connectivity, with the anchors marked. The whole answer is one Tab stop; the arrow keys move
 * through it.
 *
 * @param options `most`: the connectivity of the full colour. `onToken(i)` is called for the token under the pointer or with the focus,
 * `onLeave()` when there is none any more. `clusters`: whether each token shows its cluster.
 */
export const answer = ({ tokens, anchor, special, numbers }, { most, onToken, onLeave = () => {}, clusters = false }) => {
  const spans = tokens.map((text, i) => {
    const span = el("span", {
      className: ["token", ...(anchor[i] ? ["anchor"] : []), ...(special?.[i] ? ["special"] : [])].join(" "),
      textContent: text || "\u25cc",
      tabIndex: i === 0 ? 0 : -1,
    });
    const heat = numbers.connectivity?.[i] ?? 0;
    if (most > 0) span.style.setProperty("--heat", `${Math.max(0, Math.round(75 * heat / most))}%`);
    span.dataset.token = String(i);
    // The style sheet draws the cluster, so that it is not part of the text when the answer is copied.
    if (clusters && numbers.cluster) span.dataset.cluster = show(numbers.cluster[i]);
    return span;
  });
  const whole = el("p", { className: "answer" }, ...spans);
  const indexOf = (node) => node?.dataset?.token === undefined || node.parentElement !== whole ? undefined : Number(node.dataset.token);
  const tell = (event) => {
    const i = indexOf(event.target);
    if (i !== undefined) onToken(i);
  };
  const rest = () => {
    const focused = indexOf(document.activeElement);
    if (focused === undefined) onLeave();
    else onToken(focused);
  };
  whole.addEventListener("pointerover", tell);
  whole.addEventListener("focusin", tell);
  whole.addEventListener("pointerleave", rest);
  whole.addEventListener("focusout", (event) => indexOf(event.relatedTarget) === undefined && onLeave());
  whole.addEventListener("keydown", (event) => {
    const at = indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: spans.length - 1 }[event.key];
    if (at === undefined || !spans[to]) return;
    event.preventDefault();
    spans[at].tabIndex = -1;
    spans[to].tabIndex = 0;
    spans[to].focus();
  });
  return whole;
};

/** Draws a sample of a prompt: its rewards in a line, then its text. */
export const sampleCard = (one, { truth, body }) => {
  const rewards = Object.entries(one.reward).map(([key, x]) => `${key === "overall" ? "reward" : key} ${show(x)}`);
  const parts = [
    `sample ${show(one.number)}`,
    ...rewards,
    `truth ${truth || "–"}`,
    ...one.finish && one.finish !== "stop" ? [`cut off (${one.finish})`] : [],
  ];
  return el("div", { className: "sample" }, el("p", { className: "note", textContent: parts.join(" · ") }), body);
};
