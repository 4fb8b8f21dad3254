/**
 * Reads the header of a safetensors file: 8 bytes with its length (little-endian), JSON, then the tensors' bytes.
 * https://github.com/huggingface/safetensors#format
 *
 * @module
 */

/** The bytes of one element, by the format's name of the type. */
export const SAFETENSORS_DTYPES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;
/** The name of an element type of the format. */
export type SafetensorsDType = keyof typeof SAFETENSORS_DTYPES;

/** The entry of a header for one tensor. */
export interface TensorInfo {
  /** Its element type. */
  readonly dtype: SafetensorsDType;
  /** Its dimensions. A scalar has none. */
  readonly shape: readonly number[];
  /** Its size in bytes. */
  readonly bytes: number;
  /** Its offset after the header. */
  readonly offset: number;
}

/** A valid header. */
interface Header {
  /** The tensors by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The strings of `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The longest header that is read. The reference implementation has the same limit. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Returns the bytes of a tensor; undefined if a dimension is not a count, or the size is not a safe integer. */
export function tensorBytes(dtype: SafetensorsDType, shape: readonly unknown[]): number | undefined {
  let bytes: number = SAFETENSORS_DTYPES[dtype];
  let empty = false;
  for (const dimension of shape) {
    if (typeof dimension !== "number" || !Number.isSafeInteger(dimension) || dimension < 0) return undefined;
    if (dimension === 0) empty = true;
    else bytes *= dimension;
    // This also checks shapes with a later dimension 0, because a reader that multiplies in order must not overflow at any prefix.
    if (!Number.isSafeInteger(bytes)) return undefined;
  }
  return empty ? 0 : bytes;
}

/** Returns the first key that occurs twice in an object of the (valid) JSON text. `JSON.parse` would keep the last value. */
export function duplicateKey(json: string): string | undefined {
  const keys: (Set<string> | undefined)[] = []; // one for each open object; undefined for an array
  for (let i = 0; i < json.length; i++) {
    const character = json[i];
    if (character === "{") keys.push(new Set());
    else if (character === "[") keys.push(undefined);
    else if (character === "}" || character === "]") keys.pop();
    if (character !== '"') continue;
    const begin = i++;
    while (json[i] !== '"') i += json[i] === "\\" ? 2 : 1;
    let next = i + 1;
    while (json[next] === " " || json[next] === "\n" || json[next] === "\r" || json[next] === "\t") next++;
    if (json[next] !== ":") continue;
    const key = JSON.parse(json.slice(begin, i + 1)) as string, seen = keys.at(-1)!;
    if (seen.has(key)) return key;
    seen.add(key);
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Formats a name for a message. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}...` : name);
}

/**
 * Parses a header and checks everything in it, before any data is read.
 *
 * @param bytes The JSON.
 * @param dataBytes The number of bytes that follow it in the file.
 * @throws {Error} with a message that continues "Cannot read FILE: ".
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number): Header {
  if (bytes[0] !== 0x7b) throw new Error("its header does not begin with {");
  let json: string, parsed: unknown;
  try {
    json = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    parsed = JSON.parse(json);
  } catch (error) {
    throw new Error(`its header is no JSON (${(error as Error).message})`);
  }
  if (!isObject(parsed)) throw new Error("its header is no JSON object");
  const twice = duplicateKey(json);
  if (twice !== undefined) throw new Error(`its header has the key ${quote(twice)} twice`);

  const tensors = new Map<string, TensorInfo>(), metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(parsed)) {
    if (name !== "__metadata__") {
      tensors.set(name, tensorInfo(name, value));
      continue;
    }
    if (!isObject(value)) throw new Error("its __metadata__ is no object");
    for (const [key, text] of Object.entries(value)) {
      if (typeof text !== "string") throw new Error(`its __metadata__ has a value that is no string, at ${quote(key)}`);
      metadata.set(key, text);
    }
  }

  let end = 0, before = "";
  for (const [name, { offset, bytes }] of [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (offset < end) throw new Error(`tensor ${quote(name)} overlaps ${quote(before)} (bytes from ${offset}, where that ends at ${end})`);
    if (offset > end) throw new Error(`tensor ${quote(name)} leaves a hole before it (bytes ${end} to ${offset})`);
    end = offset + bytes;
    before = name;
    if (end > dataBytes) {
      throw new Error(`tensor ${quote(name)} ends at byte ${end} of ${dataBytes}: the file is cut short, or its header wrong`);
    }
  }
  if (end !== dataBytes) throw new Error(`its tensors are ${end} bytes, but ${dataBytes} follow the header`);
  return { tensors, metadata };
}

function tensorInfo(name: string, value: unknown): TensorInfo {
  const fault = (words: string) => new Error(`tensor ${quote(name)} ${words}`);
  if (!isObject(value)) throw fault("is no object");
  const { dtype, shape, data_offsets: offsets, ...rest } = value;
  const surplus = Object.keys(rest)[0];
  if (surplus !== undefined) throw fault(`has an unknown field ${quote(surplus)}`);
  if (typeof dtype !== "string" || !Object.hasOwn(SAFETENSORS_DTYPES, dtype)) {
    throw fault(`has dtype ${quote(String(JSON.stringify(dtype)))}, not one of ${Object.keys(SAFETENSORS_DTYPES).join(", ")}`);
  }
  if (!Array.isArray(shape)) throw fault("has no shape");
  const bytes = tensorBytes(dtype as SafetensorsDType, shape);
  if (bytes === undefined) throw fault(`has shape ${quote(JSON.stringify(shape))}, which is none, or too large`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every((o) => Number.isSafeInteger(o) && o >= 0)) {
    throw fault(`has data_offsets ${quote(String(JSON.stringify(offsets)))}, not two byte counts`);
  }
  const [begin, end] = offsets as [number, number];
  if (end - begin !== bytes) throw fault(`takes ${end - begin} bytes, but ${dtype} of [${shape.join(", ").slice(0, 100)}] is ${bytes}`);
  return { dtype: dtype as SafetensorsDType, shape: shape as number[], bytes, offset: begin };
}
