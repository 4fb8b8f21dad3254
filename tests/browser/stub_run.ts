/** Makes the data of an invented run. */

type Fields = Record<string, unknown>;

/** Makes a picture of 8 by 8 pixels as a data URL. */
export function picture(): string {
  const SIZE = 8, bytes = new Uint8Array(54 + SIZE * SIZE * 3), view = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]);
  view.setUint32(2, bytes.length, true);
  view.setUint32(10, 54, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, SIZE, true);
  view.setInt32(22, SIZE, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  for (let i = 0; i < SIZE * SIZE; i++) bytes.set([(i * 37) % 200, (i * 11) % 256, 40 + i * 3], 54 + i * 3);
  return `data:image/bmp;base64,${bytes.toBase64()}`;
}

const wave = (i: number) => 0.5 + 0.5 * Math.sin(i * 12.9898 + Math.sin(i) * 78.233);

/** Makes a line of metrics.jsonl. */
export function metricsLine(step: number): Fields {
  const way = 1 - Math.exp(-step / 40), noise = wave(step) * 0.1;
  return {
    step,
    "reward/overall": 0.1 + 0.7 * way + noise,
    "reward/accuracy": 0.05 + 0.7 * way + noise,
    "actor/entropy": 1.6 - way + noise,
    "actor/loss": noise / 10,
    "actor/grad_norm": 0.2 + noise,
    "actor/lr": 1e-4,
    "response_length/mean": 30 + 10 * noise,
    "atrl/anchor_fraction": 0.15 + noise / 10,
    "atrl/connectivity_anchor": 0.35 + 0.2 * way,
    "atrl/connectivity_rest": 0.18 - 0.05 * way,
    "atrl/bimodality": 0.45 + 0.2 * way,
    "timing_s/gen": 0.13 + noise,
    "timing_s/update_actor": 0.2 + noise,
    "timing_s/step": 0.37 + 2 * noise,
    "perf/throughput": 19_000 + 1000 * noise,
    ...(step % 5 === 0 &&
      { "val/accuracy": 0.6 * way, "val/accuracy_low": 0.5 * way, "val/accuracy_high": 0.7 * way, "val/accuracy_greedy": 0.65 * way }),
    time: new Date(1.7e12 + step * 1000).toISOString(),
  };
}

/** Makes a line of the warm start. */
export function warmLine(step: number): Fields {
  return { step: 0, phase: "sft", "sft_step": step, "sft/loss": 6 * Math.exp(-step / 30), "timing_s/step": 0.2 };
}

const WORDS = [" the", " red", " square", " is", " 4", " and", " blue", " 3", " .", " answer", " is", " 7"];

/** Returns the regions of a picture that is divided into side * side of them. */
export function regionsOf(side: number, visual = 0) {
  return Array.from({ length: side * side }, (_, i) => ({
    visual,
    left: (i % side) / side,
    top: Math.floor(i / side) / side,
    width: 1 / side,
    height: 1 / side,
  }));
}

/** Makes the connectivity data of an answer's tokens. */
export function connectivityOf(tokens: readonly string[], seed: number) {
  const values = tokens.map((_, i) => i % 4 === 1 ? 0.5 + 0.3 * wave(seed + i) : 0.2 * wave(seed + i));
  return {
    values,
    anchors: tokens.map((_, i) => i % 4 === 1),
    clusters: tokens.map((_, i) => i % 3),
    weights: tokens.map((_, i) => i % 4 === 1 ? 2 : 0.6),
    profiles: tokens.map((_, i) => regionsOf(4).map((_, r) => wave(seed + i * 7 + r * 3) ** 3 / 8)),
    regions: regionsOf(4),
  };
}

/** Makes the lines of rollouts.jsonl for a step. */
export function rolloutLines(step: number, { prompts = 2, samples = 2 } = {}): Fields[] {
  return Array.from({ length: prompts * samples }, (_, n) => {
    const prompt = Math.floor(n / samples),
      seed = step * 31 + n,
      { values, anchors, clusters, weights, profiles, regions } = connectivityOf(WORDS, seed);
    const scale = Math.max(...profiles.flat());
    return {
      step,
      "prompt_id": `stub/${prompt}`,
      sample: n % samples,
      prompt: "what is the red number plus the blue number ?",
      truth: "7",
      response: WORDS.join(""),
      tokens: WORDS,
      logprobs: WORDS.map((_, i) => -wave(seed + i)),
      entropies: WORDS.map((_, i) => 2 * wave(seed - i)),
      advantages: WORDS.map(() => n % 2 === 0 ? 1 : -1),
      weights,
      connectivity: values,
      anchor: anchors.map(Number),
      cluster: clusters,
      reward: { overall: n % 2 === 0 ? 1 : 0, accuracy: n % 2 === 0 ? 1 : 0 },
      finish: "stop",
      ...(n % samples === 0 && { image: picture() }),
      profile: { scale, regions, shares: Uint8Array.from(profiles.flat(), (share) => Math.round(255 * share / scale)).toBase64() },
    };
  });
}
