// Generated from kernels/include/kedge.h by tools/generate_ffi.ts. Do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
import type { Address } from "../address.ts";
import { put32, put64 } from "../block.ts";

/** Loaded symbols, called with numbers: for 64-bit integers Deno's types ask for bigint, its calls take both, and numbers are exact below 2^53. */
export type Symbols<Table> = { readonly [Name in keyof Table]: (...values: (number | BufferSource | null)[]) => number | bigint };

/** Size of each struct, and where its fields begin, in bytes. */
export const structs = {
  kedge_status: { bytes: 512, offsets: { code: 0, reserved: 4, needed: 8, message: 16 } },
  kedge_context: { bytes: 40, offsets: { stream: 0, workspace: 8, workspace_bytes: 16, device: 24, threads: 28, flags: 32, reserved: 36 } },
  kedge_attention_shape: { bytes: 112, offsets: { q_stride: 0, k_stride: 8, v_stride: 16, out_stride: 24, n_segments: 32, max_q: 40, max_kv: 48, q_tokens: 56, kv_tokens: 64, heads: 72, kv_heads: 80, head_dim: 88, scale: 96, causal: 104 } },
  kedge_attention_gradients: { bytes: 40, offsets: { dq_stride: 0, dk_stride: 8, dv_stride: 16, dout_stride: 24, accumulate: 32 } },
  kedge_decode_shape: { bytes: 120, offsets: { q_stride: 0, k_stride: 8, v_stride: 16, out_stride: 24, n_groups: 32, n: 40, max_prefix: 48, max_own: 56, cache_tokens: 64, page: 72, n_pages: 80, heads: 88, kv_heads: 96, head_dim: 104, scale: 112 } },
} as const;

/** Attention over packed sequences: its sizes, and the strides of its forward's arrays. */
export interface AttentionShape {
  /** Elements between rows of q. */
  readonly qStride: number;
  /** Elements between rows of k. */
  readonly kStride: number;
  /** Elements between rows of v. */
  readonly vStride: number;
  /** Elements between rows of out. */
  readonly outStride: number;
  /** Rows of the segment table. */
  readonly nSegments: number;
  /** Upper bound of q_len over the segments: it sizes CUDA's grid. */
  readonly maxQ: number;
  /** Upper bound of kv_len over the segments: it sizes CUDA's grid. */
  readonly maxKv: number;
  /** Rows of q. */
  readonly qTokens: number;
  /** Rows of k and v. */
  readonly kvTokens: number;
  /** Query heads. */
  readonly heads: number;
  /** Key heads. */
  readonly kvHeads: number;
  /** Elements of a head. */
  readonly headDim: number;
  /** Factor on q.k, finite. */
  readonly scale: number;
  /** Whether a query sees only the own keys up to its place. */
  readonly causal: number;
}

/** What the backward of attention takes besides. */
export interface AttentionGradients {
  /** Elements between rows of dq. */
  readonly dqStride: number;
  /** Elements between rows of dk. */
  readonly dkStride: number;
  /** Elements between rows of dv. */
  readonly dvStride: number;
  /** Elements between rows of dout. */
  readonly doutStride: number;
  /** Bits 0, 1, 2: dq, dk, dv are added to. */
  readonly accumulate: number;
}

/** A decode step: one new token per sequence. */
export interface DecodeShape {
  /** Elements between rows of q. */
  readonly qStride: number;
  /** Elements between rows of k_cache. */
  readonly kStride: number;
  /** Elements between rows of v_cache. */
  readonly vStride: number;
  /** Elements between rows of out. */
  readonly outStride: number;
  /** Rows of groups. */
  readonly nGroups: number;
  /** Sequences: rows of q, of out and of sequences. */
  readonly n: number;
  /** Upper bound of prefix_len: it sizes CUDA's grid. */
  readonly maxPrefix: number;
  /** Upper bound of own_len: it sizes CUDA's grid. */
  readonly maxOwn: number;
  /** Rows of k_cache and v_cache. */
  readonly cacheTokens: number;
  /** Keys of a page: a power of two, 64 at least; 0: a sequence's own keys lie behind one another. */
  readonly page: number;
  /** Elements of pages. */
  readonly nPages: number;
  /** Query heads. */
  readonly heads: number;
  /** Key heads. */
  readonly kvHeads: number;
  /** Elements of a head. */
  readonly headDim: number;
  /** Factor on q.k, finite. */
  readonly scale: number;
}

function attentionShapeWriter(): (x: AttentionShape) => ArrayBufferView<ArrayBuffer> {
  const block = new ArrayBuffer(112), words = new Int32Array(block), doubles = new Float64Array(block);
  return (x) => {
    put64(words, 0, x.qStride, "qStride");
    put64(words, 2, x.kStride, "kStride");
    put64(words, 4, x.vStride, "vStride");
    put64(words, 6, x.outStride, "outStride");
    put64(words, 8, x.nSegments, "nSegments");
    put64(words, 10, x.maxQ, "maxQ");
    put64(words, 12, x.maxKv, "maxKv");
    put64(words, 14, x.qTokens, "qTokens");
    put64(words, 16, x.kvTokens, "kvTokens");
    put64(words, 18, x.heads, "heads");
    put64(words, 20, x.kvHeads, "kvHeads");
    put64(words, 22, x.headDim, "headDim");
    doubles[12] = x.scale;
    put32(words, 26, x.causal, "causal");
    return words;
  };
}

function attentionGradientsWriter(): (x: AttentionGradients) => ArrayBufferView<ArrayBuffer> {
  const block = new ArrayBuffer(40), words = new Int32Array(block);
  return (x) => {
    put64(words, 0, x.dqStride, "dqStride");
    put64(words, 2, x.dkStride, "dkStride");
    put64(words, 4, x.dvStride, "dvStride");
    put64(words, 6, x.doutStride, "doutStride");
    put32(words, 8, x.accumulate, "accumulate");
    return words;
  };
}

function decodeShapeWriter(): (x: DecodeShape) => ArrayBufferView<ArrayBuffer> {
  const block = new ArrayBuffer(120), words = new Int32Array(block), doubles = new Float64Array(block);
  return (x) => {
    put64(words, 0, x.qStride, "qStride");
    put64(words, 2, x.kStride, "kStride");
    put64(words, 4, x.vStride, "vStride");
    put64(words, 6, x.outStride, "outStride");
    put64(words, 8, x.nGroups, "nGroups");
    put64(words, 10, x.n, "n");
    put64(words, 12, x.maxPrefix, "maxPrefix");
    put64(words, 14, x.maxOwn, "maxOwn");
    put64(words, 16, x.cacheTokens, "cacheTokens");
    put64(words, 18, x.page, "page");
    put64(words, 20, x.nPages, "nPages");
    put64(words, 22, x.heads, "heads");
    put64(words, 24, x.kvHeads, "kvHeads");
    put64(words, 26, x.headDim, "headDim");
    doubles[14] = x.scale;
    return words;
  };
}

