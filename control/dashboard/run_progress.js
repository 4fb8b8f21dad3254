/** Combines a run's status with its logged lines. */

/** The states in which steps are made. */
const UNDER_WAY = ["warm-start", "running"];

/**
 * @param status Undefined until the first status arrives.
 * @param {import("../page/ledger.js").Ledger} ledger
 * @param options `warmSteps`: the number of steps of the whole warm start; undefined if unknown.
 * @returns The status, and what is being counted: `warm` for the warm start, `done` of `total` steps. Undefined without a status.
 */
export const progressOf = (status, { steps, warm }, { warmSteps } = {}) => {
  if (!status) return undefined;
  const { state, step } = status, made = warm.at(-1)?.x ?? 0;
  // A pause does not say whether the warm start is over.
  const open = step === 0 && steps.length === 0 && (warmSteps === undefined ? made > 0 : made < warmSteps) && (warmSteps ?? made) > 0;
  const inWarm = state === "warm-start" || ["paused", "stopping", "stopped", "failed"].includes(state) && open && made > 0;
  return { ...status, warm: inWarm, ...inWarm ? { done: made, total: warmSteps } : { done: step, total: status.maxSteps } };
};

/** Formats the progress, such as "step 3 of 60". */
export const progressWords = ({ state, warm, done, total }) => {
  if (state === "idle") return "not started";
  if (state === "starting") return "loading the model and the data";
  return `${warm ? "warm start: " : ""}step ${done}${total === undefined ? "" : ` of ${total}`}`;
};

/** Tells whether a pause was requested and has not begun yet. */
export const isPausing = ({ state, pausing }) => pausing && UNDER_WAY.includes(state);

/** Returns a short name of the state. */
export const stateName = (progress) =>
  isPausing(progress) ? "pausing after this step" : progress.state === "warm-start" ? "warm start" : progress.state;

/** Returns words for the state that follow "the run is". */
export const stateWords = ({ state, pausing }) =>
  pausing && state !== "paused" ? "about to pause" : state === "warm-start" ? "in its warm start" : state;
