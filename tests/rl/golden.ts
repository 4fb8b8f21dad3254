/**
 * The golden numbers of public implementations (EasyR1 on PyTorch, CPU, float32): padded [responses, maxLength], here packed.
 *
 * @module
 */
import { parseHeader } from "../../tensor/safetensors_header.ts";

async function unpack(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = await Deno.readFile(new URL(`../golden/rl_math/${name}.gz`, import.meta.url));
  return new Uint8Array(await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

const file = await unpack("rl_math.safetensors");
const size = Number(new DataView(file.buffer).getBigUint64(0, true)), data = file.subarray(8 + size);
const { tensors } = parseHeader(file.subarray(8, 8 + size), data.length);

/** The fields of the JSON beside the numbers. */
export const facts = JSON.parse(new TextDecoder().decode(await unpack("rl_math.json"))) as {
  index: string[];
  max_length: number;
  cases: Record<string, Record<string, number>>;
};

/** The names that begin with `prefix`. */
export function names(prefix: string): string[] {
  return [...tensors.keys()].filter((name) => name.startsWith(prefix));
}

/** Reads a whole tensor. */
export function whole(name: string): Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> {
  const { offset, bytes, dtype } = tensors.get(name)!;
  const { buffer } = data.slice(offset, offset + bytes);
  return dtype === "I32" ? new Int32Array(buffer) : new Float32Array(buffer);
}

/** Tokens of each response. */
export const lengths: number[] = Array.from(whole("lengths"));

/** A [responses, maxLength] tensor without its padding. */
export function packed(name: string): Float32Array<ArrayBuffer> {
  const all = whole(name);
  return Float32Array.from(lengths.flatMap((length, i) => Array.from(all.subarray(i * facts.max_length, i * facts.max_length + length))));
}
