/**
 * A reward of your own: `reward: { parts: { accuracy: { use: "math", weight: 0.9 }, brevity: { use: "./custom_reward.ts", weight: 0.1, options: { words: 200 } } } }`, or
 * `reward: "./custom_reward.ts"` alone. It runs in a child process without permissions.
 *
 * @module
 */
import type { RewardInput, RewardValue } from "@kedge/kedge/rewards";

/** 1 for a response of at most `words` words (default 100), less in proportion beyond; its second part says how many there are. */
export default function brevity(input: RewardInput, options: Readonly<Record<string, unknown>>): RewardValue {
  const limit = typeof options.words === "number" ? options.words : 100;
  const words = input.response.split(/\s+/).filter((word) => word !== "").length;
  return { overall: Math.min(1, limit / Math.max(1, words)), words };
}
