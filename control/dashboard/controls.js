/** The buttons that control the run. */
import { el, show } from "../page/elements.js";
import { isPausing, stateWords } from "./run_progress.js";

const UNDER_WAY = ["warm-start", "running"];

/** The states in which each command is possible. */
export const ALLOWED = {
  start: ["idle", "stopped", "failed"],
  pause: UNDER_WAY,
  resume: ["paused"],
  stop: ["starting", ...UNDER_WAY, "paused"],
  checkpoint: ["running", "paused"],
  evaluate: ["running", "paused"],
};

/** Tells whether a run accepts a command now. A run of unknown state accepts none. */
export const allows = (order, progress) => {
  if (!progress) return false;
  const { state, pausing, warm } = progress;
  if (warm && ["checkpoint", "evaluate"].includes(order)) return false;
  if (order === "pause" && pausing) return false;
  if (order === "resume" && pausing && UNDER_WAY.includes(state)) return true;
  return ALLOWED[order].includes(state);
};

/** The tooltips of the buttons. */
const HINTS = {
  start: "Starts the run, or resumes it from its last checkpoint",
  pause: "Pauses after the current step",
  resume: "Continues after a pause",
  stop: "Ends the run after the current step, with a checkpoint",
  checkpoint: "Writes a checkpoint after the current step",
  evaluate: "Evaluates on held-out data after the current step",
};

const DURING = {
  start: "Starting…",
  pause: "Requesting a pause…",
  resume: "Continuing…",
  stop: "Requesting a stop…",
  checkpoint: "A checkpoint after this step…",
  evaluate: "Evaluating after this step…",
};

/** Words for the result of a command. They depend on the run's current state. */
const ANSWERS = {
  pause(_, progress) {
    const { warm, done } = progress, after = `step ${done}${warm ? " of the warm start" : ""}`;
    if (progress.state === "paused") return `Paused after ${after}.`;
    return isPausing(progress) ? `Pausing after this step${warm ? " of the warm start" : ""}…` : `The run is ${stateWords(progress)}.`;
  },
  resume: (_, progress) => progress.state === "paused" ? "Continuing…" : `The run continues: it is ${stateWords(progress)}.`,
  stop: (_, progress) =>
    progress.state === "stopping" ? "Stopping after this step, with a checkpoint…" : `The run is ${stateWords(progress)}.`,
  checkpoint: ({ step, path }) => `Checkpoint of step ${step}: ${path}`,
  evaluate: ({ step, metrics }) =>
    `Evaluation of step ${step}: ${Object.entries(metrics).map(([key, x]) => `${key} ${show(x)}`).join(", ")}`,
};

/**
 * The buttons: `element`, `update(progress)`, `connection(state)`. Without a connection they are disabled.
 *
 * @param options `onStatus` receives the status in a command's answer, unless a newer one arrived meanwhile.
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
  // Returns the words for the last command. They follow the run's state until the next command.
  let words;
  const send = async (order) => {
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
    if (order !== "stop") buttons[order].addEventListener("click", () => send(order));
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
  yes.addEventListener("click", () => (close(), send("stop")));
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
    update(progress) {
      now = progress;
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
