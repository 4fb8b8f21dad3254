import { createHash } from "node:crypto";
import type { Prompt } from "../prompt.ts";

/** 64 bits as two words, as kedge_sample takes them. */
export type Words = readonly [low: number, high: number];

/** A digest of a prompt's content: its tokens, and its visuals' grids, times and pixels. Equal prompts have equal digests. */
export function contentKey(prompt: Prompt): string {
  const hash = createHash("sha256");
  hash.update(Int32Array.of(prompt.tokens.length, prompt.visuals.length));
  hash.update(prompt.tokens);
  for (const { kind, grid, pixels, secondsPerGrid } of prompt.visuals) {
    const facts = { kind, grid: [grid.t, grid.h, grid.w], secondsPerGrid };
    if ("patches" in pixels) {
      hash.update(JSON.stringify(facts));
      hash.update(pixels.patches);
    } else {
      hash.update(JSON.stringify({ ...facts, count: pixels.count, mean: [...pixels.mean], std: [...pixels.std] }));
      hash.update(pixels.frames);
    }
  }
  return hash.digest("hex");
}

/** The words that key the draws of a sample: of the request's key and the sample's index. */
export function sequenceWords(key: string, sample: number): Words {
  const digest = createHash("sha256").update(Int32Array.of(sample)).update(key).digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}

/** A seed's words. @throws {RangeError} for what is not an integer in [0, 2^64). */
export function seedWords(seed: number | bigint): Words {
  if (typeof seed === "number" ? !Number.isSafeInteger(seed) || seed < 0 : seed < 0n || seed >= 1n << 64n) {
    throw new RangeError(`Cannot seed with ${seed}: it is no integer in [0, 2^64) (a plain number: up to 2^53)`);
  }
  const wide = BigInt(seed);
  return [Number(wide & 0xffff_ffffn), Number(wide >> 32n)];
}
