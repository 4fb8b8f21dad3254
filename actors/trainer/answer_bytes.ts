import type { HeldAnswers } from "../prompts.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";

/** The answers to a prompt, and the text of a greedy one, where the estimator needs it. */
export interface AnswersWithGreedy {
  readonly answers: HeldAnswers;
  readonly greedy: string | undefined;
}

const ARRAYS = ["tokens", "logprobs", "entropies", "connectivity", "profile"] as const;

/** Packs answers for other ranks: the length of a JSON text, this text, padding to four bytes, then the arrays. */
export function packAnswers(all: readonly AnswersWithGreedy[]): Uint8Array<ArrayBuffer> {
  const arrays: Uint8Array[] = [];
  const plain = all.map(({ answers, greedy }) => {
    const { lengths, finish, regions, boxes, visible } = answers;
    const sizes = Object.fromEntries(ARRAYS.map((name) => {
      const values = answers[name]?.toArray() as Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | undefined;
      if (values) arrays.push(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      return [name, values?.length ?? null];
    }));
    return { lengths, finish, regions, boxes, visible, sizes, greedy };
  });
  const text = new TextEncoder().encode(JSON.stringify(plain)), start = 4 + Math.ceil(text.length / 4) * 4;
  const out = new Uint8Array(start + arrays.reduce((sum, { length }) => sum + length, 0));
  new DataView(out.buffer).setUint32(0, text.length, true);
  out.set(text, 4);
  let at = start;
  for (const bytes of arrays) {
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

/** Makes the answers of another rank again. */
export function unpackAnswers(memory: ActorMemory, bytes: Uint8Array<ArrayBuffer>): AnswersWithGreedy[] {
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const plain = JSON.parse(
    new TextDecoder().decode(bytes.subarray(4, 4 + length)),
  ) as (Pick<HeldAnswers, "lengths" | "finish" | "regions" | "boxes" | "visible"> & {
    greedy?: string;
    sizes: Record<typeof ARRAYS[number], number | null>;
  })[];
  let at = 4 + Math.ceil(length / 4) * 4;
  return plain.map(({ sizes, greedy, ...rest }) => {
    const tensors = Object.fromEntries(ARRAYS.flatMap((name) => {
      const size = sizes[name];
      if (size === null) return [];
      const values = bytes.slice(at, at += 4 * size).buffer;
      return [[name, hostTensor(memory, name === "tokens" ? new Int32Array(values) : new Float32Array(values))]];
    })) as unknown as Pick<HeldAnswers, typeof ARRAYS[number]>;
    const answers: HeldAnswers = {
      ...rest,
      ...tensors,
      [Symbol.dispose]() {
        for (const tensor of Object.values(tensors)) tensor[Symbol.dispose]();
      },
    };
    return { answers, greedy };
  });
}
