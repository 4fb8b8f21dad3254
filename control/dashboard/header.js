/** The page's header, which shows the run's state in a line. */
import { durationOf } from "../page/duration.js";
import { el, show } from "../page/elements.js";
import { isPausing, progressWords, stateName } from "./run_progress.js";

/**
 * Estimates the seconds to the end, of the warm start while it lasts. It uses the mean time of the last fifty steps, with their
 * evaluations. Returns NaN if there are no steps yet.
 *
 * @param {import("../page/ledger.js").Ledger} ledger
 * @param progress From `progressOf`.
 */
export const secondsLeft = ({ steps, warm: warmSteps }, { warm, done, total }) => {
  const lines = (warm ? warmSteps : steps).slice(-50).map(({ numbers }) => numbers);
  const timed = lines.filter((numbers) => numbers["timing_s/step"] !== undefined);
  const spent = timed.reduce((sum, numbers) => sum + numbers["timing_s/step"] + (numbers["timing_s/validation"] ?? 0), 0);
  return spent / timed.length * Math.max(0, total - done);
};

const RESTS = ["idle", "done", "stopped", "failed"];

/** A labelled value. It is hidden while the value is unknown. */
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

/** The header: `element`, `show(progress, ledger)`, `connection(state, seconds)`. */
export const header = () => {
  const name = el("h1", { textContent: "Kedge" }), state = el("span", { className: "badge", hidden: true });
  const link = el("span", { className: "connection", role: "status" });
  const bar = el("progress", { max: 1, value: 0, ariaLabel: "Steps done", hidden: true }), steps = el("span", { className: "steps" });
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
      el("div", { className: "way" }, bar, steps),
      list,
      error,
    ),
    show(progress, ledger) {
      if (!progress) return;
      const way = progressWords(progress), { warm, done, total } = progress;
      document.title = `${progress.name} – ${stateName(progress)}, ${way}`;
      name.textContent = progress.name;
      state.hidden = false;
      state.textContent = stateName(progress);
      state.dataset.state = isPausing(progress) ? "pausing" : progress.state;
      bar.hidden = total === undefined || ["idle", "starting"].includes(progress.state);
      bar.max = Math.max(1, total ?? 1);
      bar.value = done;
      steps.textContent = way;
      left.put(
        RESTS.includes(progress.state) ? "–" : durationOf(secondsLeft(ledger, progress)),
        warm ? "time left in the warm start" : "time left",
      );
      for (const { key, put } of metrics) put(show(ledger.latest(key)));
      error.hidden = !progress.error;
      error.textContent = progress.error ?? "";
    },
    connection(word, seconds) {
      link.dataset.state = word;
      link.textContent = word === "live" ? "live" : word === "connecting" ? "connecting…" : `no connection; retrying in ${show(seconds)} s`;
    },
  };
};
