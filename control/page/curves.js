/** Selects and prepares the charts of a run's numbers. */

/** The charts. `least` is the smallest span of the axis, in the metric's unit; smaller differences are noise. */
const PLANS = [
  { title: "Reward", keys: ["reward/overall", "reward/accuracy"], least: 0.1 },
  {
    title: "Held-out accuracy",
    keys: ["val/accuracy", "val/accuracy_greedy"],
    band: ["val/accuracy_low", "val/accuracy_high"],
    least: 0.1,
  },
  { title: "Connectivity", keys: ["atrl/connectivity_anchor", "atrl/connectivity_rest"], least: 0.02 },
  { title: "Share of anchors among tokens", keys: ["atrl/anchor_fraction"], least: 0.1 },
  { title: "Bimodality of connectivity", keys: ["atrl/bimodality"], least: 0.3 },
  {
    title: "Finding the readings",
    keys: ["classes/auc_connectivity", "classes/auc_score", "classes/auc_weight", "classes/anchor_recall", "classes/anchor_precision"],
    least: 0.1,
  },
  {
    title: "Weight by class of token",
    keys: ["classes/weight_reading", "classes/weight_arithmetic", "classes/weight_random", "classes/weight_fixed"],
    least: 0.2,
  },
  { title: "Entropy of answers", keys: ["actor/entropy"], least: 0.05 },
  { title: "Length of answers, in tokens", keys: ["response_length/mean"], least: 2 },
  { title: "Loss", keys: ["actor/loss"], least: 0.01 },
  { title: "Norm of the gradient", keys: ["actor/grad_norm"] },
  { title: "Learning rate", keys: ["actor/lr"] },
];
/** The smallest span of every other chart's axis, as a fraction of its largest value. */
const LEAST = 0.2;
/** Curves whose distance is nowhere larger than this fraction of the height look like one. */
const ONE = 0.005;

/**
 * Returns the charts for which there are numbers: first of the steps, then of the warm start.
 *
 * @param {import("./ledger.js").Ledger} ledger
 * @param {number} most The maximum number of points of a curve. If there are more, the lowest and the highest of each stretch of the first
 * curve are drawn.
 */
export const chartsOf = ({ steps, warm, keys }, most = Infinity) => {
  // A validation takes many times as long as a step and would flatten the other curves.
  const timings = [...keys].filter((key) => key.startsWith("timing_s/") && key !== "timing_s/validation");
  timings.sort((a, b) => Number(b === "timing_s/step") - Number(a === "timing_s/step")); // the whole step first
  return [
    ...PLANS.map((plan) => chartOf(steps, plan, { along: "step", most })),
    chartOf(steps, { title: "Seconds of a step", keys: timings }, { along: "step", most }),
    chartOf(warm, { title: "Loss of the warm start", keys: ["sft/loss"] }, { along: "warm-start step", most }),
  ].filter((made) => made.series.length > 0);
};

const chartOf = (lines, { title, keys, band, least = 0 }, { along, most }) => {
  const wanted = [...keys, ...band ?? []], logged = lines.filter(({ numbers }) => wanted.some((key) => numbers[key] !== undefined));
  const points = thinned(logged, ({ numbers }) => numbers[keys[0]], most),
    values = (key) => points.map(({ numbers }) => numbers[key] ?? null);
  const series = keys.map((label) => ({ label, values: values(label) })).filter(({ values }) => values.some((value) => value !== null));
  const [low, high] = (band ?? []).map(values);
  const bounded = low && high && series[0]?.label === keys[0] && low.some((value) => value !== null);
  const [from, to] = extentOf(series), span = Math.max(to - from, least, LEAST * Math.max(Math.abs(from), Math.abs(to)));
  for (const [i, one] of series.entries()) {
    const same = series.slice(0, i).find((other) => coincide(one.values, other.values, ONE * span));
    if (same) one.same = same.same ?? same.label;
  }
  return {
    title,
    along,
    xs: points.map(({ x }) => x),
    series,
    least: Number(span.toPrecision(6)),
    ...(bounded && { band: { low, high } }),
  };
};

/** Returns the lowest and the highest value. */
const extentOf = (series) =>
  series.flatMap(({ values }) => values).reduce(([low, high], x) => x === null ? [low, high] : [Math.min(low, x), Math.max(high, x)], [
    Infinity,
    -Infinity,
  ]);

const coincide = (a, b, tolerance) => a.every((x, i) => x === b[i] || x !== null && b[i] !== null && Math.abs(x - b[i]) <= tolerance);

/** Returns the value of a constant curve; undefined if the curve is not constant. */
export const constantOf = ({ values }) => {
  const present = values.filter((value) => value !== null);
  return present.every((value) => value === present[0]) ? present[0] : undefined;
};

/**
 * Returns the ends of an axis for values from `low` to `high`. They are at least `least` apart, so that nearly equal values look equal. An
 * axis of non-negative values does not go below 0.
 *
 * @returns {[number, number]}
 */
export const axisOf = (low, high, least) => {
  const span = Math.max(high - low, least) || 1, room = 0.08 * span, middle = (low + high) / 2;
  const from = middle - span / 2 - room, to = middle + span / 2 + room, floor = low >= 0 ? Math.max(0, from) : from;
  return [floor, Math.max(to, floor + span + room)];
};

/** Reduces points to at most `most`, in order. It keeps the lowest and the highest of each stretch, and the first and the last point. */
export const thinned = (points, valueOf, most) => {
  if (points.length <= most) return points;
  const stretch = Math.ceil(points.length / Math.floor((most - 2) / 2)), kept = [0, points.length - 1];
  for (let from = 0; from < points.length; from += stretch) {
    const to = Math.min(from + stretch, points.length);
    let low = from, high = from;
    for (let i = from; i < to; i++) {
      if (valueOf(points[i]) < (valueOf(points[low]) ?? Infinity)) low = i;
      if (valueOf(points[i]) > (valueOf(points[high]) ?? -Infinity)) high = i;
    }
    kept.push(low, high);
  }
  return [...new Set(kept)].sort((a, b) => a - b).map((i) => points[i]);
};
