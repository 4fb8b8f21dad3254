/** Buttons that steer the run. */
import { el, show } from "../page/elements.js";

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

/** Whether a run that stands so takes an order. */
export const allows = (order, { state, pausing }) => {
  if (order === "pause" && pausing) return false;
  if (order === "resume" && pausing && UNDER_WAY.includes(state)) return true;
  return ALLOWED[order].includes(state);
};

/** How a run stands, to go on after "the run is". */
export const stateWords = ({ state, pausing }) =>
  pausing && state !== "paused" ? "about to pause" : state === "warm-start" ? "in its warm start" : state;

const ANSWERS = {
  checkpoint: ({ step, path }) => `Checkpoint of step ${step}: ${path}`,
  evaluate: ({ step, metrics }) =>
    `Evaluation of step ${step}: ${Object.entries(metrics).map(([key, x]) => `${key} ${show(x)}`).join(", ")}`,
};

/**
 * The buttons: `element`, `status(status)`.
 *
 * @param options `onStatus` gets the status that an order is answered with, unless another has come meanwhile: that one is newer.
 */
export const controls = (api, { onStatus }) => {
  const said = el("p", { className: "said", ariaLive: "polite" }), busy = new Set(), buttons = {};
  const confirm = el("span", { className: "confirm", hidden: true, role: "group", ariaLabel: "Confirm the end of the run" });
  let now = { state: "starting", pausing: false }, news = 0;
  const refresh = () => {
    for (const [order, button] of Object.entries(buttons)) button.disabled = busy.has(order) || !allows(order, now);
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
    say(`${order}…`);
    const asked = news;
    try {
      const answer = await api.json(`/v1/${order}`, { method: "POST", body: {} });
      if (answer.state && news === asked) onStatus(answer);
      words = ANSWERS[order] ? () => ANSWERS[order](answer) : () => `${order}: the run is ${stateWords(now)}.`;
      say(words());
    } catch (error) {
      say(`${order}: ${error.message}${error.state ? ` (the run is ${stateWords(error)})` : ""}`, true);
    } finally {
      busy.delete(order);
      refresh();
    }
  };
  for (const order of Object.keys(ALLOWED)) {
    buttons[order] = el("button", { type: "button", textContent: order[0].toUpperCase() + order.slice(1) });
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
    status(status) {
      now = status;
      news++;
      if (words) say(words());
      refresh();
    },
  };
};
