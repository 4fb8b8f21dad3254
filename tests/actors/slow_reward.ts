/** The same reward as letters_reward.ts, but slow. */
import { reward as letters } from "./letters_reward.ts";

const lock = new Int32Array(new SharedArrayBuffer(4));

export function reward(input: { response: string }): number {
  Atomics.wait(lock, 0, 0, 30);
  return letters(input);
}
