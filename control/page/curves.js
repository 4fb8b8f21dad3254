/** The charts that a run's numbers are shown in. */

const PLANS = [
  { title: "Reward", keys: ["reward/overall", "reward/accuracy"] },
  { title: "Validation accuracy", keys: ["val/accuracy", "val/accuracy_greedy"], band: ["val/accuracy_low", "val/accuracy_high"] },
  { title: "Connectivity", keys: ["atrl/connectivity_anchor", "atrl/connectivity_rest"] },
  { title: "Share of tokens that are anchors", keys: ["atrl/anchor_fraction"] },
  { title: "Bimodality of connectivity", keys: ["atrl/bimodality"] },
  { title: "Entropy", keys: ["actor/entropy"] },
  { title: "Length of answers, tokens", keys: ["response_length/mean"] },
  { title: "Loss", keys: ["actor/loss"] },
  { title: "Gradient norm", keys: ["actor/grad_norm"] },
  { title: "Learning rate", keys: ["actor/lr"] },
];

/**
 * The charts that there are numbers for: of the steps, then of the warm start.
 *
 * @param {import("./ledger.js").Ledger} ledger
 * @param {number} most Points of a curve; of more, the lowest and the highest of each stretch of the first curve are drawn.
 */
export const chartsOf = ({ steps, warm, keys }, most = Infinity) => {
  // A validation takes many times as long as a step and would flatten the rest.
  const timings = [...keys].filter((key) => key.startsWith("timing_s/") && key !== "timing_s/validation");
  return [
    ...PLANS.map((plan) => chartOf(steps, plan, { along: "step", most })),
    chartOf(steps, { title: "Seconds of a step", keys: timings }, { along: "step", most }),
    chartOf(warm, { title: "Loss of the warm start", keys: ["sft/loss"] }, { along: "warm-start step", most }),
  ].filter((made) => made.series.length > 0);
};

const chartOf = (lines, { title, keys, band }, { along, most }) => {
  const wanted = [...keys, ...band ?? []], own = lines.filter(({ numbers }) => wanted.some((key) => numbers[key] !== undefined));
  const points = thinned(own, ({ numbers }) => numbers[keys[0]], most), values = (key) => points.map(({ numbers }) => numbers[key] ?? null);
  const series = keys.map((label) => ({ label, values: values(label) })).filter(({ values }) => values.some((value) => value !== null));
  const [low, high] = (band ?? []).map(values);
  const bounded = low && high && series[0]?.label === keys[0] && low.some((value) => value !== null);
  return { title, along, xs: points.map(({ x }) => x), series, ...(bounded && { band: { low, high } }) };
};

/** At most `most` of the points, their order kept: the lowest and the highest of each stretch, the first and the last point. */
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
