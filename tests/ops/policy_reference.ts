/**
 * The policy losses, importance weights and divergences in float64, written from their formulas.
 *
 * @module
 */

/** The kinds of `kedge_policy_loss`, by number. */
export const POLICY_KINDS = ["ppo", "gspo", "gspo_token", "cispo", "sapo", "reinforce"] as const;
/** The kinds of `kedge_divergence`, by number. */
export const DIVERGENCE_KINDS = [
  ...["k1", "abs", "k2", "k3", "k1+", "k3+", "forward_kl", "jensen_shannon", "chi_square", "total_variation", "alpha"] as const,
];

/** The inputs of a policy loss. */
export interface PolicyCase {
  kind: typeof POLICY_KINDS[number];
  offsets: readonly number[];
  old: ArrayLike<number>;
  advantage: ArrayLike<number>;
  /** 0 masks. */
  weight: ArrayLike<number>;
  correction?: ArrayLike<number>;
  entropy?: ArrayLike<number>;
  entropyCoefficient?: number;
  low?: number;
  high?: number;
  /** 0: none. */
  dual?: number;
  tauPositive?: number;
  tauNegative?: number;
  logRatioMax?: number;
}

const clamp = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);

/** Loss and per-token losses. `frozen`: the log-probs that stop-gradient parts read; default `logprob`. */
export function policyReference(logprob: ArrayLike<number>, c: PolicyCase, frozen: ArrayLike<number> = logprob) {
  const { kind, offsets, old, advantage, weight, low = 0.8, high = 1.28, dual = 3, logRatioMax = 20 } = c;
  const tokens = new Float64Array(logprob.length), ratios = new Float64Array(logprob.length);
  let loss = 0;
  for (let s = 0; s + 1 < offsets.length; s++) {
    const active: number[] = [];
    for (let i = offsets[s]!; i < offsets[s + 1]!; i++) if (weight[i] !== 0) active.push(i);
    const mean = (x: ArrayLike<number>) => active.reduce((sum, i) => sum + x[i]! - old[i]!, 0) / active.length;
    for (const i of active) {
      let d = logprob[i]! - old[i]!;
      if (kind === "gspo") d = mean(logprob);
      if (kind === "gspo_token") d = mean(frozen) + logprob[i]! - frozen[i]!;
      const r = Math.exp(clamp(d, -logRatioMax, logRatioMax)), a = advantage[i]!;
      ratios[i] = r;
      const stopped = clamp(Math.exp(clamp(frozen[i]! - old[i]!, -logRatioMax, logRatioMax)), low, high);
      const tau = a >= 0 ? c.tauPositive ?? 1 : c.tauNegative ?? 1.05;
      let l = Math.max(-a * r, -a * clamp(r, low, high));
      if (a < 0 && dual > 0) l = Math.min(l, -a * dual);
      if (kind === "cispo") l = -a * stopped * logprob[i]!;
      if (kind === "sapo") l = -a * (4 / tau) / (1 + Math.exp(-tau * (r - 1)));
      if (kind === "reinforce") l = -a * logprob[i]!;
      tokens[i] = l;
      loss += weight[i]! * (c.correction?.[i] ?? 1) * l;
      if (c.entropy) loss -= (c.entropyCoefficient ?? 0) * weight[i]! * c.entropy[i]!;
    }
  }
  return { loss, tokens, ratios };
}

/** d loss / d logprob by central differences of the reference. */
export function policyGradient(logprob: Float64Array, c: PolicyCase): Float64Array {
  const step = 1e-6;
  return Float64Array.from(logprob, (x, i) => {
    if (c.weight[i] === 0) return 0;
    const at = (value: number) => policyReference(logprob.with(i, value), c, logprob).loss;
    return (at(x + step) - at(x - step)) / (2 * step);
  });
}

/**
 * Returns the value of a divergence's estimate at log(reference / policy) = x, and the slope that is used as its derivative by the
 * log-prob.
 */
export function divergenceReference(kind: typeof DIVERGENCE_KINDS[number], x: number, alpha = 0.5): { value: number; slope: number } {
  const u = Math.exp(x);
  // The f-divergences by their generators: value g(u), slope g(u) - u g'(u), the derivative by differences.
  const generator = (g: (u: number) => number) => {
    const h = 1e-6 * u;
    return { value: g(u), slope: g(u) - u * (g(u + h) - g(u - h)) / (2 * h) };
  };
  switch (kind) {
    case "k1":
      return { value: -x, slope: 1 };
    case "abs":
      return { value: Math.abs(x), slope: -Math.sign(x) };
    case "k2":
      return { value: x * x / 2, slope: -x };
    case "k3":
      return { value: Math.expm1(x) - x, slope: -Math.expm1(x) };
    case "k1+":
      return { value: -x, slope: -x };
    case "k3+":
      return { value: Math.expm1(x) - x, slope: -x };
    case "forward_kl":
      return generator((u) => u * Math.log(u) - (u - 1));
    case "jensen_shannon":
      return generator((u) => (u * Math.log(2 * u / (1 + u)) + Math.log(2 / (1 + u))) / 2);
    case "chi_square":
      return generator((u) => (1 - u) ** 2 / u);
    case "total_variation":
      return generator((u) => Math.abs(1 - u) / 2);
    case "alpha":
      return generator((u) => (u ** (1 - alpha) - 1) / (alpha * (alpha - 1)) + (u - 1) / alpha);
  }
}