export const opSymbols = {
  kedge_abi_version: { parameters: [], result: "i32" },
  kedge_noop: { parameters: ["buffer", "buffer"], result: "i32" },
  kedge_fill: { parameters: ["buffer", "i32", "u64", "i64", "f64", "buffer"], result: "i32" },
  kedge_copy: { parameters: ["buffer", "u64", "u64", "i64", "buffer"], result: "i32" },
  kedge_copy_rows: { parameters: ["buffer", "u64", "i64", "u64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_cast: { parameters: ["buffer", "u64", "i32", "u64", "i32", "i64", "buffer"], result: "i32" },
  kedge_scale_add: { parameters: ["buffer", "i32", "u64", "u64", "i64", "f64", "u64", "f64", "buffer"], result: "i32" },
  kedge_add: { parameters: ["buffer", "i32", "u64", "u64", "u64", "i64", "buffer"], result: "i32" },
  kedge_mul: { parameters: ["buffer", "i32", "u64", "u64", "u64", "i64", "i32", "buffer"], result: "i32" },
  kedge_dot: { parameters: ["buffer", "i32", "u64", "u64", "u64", "i64", "i32", "buffer"], result: "i32" },
  kedge_gather_rows: { parameters: ["buffer", "i32", "u64", "i64", "u64", "i64", "u64", "i64", "i64", "i64", "i32", "buffer"], result: "i32" },
  kedge_scatter_rows: { parameters: ["buffer", "i32", "u64", "i64", "u64", "i64", "u64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_scatter_add_rows: { parameters: ["buffer", "i32", "u64", "i32", "i64", "u64", "i64", "u64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_gather_weighted: { parameters: ["buffer", "i32", "u64", "i64", "u64", "i64", "u64", "u64", "i64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_scatter_add_weighted: { parameters: ["buffer", "i32", "u64", "i32", "i64", "u64", "i64", "u64", "u64", "i64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_rmsnorm_fwd: { parameters: ["buffer", "i32", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "f64", "buffer"], result: "i32" },
  kedge_rmsnorm_bwd: { parameters: ["buffer", "i32", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "i32", "buffer"], result: "i32" },
  kedge_head_rmsnorm_fwd: { parameters: ["buffer", "i32", "u64", "i64", "u64", "u64", "i64", "u64", "i64", "i64", "i64", "f64", "buffer"], result: "i32" },
  kedge_head_rmsnorm_bwd: { parameters: ["buffer", "i32", "u64", "i64", "u64", "u64", "i64", "u64", "i64", "u64", "u64", "i64", "i64", "i64", "i32", "buffer"], result: "i32" },
  kedge_layernorm_fwd: { parameters: ["buffer", "i32", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "f64", "buffer"], result: "i32" },
  kedge_layernorm_bwd: { parameters: ["buffer", "i32", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "i32", "buffer"], result: "i32" },
  kedge_bias_add: { parameters: ["buffer", "i32", "u64", "i64", "u64", "i64", "u64", "i64", "i64", "buffer"], result: "i32" },
  kedge_bias_grad: { parameters: ["buffer", "i32", "u64", "u64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_rope_table: { parameters: ["buffer", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_rope: { parameters: ["buffer", "i32", "u64", "i64", "u64", "i64", "u64", "u64", "i64", "i64", "i64", "i32", "i32", "buffer"], result: "i32" },
  kedge_rope_cache: { parameters: ["buffer", "i32", "u64", "i64", "u64", "u64", "i64", "u64", "u64", "u64", "i64", "i64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_attention_fwd: { parameters: ["buffer", "i32", "buffer", "u64", "u64", "u64", "u64", "u64", "u64", "buffer"], result: "i32" },
  kedge_attention_bwd: { parameters: ["buffer", "i32", "buffer", "buffer", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "buffer"], result: "i32" },
  kedge_connectivity: { parameters: ["buffer", "i32", "buffer", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "u64", "i32", "u32", "u32", "buffer"], result: "i32" },
  kedge_decode_attention: { parameters: ["buffer", "i32", "buffer", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "u64", "u64", "u64", "i32", "u32", "u32", "buffer"], result: "i32" },
  kedge_swiglu_fwd: { parameters: ["buffer", "i32", "u64", "i64", "u64", "i64", "u64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_swiglu_bwd: { parameters: ["buffer", "i32", "u64", "i64", "u64", "i64", "u64", "i64", "u64", "i64", "u64", "i64", "i64", "i64", "i32", "buffer"], result: "i32" },
  kedge_gelu_fwd: { parameters: ["buffer", "i32", "u64", "u64", "i64", "i32", "buffer"], result: "i32" },
  kedge_gelu_bwd: { parameters: ["buffer", "i32", "u64", "u64", "u64", "i64", "i32", "i32", "buffer"], result: "i32" },
  kedge_logprob_fwd: { parameters: ["buffer", "i32", "u64", "u64", "u64", "u64", "i64", "u64", "u64", "i64", "i64", "f64", "buffer"], result: "i32" },
  kedge_logprob_bwd: { parameters: ["buffer", "i32", "u64", "i64", "u64", "i64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "f64", "buffer"], result: "i32" },
  kedge_sample: { parameters: ["buffer", "i32", "u64", "u64", "u64", "u64", "u64", "i64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "buffer"], result: "i32" },
  kedge_policy_loss: { parameters: ["buffer", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "i32", "f64", "f64", "f64", "f64", "f64", "f64", "f64", "buffer"], result: "i32" },
  kedge_importance_weights: { parameters: ["buffer", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "i32", "i32", "f64", "f64", "f64", "buffer"], result: "i32" },
  kedge_divergence: { parameters: ["buffer", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i32", "f64", "f64", "f64", "buffer"], result: "i32" },
  kedge_kl_fwd: { parameters: ["buffer", "i32", "u64", "u64", "u64", "u64", "i64", "u64", "i64", "u64", "u64", "i64", "i64", "f64", "buffer"], result: "i32" },
  kedge_kl_bwd: { parameters: ["buffer", "i32", "u64", "i64", "u64", "i64", "u64", "i64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "f64", "buffer"], result: "i32" },
  kedge_sum_squares: { parameters: ["buffer", "i32", "u64", "u64", "i64", "i32", "buffer"], result: "i32" },
  kedge_clip_coefficient: { parameters: ["buffer", "u64", "u64", "f64", "f64", "buffer"], result: "i32" },
  kedge_adamw: { parameters: ["buffer", "u64", "i32", "u64", "u64", "u64", "i32", "u64", "u64", "u64", "u64", "u64", "i64", "f64", "f64", "f64", "f64", "f64", "f64", "f64", "i32", "u64", "i64", "buffer"], result: "i32" },
  kedge_gemm: { parameters: ["buffer", "i32", "u64", "i32", "i64", "u64", "i64", "i32", "u64", "i64", "i32", "i64", "i64", "i64", "f64", "f64", "buffer"], result: "i32" },
  kedge_image_resize: { parameters: ["buffer", "u64", "i64", "i64", "u64", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_image_patches: { parameters: ["buffer", "i32", "u64", "u64", "i64", "i64", "i64", "i64", "i64", "i64", "buffer", "buffer", "buffer"], result: "i32" },
  kedge_token_score: { parameters: ["buffer", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "i64", "i64", "i32", "buffer"], result: "i32" },
  kedge_token_graph: { parameters: ["buffer", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "i64", "i64", "i32", "f64", "f64", "f64", "i32", "buffer"], result: "i32" },
  kedge_partition: { parameters: ["buffer", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "u64", "i64", "i64", "i64", "i32", "i32", "u64", "buffer"], result: "i32" },
  kedge_token_weights: { parameters: ["buffer", "u64", "u64", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "i64", "i32", "i32", "f64", "f64", "f64", "f64", "i32", "u64", "buffer"], result: "i32" },
  kedge_token_advantage: { parameters: ["buffer", "u64", "u64", "u64", "u64", "u64", "i64", "i64", "i64", "i32", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

export const hostSymbols = {
  kedge_segments_check: { parameters: ["buffer", "i64", "i64", "i64", "i32", "buffer"], result: "i32" },
  kedge_gemm_packed_bytes: { parameters: ["i64", "i64"], result: "i64" },
  kedge_gemm_pack: { parameters: ["buffer", "u64", "u64", "i64", "i32", "i64", "i64", "buffer"], result: "i32" },
  kedge_gemm_packed: { parameters: ["buffer", "u64", "i64", "u64", "i64", "i32", "u64", "i64", "i64", "i64", "f64", "f64", "buffer"], result: "i32" },
  kedge_bf16_packed_bytes: { parameters: ["i64", "i64"], result: "i64" },
  kedge_bf16_pack: { parameters: ["buffer", "u64", "i64", "i64", "u64", "i32", "i64", "i64", "i64", "buffer"], result: "i32" },
  kedge_bf16_gemm: { parameters: ["buffer", "u64", "i64", "u64", "i64", "u64", "i32", "i64", "i64", "i64", "f64", "f64", "buffer"], result: "i32" },
  kedge_bf16_rows: { parameters: ["buffer", "u64", "i32", "i64", "u64", "i64", "i64", "u64", "i64", "i64", "buffer"], result: "i32" },
  kedge_host_alloc: { parameters: ["i64", "buffer", "buffer"], result: "i32" },
  kedge_host_free: { parameters: ["u64", "buffer"], result: "i32" },
  kedge_host_memory: { parameters: ["buffer", "buffer"], result: "i32" },
  kedge_host_budget: { parameters: ["i64", "i32", "buffer"], result: "i32" },
  kedge_host_trim: { parameters: ["buffer"], result: "i32" },
  kedge_host_read: { parameters: ["buffer", "u64", "i64", "buffer"], result: "i32" },
  kedge_host_write: { parameters: ["u64", "buffer", "i64", "buffer"], result: "i32" },
  kedge_owner_open: { parameters: ["buffer", "buffer"], result: "i32" },
  kedge_owner_close: { parameters: ["u32", "buffer"], result: "i32" },
  kedge_owner_reclaim: { parameters: ["u32", "buffer", "i64", "buffer", "buffer"], result: "i32" },
  kedge_owner_account: { parameters: ["u32", "buffer", "buffer"], result: "i32" },
  kedge_handle_register: { parameters: ["u32", "u64", "i64", "i32", "buffer", "buffer"], result: "i32" },
  kedge_handle_resolve: { parameters: ["u32", "u32", "u32", "buffer", "buffer"], result: "i32" },
  kedge_handle_move: { parameters: ["u32", "u32", "u32", "u32", "u64", "buffer", "buffer"], result: "i32" },
  kedge_handle_lend: { parameters: ["u32", "u32", "u32", "u32", "buffer"], result: "i32" },
  kedge_handle_return: { parameters: ["u32", "u32", "u32", "u64", "buffer", "buffer"], result: "i32" },
  kedge_handle_written: { parameters: ["u32", "u32", "u32", "u64", "buffer"], result: "i32" },
  kedge_handle_release: { parameters: ["u32", "u32", "u32", "buffer", "buffer"], result: "i32" },
  kedge_host_info: { parameters: ["buffer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The ops, bound to one context. Addresses are numbers; 0 stands for NULL. Each throws what `failed` throws. */
export interface Ops {
  /** KEDGE_ABI_VERSION of the built library. Never fails. */
  abiVersion(): number;
  /** Does nothing: measures a call. */
  noop(): void;
  /** x[i] = value. dtype: F32, BF16, I32 (value rounded to the nearest integer). */
  fill(dtype: number, x: Address, n: number, value: number): void;
  /** Copies `bytes` bytes between two places of this device. */
  copy(dst: Address, src: Address, bytes: number): void;
  /** Copies rows of row_bytes bytes between strided matrices; strides in BYTES, >= row_bytes. Concatenation, slices, splits. */
  copyRows(dst: Address, dstStrideBytes: number, src: Address, srcStrideBytes: number, rows: number, rowBytes: number): void;
  /** dst[i] = (dst_dtype) src[i], round to nearest even. F32, BF16, F16 in any pair; NaN stays NaN. */
  cast(dst: Address, dstDtype: number, src: Address, srcDtype: number, n: number): void;
  /** y = alpha * (factor ? *factor : 1) * x + beta * y. factor: f32[1] on the device, nullable. beta 0 does not read y. In place allowed (y == x). */
  scaleAdd(dtype: number, y: Address, x: Address, n: number, alpha: number, factor: Address, beta: number): void;
  /** out = a + b. In place allowed with a or b. */
  add(dtype: number, out: Address, a: Address, b: Address, n: number): void;
  /** out = a * b, or out += a * b with accumulate != 0. In place allowed with a or b. */
  mul(dtype: number, out: Address, a: Address, b: Address, n: number, accumulate: number): void;
  /** out[0] = sum_i a[i] * b[i], accumulated in f64; b nullable (then sum of a). out: f32[1]. accumulate: out[0] += the sum. */
  dot(dtype: number, out: Address, a: Address, b: Address, n: number, accumulate: number): void;
  /** out[i, :] = table[index[i], :]. out: [n, dim] stride out_stride; table: [table_rows, dim] stride table_stride; index: i32[n]. An index of -1 gives a row of zeros. accumulate: out += . The embedding forward, and the gradient of scatter_rows by its source. */
  gatherRows(dtype: number, out: Address, outStride: number, table: Address, tableStride: number, index: Address, n: number, tableRows: number, dim: number, accumulate: number): void;
  /** out[index[i], :] = src ? src[i, :] : 0. Indices must be distinct (-1 skips; not checked for duplicates on CUDA). Writes visual embeddings over placeholder rows, keys into a cache; with src NULL it clears those rows (the gradient of the overwritten base). */
  scatterRows(dtype: number, out: Address, outStride: number, src: Address, srcStride: number, index: Address, n: number, outRows: number, dim: number): void;
  /** out[index[i], :] += src[i, :], in the order of i for each row (indices may repeat; -1 skips). out: of out_dtype (F32 for a parameter gradient, or dtype); src of dtype. The embedding backward. */
  scatterAddRows(dtype: number, out: Address, outDtype: number, outStride: number, src: Address, srcStride: number, index: Address, n: number, outRows: number, dim: number): void;
  /** out[i, :] = sum over k < taps of weight[i, k] * table[index[i, k], :], in the order of k. out: [n, dim]; index: i32[n, taps], -1 adds nothing; weight: f32[n, taps]; taps >= 1. Position embeddings between the places of a grid: bilinear interpolation has 4 taps. */
  gatherWeighted(dtype: number, out: Address, outStride: number, table: Address, tableStride: number, index: Address, weight: Address, n: number, taps: number, tableRows: number, dim: number): void;
  /** out[index[i, k], :] += weight[i, k] * src[i, :], in the order of (i, k) for each row; src: [n, dim]; else as kedge_scatter_add_rows. The gradient of kedge_gather_weighted by its table. */
  scatterAddWeighted(dtype: number, out: Address, outDtype: number, outStride: number, src: Address, srcStride: number, index: Address, weight: Address, n: number, taps: number, outRows: number, dim: number): void;
  /** h = x + residual (h = x where residual is NULL); y = h * rstd * weight, rstd = 1 / sqrt(mean(h^2) + eps), mean over dim. x, residual, h_out, y: [rows, dim]; weight: [dim]; rstd: f32[rows]. h_out is required with residual, else nullable. eps > 0. In place allowed: h_out == x or h_out == residual. Zhang & Sennrich, arXiv 1910.07467. */
  rmsnormFwd(dtype: number, y: Address, hOut: Address, rstd: Address, x: Address, residual: Address, weight: Address, rows: number, dim: number, eps: number): void;
  /** Gradient by h (which is that by x and by residual alike) and weight. dx: [rows, dim]; dweight: f32[dim], added to, nullable; dh: gradient that reached h_out directly, [rows, dim], nullable, added into dx; h: the h of the forward. accumulate bit 0: dx. In place allowed: dx == dy or dx == dh (without accumulate). */
  rmsnormBwd(dtype: number, dx: Address, dweight: Address, dy: Address, dh: Address, h: Address, weight: Address, rstd: Address, rows: number, dim: number, accumulate: number): void;
  /** As kedge_rmsnorm_fwd and _bwd for each head by itself: y = x * rstd * weight, the mean over head_dim. x, y, dx, dy: [tokens, heads, head_dim] with strides; weight: [head_dim]; rstd: f32[tokens, heads], nullable in the forward; dweight: f32[head_dim]. In place allowed: y == x, dx == dy (without accumulate). */
  headRmsnormFwd(dtype: number, y: Address, yStride: number, rstd: Address, x: Address, xStride: number, weight: Address, tokens: number, heads: number, headDim: number, eps: number): void;
  /** headRmsnormBwd */
  headRmsnormBwd(dtype: number, dx: Address, dxStride: number, dweight: Address, dy: Address, dyStride: number, x: Address, xStride: number, weight: Address, rstd: Address, tokens: number, heads: number, headDim: number, accumulate: number): void;
  /** h = x + residual (h = x where residual is NULL); y = (h - mean) * rstd * weight + bias, mean and variance over dim, rstd = 1 / sqrt(variance + eps). mean, rstd: f32[rows]; bias: [dim]; else as kedge_rmsnorm_fwd. Ba et al., arXiv 1607.06450. */
  layernormFwd(dtype: number, y: Address, hOut: Address, mean: Address, rstd: Address, x: Address, residual: Address, weight: Address, bias: Address, rows: number, dim: number, eps: number): void;
  /** As kedge_rmsnorm_bwd. dbias: f32[dim], added to, nullable. */
  layernormBwd(dtype: number, dx: Address, dweight: Address, dbias: Address, dy: Address, dh: Address, h: Address, weight: Address, mean: Address, rstd: Address, rows: number, dim: number, accumulate: number): void;
  /** y[r, :] = x[r, :] + bias. In place allowed. */
  biasAdd(dtype: number, y: Address, yStride: number, x: Address, xStride: number, bias: Address, rows: number, dim: number): void;
  /** dbias[c] += sum_r dy[r, c]. dbias: f32[dim]. */
  biasGrad(dtype: number, dbias: Address, dy: Address, dyStride: number, rows: number, dim: number): void;
  /** cos/sin[t, i] of the f32 angle positions[axis[i], t] * inv_freq[i], i < half. cos, sin: f32[tokens, half]; positions: i32[axes, tokens]; axis: i32[half], values in [0, axes); inv_freq: f32[half]. Text M-RoPE: axis by section, axes = 3; 2-D vision: axis 0 (row) for the first half/2, 1 (column) for the rest. Su et al., arXiv 2104.09864; Qwen2-VL, arXiv 2409.12191. */
  ropeTable(cos: Address, sin: Address, positions: Address, axis: Address, invFreq: Address, axes: number, tokens: number, half: number): void;
  /** Rotates each head's pairs (i, i + head_dim/2): y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin; inverse != 0 turns back, which is the backward. x, y: [tokens, heads, head_dim] with strides; cos, sin: f32[tokens, head_dim/2]. accumulate bit 0: y. In place allowed. */
  rope(dtype: number, y: Address, yStride: number, x: Address, xStride: number, cos: Address, sin: Address, tokens: number, heads: number, headDim: number, inverse: number, accumulate: number): void;
  /** What stands between the decoder's product and its attention over a cache, in one pass: the bias is added (nullable; of dtype, and the sum is rounded to dtype), queries and keys are rotated as kedge_rope does. The queries stay in qkv; keys and values go to row cache_row[i] of the cache, a row's keys before its values. qkv: [tokens, heads + 2 kv_heads, head_dim] with a stride: queries, keys, values; what its keys and values hold after the call is undefined. bias: [(heads + 2 kv_heads) * head_dim]; cache: [cache_tokens, 2 kv_heads, head_dim] with a stride; cache_row: i32[tokens], distinct (-1: not cached; not checked for duplicates); cos, sin: f32[tokens, head_dim/2]. */
  ropeCache(dtype: number, qkv: Address, qkvStride: number, bias: Address, cache: Address, cacheStride: number, cacheRow: Address, cos: Address, sin: Address, tokens: number, heads: number, kvHeads: number, headDim: number, cacheTokens: number): void;
  /** Packed sequences with shared prefixes. Tokens of all sequences lie behind one another, without padding. `segments`: i32[n_segments, 8], { q_start, q_len, kv_start, kv_len, parent, child_begin, child_end, 0 }. Segment s: query rows [q_start, q_start + q_len) see, first, all keys of segment `parent` (-1: none; a parent has no parent itself), then their own keys [kv_start, kv_start + kv_len), all of them, or with causal != 0 own key j for query i if j <= i + kv_len - q_len. The children of a segment (those with parent == s) are the segments [child_begin, child_end) (empty: 0, 0). Query ranges are disjoint; so are key ranges; with causal, q_len <= kv_len. A prompt with G responses: one parent and G children; a vision window: a segment of its own. Keys of a parent may come from a cache (q_len 0). Query rows of no segment are written as zeros in out (and -inf in lse); key rows of none get zero gradient. A query row that sees no key at all gives zeros and lse -inf. * q, out: [q_tokens, heads, head_dim]; k, v: [kv_tokens, kv_heads, head_dim]; lse: f32[q_tokens, heads], natural logarithm of the sum of exp(scale * q.k). heads % kv_heads == 0: query head h reads key head h / (heads / kv_heads). head_dim: a multiple of 4 in [4, 128] (CUDA: a multiple of 8 in [8, 128]). The CPU library validates the table; use kedge_segments_check for a table that goes to CUDA. Dao, arXiv 2307.08691 (algorithm); Prefix Grouper, arXiv 2506.05433 (shared prefix). */
  attentionFwd(dtype: number, shape: AttentionShape, out: Address, lse: Address, q: Address, k: Address, v: Address, segments: Address): void;
  /** dq, dk, dv: shapes as q, k, v, strides of their own. A key's gradient sums over all query heads of its group and all segments that see it, in a fixed order. */
  attentionBwd(dtype: number, shape: AttentionShape, gradients: AttentionGradients, dq: Address, dk: Address, dv: Address, dout: Address, q: Address, k: Address, v: Address, out: Address, lse: Address, segments: Address): void;
  /** From a forward's q, k, lse and shape (v_stride and out_stride are not read). row_out: i32[q_tokens]: the output row of each query row, -1 to skip; distinct. */
  connectivity(dtype: number, shape: AttentionShape, mass: Address, profile: Address, q: Address, k: Address, lse: Address, region: Address, rowOut: Address, regions: number, rowsOut: number, segments: Address, renorm: number, skipLow: number, skipHigh: number): void;
  /** One new token per sequence over [shared prefix][own] in a cache. k_cache, v_cache: [cache_tokens, kv_heads, head_dim] with strides; the new token's key and value are already in the cache. groups: i32[n_groups, 4] { prefix_start, prefix_len, seq_begin, seq_end }: in order, they cover sequences [0, n) once. sequences: i32[n, 2] { own_start, own_len }, own_len counting the new token (0 allowed with a prefix). Own key j is row own_start + j of the cache, or, with pages, row pages[own_start + j / page] + j % page; pages: i32[n_pages], nullable where page is 0. The bits do not depend on where the keys lie. out, q: [n, heads, head_dim]. mass, profile, region as above, one row a sequence (row i = sequence i), region: i32[cache_tokens]; mass nullable: then no connectivity is computed. Hydragen, arXiv 2402.05099. */
  decodeAttention(dtype: number, shape: DecodeShape, out: Address, mass: Address, profile: Address, q: Address, kCache: Address, vCache: Address, region: Address, regions: number, groups: Address, sequences: Address, pages: Address, renorm: number, skipLow: number, skipHigh: number): void;
  /** out = silu(gate) * up, silu(x) = x / (1 + exp(-x)). All [rows, dim] with strides, so that gate and up may be halves of one matrix. Shazeer, arXiv 2002.05202. */
  swigluFwd(dtype: number, out: Address, outStride: number, gate: Address, gateStride: number, up: Address, upStride: number, rows: number, dim: number): void;
  /** accumulate bits 0, 1: dgate, dup. In place allowed: dgate == gate and dup == up (without accumulate). */
  swigluBwd(dtype: number, dgate: Address, dgateStride: number, dup: Address, dupStride: number, dout: Address, doutStride: number, gate: Address, gateStride: number, up: Address, upStride: number, rows: number, dim: number, accumulate: number): void;
  /** y = x * gate(x). In place allowed. Hendrycks & Gimpel, arXiv 1606.08415. form: 0 erf: Phi(x) = (1 + erf(x / sqrt 2)) / 2, exact; 1 tanh: (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2; 2 quick: sigmoid(1.702 x). */
  geluFwd(dtype: number, y: Address, x: Address, n: number, form: number): void;
  /** dx = dy * (gate(x) + x gate'(x)). accumulate bit 0: dx. In place allowed with dy or x (without accumulate). */
  geluBwd(dtype: number, dx: Address, dy: Address, x: Address, n: number, form: number, accumulate: number): void;
  /** With z = logits / temperature, suppressed entries left out: lse = log sum exp z, logprob = z[target] - lse, entropy = lse - sum p z (nats). logits: [n, vocab] with stride; target: i32[n] in [0, vocab) (a suppressed target gives -inf; -1 skips the row: logprob and entropy 0, gradient 0); suppress: u8[vocab], nonzero = suppressed, nullable. logprob, entropy (nullable), lse: f32[n]. temperature > 0. */
  logprobFwd(dtype: number, logprob: Address, entropy: Address, lse: Address, logits: Address, logitsStride: number, target: Address, suppress: Address, n: number, vocab: number, temperature: number): void;
  /** dlogits[i, v] = (dlogprob[i] * ([v = target] - p_v) - dentropy[i] * p_v * (log p_v + entropy[i])) / temperature, 0 where suppressed. dlogprob, dentropy: f32[n], the second nullable (then entropy may be NULL). In place allowed: dlogits == logits. */
  logprobBwd(dtype: number, dlogits: Address, dlogitsStride: number, logits: Address, logitsStride: number, target: Address, lse: Address, entropy: Address, dlogprob: Address, dentropy: Address, suppress: Address, n: number, vocab: number, temperature: number): void;
  /** Draws one token per row. Per-row arrays: temperature f32 (0 = greedy: the argmax, ties to the lower index, with statistics at temperature 1), top_k i32 (0 = off), top_p f32 in (0, 1] (1 = off), min_p f32 in [0, 1) (0 = off). Filters act in this order on the tempered, unsuppressed distribution: top-k keeps the k largest (ties: lower index first); top-p keeps, of what is left and renormalised, the shortest prefix by falling probability (ties: lower index first) whose sum reaches top_p, at least one; min-p keeps p >= min_p * max p. The draw inverts the CDF of the rest in index order at u = philox4x32-10(key = seed, counter = { position, sequence lo, sequence hi, 0 })[0] scaled to (0, 1): (x + 0.5) / 2^32. keys: u32[n, 4] { seed lo, seed hi, sequence lo, sequence hi }; position: i32[n]. Hence a sequence's draws do not depend on the batch. token: i32[n]; logprob: of the unfiltered distribution; filtered_logprob: of the filtered one (greedy: 0); entropy: of the unfiltered one; all f32[n], nullable except token and logprob. A row of which every logit is suppressed or that holds a NaN gives token -1 and NaN. Salmon et al., SC 2011 (Philox). */
  sample(dtype: number, token: Address, logprob: Address, filteredLogprob: Address, entropy: Address, logits: Address, logitsStride: number, temperature: Address, topK: Address, topP: Address, minP: Address, keys: Address, position: Address, suppress: Address, n: number, vocab: number): void;
  /** The policy loss and its gradient in one pass. With A = advantage, d = logprob - old_logprob, w = weight (the aggregation: 1 / tokens, ...), c = correction (nullable: 1; a detached factor, see importance_weights), r = exp(clamp(d, -log_ratio_max, log_ratio_max)) and clip(r) = min(max(r, ratio_low), ratio_high): kind 0 ppo: l = max(-A r, -A clip(r)); where A < 0 and dual > 0, l = min(l, -A dual). Schulman et al., arXiv 1707.06347; Ye et al., arXiv 1912.09729. kind 1 gspo: as ppo with r = exp(clamp(mean of d over the sequence's tokens)), through which the gradient flows. Zheng et al., arXiv 2507.18071. kind 2 gspo_token: the value of gspo; the gradient as if r were sg[r] pi / sg[pi] of each token. kind 3 cispo: l = -A sg[clip(r)] logprob. MiniMax-M1, arXiv 2506.13585. kind 4 sapo: l = -A (4 / tau) sigmoid(tau (r - 1)), tau = tau_positive where A >= 0, else tau_negative. Gao et al., arXiv 2511.20347. kind 5 reinforce: l = -A logprob. loss[0] = sum w c l - entropy_coefficient * sum w entropy; dlogprob = d loss / d logprob; token_loss = l, nullable. (d loss / d entropy is -coefficient * w.) stats: f64[10], nullable, added to: { sum w c l, tokens, tokens with -A r < -A clip(r) (cispo: r > ratio_high), tokens at the dual clip (cispo: r < ratio_low), sum -d, sum -w logprob, sum entropy, sum w entropy, sum r, the largest r }; r of the token for reinforce and sapo too, of the sequence for gspo. entropy: nullable. */
  policyLoss(loss: Address, dlogprob: Address, tokenLoss: Address, stats: Address, logprob: Address, oldLogprob: Address, advantage: Address, weight: Address, correction: Address, entropy: Address, offsets: Address, n: number, sequences: number, kind: number, ratioLow: number, ratioHigh: number, dual: number, tauPositive: number, tauNegative: number, logRatioMax: number, entropyCoefficient: number): void;
  /** Factors for data from another policy: g = clamp(logprob - rollout_logprob, -log_ratio_max, log_ratio_max); level 0 token: x = exp(g); 1 sequence: x = exp(clamp(sum of the differences over the sequence)); 2 sequence mean: exp(clamp(their mean)). mask 0: out = min(max(x, low), high); mask 1: out = x where low <= x <= high, else 0. stats: f64[7], nullable, added to: { tokens, sum out, sum out^2, tokens with x outside [low, high], sum |difference|, the largest |difference|, sum of rollout_logprob - logprob }. Ionides 2008 (truncation); IcePop (masking). */
  importanceWeights(out: Address, stats: Address, logprob: Address, rolloutLogprob: Address, weight: Address, offsets: Address, n: number, sequences: number, level: number, mask: number, low: number, high: number, logRatioMax: number): void;
  /** A divergence of the policy from a reference, estimated from the sampled tokens. With x = ref_logprob - logprob, u = exp(x), per token the value k and the slope s that stands for dk / dlogprob: kind 0 k1:  -x, 1            1 abs: |x|, sign(-x)          2 k2: x^2 / 2, -x         3 k3: expm1(x) - x, -expm1(x)     (s is the derivative of k) kind 4 k1+: -x, -x           5 k3+: expm1(x) - x, -x       KL(policy || ref): k unbiased, s an unbiased gradient kind 6 forward KL(ref || policy): u x - expm1(x), -expm1(x) kind 7 Jensen-Shannon: (u x - (1 + u) log1p(expm1(x) / 2)) / 2, -log1p(expm1(x) / 2) / 2 kind 8 chi-square sum (policy - ref)^2 / ref: expm1(x)^2 / u, 2 expm1(-x) kind 9 total variation: |expm1(x)| / 2, sign(-x) / 2 kind 10 alpha (sum policy^a ref^(1-a) - 1) / (a (a - 1)): expm1((1 - a) x) / (a (a - 1)) + expm1(x) / a, expm1((1 - a) x) / (a - 1); a = 1 is k3+, a = 0 forward KL. From 6 on k = g(u) with g convex, g(1) = g'(1) = 0, so that E_policy k is the divergence, and s = g - u g', so that E_policy s dlogprob is its gradient. Kinds from 3 on but 4 clamp x to +-log_ratio_max. value_max > 0 clamps k to +-value_max: then s is 0 for kinds below 4, and clamped as k from 4 on. With old_logprob (nullable), for tokens drawn from an older policy, r = exp(clamp(logprob - old_logprob)): k becomes r k, and s becomes r (s + k) below 4, r s from 4 on. Schulman, "Approximating KL divergence", 2020; Csiszar 1967 (f-divergences). loss[0] = sum w k, nullable; dlogprob = w s, nullable; value = k, nullable; stats: f64[3], nullable, added to: { sum w k, sum k, tokens }. */
  divergence(loss: Address, dlogprob: Address, value: Address, stats: Address, logprob: Address, refLogprob: Address, oldLogprob: Address, weight: Address, n: number, kind: number, alpha: number, logRatioMax: number, valueMax: number): void;
  /** KL(p || q) over the vocabulary, p = softmax(logits / temperature), q = softmax(ref_logits / temperature), suppressed entries left out of both. kl: f32[n]; lse: log sum exp of logits / temperature, shift: that of ref_logits / temperature - lse - kl, both f32[n] for the backward. target: i32[n], nullable: -1 skips the row (all three 0); suppress: u8[vocab], nullable. temperature > 0. */
  klFwd(dtype: number, kl: Address, lse: Address, shift: Address, logits: Address, logitsStride: number, refLogits: Address, refStride: number, target: Address, suppress: Address, n: number, vocab: number, temperature: number): void;
  /** dlogits[i, v] = dkl[i] * p_v * (log p_v - log q_v - kl[i]) / temperature, 0 where suppressed or p_v is 0. In place allowed: dlogits == logits. */
  klBwd(dtype: number, dlogits: Address, dlogitsStride: number, logits: Address, logitsStride: number, refLogits: Address, refStride: number, lse: Address, shift: Address, dkl: Address, target: Address, suppress: Address, n: number, vocab: number, temperature: number): void;
  /** out[0] = (accumulate ? out[0] : 0) + sum x^2, in f64. out: f64[1]. */
  sumSquares(dtype: number, out: Address, x: Address, n: number, accumulate: number): void;
  /** out: f32[4] { norm = sqrt(sum_squares[0]) * grad_scale, coefficient, nonfinite, 0 }: coefficient = grad_scale * min(1, max_norm / (norm + 1e-6)), or grad_scale where max_norm <= 0; nonfinite = 1 where the norm is not finite, and coefficient is then 0. (torch.nn.utils.clip_grad_norm_) */
  clipCoefficient(out: Address, sumSquares: Address, maxNorm: number, gradScale: number): void;
  /** AdamW with decoupled decay (Loshchilov & Hutter, arXiv 1711.05101), as torch.optim.AdamW: with g = grad * coefficient, p -= lr * weight_decay * p;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2; p -= lr * (m / bias1) / (sqrt(v / bias2) + eps),   bias_i = 1 - beta_i^step, computed by the caller in f64. master: f32[n], nullable; then param is what is updated. With master, param (param_dtype) is its rounded copy, to nearest even. grad: f32[n]. m, v: moment_dtype (F32 or BF16). clip: the f32[4] of kedge_clip_coefficient, nullable: if clip[2] != 0 nothing at all is changed, else coefficient = clip[1]. rounding of every bf16 value that is its own truth (moments; param without master): 0 nearest even, 1 stochastic, keyed by (seed, step, element), 2 Kahan, with the lost part kept in bf16: m_lost, v_lost, p_lost (each required where it applies, else nullable). The state may lie in pinned host memory. */
  adamw(param: Address, paramDtype: number, master: Address, m: Address, v: Address, momentDtype: number, mLost: Address, vLost: Address, pLost: Address, grad: Address, clip: Address, n: number, lr: number, beta1: number, beta2: number, eps: number, weightDecay: number, bias1: number, bias2: number, rounding: number, seed: number, step: number): void;
  /** C = alpha * op(A) op(B) + beta * C. op(A): [m, k], op(B): [k, n], C: [m, n]; A is stored [m, k], or [k, m] with trans_a != 0, with leading dimension lda; B likewise. beta 0 does not read C. An element's sum runs in an order that depends on k alone: not on m, n, the other rows, or the threads. CUDA: F32 on plain cores, BF16 on tensor cores (Kedge's batch-invariant GEMM; cuBLAS is the fast one). c_dtype: of C (dtype, or F32). */
  gemm(dtype: number, c: Address, cDtype: number, ldc: number, a: Address, lda: number, transA: number, b: Address, ldb: number, transB: number, m: number, n: number, k: number, alpha: number, beta: number): void;
  /** Resizes u8 pictures [height, width, channels] with Pillow's antialiased bicubic filter (a = -0.5; fixed-point coefficients of 22 bits, horizontal pass first, each pass rounded to u8): equal to PIL.Image.resize(BICUBIC) to the bit. channels 1..4, each on its own; sizes in [1, 65535]. */
  imageResize(out: Address, outHeight: number, outWidth: number, image: Address, height: number, width: number, channels: number): void;
  /** Cuts frames: u8[frames, height, width, 3] into Qwen2-VL patches, rescaled by 1/255 and normalised: (x / 255 - mean[c]) / std[c]. height, width: multiples of patch * merge; an incomplete last group of `temporal` frames repeats its last frame. out: dtype [ceil(frames / temporal) * (height / patch) * (width / patch), 3 * temporal * patch * patch]; rows run over (time, block row, block column, row in block, column in block), a block being merge x merge patches; columns over (channel, frame, y, x). */
  imagePatches(dtype: number, out: Address, frames: Address, nFrames: number, height: number, width: number, patch: number, merge: number, temporal: number, mean: BufferSource | null, std: BufferSource | null): void;
  /** The score of each token, by which tokens are told apart (docs/method.md section 1.6). kind: 0: the connectivity c_t; 1: the peak max(0, max over r of p_t[r] - m[r]), with p the profile and m its mean over the response (0 without regions); 2: the entropy H_t, not below 0; 3: c_t H_t; 4: the peak times H_t; 5: the scaled peak max(0, max over r of (p_t[r] - m[r]) / sqrt(m[r] + a)), with a a tenth of the mean of m over the regions. With visible, the score is divided by v / (v + o + t) where v > 0, t counted from the response's first token. All is computed in f64, and m is summed in the order of the tokens: every device gives the same bits. A NaN in a profile gives its response NaN. score: f32[tokens]; connectivity, entropy: f32[tokens]; profile: f32[tokens, regions]; each nullable where the kind does not read it. visible: i32[n, 2] { v, o }, the visual and the other keys that the response's first row sees; nullable: nothing is divided. */
  tokenScore(score: Address, connectivity: Address, profile: Address, entropy: Address, visible: Address, offsets: Address, n: number, tokens: number, maxTokens: number, regions: number, kind: number): void;
  /** The graph of a response's tokens. w(t, u) = max(0, cos(p_t - m, p_u - m)) * sqrt(c_t * c_u) / max(c), with p the profile, m its mean over the response, c the connectivity; cos is 0 for a vector |p_t - m| <= 1e-6 |m|. With contrast > 0, w is multiplied by exp(-|d_t - d_u| / contrast), d_t = c_t / mean(c). A w that is not above 0, or below `threshold`, is no edge. Each token picks its `neighbours` heaviest edges (ties: lower index). An edge is kept that either end picks, with mutual != 0 that both pick. |t - u| = 1 adds `adjacency`, weights are rounded to integers, w * 2^20 (0: no edge). profile: f32[tokens, regions]; connectivity: f32[tokens]. regions 0: no visual tokens. neighbours: in [0, 32]; adjacency: in [0, 1000]; threshold: in [0, 1); contrast: finite, 0: none. rows: i32[tokens, 2] { begin, end }: token t's edges; neighbour: i32[2 (neighbours + 1) tokens], counted from the response's first token, rising within a row; weight: i32, of the same length, > 0. Rows of a response lie behind one another, with gaps; what is in the gaps is undefined. Every edge is in both its rows. */
  tokenGraph(rows: Address, neighbour: Address, weight: Address, profile: Address, connectivity: Address, offsets: Address, n: number, tokens: number, maxTokens: number, regions: number, neighbours: number, adjacency: number, threshold: number, contrast: number, mutual: number): void;
  /** Partitions each response's tokens into K = clamp(round(T / cluster_size), 2, 64) clusters (one below 4 tokens), none empty, none above floor((1 + imbalance / 1000) * ceil(T / K)) tokens, with a small edge cut. cluster: i32[tokens] in [0, K), numbered by first token. stats: i64[n, 3] { K, cut, tokens of the largest cluster }, nullable. rows, neighbour, weight: those of kedge_token_graph; capacity: length of neighbour; max_edges: upper bound of the sum of a response's rows' lengths. cluster_size >= 1; imbalance: per mille, in [0, 1000]. Equal graphs and seeds give equal clusters on every device. Karypis & Kumar, SIAM J. Sci. Comput. 20 (1998); Fiduccia & Mattheyses, DAC 1982. A bad edge, on CUDA: cluster -1 for the whole response. */
  partition(cluster: Address, stats: Address, rows: Address, neighbour: Address, weight: Address, capacity: number, maxEdges: number, offsets: Address, n: number, tokens: number, maxTokens: number, clusterSize: number, imbalance: number, seed: number): void;
  /** Token weights with mean 1 over each response. A = ceil(anchor_permille * T / 1000). d = connectivity / its mean; D_k = mean of d over cluster k; P = the shortest prefix of the clusters, by D falling (ties: lower first token), that holds A tokens; theta = midpoint of the lowest D in P and the highest outside (nothing is outside: the former). mode: 0 off: 1 everywhere. 1 soft: w_min + (w_max - w_min) * sigmoid((D_k - theta) / temperature), with normalise != 0 divided by its token mean; 1 everywhere where the connectivity is constant (max - min <= 1e-6 mean) or its mean is 0, where there is one cluster, where all D are equal (max - min <= 1e-6). With own > 0 a token has x_t = (1 - own) D_k + own d_t in place of D_k: theta is the midpoint of the lowest x among the A highest and the highest other (there is no other: the former), and the weight is 1 everywhere where all x are equal (max - min <= 1e-6), whatever the clusters; 2 hard: T / A on the anchors, the A tokens of highest connectivity (ties: earlier first), else 0; 3 low: T / L on the L = max(1, floor(T / 2)) tokens of lowest connectivity (ties: earlier first), else 0; 4 random: T / A on the A tokens of the largest draws (ties: earlier first), else 0; the draw of token t is philox4x32-10(key = seed, counter = { prompt lo, prompt hi, sample, t })[0]. A response with visual[i] = 0 gets 1 everywhere, in every mode. weight: f32[tokens]; flags: u8[tokens], nullable: bit 0, an anchor; bit 1, of a cluster in P. cluster: i32[tokens] in [0, T), nullable but for mode 1; visual: u8[n], nullable: all have visual tokens; keys: u32[n, 3] { prompt lo, prompt hi, sample }, nullable but for mode 4. anchor_permille in [1, 1000]; temperature > 0; w_min, w_max >= 0, not both 0; own in [0, 1]. A NaN connectivity gives its response NaN in mode 1. */
  tokenWeights(weight: Address, flags: Address, connectivity: Address, cluster: Address, visual: Address, keys: Address, offsets: Address, n: number, tokens: number, maxTokens: number, mode: number, anchorPermille: number, wMin: number, wMax: number, temperature: number, own: number, normalise: number, seed: number): void;
  /** out[t] = weight[t] * advantage, 0 where mask[t] = 0 (whatever else is there). advantage: f32[n], or f32[tokens] with per_token != 0; mask: u8[tokens], nullable. In place allowed: out == weight, or out == advantage with per_token. */
  tokenAdvantage(out: Address, weight: Address, advantage: Address, mask: Address, offsets: Address, n: number, tokens: number, maxTokens: number, perToken: number): void;
}

/**
 * Binds loaded symbols to a context and a status buffer.
 *
 * Blocks of arguments are the binding's own: each call writes them anew, and the function reads them before it returns.
 * @param failed Called with the function's name while `status` holds a failure; it throws, or returns to have the call made again.
 */
export function bindOps(
  symbols: Symbols<typeof opSymbols>,
  context: Uint8Array<ArrayBuffer>,
  status: Uint8Array<ArrayBuffer>,
  failed: (name: string) => void,
): Ops {
  const writeAttentionShape = attentionShapeWriter();
  const writeAttentionGradients = attentionGradientsWriter();
  const writeDecodeShape = decodeShapeWriter();
  return {
    abiVersion: () => Number(symbols.kedge_abi_version()),
    noop: () => {
      while (symbols.kedge_noop(context, status) !== 0) failed("noop");
    },
    fill: (dtype, x, n, value) => {
      while (symbols.kedge_fill(context, dtype, x, n, value, status) !== 0) failed("fill");
    },
    copy: (dst, src, bytes) => {
      while (symbols.kedge_copy(context, dst, src, bytes, status) !== 0) failed("copy");
    },
    copyRows: (dst, dstStrideBytes, src, srcStrideBytes, rows, rowBytes) => {
      while (symbols.kedge_copy_rows(context, dst, dstStrideBytes, src, srcStrideBytes, rows, rowBytes, status) !== 0) failed("copyRows");
    },
    cast: (dst, dstDtype, src, srcDtype, n) => {
      while (symbols.kedge_cast(context, dst, dstDtype, src, srcDtype, n, status) !== 0) failed("cast");
    },
    scaleAdd: (dtype, y, x, n, alpha, factor, beta) => {
      while (symbols.kedge_scale_add(context, dtype, y, x, n, alpha, factor, beta, status) !== 0) failed("scaleAdd");
    },
    add: (dtype, out, a, b, n) => {
      while (symbols.kedge_add(context, dtype, out, a, b, n, status) !== 0) failed("add");
    },
    mul: (dtype, out, a, b, n, accumulate) => {
      while (symbols.kedge_mul(context, dtype, out, a, b, n, accumulate, status) !== 0) failed("mul");
    },
    dot: (dtype, out, a, b, n, accumulate) => {
      while (symbols.kedge_dot(context, dtype, out, a, b, n, accumulate, status) !== 0) failed("dot");
    },
    gatherRows: (dtype, out, outStride, table, tableStride, index, n, tableRows, dim, accumulate) => {
      while (symbols.kedge_gather_rows(context, dtype, out, outStride, table, tableStride, index, n, tableRows, dim, accumulate, status) !== 0) failed("gatherRows");
    },
    scatterRows: (dtype, out, outStride, src, srcStride, index, n, outRows, dim) => {
      while (symbols.kedge_scatter_rows(context, dtype, out, outStride, src, srcStride, index, n, outRows, dim, status) !== 0) failed("scatterRows");
    },
    scatterAddRows: (dtype, out, outDtype, outStride, src, srcStride, index, n, outRows, dim) => {
      while (symbols.kedge_scatter_add_rows(context, dtype, out, outDtype, outStride, src, srcStride, index, n, outRows, dim, status) !== 0) failed("scatterAddRows");
    },
    gatherWeighted: (dtype, out, outStride, table, tableStride, index, weight, n, taps, tableRows, dim) => {
      while (symbols.kedge_gather_weighted(context, dtype, out, outStride, table, tableStride, index, weight, n, taps, tableRows, dim, status) !== 0) failed("gatherWeighted");
    },
    scatterAddWeighted: (dtype, out, outDtype, outStride, src, srcStride, index, weight, n, taps, outRows, dim) => {
      while (symbols.kedge_scatter_add_weighted(context, dtype, out, outDtype, outStride, src, srcStride, index, weight, n, taps, outRows, dim, status) !== 0) failed("scatterAddWeighted");
    },
    rmsnormFwd: (dtype, y, hOut, rstd, x, residual, weight, rows, dim, eps) => {
      while (symbols.kedge_rmsnorm_fwd(context, dtype, y, hOut, rstd, x, residual, weight, rows, dim, eps, status) !== 0) failed("rmsnormFwd");
    },
    rmsnormBwd: (dtype, dx, dweight, dy, dh, h, weight, rstd, rows, dim, accumulate) => {
      while (symbols.kedge_rmsnorm_bwd(context, dtype, dx, dweight, dy, dh, h, weight, rstd, rows, dim, accumulate, status) !== 0) failed("rmsnormBwd");
    },
    headRmsnormFwd: (dtype, y, yStride, rstd, x, xStride, weight, tokens, heads, headDim, eps) => {
      while (symbols.kedge_head_rmsnorm_fwd(context, dtype, y, yStride, rstd, x, xStride, weight, tokens, heads, headDim, eps, status) !== 0) failed("headRmsnormFwd");
    },
    headRmsnormBwd: (dtype, dx, dxStride, dweight, dy, dyStride, x, xStride, weight, rstd, tokens, heads, headDim, accumulate) => {
      while (symbols.kedge_head_rmsnorm_bwd(context, dtype, dx, dxStride, dweight, dy, dyStride, x, xStride, weight, rstd, tokens, heads, headDim, accumulate, status) !== 0) failed("headRmsnormBwd");
    },
    layernormFwd: (dtype, y, hOut, mean, rstd, x, residual, weight, bias, rows, dim, eps) => {
      while (symbols.kedge_layernorm_fwd(context, dtype, y, hOut, mean, rstd, x, residual, weight, bias, rows, dim, eps, status) !== 0) failed("layernormFwd");
    },
    layernormBwd: (dtype, dx, dweight, dbias, dy, dh, h, weight, mean, rstd, rows, dim, accumulate) => {
      while (symbols.kedge_layernorm_bwd(context, dtype, dx, dweight, dbias, dy, dh, h, weight, mean, rstd, rows, dim, accumulate, status) !== 0) failed("layernormBwd");
    },
    biasAdd: (dtype, y, yStride, x, xStride, bias, rows, dim) => {
      while (symbols.kedge_bias_add(context, dtype, y, yStride, x, xStride, bias, rows, dim, status) !== 0) failed("biasAdd");
    },
    biasGrad: (dtype, dbias, dy, dyStride, rows, dim) => {
      while (symbols.kedge_bias_grad(context, dtype, dbias, dy, dyStride, rows, dim, status) !== 0) failed("biasGrad");
    },
    ropeTable: (cos, sin, positions, axis, invFreq, axes, tokens, half) => {
      while (symbols.kedge_rope_table(context, cos, sin, positions, axis, invFreq, axes, tokens, half, status) !== 0) failed("ropeTable");
    },
    rope: (dtype, y, yStride, x, xStride, cos, sin, tokens, heads, headDim, inverse, accumulate) => {
      while (symbols.kedge_rope(context, dtype, y, yStride, x, xStride, cos, sin, tokens, heads, headDim, inverse, accumulate, status) !== 0) failed("rope");
    },
    ropeCache: (dtype, qkv, qkvStride, bias, cache, cacheStride, cacheRow, cos, sin, tokens, heads, kvHeads, headDim, cacheTokens) => {
      while (symbols.kedge_rope_cache(context, dtype, qkv, qkvStride, bias, cache, cacheStride, cacheRow, cos, sin, tokens, heads, kvHeads, headDim, cacheTokens, status) !== 0) failed("ropeCache");
    },
    attentionFwd: (dtype, shape, out, lse, q, k, v, segments) => {
      while (symbols.kedge_attention_fwd(context, dtype, writeAttentionShape(shape), out, lse, q, k, v, segments, status) !== 0) failed("attentionFwd");
    },
    attentionBwd: (dtype, shape, gradients, dq, dk, dv, dout, q, k, v, out, lse, segments) => {
      while (symbols.kedge_attention_bwd(context, dtype, writeAttentionShape(shape), writeAttentionGradients(gradients), dq, dk, dv, dout, q, k, v, out, lse, segments, status) !== 0) failed("attentionBwd");
    },
    connectivity: (dtype, shape, mass, profile, q, k, lse, region, rowOut, regions, rowsOut, segments, renorm, skipLow, skipHigh) => {
      while (symbols.kedge_connectivity(context, dtype, writeAttentionShape(shape), mass, profile, q, k, lse, region, rowOut, regions, rowsOut, segments, renorm, skipLow, skipHigh, status) !== 0) failed("connectivity");
    },
    decodeAttention: (dtype, shape, out, mass, profile, q, kCache, vCache, region, regions, groups, sequences, pages, renorm, skipLow, skipHigh) => {
      while (symbols.kedge_decode_attention(context, dtype, writeDecodeShape(shape), out, mass, profile, q, kCache, vCache, region, regions, groups, sequences, pages, renorm, skipLow, skipHigh, status) !== 0) failed("decodeAttention");
    },
    swigluFwd: (dtype, out, outStride, gate, gateStride, up, upStride, rows, dim) => {
      while (symbols.kedge_swiglu_fwd(context, dtype, out, outStride, gate, gateStride, up, upStride, rows, dim, status) !== 0) failed("swigluFwd");
    },
    swigluBwd: (dtype, dgate, dgateStride, dup, dupStride, dout, doutStride, gate, gateStride, up, upStride, rows, dim, accumulate) => {
      while (symbols.kedge_swiglu_bwd(context, dtype, dgate, dgateStride, dup, dupStride, dout, doutStride, gate, gateStride, up, upStride, rows, dim, accumulate, status) !== 0) failed("swigluBwd");
    },
    geluFwd: (dtype, y, x, n, form) => {
      while (symbols.kedge_gelu_fwd(context, dtype, y, x, n, form, status) !== 0) failed("geluFwd");
    },
    geluBwd: (dtype, dx, dy, x, n, form, accumulate) => {
      while (symbols.kedge_gelu_bwd(context, dtype, dx, dy, x, n, form, accumulate, status) !== 0) failed("geluBwd");
    },
    logprobFwd: (dtype, logprob, entropy, lse, logits, logitsStride, target, suppress, n, vocab, temperature) => {
      while (symbols.kedge_logprob_fwd(context, dtype, logprob, entropy, lse, logits, logitsStride, target, suppress, n, vocab, temperature, status) !== 0) failed("logprobFwd");
    },
    logprobBwd: (dtype, dlogits, dlogitsStride, logits, logitsStride, target, lse, entropy, dlogprob, dentropy, suppress, n, vocab, temperature) => {
      while (symbols.kedge_logprob_bwd(context, dtype, dlogits, dlogitsStride, logits, logitsStride, target, lse, entropy, dlogprob, dentropy, suppress, n, vocab, temperature, status) !== 0) failed("logprobBwd");
    },
    sample: (dtype, token, logprob, filteredLogprob, entropy, logits, logitsStride, temperature, topK, topP, minP, keys, position, suppress, n, vocab) => {
      while (symbols.kedge_sample(context, dtype, token, logprob, filteredLogprob, entropy, logits, logitsStride, temperature, topK, topP, minP, keys, position, suppress, n, vocab, status) !== 0) failed("sample");
    },
    policyLoss: (loss, dlogprob, tokenLoss, stats, logprob, oldLogprob, advantage, weight, correction, entropy, offsets, n, sequences, kind, ratioLow, ratioHigh, dual, tauPositive, tauNegative, logRatioMax, entropyCoefficient) => {
      while (symbols.kedge_policy_loss(context, loss, dlogprob, tokenLoss, stats, logprob, oldLogprob, advantage, weight, correction, entropy, offsets, n, sequences, kind, ratioLow, ratioHigh, dual, tauPositive, tauNegative, logRatioMax, entropyCoefficient, status) !== 0) failed("policyLoss");
    },
    importanceWeights: (out, stats, logprob, rolloutLogprob, weight, offsets, n, sequences, level, mask, low, high, logRatioMax) => {
      while (symbols.kedge_importance_weights(context, out, stats, logprob, rolloutLogprob, weight, offsets, n, sequences, level, mask, low, high, logRatioMax, status) !== 0) failed("importanceWeights");
    },
    divergence: (loss, dlogprob, value, stats, logprob, refLogprob, oldLogprob, weight, n, kind, alpha, logRatioMax, valueMax) => {
      while (symbols.kedge_divergence(context, loss, dlogprob, value, stats, logprob, refLogprob, oldLogprob, weight, n, kind, alpha, logRatioMax, valueMax, status) !== 0) failed("divergence");
    },
    klFwd: (dtype, kl, lse, shift, logits, logitsStride, refLogits, refStride, target, suppress, n, vocab, temperature) => {
      while (symbols.kedge_kl_fwd(context, dtype, kl, lse, shift, logits, logitsStride, refLogits, refStride, target, suppress, n, vocab, temperature, status) !== 0) failed("klFwd");
    },
    klBwd: (dtype, dlogits, dlogitsStride, logits, logitsStride, refLogits, refStride, lse, shift, dkl, target, suppress, n, vocab, temperature) => {
      while (symbols.kedge_kl_bwd(context, dtype, dlogits, dlogitsStride, logits, logitsStride, refLogits, refStride, lse, shift, dkl, target, suppress, n, vocab, temperature, status) !== 0) failed("klBwd");
    },
    sumSquares: (dtype, out, x, n, accumulate) => {
      while (symbols.kedge_sum_squares(context, dtype, out, x, n, accumulate, status) !== 0) failed("sumSquares");
    },
    clipCoefficient: (out, sumSquares, maxNorm, gradScale) => {
      while (symbols.kedge_clip_coefficient(context, out, sumSquares, maxNorm, gradScale, status) !== 0) failed("clipCoefficient");
    },
    adamw: (param, paramDtype, master, m, v, momentDtype, mLost, vLost, pLost, grad, clip, n, lr, beta1, beta2, eps, weightDecay, bias1, bias2, rounding, seed, step) => {
      while (symbols.kedge_adamw(context, param, paramDtype, master, m, v, momentDtype, mLost, vLost, pLost, grad, clip, n, lr, beta1, beta2, eps, weightDecay, bias1, bias2, rounding, seed, step, status) !== 0) failed("adamw");
    },
    gemm: (dtype, c, cDtype, ldc, a, lda, transA, b, ldb, transB, m, n, k, alpha, beta) => {
      while (symbols.kedge_gemm(context, dtype, c, cDtype, ldc, a, lda, transA, b, ldb, transB, m, n, k, alpha, beta, status) !== 0) failed("gemm");
    },
    imageResize: (out, outHeight, outWidth, image, height, width, channels) => {
      while (symbols.kedge_image_resize(context, out, outHeight, outWidth, image, height, width, channels, status) !== 0) failed("imageResize");
    },
    imagePatches: (dtype, out, frames, nFrames, height, width, patch, merge, temporal, mean, std) => {
      while (symbols.kedge_image_patches(context, dtype, out, frames, nFrames, height, width, patch, merge, temporal, mean, std, status) !== 0) failed("imagePatches");
    },
    tokenScore: (score, connectivity, profile, entropy, visible, offsets, n, tokens, maxTokens, regions, kind) => {
      while (symbols.kedge_token_score(context, score, connectivity, profile, entropy, visible, offsets, n, tokens, maxTokens, regions, kind, status) !== 0) failed("tokenScore");
    },
    tokenGraph: (rows, neighbour, weight, profile, connectivity, offsets, n, tokens, maxTokens, regions, neighbours, adjacency, threshold, contrast, mutual) => {
      while (symbols.kedge_token_graph(context, rows, neighbour, weight, profile, connectivity, offsets, n, tokens, maxTokens, regions, neighbours, adjacency, threshold, contrast, mutual, status) !== 0) failed("tokenGraph");
    },
    partition: (cluster, stats, rows, neighbour, weight, capacity, maxEdges, offsets, n, tokens, maxTokens, clusterSize, imbalance, seed) => {
      while (symbols.kedge_partition(context, cluster, stats, rows, neighbour, weight, capacity, maxEdges, offsets, n, tokens, maxTokens, clusterSize, imbalance, seed, status) !== 0) failed("partition");
    },
    tokenWeights: (weight, flags, connectivity, cluster, visual, keys, offsets, n, tokens, maxTokens, mode, anchorPermille, wMin, wMax, temperature, own, normalise, seed) => {
      while (symbols.kedge_token_weights(context, weight, flags, connectivity, cluster, visual, keys, offsets, n, tokens, maxTokens, mode, anchorPermille, wMin, wMax, temperature, own, normalise, seed, status) !== 0) failed("tokenWeights");
    },
    tokenAdvantage: (out, weight, advantage, mask, offsets, n, tokens, maxTokens, perToken) => {
      while (symbols.kedge_token_advantage(context, out, weight, advantage, mask, offsets, n, tokens, maxTokens, perToken, status) !== 0) failed("tokenAdvantage");
    },
  };
}

/** The host part of the CPU library. Addresses are numbers; 0 stands for NULL. Each throws what `failed` throws. */
export interface Host {
  /** Checks a segment table in host memory by the rules above; KEDGE_INVALID or KEDGE_BAD_INDEX names the segment. */
  segmentsCheck(segments: BufferSource | null, nSegments: number, qTokens: number, kvTokens: number, causal: number): void;
  /** B of kedge_gemm packed once for many products: the decode steps of a rollout read each weight hundreds of times between updates. kedge_gemm_packed gives the bits of kedge_gemm. packed: f32, 64-byte aligned, kedge_gemm_packed_bytes(n, k) bytes. */
  gemmPackedBytes(n: number, k: number): number;
  /** gemmPack */
  gemmPack(packed: Address, b: Address, ldb: number, transB: number, n: number, k: number): void;
  /** gemmPacked */
  gemmPacked(c: Address, ldc: number, a: Address, lda: number, transA: number, packed: Address, m: number, n: number, k: number, alpha: number, beta: number): void;
  /** A weight W [n, k] that is kept in bf16 alone, in the order in which the GEMM reads it. packed: 64-byte aligned, kedge_bf16_packed_bytes(n, k) bytes; the order is the library's own. Products compute and add in f32, and give the bits of kedge_gemm with W as f32. */
  bf16PackedBytes(n: number, k: number): number;
  /** Packs rows [first, first + rows) of W from src [rows, k] of src_dtype (F32, BF16 or F16), whose rows are ld elements apart; rounded to nearest even. Every row must be packed once before the others below are called. */
  bf16Pack(packed: Address, n: number, k: number, src: Address, srcDtype: number, ld: number, first: number, rows: number): void;
  /** C = alpha A W^T + beta C; A: [m, k], C: [m, n]. With turned != 0: C = alpha A W + beta C; A: [m, n], C: [m, k]. */
  bf16Gemm(c: Address, ldc: number, a: Address, lda: number, packed: Address, turned: number, m: number, n: number, k: number, alpha: number, beta: number): void;
  /** out[i] = row index[i] of W, 0 for the index -1; without an index row first + i. out: [rows, k] of out_dtype (F32 or BF16), out_stride apart. */
  bf16Rows(out: Address, outDtype: number, outStride: number, packed: Address, n: number, k: number, index: Address, first: number, rows: number): void;
  /** Host memory, process-wide, 64-byte aligned, contents undefined; freed blocks are kept for reuse within the budget. out: the address. KEDGE_OUT_OF_MEMORY where used + bytes would pass the budget. bytes 0 gives a valid, distinct address. */
  hostAlloc(bytes: number, out: BufferSource | null): void;
  /** Frees what kedge_host_alloc gave; KEDGE_INVALID for any other address (also one freed already). */
  hostFree(address: number): void;
  /** out: i64[6] { used, peak, cached, budget, live allocations, allocations ever }, bytes. */
  hostMemory(out: BufferSource | null): void;
  /** Sets the budget (<= 0: 0.8 of what the machine or its cgroup has free now) and, where reset_peak != 0, peak = used. */
  hostBudget(bytes: number, resetPeak: number): void;
  /** Returns cached blocks to the system. */
  hostTrim(): void;
  /** Moves bytes between host arrays of the caller and addresses of this library; range-checked by the caller. */
  hostRead(out: BufferSource | null, address: number, bytes: number): void;
  /** hostWrite */
  hostWrite(address: number, data: BufferSource | null, bytes: number): void;
  /** The handle table: the process-wide truth about tensors that may cross threads. Thread-safe. An owner is an actor's account. A handle is { slot, generation }; it is stale from the moment it is freed or moved, and every use of a stale one is KEDGE_HANDLE, whose message says what became of it. open an account; the id is never reused. */
  ownerOpen(owner: BufferSource | null): void;
  /** Marks an owner dead: it can receive nothing more, what it had borrowed is returned. Idempotent. Its own handles stay until reclaimed. */
  ownerClose(owner: number): void;
  /** Takes up to `capacity` handles of a dead owner out of the table, for the caller to free: out u64[capacity, 4] { address, bytes, device, event }. count: how many. Handles lent to living borrowers are left: they go with their last return. Call until count is 0. */
  ownerReclaim(owner: number, out: BufferSource | null, capacity: number, count: BufferSource | null): void;
  /** out: i64[4] { bytes owned, handles owned, handles borrowed from others, handles lent to others }. An unknown owner is KEDGE_HANDLE. */
  ownerAccount(owner: number, out: BufferSource | null): void;
  /** Enters an address; device: -1 CPU, else the CUDA ordinal. out: u32[2] { slot, generation }. */
  handleRegister(owner: number, address: number, bytes: number, device: number, out: BufferSource | null): void;
  /** What a user (owner or borrower) needs: out u64[4] { address, bytes, event of the last write, owner }. */
  handleResolve(user: number, slot: number, generation: number, out: BufferSource | null): void;
  /** Moves to another living owner; not while lent. generation_out: u32[1], the new generation; the old one is stale. */
  handleMove(from: number, to: number, slot: number, generation: number, event: number, generationOut: BufferSource | null): void;
  /** Lends for reading to a living owner; may be lent to several at once. */
  handleLend(from: number, to: number, slot: number, generation: number): void;
  /** Ends a lend; event: recorded after the borrower's last read (0: none); it replaces the event of the handle. out: u64[4] as kedge_owner_reclaim gives them, address 0 unless the owner died meanwhile and this was the last lend: the caller then frees it. */
  handleReturn(borrower: number, slot: number, generation: number, event: number, out: BufferSource | null): void;
  /** Notes the event after the owner's last write; not while lent. */
  handleWritten(owner: number, slot: number, generation: number, event: number): void;
  /** Takes a handle out of the table; not while lent. out: u64[4] { address, bytes, device, event }, for the caller to free. */
  handleRelease(owner: number, slot: number, generation: number, out: BufferSource | null): void;
  /** out: i32[4] { cores this process may use, 0, SIMD width in bytes that the build used, 0 }. */
  hostInfo(out: BufferSource | null): void;
}

/**
 * Binds loaded symbols to a context and a status buffer.
 *
 * Blocks of arguments are the binding's own: each call writes them anew, and the function reads them before it returns.
 * @param failed Called with the function's name while `status` holds a failure; it throws, or returns to have the call made again.
 */
export function bindHost(
  symbols: Symbols<typeof hostSymbols>,
  context: Uint8Array<ArrayBuffer>,
  status: Uint8Array<ArrayBuffer>,
  failed: (name: string) => void,
): Host {
  return {
    segmentsCheck: (segments, nSegments, qTokens, kvTokens, causal) => {
      while (symbols.kedge_segments_check(segments, nSegments, qTokens, kvTokens, causal, status) !== 0) failed("segmentsCheck");
    },
    gemmPackedBytes: (n, k) => Number(symbols.kedge_gemm_packed_bytes(n, k)),
    gemmPack: (packed, b, ldb, transB, n, k) => {
      while (symbols.kedge_gemm_pack(context, packed, b, ldb, transB, n, k, status) !== 0) failed("gemmPack");
    },
    gemmPacked: (c, ldc, a, lda, transA, packed, m, n, k, alpha, beta) => {
      while (symbols.kedge_gemm_packed(context, c, ldc, a, lda, transA, packed, m, n, k, alpha, beta, status) !== 0) failed("gemmPacked");
    },
    bf16PackedBytes: (n, k) => Number(symbols.kedge_bf16_packed_bytes(n, k)),
    bf16Pack: (packed, n, k, src, srcDtype, ld, first, rows) => {
      while (symbols.kedge_bf16_pack(context, packed, n, k, src, srcDtype, ld, first, rows, status) !== 0) failed("bf16Pack");
    },
    bf16Gemm: (c, ldc, a, lda, packed, turned, m, n, k, alpha, beta) => {
      while (symbols.kedge_bf16_gemm(context, c, ldc, a, lda, packed, turned, m, n, k, alpha, beta, status) !== 0) failed("bf16Gemm");
    },
    bf16Rows: (out, outDtype, outStride, packed, n, k, index, first, rows) => {
      while (symbols.kedge_bf16_rows(context, out, outDtype, outStride, packed, n, k, index, first, rows, status) !== 0) failed("bf16Rows");
    },
    hostAlloc: (bytes, out) => {
      while (symbols.kedge_host_alloc(bytes, out, status) !== 0) failed("hostAlloc");
    },
    hostFree: (address) => {
      while (symbols.kedge_host_free(address, status) !== 0) failed("hostFree");
    },
    hostMemory: (out) => {
      while (symbols.kedge_host_memory(out, status) !== 0) failed("hostMemory");
    },
    hostBudget: (bytes, resetPeak) => {
      while (symbols.kedge_host_budget(bytes, resetPeak, status) !== 0) failed("hostBudget");
    },
    hostTrim: () => {
      while (symbols.kedge_host_trim(status) !== 0) failed("hostTrim");
    },
    hostRead: (out, address, bytes) => {
      while (symbols.kedge_host_read(out, address, bytes, status) !== 0) failed("hostRead");
    },
    hostWrite: (address, data, bytes) => {
      while (symbols.kedge_host_write(address, data, bytes, status) !== 0) failed("hostWrite");
    },
    ownerOpen: (owner) => {
      while (symbols.kedge_owner_open(owner, status) !== 0) failed("ownerOpen");
    },
    ownerClose: (owner) => {
      while (symbols.kedge_owner_close(owner, status) !== 0) failed("ownerClose");
    },
    ownerReclaim: (owner, out, capacity, count) => {
      while (symbols.kedge_owner_reclaim(owner, out, capacity, count, status) !== 0) failed("ownerReclaim");
    },
    ownerAccount: (owner, out) => {
      while (symbols.kedge_owner_account(owner, out, status) !== 0) failed("ownerAccount");
    },
    handleRegister: (owner, address, bytes, device, out) => {
      while (symbols.kedge_handle_register(owner, address, bytes, device, out, status) !== 0) failed("handleRegister");
    },
    handleResolve: (user, slot, generation, out) => {
      while (symbols.kedge_handle_resolve(user, slot, generation, out, status) !== 0) failed("handleResolve");
    },
    handleMove: (from, to, slot, generation, event, generationOut) => {
      while (symbols.kedge_handle_move(from, to, slot, generation, event, generationOut, status) !== 0) failed("handleMove");
    },
    handleLend: (from, to, slot, generation) => {
      while (symbols.kedge_handle_lend(from, to, slot, generation, status) !== 0) failed("handleLend");
    },
    handleReturn: (borrower, slot, generation, event, out) => {
      while (symbols.kedge_handle_return(borrower, slot, generation, event, out, status) !== 0) failed("handleReturn");
    },
    handleWritten: (owner, slot, generation, event) => {
      while (symbols.kedge_handle_written(owner, slot, generation, event, status) !== 0) failed("handleWritten");
    },
    handleRelease: (owner, slot, generation, out) => {
      while (symbols.kedge_handle_release(owner, slot, generation, out, status) !== 0) failed("handleRelease");
    },
    hostInfo: (out) => {
      while (symbols.kedge_host_info(out, status) !== 0) failed("hostInfo");
    },
  };
}
