/** Shows how anchors and other tokens differ. */
import { el, show } from "../page/elements.js";
import { histogramOf } from "../page/histogram.js";
import { distribution } from "../page/plots.js";

const FACTS = {
  "atrl/anchor_fraction": "share of anchors",
  "atrl/bimodality": "bimodality; above 0.556 there are two peaks",
  "atrl/connectivity_anchor": "connectivity of anchors",
  "atrl/connectivity_rest": "connectivity of other tokens",
  "atrl/connectivity_ratio": "connectivity of anchors / of other tokens",
  "atrl/anchor_purity": "anchors in the densest clusters",
  "atrl/advantage_share": "share of |advantage| on anchors",
  "atrl/entropy_anchor": "entropy of anchors",
  "atrl/entropy_rest": "entropy of other tokens",
  "atrl/clusters": "clusters per answer",
  "perf/atrl_overhead": "AT-RL's share of the step",
};

/** The histogram and the numbers: `element`, `numbers(ledger)`, `samples(lines)`, `isEmpty()`, `end()`. */
export const bimodalityView = () => {
  const facts = el("dl", { className: "facts" }), box = el("div"), title = el("h3", { hidden: true });
  let drawn;
  return {
    element: el("div", {}, facts, title, box),
    end: () => drawn?.end(),
    isEmpty: () => !drawn && facts.children.length === 0,
    numbers(ledger) {
      facts.replaceChildren(
        ...Object.entries(FACTS).flatMap(([key, words]) => {
          const value = ledger.latest(key);
          return value === undefined
            ? []
            : [el("div", {}, el("dt", {}, words, " ", el("code", { textContent: key })), el("dd", { textContent: show(value) }))];
        }),
      );
    },
    samples(lines) {
      const histogram = histogramOf(lines);
      title.hidden = !histogram;
      title.textContent = histogram ? `Tokens of step ${show(histogram.step)} by connectivity` : "Tokens by connectivity";
      if (!histogram) {
        drawn?.end();
        drawn = undefined;
        box.replaceChildren();
      } else if (drawn) drawn.update(histogram);
      else {
        drawn = distribution(histogram);
        box.replaceChildren(...drawn.nodes);
      }
    },
  };
};
