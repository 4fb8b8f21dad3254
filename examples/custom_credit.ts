/**
 * A credit of your own: `algorithm: { credit: "./custom_credit.ts" }`, or `credit: { use: "./custom_credit.ts", options: { floor: 0.2 } }`.
 * It is called for each response, in the training process, with all of its permissions.
 *
 * @module
 */
import type { CreditInput } from "@kedge/kedge/rl";

/** Weights in proportion to how much each token looks at the picture, above a floor (default 0.1), with mean 1 over the response. */
export default function credit({ connectivity, visual }: CreditInput, options: Readonly<Record<string, unknown>>): number[] {
  const floor = typeof options.floor === "number" ? options.floor : 0.1;
  const mean = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
  const looks = mean(connectivity);
  if (!visual || looks === 0) return Array.from(connectivity, () => 1);
  const weights = Array.from(connectivity, (c) => Math.max(floor, c / looks));
  const scale = mean(weights);
  return weights.map((w) => w / scale);
}
