import type { Random } from "../../tensor/random.ts";

/** Options of {@linkcode gaze}. */
export interface GazeOptions {
  tokens: number;
  /** A square number: regions of a square picture. Default 64. */
  regions?: number;
}

/**
 * Makes a synthetic response of a model that attends to a picture. Its tokens attend to one of a few regions, some to two, with noise.
 * About 15 % of them attend strongly to the picture.
 */
export function gaze(
  random: Random,
  options: GazeOptions,
): { connectivity: Float32Array<ArrayBuffer>; profile: Float32Array<ArrayBuffer>; regions: number } {
  const { tokens, regions = 64 } = options, side = Math.sqrt(regions);
  const places = Array.from({ length: random.integer(2, 12) }, () => ({
    x: side * random.next(),
    y: side * random.next(),
    width: side / 8 * (0.4 + 1.5 * random.next()),
  }));
  const noise = 0.05 + 0.6 * random.next(), stay = 0.5 + 0.45 * random.next();
  const connectivity = new Float32Array(tokens), profile = new Float32Array(tokens * regions);
  let now = places[random.integer(0, places.length)]!;
  for (let t = 0; t < tokens; t++) {
    if (random.next() > stay) now = places[random.integer(0, places.length)]!;
    const other = places[random.integer(0, places.length)]!, mix = random.next() * random.next();
    const strength = random.next() < 0.15 ? 0.2 + 0.3 * random.next() : 0.02 + 0.05 * random.next();
    const jitter = random.normal(regions, noise);
    const row = Float64Array.from(jitter, (e, r) => {
      const bump = (p: typeof now) =>
        Math.exp(-((r % side + 0.5 - p.x) ** 2 + (Math.floor(r / side) + 0.5 - p.y) ** 2) / (2 * p.width ** 2));
      return ((1 - mix) * bump(now) + mix * bump(other) + 0.02) * Math.exp(e);
    });
    const sum = row.reduce((a, b) => a + b, 0);
    for (let r = 0; r < regions; r++) profile[t * regions + r] = strength * row[r]! / sum;
    connectivity[t] = strength;
  }
  return { connectivity, profile, regions };
}
