/** How the run stands, in a line. */
import { durationOf } from "../page/duration.js";
import { el, show } from "../page/elements.js";

/**
 * Seconds of the steps to come, by the mean of the last fifty, their evaluations with them; NaN where there is none to go by.
 *
 * @param {import("../page/ledger.js").Ledger} ledger
 */
export const secondsLeft = ({ steps }, { step, maxSteps }) => {
  const known = steps.slice(-50).map(({ numbers }) => numbers).filter((numbers) => numbers["timing_s/step"] !== undefined);
  const spent = known.reduce((sum, numbers) => sum + numbers["timing_s/step"] + (numbers["timing_s/validation"] ?? 0), 0);
  return spent / known.length * Math.max(0, maxSteps - step);
};

/** The head of the page: `element`, `status(status)`, `numbers(ledger)`, `connection(state, seconds)`. */
export const header = () => {
  const name = el("h1", { textContent: "Kedge" }), state = el("span", { className: "badge", textContent: "…" });
  const link = el("span", { className: "connection", role: "status" });
  const progress = el("progress", { max: 1, value: 0, ariaLabel: "Steps done" }), steps = el("span", { className: "steps" });
  const facts = Object.fromEntries(
    ["time left", "tokens/s", "reward", "held-out accuracy"].map((key) => [key, el("dd", { textContent: "–" })]),
  );
  const list = el(
    "dl",
    { className: "facts" },
    ...Object.entries(facts).map(([key, value]) => el("div", {}, el("dt", { textContent: key }), value)),
  );
  const error = el("p", { className: "fault", role: "alert", hidden: true });
  let now;
  const left = (ledger) =>
    now &&
    facts["time left"].replaceChildren(["done", "stopped", "failed"].includes(now.state) ? "–" : durationOf(secondsLeft(ledger, now)));
  return {
    element: el(
      "div",
      { className: "head" },
      el("div", { className: "who" }, name, state, link),
      el("div", { className: "way" }, progress, steps),
      list,
      error,
    ),
    status(status) {
      now = status;
      document.title = `${status.name} – ${status.state}, step ${status.step}`;
      name.textContent = status.name;
      state.textContent = status.pausing && status.state !== "paused" ? `${status.state}, pausing` : status.state;
      state.dataset.state = status.state;
      progress.max = Math.max(1, status.maxSteps);
      progress.value = status.step;
      steps.textContent = `step ${status.step} of ${status.maxSteps}`;
      error.hidden = !status.error;
      error.textContent = status.error ?? "";
    },
    numbers(ledger) {
      left(ledger);
      facts["tokens/s"].textContent = show(ledger.latest("perf/throughput"));
      facts.reward.textContent = show(ledger.latest("reward/overall"));
      facts["held-out accuracy"].textContent = show(ledger.latest("val/accuracy"));
    },
    connection(word, seconds) {
      link.dataset.state = word;
      link.textContent = word === "live" ? "live" : word === "connecting" ? "connecting…" : `no connection; again in ${show(seconds)} s`;
    },
  };
};
