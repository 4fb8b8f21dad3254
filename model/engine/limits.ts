/**
 * What an engine may allocate, and how it divides that.
 *
 * @module
 */
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { CUBLAS_WORKSPACE_BYTES } from "../../ffi/cublas.ts";
import { type DType, DTYPE_BYTES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { logitBytes } from "../../tensor/ops/projection.ts";
import type { Shape } from "../../tensor/tensor.ts";
import type { ModelConfig } from "../config/config.ts";
import { familyOf } from "../families.ts";
import type { ModelParts } from "../family.ts";

/** Bounds of an engine. Results do not depend on them. Another engine with the same limits divides its memory in the same way. */
export interface EngineLimits {
  /** The maximum number of bytes that the engine holds at any time, beside the weights. */
  readonly memoryBytes: number;
  /** Tokens whose keys and values the cache holds. */
  readonly cacheTokens: number;
  /** Bytes reserved for the vision tower and its output. They grow, at the cost of the cache, when a larger prompt comes. */
  readonly promptBytes: number;
  /** Sequences decoded at once. */
  readonly maxSequences: number;
  /** The maximum number of prompt tokens of a step. */
  readonly prefillTokens: number;
  /** Tokens of a page, in which a sequence's keys and values lie: a power of two, 64 or more. */
  readonly pageTokens: number;
  /** Whether a CPU engine keeps a copy of the weights in the order in which its GEMM reads them. */
  readonly packed: boolean;
}

/** Cache and memory that a request needs. */
export interface Needs {
  /** Cached tokens of the prompt. */
  readonly prefix: number;
  /** Cached tokens of each sample. */
  readonly own: number;
  /** Bytes held until the prompt is read: visual embeddings, sums for visual sinks. */
  readonly held: number;
  /** Bytes at the peak of reading it, `held` included. */
  readonly promptBytes: number;
}

/** Bytes of logits that exist at a time in an engine of little memory, but for one row. */
const LEAST_LOGITS = 64 * 2 ** 20;
/** Bytes of scratch that one attention call may ask for on CUDA, but for one row. */
export const ATTENTION_SCRATCH = 64 * 2 ** 20;
/** Tokens of a page of the cache, the fewest that the kernels take; docs/log.md has the measurement, 2026-11-30. */
export const PAGE_TOKENS = 64;
/** Masks of suppressed tokens held at a time. */
export const MASKS = 8;
/** Prompts whose last row's connectivity is measured in a step. */
export const KEPT = 16;
/** Regions of a profile for which there is room. */
export const MAX_REGIONS = 256;

/** Shape and type of a buffer. */
interface Buffer {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Sizes on which the static buffers depend. */
export interface BufferSizes {
  /** Rows of a pass. */
  readonly rows: number;
  readonly sequences: number;
  /** Rows of which logits exist at a time. */
  readonly logits: number;
  /** i32 elements of the block that goes to the device at each pass. */
  readonly block: number;
}

/** The static buffers, by name. */
export function buffers(config: ModelConfig, dtype: DType, { rows, sequences, logits, block }: BufferSizes) {
  const { hiddenSize, intermediateSize, layers, heads, kvHeads, headDim, vocabSize } = config.text;
  const activation = (...shape: number[]): Buffer => ({ shape, dtype });
  const float = (...shape: number[]): Buffer => ({ shape, dtype: "f32" });
  return {
    residual: activation(rows, hiddenSize),
    normed: activation(rows, hiddenSize),
    branch: activation(rows, hiddenSize),
    qkv: activation(rows, (heads + 2 * kvHeads) * headDim),
    mixed: activation(rows, heads * headDim),
    gateUp: activation(rows, 2 * intermediateSize),
    gated: activation(rows, intermediateSize),
    rstd: float(rows),
    cos: float(rows, headDim / 2),
    sin: float(rows, headDim / 2),
    lse: float(rows, heads),
    frequencies: float(headDim / 2),
    axis: { shape: [2, headDim / 2], dtype: "i32" } as Buffer,
    /** Final hidden states: of the decoded rows, then of each prompt's last row. */
    final: activation(2 * sequences, hiddenSize),
    picked: activation(sequences, hiddenSize),
    logits: float(logits, vocabSize),
    masks: { shape: [MASKS, vocabSize], dtype: "u8" } as Buffer,
    block: { shape: [block], dtype: "i32" } as Buffer,
    results: float(sequences * (6 + MAX_REGIONS)),
    keptQ: activation(layers * KEPT, heads * headDim),
    keptLse: float(layers * KEPT, heads),
    keptMass: float(KEPT * (2 + MAX_REGIONS)),
  };
}

/** Rows of which logits exist at a time: those of all sequences, if they take no more than the device's share of logits and a 16th of the engine's memory. */
export function logitRows({ device, config }: ModelParts, { sequences, memoryBytes }: { sequences: number; memoryBytes: number }): number {
  const bytes = Math.min(logitBytes(device), Math.max(LEAST_LOGITS, memoryBytes / 16));
  return Math.max(1, Math.min(sequences, Math.floor(bytes / (DTYPE_BYTES.f32 * config.text.vocabSize))));
}

/** Bytes of a cached token: keys and values of all layers, its region, its share of a kernel's scratch and of the table of pages. */
export function tokenBytes(config: ModelConfig, dtype: DType): number {
  const { layers, kvHeads, headDim } = config.text;
  return layers * 2 * kvHeads * headDim * DTYPE_BYTES[dtype] + 4 + 1 + 1;
}

/** Entries of the table of pages. Only the last page of a sequence has fewer tokens than the others. */
export function pageEntries(
  { cacheTokens, sequences, pageTokens }: { cacheTokens: number; sequences: number; pageTokens: number },
): number {
  return Math.floor(cacheTokens / pageTokens) + sequences;
}

/** Bytes of the static buffers, with alignment. */
export function bufferBytes(config: ModelConfig, dtype: DType, sizes: BufferSizes): number {
  let bytes = (config.text.layers + 2) * 512 + 4 * sizes.sequences; // the cache's alignment, and the table of pages beside the tokens' share
  for (const { shape, dtype: type } of Object.values(buffers(config, dtype, sizes))) {
    bytes += shape.reduce((a, b) => a * b, DTYPE_BYTES[type]) + 512;
  }
  return bytes;
}

/**
 * An upper bound of the scratch that the kernels of a step and of the vision tower ask for, on any device; what each needs stands in its source. The
 * workspace grows by doubling, 64 MiB at most.
 */
export function workspaceBytes({ device, config, parameters }: ModelParts, { sequences }: { sequences: number }): number {
  const { heads, headDim, vocabSize } = config.text;
  const threads = device instanceof CpuDevice ? device.threads : 1;
  const dim = Math.max(headDim, config.vision.hiddenSize / config.vision.heads);
  const panels = 4 * (32 * (4 * dim + 8 + MAX_REGIONS) + 64 * 32 + 128 * (dim + 32));
  const sizes = Object.values(parameters).map(({ tensor }) => [tensor.rows, tensor.cols] as const);
  const most = (axis: 0 | 1) => sizes.reduce((high, size) => Math.max(high, size[axis]), 0);
  // Of gemm.cpp: panels of B (8 MiB at most), blocks of 288 rows of A for each thread, or 1 MiB of few rows.
  const depth = Math.min(256, most(1));
  const gemm = 4 * (Math.min(2 ** 21, (most(0) + 64) * most(1)) + (threads + 1) * 288 * depth) + 2 ** 20 * Math.min(1, most(1) / 512);
  const sample = sequences * (Math.ceil(vocabSize / 1024) * 32 + 256) + threads * (12 * vocabSize + 16 * 1024);
  const decode = 4 * sequences * heads * (headDim + 4 + MAX_REGIONS) + threads * panels;
  const records = 4 * heads * Math.ceil(2 + config.text.maxPositions / 256) * (headDim + 4 + MAX_REGIONS);
  const cuda = device.kind === "cuda" ? Math.max(ATTENTION_SCRATCH, records) : 0;
  const needed = Math.max(gemm, sample, decode + cuda);
  return Math.min(2 * needed, needed + 2 ** 26) + (device.kind === "cuda" ? CUBLAS_WORKSPACE_BYTES : 0);
}

/**
 * Bytes that a prompt needs while it is read. `held`: what the vision tower gives, and what visual sinks are found from; `promptBytes`: with what the tower
 * takes.
 */
export function promptBytes(model: ModelParts, prompt: { patches: number; visualTokens: number; sinkRows: number }) {
  const { patches, visualTokens, sinkRows } = prompt;
  const { config, device, dtype } = model;
  if (patches === 0) return { held: 0, promptBytes: 0 };
  const embedded = familyOf(config).featureCount(config.vision) * (visualTokens * config.text.hiddenSize * DTYPE_BYTES[dtype] + 256);
  const threads = device instanceof CpuDevice ? device.threads : 1;
  const sums = sinkRows === 0 ? 0 : 4 * sinkRows * (2 + visualTokens) + 512;
  const scratch = sinkRows === 0
    ? 0
    : 2 * (4 * threads * 128 * (2 + visualTokens) + (device.kind === "cuda" ? sinkScratch(visualTokens) : 0));
  const held = embedded + sums;
  return { held, promptBytes: held + familyOf(config).visionBytes(config.vision, dtype, patches) + scratch };
}

/** Bytes of scratch of a kedge_connectivity call over as many rows as {@linkcode ATTENTION_SCRATCH} allows, one at least. */
function sinkScratch(visualTokens: number): number {
  return Math.max(ATTENTION_SCRATCH, sinkRowBytes(visualTokens));
}

/** Bytes of scratch that a row of kedge_connectivity takes on CUDA where each visual token is a region. */
export function sinkRowBytes(visualTokens: number): number {
  return 4 * 4 * (2 + 2 * visualTokens);
}

/** Names of the decoder's matrices with the sizes of what they multiply, without those that are packed. */
export function matrices(model: ModelParts): { name: string; out: number; input: number }[] {
  const { layers, tied } = model.config.text;
  const names = ["qkv.weight", "out.weight", "gateUp.weight", "down.weight"];
  return [
    ...Array.from({ length: layers }, (_, i) => names.map((name) => `layers.${i}.${name}`)).flat(),
    tied ? "embedding" : "head",
  ].flatMap((name) => {
    const { rows, cols, isPacked } = model.parameters[name]!.tensor;
    return isPacked ? [] : [{ name, out: rows, input: cols }];
  });
}

/** Bytes of the packed copy of the decoder's matrices; 0 if they are packed themselves. */
export function packedBytes(model: ModelParts): number {
  const { host } = model.device;
  return matrices(model).reduce((sum, { out, input }) => sum + host.gemmPackedBytes(out, input) + 64, 0);
}

/** The error for a request that does not fit. */
export function tooSmall(needed: number, limits: { memoryBytes: number; cacheTokens?: number | undefined }, what: string): KedgeError {
  const { memoryBytes, cacheTokens } = limits;
  const limit = `the engine's memoryBytes is ${memoryBytes}` + (cacheTokens === undefined ? "" : `, its cacheTokens ${cacheTokens}`);
  return new KedgeError(
    "OutOfMemory",
    `Cannot generate: ${what} needs ${needed} bytes, ${limit}; raise that, or lower maxSequences, prefillTokens or maxTokens`,
    { asked: needed, budget: memoryBytes },
  );
}
