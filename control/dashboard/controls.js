/** Buttons that steer the run. */
import { el, show } from "../page/elements.js";
import { isPausing, stateWords } from "./standing.js";

const UNDER_WAY = ["warm-start", "running"];

/** States in which each order makes sense. */
export const ALLOWED = {
  start: ["idle", "stopped", "failed"],
  pause: UNDER_WAY,
  resume: ["paused"],
  stop: ["starting", ...UNDER_WAY, "paused"],
  checkpoint: ["running", "paused"],
  evaluate: ["running", "paused"],
};

/** Whether a run that stands so takes an order; one of which nothing is known takes none. */
export const allows = (order, standing) => {
  if (!standing) return false;
  const { state, pausing, warm } = standing;
  if (warm && ["checkpoint", "evaluate"].includes(order)) return false;
  if (order === "pause" && pausing) return false;
  if (order === "resume" && pausing && UNDER_WAY.includes(state)) return true;
  return ALLOWED[order].includes(state);
};

/** What a button does, for who points at it. */
const HINTS = {
  start: "Starts the run, or goes on from its last checkpoint",
  pause: "Pauses after the step under way",
  resume: "Goes on",
  stop: "Ends the run after the step under way, with a checkpoint",
  checkpoint: "Writes a checkpoint after the step under way",
  evaluate: "Evaluates on held-out data after the step under way",
};

const DURING = {
  start: "Starting…",
  pause: "Asking for a pause…",
  resume: "Going on…",
  stop: "Asking for an end…",
  checkpoint: "A checkpoint after this step…",
  evaluate: "Evaluating after this step…",
};

/** What has come of an order, by how the run stands now. */
const ANSWERS = {
  pause(_, standing) {
    const { warm, done } = standing, after = `step ${done}${warm ? " of the warm start" : ""}`;
    if (standing.state === "paused") return `Paused after ${after}.`;
    return isPausing(standing) ? `Pausing after this step${warm ? " of the warm start" : ""}…` : `The run is ${stateWords(standing)}.`;
  },
  resume: (_, standing) => standing.state === "paused" ? "Going on…" : `The run goes on: it is ${stateWords(standing)}.`,
  stop: (_, standing) =>
    standing.state === "stopping" ? "Stopping after this step, with a checkpoint…" : `The run is ${stateWords(standing)}.`,
  checkpoint: ({ step, path }) => `Checkpoint of step ${step}: ${path}`,
  evaluate: ({ step, metrics }) =>
    `Evaluation of step ${step}: ${Object.entries(metrics).map(([key, x]) => `${key} ${show(x)}`).join(", ")}`,
};

/**
 * The buttons: `element`, `stands(standing)`, `connection(state)`: without a connection none acts.
 *
 * @param options `onStatus` gets the status that an order is answered with, unless another has come meanwhile: that one is newer.
 */
export const controls = (api, { onStatus }) => {
  const said = el("p", { className: "said", ariaLive: "polite" }), busy = new Set(), buttons = {};
  const confirm = el("span", { className: "confirm", hidden: true, role: "group", ariaLabel: "Confirm the end of the run" });
  let now, live = false, news = 0;
  const refresh = () => {
    for (const [order, button] of Object.entries(buttons)) button.disabled = !live || busy.has(order) || !allows(order, now);
    if (buttons.stop.disabled) confirm.hidden = true;
  };
  const say = (text, fault = false) => {
    said.className = fault ? "said fault" : "said";
    if (said.textContent !== text) said.textContent = text;
  };
  // The last order's, for as long as it is the last: it says how the run stands now.
  let words;
  const give = async (order) => {
    busy.add(order);
    words = undefined;
    refresh();
    say(DURING[order]);
    const asked = news;
    try {
      const answer = await api.json(`/v1/${order}`, { method: "POST", body: {} });
      if (answer.state && news === asked) onStatus(answer);
      words = () => ANSWERS[order]?.(answer, now) ?? `The run is ${stateWords(now)}.`;
      say(words());
    } catch (error) {
      say(`${order}: ${error.message}${error.state ? ` (the run is ${stateWords(error)})` : ""}`, true);
    } finally {
      busy.delete(order);
      refresh();
    }
  };
  for (const order of Object.keys(ALLOWED)) {
    buttons[order] = el("button", { type: "button", textContent: order[0].toUpperCase() + order.slice(1), title: HINTS[order] });
    if (order !== "stop") buttons[order].addEventListener("click", () => give(order));
  }
  const yes = el("button", { type: "button", className: "danger", textContent: "Stop it" }),
    no = el("button", { type: "button", textContent: "Go on" });
  confirm.append("End the run after this step, with a checkpoint? ", yes, " ", no);
  const close = () => {
    confirm.hidden = true;
    buttons.stop.focus();
  };
  buttons.stop.addEventListener("click", () => {
    confirm.hidden = false;
    no.focus();
  });
  yes.addEventListener("click", () => (close(), give("stop")));
  no.addEventListener("click", close);
  confirm.addEventListener("keydown", ({ key }) => key === "Escape" && close());
  refresh();
  return {
    element: el(
      "div",
      { className: "controls" },
      el("div", { className: "row", role: "group", ariaLabel: "Steering" }, ...Object.values(buttons), said),
      confirm,
    ),
    stands(standing) {
      now = standing;
      news++;
      if (words) say(words());
      refresh();
    },
    connection(state) {
      live = state === "live";
      refresh();
    },
  };
};
