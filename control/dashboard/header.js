/** How the run stands, in a line. */
import { durationOf } from "../page/duration.js";
import { el, show } from "../page/elements.js";
import { isPausing, stateName, wayWords } from "./standing.js";

/**
 * Seconds of the steps to come, of the warm start while it lasts, by the mean of the last fifty, their evaluations with them; NaN where there is none to go by.
 *
 * @param {import("../page/ledger.js").Ledger} ledger
 * @param standing As of `standingOf`.
 */
export const secondsLeft = ({ steps, warm: warmSteps }, { warm, done, total }) => {
  const lines = (warm ? warmSteps : steps).slice(-50).map(({ numbers }) => numbers);
  const known = lines.filter((numbers) => numbers["timing_s/step"] !== undefined);
  const spent = known.reduce((sum, numbers) => sum + numbers["timing_s/step"] + (numbers["timing_s/validation"] ?? 0), 0);
  return spent / known.length * Math.max(0, total - done);
};

const RESTS = ["idle", "done", "stopped", "failed"];

/** A fact with its name; it is not there while its value is not known. */
const factOf = (words, key) => {
  const name = el("dt", { textContent: words }), value = el("dd");
  if (key !== undefined) name.append(" ", el("code", { textContent: key }));
  const element = el("div", { hidden: true }, name, value);
  const put = (text, other) => {
    element.hidden = text === "–";
    value.textContent = text;
    if (other !== undefined) name.textContent = other;
  };
  return { element, put };
};

/** The head of the page: `element`, `show(standing, ledger)`, `connection(state, seconds)`. */
export const header = () => {
  const name = el("h1", { textContent: "Kedge" }), state = el("span", { className: "badge", hidden: true });
  const link = el("span", { className: "connection", role: "status" });
  const progress = el("progress", { max: 1, value: 0, ariaLabel: "Steps done", hidden: true }), steps = el("span", { className: "steps" });
  const left = factOf("time left");
  const metrics = [["tokens/s", "perf/throughput"], ["reward", "reward/overall"], ["held-out accuracy", "val/accuracy"]]
    .map(([words, key]) => ({ key, ...factOf(words, key) }));
  const list = el("dl", { className: "facts" }, left.element, ...metrics.map(({ element }) => element));
  const error = el("p", { className: "fault", role: "alert", hidden: true });
  return {
    element: el(
      "div",
      { className: "head" },
      el("div", { className: "who" }, name, state, link),
      el("div", { className: "way" }, progress, steps),
      list,
      error,
    ),
    show(standing, ledger) {
      if (!standing) return;
      const way = wayWords(standing), { warm, done, total } = standing;
      document.title = `${standing.name} – ${stateName(standing)}, ${way}`;
      name.textContent = standing.name;
      state.hidden = false;
      state.textContent = stateName(standing);
      state.dataset.state = isPausing(standing) ? "pausing" : standing.state;
      progress.hidden = total === undefined || ["idle", "starting"].includes(standing.state);
      progress.max = Math.max(1, total ?? 1);
      progress.value = done;
      steps.textContent = way;
      left.put(
        RESTS.includes(standing.state) ? "–" : durationOf(secondsLeft(ledger, standing)),
        warm ? "time left in the warm start" : "time left",
      );
      for (const { key, put } of metrics) put(show(ledger.latest(key)));
      error.hidden = !standing.error;
      error.textContent = standing.error ?? "";
    },
    connection(word, seconds) {
      link.dataset.state = word;
      link.textContent = word === "live" ? "live" : word === "connecting" ? "connecting…" : `no connection; again in ${show(seconds)} s`;
    },
  };
};
