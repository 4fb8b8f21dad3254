/** How the run stands: what its status and its lines say together. */

/** States of a run that is under way. */
const UNDER_WAY = ["warm-start", "running"];

/**
 * @param status Undefined until it has been told.
 * @param {import("../page/ledger.js").Ledger} ledger
 * @param options `warmSteps`: steps of the whole warm start; undefined where that is not known.
 * @returns The status, and of what is counted now, the warm start or the steps: `warm`, `done` of `total`; undefined without a status.
 */
export const standingOf = (status, { steps, warm }, { warmSteps } = {}) => {
  if (!status) return undefined;
  const { state, step } = status, made = warm.at(-1)?.x ?? 0;
  // A pause has no phase of its own.
  const open = step === 0 && steps.length === 0 && (warmSteps === undefined ? made > 0 : made < warmSteps) && (warmSteps ?? made) > 0;
  const inWarm = state === "warm-start" || ["paused", "stopping", "stopped", "failed"].includes(state) && open && made > 0;
  return { ...status, warm: inWarm, ...inWarm ? { done: made, total: warmSteps } : { done: step, total: status.maxSteps } };
};

/** How far it is, as "step 3 of 60". */
export const wayWords = ({ state, warm, done, total }) => {
  if (state === "idle") return "not started";
  if (state === "starting") return "model and data are made ready";
  return `${warm ? "warm start: " : ""}step ${done}${total === undefined ? "" : ` of ${total}`}`;
};

/** Whether it has yet to come to the pause that was asked for. */
export const isPausing = ({ state, pausing }) => pausing && UNDER_WAY.includes(state);

/** The state in a word or two. */
export const stateName = (standing) =>
  isPausing(standing) ? "pausing after this step" : standing.state === "warm-start" ? "warm start" : standing.state;

/** How a run stands, to go on after "the run is". */
export const stateWords = ({ state, pausing }) =>
  pausing && state !== "paused" ? "about to pause" : state === "warm-start" ? "in its warm start" : state;
