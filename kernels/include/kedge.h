/* kedge.h: the one declaration of Kedge's kernels.
 *
 * Two libraries implement the ops declared here under the same names: kernels/cpu (C++17) and kernels/cuda (sm_80, sm_90a).
 * The CPU library alone also implements the KEDGE_HOST_API part: host memory, the handle table, packed GEMM, facts of the machine.
 *
 * Conventions, stated once:
 *
 * Pointers. A plain pointer is a device address: host memory for the CPU library, CUDA memory (or pinned, mapped host memory) for the CUDA
 *   one. KEDGE_IN/KEDGE_OUT mark arrays that are always host memory and are read or written before the call returns. "nullable" may be
 *   NULL; any other NULL is KEDGE_INVALID unless the element count is 0. Data must be aligned to its element; more alignment is faster.
 * Arguments. An op takes its dtype, addresses and options one by one. Where it has many sizes and strides besides, these stand in a struct that a
 *   KEDGE_IN pointer leads to, never NULL; no function has more than 24 parameters (docs/log.md, 2026-11-30, says why).
 * Layout. Row-major. x: [rows, dim] with stride s has row r at x + r*s; strides count elements; a stride below the row's width is
 *   KEDGE_INVALID. [tokens, heads, head_dim] with a stride keeps a token's heads contiguous, so that q, k, v may be slices of one matrix.
 * Dtypes. `dtype` names the type of every activation and weight pointer declared void*. The CUDA library takes KEDGE_F32 and KEDGE_BF16 and
 *   accumulates in f32. The CPU library computes in KEDGE_F32 and answers KEDGE_UNSUPPORTED to others, except in fill, copy, cast,
 *   gather_rows, scatter_rows, scale_add and adamw, which take bf16 too. Statistics (lse, rstd, log-probs) are always f32.
 * Gradients. Parameter gradients (dweight, dbias) are f32 and are added to: the caller zeroes them. Activation gradients are overwritten,
 *   unless the op's `accumulate` says otherwise: a bit mask, bit i for the i-th activation gradient in the order of the arguments.
 * Aliasing. Outputs must not overlap inputs or each other unless the op says "in place allowed" (then: the same address and stride).
 * Empty. A count of 0 is valid and does nothing (sums then write 0 where they do not accumulate).
 * Non-finite values pass through by IEEE rules; nothing is clamped unless stated. -ffast-math is not used.
 * Determinism. Equal inputs give equal bits for any number of threads, on one device with one library: sums run in fixed chunks in a fixed
 *   order; there are no float atomics.
 * Workspace. Scratch comes from the context. An op that needs more returns KEDGE_WORKSPACE with status->needed set, before it has written
 *   anything; the caller grows the workspace and calls again.
 * Status. Every function returns status->code, 0 for success; on failure status->message says what was wrong, in UTF-8. CUDA launches are
 *   asynchronous: only launch errors are returned. No function exits, aborts or prints. No C++ exception leaves a function.
 * Bad indices. The CPU library checks them all (KEDGE_BAD_INDEX, nothing written). On CUDA a bad index gives a row of NaN and no write elsewhere.
 */
#ifndef KEDGE_H
#define KEDGE_H

#include <stdint.h>

#ifdef __cplusplus
#define KEDGE_API extern "C" __attribute__((visibility("default")))
#else
#define KEDGE_API
#endif
#define KEDGE_HOST_API KEDGE_API /* implemented by the CPU library only */
#define KEDGE_IN                 /* host array, read before the call returns */
#define KEDGE_OUT                /* host array, written before the call returns */

#define KEDGE_ABI_VERSION 3

typedef enum {
  KEDGE_OK = 0,
  KEDGE_INVALID = 1,       /* the caller's mistake: shape, stride, NULL, range of a scalar */
  KEDGE_BAD_INDEX = 2,     /* an index array points outside its table */
  KEDGE_UNSUPPORTED = 3,   /* dtype, head size or option that this library lacks */
  KEDGE_WORKSPACE = 4,     /* grow the workspace to status->needed bytes and call again */
  KEDGE_OUT_OF_MEMORY = 5, /* status->needed: bytes asked for */
  KEDGE_DEVICE = 6,        /* the driver's words are in the message */
  KEDGE_HANDLE = 7         /* stale, moved, freed, lent or foreign handle */
} kedge_code;

typedef enum { KEDGE_F32 = 0, KEDGE_BF16 = 1, KEDGE_F16 = 2, KEDGE_I32 = 3, KEDGE_I64 = 4, KEDGE_U8 = 5, KEDGE_F64 = 6 } kedge_dtype;

/* 512 bytes, little-endian; the caller owns it, one per thread. */
typedef struct {
  int32_t code;
  int32_t reserved;
  int64_t needed;
  char message[496]; /* NUL-terminated */
} kedge_status;

/* 40 bytes; one per thread and stream. */
typedef struct {
  void* stream;            /* cudaStream_t; NULL for the CPU or the default stream */
  void* workspace;         /* device scratch, 256-byte aligned; used in stream order */
  int64_t workspace_bytes;
  int32_t device;          /* CUDA ordinal, set at the start of every op since calls may hop threads; -1 for the CPU */
  int32_t threads;         /* CPU threads, >= 1 */
  int32_t flags;           /* KEDGE_BATCH_INVARIANT */
  int32_t reserved;
} kedge_context;
#define KEDGE_BATCH_INVARIANT 1 /* a row's bits depend on that row only, whatever else is in the batch (the CPU library always holds to it) */

/* ------------------------------------------------------------------------------------------------ library ---- */

/* KEDGE_ABI_VERSION of the built library. Never fails. */
KEDGE_API int32_t kedge_abi_version(void);
/* Does nothing: measures a call. */
KEDGE_API int32_t kedge_noop(const kedge_context* ctx, kedge_status* status);

/* ---------------------------------------------------------------------------------------------- elementwise ---- */

/* x[i] = value. dtype: F32, BF16, I32 (value rounded to the nearest integer). */
KEDGE_API int32_t kedge_fill(const kedge_context* ctx, int32_t dtype, void* x, int64_t n, double value, kedge_status* status);
/* Copies `bytes` bytes between two places of this device. */
KEDGE_API int32_t kedge_copy(const kedge_context* ctx, void* dst, const void* src, int64_t bytes, kedge_status* status);
/* Copies rows of row_bytes bytes between strided matrices; strides in BYTES, >= row_bytes. Concatenation, slices, splits. */
KEDGE_API int32_t kedge_copy_rows(const kedge_context* ctx, void* dst, int64_t dst_stride_bytes, const void* src, int64_t src_stride_bytes,
                                  int64_t rows, int64_t row_bytes, kedge_status* status);
/* dst[i] = (dst_dtype) src[i], round to nearest even. F32, BF16, F16 in any pair; NaN stays NaN. */
KEDGE_API int32_t kedge_cast(const kedge_context* ctx, void* dst, int32_t dst_dtype, const void* src, int32_t src_dtype, int64_t n,
                             kedge_status* status);
/* y = alpha * (factor ? *factor : 1) * x + beta * y. factor: f32[1] on the device, nullable. beta 0 does not read y. In place allowed (y == x). */
KEDGE_API int32_t kedge_scale_add(const kedge_context* ctx, int32_t dtype, void* y, const void* x, int64_t n, double alpha, const float* factor,
                                  double beta, kedge_status* status);
/* out = a + b. In place allowed with a or b. */
KEDGE_API int32_t kedge_add(const kedge_context* ctx, int32_t dtype, void* out, const void* a, const void* b, int64_t n, kedge_status* status);
/* out = a * b, or out += a * b with accumulate != 0. In place allowed with a or b. */
KEDGE_API int32_t kedge_mul(const kedge_context* ctx, int32_t dtype, void* out, const void* a, const void* b, int64_t n, int32_t accumulate,
                            kedge_status* status);
/* out[0] = sum_i a[i] * b[i], accumulated in f64; b nullable (then sum of a). out: f32[1]. accumulate: out[0] += the sum. */
KEDGE_API int32_t kedge_dot(const kedge_context* ctx, int32_t dtype, float* out, const void* a, const void* b, int64_t n, int32_t accumulate,
                            kedge_status* status);

/* ------------------------------------------------------------------------------------------- gather, scatter ---- */

/* out[i, :] = table[index[i], :]. out: [n, dim] stride out_stride; table: [table_rows, dim] stride table_stride; index: i32[n].
 * An index of -1 gives a row of zeros. accumulate: out += . The embedding forward, and the gradient of scatter_rows by its source. */
KEDGE_API int32_t kedge_gather_rows(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* table,
                                    int64_t table_stride, const int32_t* index, int64_t n, int64_t table_rows, int64_t dim,
                                    int32_t accumulate, kedge_status* status);
/* out[index[i], :] = src ? src[i, :] : 0. Indices must be distinct (-1 skips; not checked for duplicates on CUDA). Writes visual embeddings over
 * placeholder rows, keys into a cache; with src NULL it clears those rows (the gradient of the overwritten base). */
KEDGE_API int32_t kedge_scatter_rows(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* src, int64_t src_stride,
                                     const int32_t* index, int64_t n, int64_t out_rows, int64_t dim, kedge_status* status);
/* out[index[i], :] += src[i, :], in the order of i for each row (indices may repeat; -1 skips). out: of out_dtype (F32 for a parameter
 * gradient, or dtype); src of dtype. The embedding backward. */
KEDGE_API int32_t kedge_scatter_add_rows(const kedge_context* ctx, int32_t dtype, void* out, int32_t out_dtype, int64_t out_stride,
                                         const void* src, int64_t src_stride, const int32_t* index, int64_t n, int64_t out_rows, int64_t dim,
                                         kedge_status* status);

/* out[i, :] = sum over k < taps of weight[i, k] * table[index[i, k], :], in the order of k. out: [n, dim]; index: i32[n, taps], -1 adds nothing; weight:
 * f32[n, taps]; taps >= 1. Position embeddings between the places of a grid: bilinear interpolation has 4 taps. */
KEDGE_API int32_t kedge_gather_weighted(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* table,
                                        int64_t table_stride, const int32_t* index, const float* weight, int64_t n, int64_t taps,
                                        int64_t table_rows, int64_t dim, kedge_status* status);
/* out[index[i, k], :] += weight[i, k] * src[i, :], in the order of (i, k) for each row; src: [n, dim]; else as kedge_scatter_add_rows. The gradient of
 * kedge_gather_weighted by its table. */
KEDGE_API int32_t kedge_scatter_add_weighted(const kedge_context* ctx, int32_t dtype, void* out, int32_t out_dtype, int64_t out_stride,
                                             const void* src, int64_t src_stride, const int32_t* index, const float* weight, int64_t n,
                                             int64_t taps, int64_t out_rows, int64_t dim, kedge_status* status);

/* ------------------------------------------------------------------------------------------------------ norms ---- */

/* h = x + residual (h = x where residual is NULL); y = h * rstd * weight, rstd = 1 / sqrt(mean(h^2) + eps), mean over dim.
 * x, residual, h_out, y: [rows, dim]; weight: [dim]; rstd: f32[rows]. h_out is required with residual, else nullable. eps > 0.
 * In place allowed: h_out == x or h_out == residual. Zhang & Sennrich, arXiv 1910.07467. */
KEDGE_API int32_t kedge_rmsnorm_fwd(const kedge_context* ctx, int32_t dtype, void* y, void* h_out, float* rstd, const void* x,
                                    const void* residual, const void* weight, int64_t rows, int64_t dim, double eps, kedge_status* status);
/* Gradient by h (which is that by x and by residual alike) and weight. dx: [rows, dim]; dweight: f32[dim], added to, nullable;
 * dh: gradient that reached h_out directly, [rows, dim], nullable, added into dx; h: the h of the forward. accumulate bit 0: dx.
 * In place allowed: dx == dy or dx == dh (without accumulate). */
KEDGE_API int32_t kedge_rmsnorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx, float* dweight, const void* dy, const void* dh,
                                    const void* h, const void* weight, const float* rstd, int64_t rows, int64_t dim, int32_t accumulate,
                                    kedge_status* status);
/* As kedge_rmsnorm_fwd and _bwd for each head by itself: y = x * rstd * weight, the mean over head_dim. x, y, dx, dy: [tokens, heads, head_dim] with strides;
 * weight: [head_dim]; rstd: f32[tokens, heads], nullable in the forward; dweight: f32[head_dim]. In place allowed: y == x, dx == dy (without accumulate). */
KEDGE_API int32_t kedge_head_rmsnorm_fwd(const kedge_context* ctx, int32_t dtype, void* y, int64_t y_stride, float* rstd, const void* x,
                                         int64_t x_stride, const void* weight, int64_t tokens, int64_t heads, int64_t head_dim, double eps,
                                         kedge_status* status);
KEDGE_API int32_t kedge_head_rmsnorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx, int64_t dx_stride, float* dweight, const void* dy,
                                         int64_t dy_stride, const void* x, int64_t x_stride, const void* weight, const float* rstd,
                                         int64_t tokens, int64_t heads, int64_t head_dim, int32_t accumulate, kedge_status* status);
/* h = x + residual (h = x where residual is NULL); y = (h - mean) * rstd * weight + bias, mean and variance over dim, rstd = 1 / sqrt(variance + eps).
 * mean, rstd: f32[rows]; bias: [dim]; else as kedge_rmsnorm_fwd. Ba et al., arXiv 1607.06450. */
KEDGE_API int32_t kedge_layernorm_fwd(const kedge_context* ctx, int32_t dtype, void* y, void* h_out, float* mean, float* rstd, const void* x,
                                      const void* residual, const void* weight, const void* bias, int64_t rows, int64_t dim, double eps,
                                      kedge_status* status);
/* As kedge_rmsnorm_bwd. dbias: f32[dim], added to, nullable. */
KEDGE_API int32_t kedge_layernorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx, float* dweight, float* dbias, const void* dy,
                                      const void* dh, const void* h, const void* weight, const float* mean, const float* rstd, int64_t rows,
                                      int64_t dim, int32_t accumulate, kedge_status* status);
/* y[r, :] = x[r, :] + bias. In place allowed. */
KEDGE_API int32_t kedge_bias_add(const kedge_context* ctx, int32_t dtype, void* y, int64_t y_stride, const void* x, int64_t x_stride,
                                 const void* bias, int64_t rows, int64_t dim, kedge_status* status);
/* dbias[c] += sum_r dy[r, c]. dbias: f32[dim]. */
KEDGE_API int32_t kedge_bias_grad(const kedge_context* ctx, int32_t dtype, float* dbias, const void* dy, int64_t dy_stride, int64_t rows,
                                  int64_t dim, kedge_status* status);

/* ----------------------------------------------------------------------------------------------------- rotary ---- */

/* cos/sin[t, i] of the f32 angle positions[axis[i], t] * inv_freq[i], i < half. cos, sin: f32[tokens, half]; positions: i32[axes, tokens];
 * axis: i32[half], values in [0, axes); inv_freq: f32[half]. Text M-RoPE: axis by section, axes = 3; 2-D vision: axis 0 (row) for the
 * first half/2, 1 (column) for the rest. Su et al., arXiv 2104.09864; Qwen2-VL, arXiv 2409.12191. */
KEDGE_API int32_t kedge_rope_table(const kedge_context* ctx, float* cos, float* sin, const int32_t* positions, const int32_t* axis,
                                   const float* inv_freq, int64_t axes, int64_t tokens, int64_t half, kedge_status* status);
/* Rotates each head's pairs (i, i + head_dim/2): y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin; inverse != 0 turns back, which is the backward.
 * x, y: [tokens, heads, head_dim] with strides; cos, sin: f32[tokens, head_dim/2]. accumulate bit 0: y. In place allowed. */
KEDGE_API int32_t kedge_rope(const kedge_context* ctx, int32_t dtype, void* y, int64_t y_stride, const void* x, int64_t x_stride,
                             const float* cos, const float* sin, int64_t tokens, int64_t heads, int64_t head_dim, int32_t inverse,
                             int32_t accumulate, kedge_status* status);
/* What stands between the decoder's product and its attention over a cache, in one pass: the bias is added (nullable; of dtype, and the sum is rounded to dtype),
 * queries and keys are rotated as kedge_rope does. The queries stay in qkv; keys and values go to row cache_row[i] of the cache, a row's keys before its values.
 * qkv: [tokens, heads + 2 kv_heads, head_dim] with a stride: queries, keys, values; what its keys and values hold after the call is undefined.
 * bias: [(heads + 2 kv_heads) * head_dim]; cache: [cache_tokens, 2 kv_heads, head_dim] with a stride; cache_row: i32[tokens], distinct (-1: not cached; not
 * checked for duplicates); cos, sin: f32[tokens, head_dim/2]. */
KEDGE_API int32_t kedge_rope_cache(const kedge_context* ctx, int32_t dtype, void* qkv, int64_t qkv_stride, const void* bias, void* cache,
                                   int64_t cache_stride, const int32_t* cache_row, const float* cos, const float* sin, int64_t tokens,
                                   int64_t heads, int64_t kv_heads, int64_t head_dim, int64_t cache_tokens, kedge_status* status);

/* -------------------------------------------------------------------------------------------------- attention ---- */

/* Attention over packed sequences: its sizes, and the strides of its forward's arrays. */
typedef struct {
  int64_t q_stride;   /* elements between rows of q */
  int64_t k_stride;   /* elements between rows of k */
  int64_t v_stride;   /* elements between rows of v */
  int64_t out_stride; /* elements between rows of out */
  int64_t n_segments; /* rows of the segment table */
  int64_t max_q;      /* upper bound of q_len over the segments: it sizes CUDA's grid */
  int64_t max_kv;     /* upper bound of kv_len over the segments: it sizes CUDA's grid */
  int64_t q_tokens;   /* rows of q */
  int64_t kv_tokens;  /* rows of k and v */
  int64_t heads;      /* query heads */
  int64_t kv_heads;   /* key heads */
  int64_t head_dim;   /* elements of a head */
  double scale;       /* factor on q.k, finite */
  int32_t causal;     /* whether a query sees only the own keys up to its place */
} kedge_attention_shape;

/* What the backward of attention takes besides. */
typedef struct {
  int64_t dq_stride;   /* elements between rows of dq */
  int64_t dk_stride;   /* elements between rows of dk */
  int64_t dv_stride;   /* elements between rows of dv */
  int64_t dout_stride; /* elements between rows of dout */
  int32_t accumulate;  /* bits 0, 1, 2: dq, dk, dv are added to */
} kedge_attention_gradients;

/* A decode step: one new token per sequence. */
typedef struct {
  int64_t q_stride;     /* elements between rows of q */
  int64_t k_stride;     /* elements between rows of k_cache */
  int64_t v_stride;     /* elements between rows of v_cache */
  int64_t out_stride;   /* elements between rows of out */
  int64_t n_groups;     /* rows of groups */
  int64_t n;            /* sequences: rows of q, of out and of sequences */
  int64_t max_prefix;   /* upper bound of prefix_len: it sizes CUDA's grid */
  int64_t max_own;      /* upper bound of own_len: it sizes CUDA's grid */
  int64_t cache_tokens; /* rows of k_cache and v_cache */
  int64_t page;         /* keys of a page: a power of two, 64 at least; 0: a sequence's own keys lie behind one another */
  int64_t n_pages;      /* elements of pages */
  int64_t heads;        /* query heads */
  int64_t kv_heads;     /* key heads */
  int64_t head_dim;     /* elements of a head */
  double scale;         /* factor on q.k, finite */
} kedge_decode_shape;

/* Packed sequences with shared prefixes. Tokens of all sequences lie behind one another, without padding. `segments`: i32[n_segments, 8],
 *   { q_start, q_len, kv_start, kv_len, parent, child_begin, child_end, 0 }.
 * Segment s: query rows [q_start, q_start + q_len) see, first, all keys of segment `parent` (-1: none; a parent has no parent itself), then
 * their own keys [kv_start, kv_start + kv_len), all of them, or with causal != 0 own key j for query i if j <= i + kv_len - q_len. The children of a
 * segment (those with parent == s) are the segments [child_begin, child_end) (empty: 0, 0). Query ranges are disjoint; so are key ranges; with
 * causal, q_len <= kv_len. A prompt with G responses: one parent and G children; a vision window: a segment of its own. Keys of a
 * parent may come from a cache (q_len 0). Query rows of no segment are written as zeros in out (and -inf in lse); key rows of none get zero gradient.
 * A query row that sees no key at all gives zeros and lse -inf.
 *
 * q, out: [q_tokens, heads, head_dim]; k, v: [kv_tokens, kv_heads, head_dim]; lse: f32[q_tokens, heads], natural logarithm of the sum of
 * exp(scale * q.k). heads % kv_heads == 0: query head h reads key head h / (heads / kv_heads). head_dim: a multiple of 4 in [4, 128]
 * (CUDA: a multiple of 8 in [8, 128]). The CPU library validates the table; use kedge_segments_check for a table that goes to CUDA. Dao,
 * arXiv 2307.08691 (algorithm); Prefix Grouper, arXiv 2506.05433 (shared prefix). */
KEDGE_API int32_t kedge_attention_fwd(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape, void* out,
                                      float* lse, const void* q, const void* k, const void* v, const int32_t* segments,
                                      kedge_status* status);
/* dq, dk, dv: shapes as q, k, v, strides of their own. A key's gradient sums over all query heads of its group and all segments that see it, in
 * a fixed order. */
KEDGE_API int32_t kedge_attention_bwd(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape,
                                      KEDGE_IN const kedge_attention_gradients* gradients, void* dq, void* dk, void* dv, const void* dout,
                                      const void* q, const void* k, const void* v, const void* out, const float* lse,
                                      const int32_t* segments, kedge_status* status);

/* Connectivity (docs/method.md section 1), accumulated over calls (layers).
 * region: i32[kv_tokens]: r >= 0: a visual token of region r < regions; -1: any other token; -2: a sink, in no sum.
 * Per row and query head, with a the attention probabilities: m_r = sum of a over region r, m = sum_r m_r, n = sum of a over all keys not sinks
 * (each summed directly). renorm 0 ("pooled"): mass[row] += { m, n }, profile[row, r] += m_r. renorm 1 ("row"): mass[row] += { m / max(n, 0.01), 1 },
 * profile[row, r] += m_r / max(n, 0.01). After all layers, connectivity = mass[row, 0] / mass[row, 1] and profile / mass[row, 1].
 * renorm 2 ("by head", kedge_connectivity alone): mass[row, head] += { m, n }, profile[row, head, r] += m_r.
 * skip_low, skip_high: a bit for each of the query heads 0 to 31 and 32 to 63; a head whose bit is set is in no sum. 0, 0: all heads count.
 * mass: f32[rows_out, 2]; profile: f32[rows_out, regions], nullable; both added to. By head: f32[rows_out, heads, 2], f32[rows_out, heads, regions]. */

/* From a forward's q, k, lse and shape (v_stride and out_stride are not read). row_out: i32[q_tokens]: the output row of each query row, -1 to
 * skip; distinct. */
KEDGE_API int32_t kedge_connectivity(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape, float* mass,
                                     float* profile, const void* q, const void* k, const float* lse, const int32_t* region,
                                     const int32_t* row_out, int64_t regions, int64_t rows_out, const int32_t* segments, int32_t renorm,
                                     uint32_t skip_low, uint32_t skip_high, kedge_status* status);

/* One new token per sequence over [shared prefix][own] in a cache. k_cache, v_cache: [cache_tokens, kv_heads, head_dim] with strides; the new
 * token's key and value are already in the cache. groups: i32[n_groups, 4] { prefix_start, prefix_len, seq_begin, seq_end }: in order,
 * they cover sequences [0, n) once. sequences: i32[n, 2] { own_start, own_len }, own_len counting the new token (0 allowed with a prefix).
 * Own key j is row own_start + j of the cache, or, with pages, row pages[own_start + j / page] + j % page; pages: i32[n_pages], nullable where page is 0. The
 * bits do not depend on where the keys lie.
 * out, q: [n, heads, head_dim]. mass, profile, region as above, one row a sequence (row i = sequence i), region: i32[cache_tokens]; mass
 * nullable: then no connectivity is computed. Hydragen, arXiv 2402.05099. */
KEDGE_API int32_t kedge_decode_attention(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_decode_shape* shape, void* out,
                                         float* mass, float* profile, const void* q, const void* k_cache, const void* v_cache,
                                         const int32_t* region, int64_t regions, const int32_t* groups, const int32_t* sequences,
                                         const int32_t* pages, int32_t renorm, uint32_t skip_low, uint32_t skip_high, kedge_status* status);

/* ------------------------------------------------------------------------------------------------ activations ---- */

/* out = silu(gate) * up, silu(x) = x / (1 + exp(-x)). All [rows, dim] with strides, so that gate and up may be halves of one matrix.
 * Shazeer, arXiv 2002.05202. */
KEDGE_API int32_t kedge_swiglu_fwd(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* gate,
                                   int64_t gate_stride, const void* up, int64_t up_stride, int64_t rows, int64_t dim, kedge_status* status);
/* accumulate bits 0, 1: dgate, dup. In place allowed: dgate == gate and dup == up (without accumulate). */
KEDGE_API int32_t kedge_swiglu_bwd(const kedge_context* ctx, int32_t dtype, void* dgate, int64_t dgate_stride, void* dup, int64_t dup_stride,
                                   const void* dout, int64_t dout_stride, const void* gate, int64_t gate_stride, const void* up,
                                   int64_t up_stride, int64_t rows, int64_t dim, int32_t accumulate, kedge_status* status);
/* y = x * gate(x). In place allowed. Hendrycks & Gimpel, arXiv 1606.08415. form:
 *   0 erf: Phi(x) = (1 + erf(x / sqrt 2)) / 2, exact;
 *   1 tanh: (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2;
 *   2 quick: sigmoid(1.702 x). */
KEDGE_API int32_t kedge_gelu_fwd(const kedge_context* ctx, int32_t dtype, void* y, const void* x, int64_t n, int32_t form,
                                 kedge_status* status);
/* dx = dy * (gate(x) + x gate'(x)). accumulate bit 0: dx. In place allowed with dy or x (without accumulate). */
KEDGE_API int32_t kedge_gelu_bwd(const kedge_context* ctx, int32_t dtype, void* dx, const void* dy, const void* x, int64_t n, int32_t form,
                                 int32_t accumulate, kedge_status* status);

/* ------------------------------------------------------------------------------------------- log-probabilities ---- */

/* With z = logits / temperature, suppressed entries left out: lse = log sum exp z, logprob = z[target] - lse, entropy = lse - sum p z (nats).
 * logits: [n, vocab] with stride; target: i32[n] in [0, vocab) (a suppressed target gives -inf; -1 skips the row: logprob and entropy 0, gradient 0);
 * suppress: u8[vocab], nonzero = suppressed, nullable. logprob, entropy (nullable), lse: f32[n]. temperature > 0. */
KEDGE_API int32_t kedge_logprob_fwd(const kedge_context* ctx, int32_t dtype, float* logprob, float* entropy, float* lse, const void* logits,
                                    int64_t logits_stride, const int32_t* target, const uint8_t* suppress, int64_t n, int64_t vocab,
                                    double temperature, kedge_status* status);
/* dlogits[i, v] = (dlogprob[i] * ([v = target] - p_v) - dentropy[i] * p_v * (log p_v + entropy[i])) / temperature, 0 where suppressed.
 * dlogprob, dentropy: f32[n], the second nullable (then entropy may be NULL). In place allowed: dlogits == logits. */
KEDGE_API int32_t kedge_logprob_bwd(const kedge_context* ctx, int32_t dtype, void* dlogits, int64_t dlogits_stride, const void* logits,
                                    int64_t logits_stride, const int32_t* target, const float* lse, const float* entropy,
                                    const float* dlogprob, const float* dentropy, const uint8_t* suppress, int64_t n, int64_t vocab,
                                    double temperature, kedge_status* status);

/* Draws one token per row. Per-row arrays: temperature f32 (0 = greedy: the argmax, ties to the lower index, with statistics at temperature 1), top_k
 * i32 (0 = off), top_p f32 in (0, 1] (1 = off), min_p f32 in [0, 1) (0 = off). Filters act in this order on the tempered, unsuppressed
 * distribution: top-k keeps the k largest (ties: lower index first); top-p keeps, of what is left and renormalised, the shortest prefix by
 * falling probability (ties: lower index first) whose sum reaches top_p, at least one; min-p keeps p >= min_p * max p. The draw inverts the CDF of the rest
 * in index order at u = philox4x32-10(key = seed, counter = { position, sequence lo, sequence hi, 0 })[0] scaled to (0, 1): (x + 0.5) / 2^32.
 * keys: u32[n, 4] { seed lo, seed hi, sequence lo, sequence hi }; position: i32[n]. Hence a sequence's draws do not depend on the batch.
 * token: i32[n]; logprob: of the unfiltered distribution; filtered_logprob: of the filtered one (greedy: 0); entropy: of the unfiltered one;
 * all f32[n], nullable except token and logprob. A row of which every logit is suppressed or that holds a NaN gives token -1 and NaN. Salmon et al.,
 * SC 2011 (Philox). */
KEDGE_API int32_t kedge_sample(const kedge_context* ctx, int32_t dtype, int32_t* token, float* logprob, float* filtered_logprob,
                               float* entropy, const void* logits, int64_t logits_stride, const float* temperature, const int32_t* top_k,
                               const float* top_p, const float* min_p, const uint32_t* keys, const int32_t* position,
                               const uint8_t* suppress, int64_t n, int64_t vocab, kedge_status* status);

/* ------------------------------------------------------------------------------- policy losses, divergences ---- */

/* Token-level ops of policy optimisation over packed response tokens [n]. Arithmetic is in f64; arrays are f32. A token whose weight is 0 is masked:
 * nothing else of it is read into any result, so it may hold NaN; its outputs are 0. Of the others a non-finite number makes the results
 * NaN; the clamps below act on finite numbers only. offsets: i32[sequences + 1], rising from 0 to n: sequence s owns tokens
 * [offsets[s], offsets[s + 1]). `stats`, `loss`: on the device. A largest-of slot of stats starts at 0. */

/* The policy loss and its gradient in one pass. With A = advantage, d = logprob - old_logprob, w = weight (the aggregation: 1 / tokens, ...), c = correction
 * (nullable: 1; a detached factor, see importance_weights), r = exp(clamp(d, -log_ratio_max, log_ratio_max)) and clip(r) = min(max(r, ratio_low), ratio_high):
 *   kind 0 ppo: l = max(-A r, -A clip(r)); where A < 0 and dual > 0, l = min(l, -A dual). Schulman et al., arXiv 1707.06347; Ye et al., arXiv 1912.09729.
 *   kind 1 gspo: as ppo with r = exp(clamp(mean of d over the sequence's tokens)), through which the gradient flows. Zheng et al., arXiv 2507.18071.
 *   kind 2 gspo_token: the value of gspo; the gradient as if r were sg[r] pi / sg[pi] of each token.
 *   kind 3 cispo: l = -A sg[clip(r)] logprob. MiniMax-M1, arXiv 2506.13585.
 *   kind 4 sapo: l = -A (4 / tau) sigmoid(tau (r - 1)), tau = tau_positive where A >= 0, else tau_negative. Gao et al., arXiv 2511.20347.
 *   kind 5 reinforce: l = -A logprob.
 * loss[0] = sum w c l - entropy_coefficient * sum w entropy; dlogprob = d loss / d logprob; token_loss = l, nullable. (d loss / d entropy is -coefficient * w.)
 * stats: f64[10], nullable, added to: { sum w c l, tokens, tokens with -A r < -A clip(r) (cispo: r > ratio_high), tokens at the dual clip (cispo: r <
 * ratio_low), sum -d, sum -w logprob, sum entropy, sum w entropy, sum r, the largest r }; r of the token for reinforce and sapo too, of the sequence for gspo.
 * entropy: nullable. */
KEDGE_API int32_t kedge_policy_loss(const kedge_context* ctx, float* loss, float* dlogprob, float* token_loss, double* stats,
                                    const float* logprob, const float* old_logprob, const float* advantage, const float* weight,
                                    const float* correction, const float* entropy, const int32_t* offsets, int64_t n, int64_t sequences,
                                    int32_t kind, double ratio_low, double ratio_high, double dual, double tau_positive,
                                    double tau_negative, double log_ratio_max, double entropy_coefficient, kedge_status* status);

/* Factors for data from another policy: g = clamp(logprob - rollout_logprob, -log_ratio_max, log_ratio_max); level 0 token: x = exp(g); 1 sequence: x =
 * exp(clamp(sum of the differences over the sequence)); 2 sequence mean: exp(clamp(their mean)). mask 0: out = min(max(x, low), high); mask 1: out = x
 * where low <= x <= high, else 0. stats: f64[7], nullable, added to: { tokens, sum out, sum out^2, tokens with x outside [low, high], sum |difference|, the
 * largest |difference|, sum of rollout_logprob - logprob }. Ionides 2008 (truncation); IcePop (masking). */
KEDGE_API int32_t kedge_importance_weights(const kedge_context* ctx, float* out, double* stats, const float* logprob,
                                           const float* rollout_logprob, const float* weight, const int32_t* offsets, int64_t n,
                                           int64_t sequences, int32_t level, int32_t mask, double low, double high, double log_ratio_max,
                                           kedge_status* status);

/* A divergence of the policy from a reference, estimated from the sampled tokens. With x = ref_logprob - logprob, u = exp(x), per token the value k and
 * the slope s that stands for dk / dlogprob:
 *   kind 0 k1:  -x, 1            1 abs: |x|, sign(-x)          2 k2: x^2 / 2, -x         3 k3: expm1(x) - x, -expm1(x)     (s is the derivative of k)
 *   kind 4 k1+: -x, -x           5 k3+: expm1(x) - x, -x       KL(policy || ref): k unbiased, s an unbiased gradient
 *   kind 6 forward KL(ref || policy): u x - expm1(x), -expm1(x)
 *   kind 7 Jensen-Shannon: (u x - (1 + u) log1p(expm1(x) / 2)) / 2, -log1p(expm1(x) / 2) / 2
 *   kind 8 chi-square sum (policy - ref)^2 / ref: expm1(x)^2 / u, 2 expm1(-x)
 *   kind 9 total variation: |expm1(x)| / 2, sign(-x) / 2
 *   kind 10 alpha (sum policy^a ref^(1-a) - 1) / (a (a - 1)): expm1((1 - a) x) / (a (a - 1)) + expm1(x) / a, expm1((1 - a) x) / (a - 1); a = 1 is k3+, a = 0 forward KL.
 * From 6 on k = g(u) with g convex, g(1) = g'(1) = 0, so that E_policy k is the divergence, and s = g - u g', so that E_policy s dlogprob is its gradient.
 * Kinds from 3 on but 4 clamp x to +-log_ratio_max. value_max > 0 clamps k to +-value_max: then s is 0 for kinds below 4, and clamped as k from 4 on. With
 * old_logprob (nullable), for tokens drawn from an older policy, r = exp(clamp(logprob - old_logprob)): k becomes r k, and s becomes r (s + k) below 4, r s from 4
 * on. Schulman, "Approximating KL divergence", 2020; Csiszar 1967 (f-divergences).
 * loss[0] = sum w k, nullable; dlogprob = w s, nullable; value = k, nullable; stats: f64[3], nullable, added to: { sum w k, sum k, tokens }. */
KEDGE_API int32_t kedge_divergence(const kedge_context* ctx, float* loss, float* dlogprob, float* value, double* stats,
                                   const float* logprob, const float* ref_logprob, const float* old_logprob, const float* weight, int64_t n,
                                   int32_t kind, double alpha, double log_ratio_max, double value_max, kedge_status* status);

/* KL(p || q) over the vocabulary, p = softmax(logits / temperature), q = softmax(ref_logits / temperature), suppressed entries left out of both. kl: f32[n];
 * lse: log sum exp of logits / temperature, shift: that of ref_logits / temperature - lse - kl, both f32[n] for the backward. target: i32[n], nullable: -1 skips the row
 * (all three 0); suppress: u8[vocab], nullable. temperature > 0. */
KEDGE_API int32_t kedge_kl_fwd(const kedge_context* ctx, int32_t dtype, float* kl, float* lse, float* shift, const void* logits,
                               int64_t logits_stride, const void* ref_logits, int64_t ref_stride, const int32_t* target,
                               const uint8_t* suppress, int64_t n, int64_t vocab, double temperature, kedge_status* status);
/* dlogits[i, v] = dkl[i] * p_v * (log p_v - log q_v - kl[i]) / temperature, 0 where suppressed or p_v is 0. In place allowed: dlogits == logits. */
KEDGE_API int32_t kedge_kl_bwd(const kedge_context* ctx, int32_t dtype, void* dlogits, int64_t dlogits_stride, const void* logits,
                               int64_t logits_stride, const void* ref_logits, int64_t ref_stride, const float* lse, const float* shift,
                               const float* dkl, const int32_t* target, const uint8_t* suppress, int64_t n, int64_t vocab,
                               double temperature, kedge_status* status);

/* ---------------------------------------------------------------------------------------------------- optimizer ---- */

/* out[0] = (accumulate ? out[0] : 0) + sum x^2, in f64. out: f64[1]. */
KEDGE_API int32_t kedge_sum_squares(const kedge_context* ctx, int32_t dtype, double* out, const void* x, int64_t n, int32_t accumulate,
                                    kedge_status* status);
/* out: f32[4] { norm = sqrt(sum_squares[0]) * grad_scale, coefficient, nonfinite, 0 }: coefficient = grad_scale * min(1, max_norm / (norm + 1e-6)),
 * or grad_scale where max_norm <= 0; nonfinite = 1 where the norm is not finite, and coefficient is then 0. (torch.nn.utils.clip_grad_norm_) */
KEDGE_API int32_t kedge_clip_coefficient(const kedge_context* ctx, float* out, const double* sum_squares, double max_norm, double grad_scale,
                                         kedge_status* status);
/* AdamW with decoupled decay (Loshchilov & Hutter, arXiv 1711.05101), as torch.optim.AdamW: with g = grad * coefficient,
 *   p -= lr * weight_decay * p;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
 *   p -= lr * (m / bias1) / (sqrt(v / bias2) + eps),   bias_i = 1 - beta_i^step, computed by the caller in f64.
 * master: f32[n], nullable; then param is what is updated. With master, param (param_dtype) is its rounded copy, to nearest even. grad: f32[n]. m, v: moment_dtype (F32
 * or BF16). clip: the f32[4] of kedge_clip_coefficient, nullable: if clip[2] != 0 nothing at all is changed, else coefficient = clip[1].
 * rounding of every bf16 value that is its own truth (moments; param without master): 0 nearest even, 1 stochastic, keyed by (seed, step, element), 2 Kahan,
 * with the lost part kept in bf16: m_lost, v_lost, p_lost (each required where it applies, else nullable). The state may lie in pinned host memory. */
KEDGE_API int32_t kedge_adamw(const kedge_context* ctx, void* param, int32_t param_dtype, float* master, void* m, void* v, int32_t moment_dtype,
                              void* m_lost, void* v_lost, void* p_lost, const float* grad, const float* clip, int64_t n, double lr,
                              double beta1, double beta2, double eps, double weight_decay, double bias1, double bias2, int32_t rounding,
                              uint64_t seed, int64_t step, kedge_status* status);

/* --------------------------------------------------------------------------------------------------------- GEMM ---- */

/* C = alpha * op(A) op(B) + beta * C. op(A): [m, k], op(B): [k, n], C: [m, n]; A is stored [m, k], or [k, m] with trans_a != 0, with leading
 * dimension lda; B likewise. beta 0 does not read C. An element's sum runs in an order that depends on k alone: not on m, n, the other rows, or the
 * threads. CUDA: F32 on plain cores, BF16 on tensor cores (Kedge's batch-invariant GEMM; cuBLAS is the fast one). c_dtype: of C (dtype, or F32). */
KEDGE_API int32_t kedge_gemm(const kedge_context* ctx, int32_t dtype, void* c, int32_t c_dtype, int64_t ldc, const void* a, int64_t lda,
                             int32_t trans_a, const void* b, int64_t ldb, int32_t trans_b, int64_t m, int64_t n, int64_t k, double alpha,
                             double beta, kedge_status* status);

/* ------------------------------------------------------------------------------------------------------- images ---- */

/* Resizes u8 pictures [height, width, channels] with Pillow's antialiased bicubic filter (a = -0.5; fixed-point coefficients of 22 bits, horizontal pass first,
 * each pass rounded to u8): equal to PIL.Image.resize(BICUBIC) to the bit. channels 1..4, each on its own; sizes in [1, 65535]. */
KEDGE_API int32_t kedge_image_resize(const kedge_context* ctx, uint8_t* out, int64_t out_height, int64_t out_width, const uint8_t* image,
                                     int64_t height, int64_t width, int64_t channels, kedge_status* status);
/* Cuts frames: u8[frames, height, width, 3] into Qwen2-VL patches, rescaled by 1/255 and normalised: (x / 255 - mean[c]) / std[c].
 * height, width: multiples of patch * merge; an incomplete last group of `temporal` frames repeats its last frame. out: dtype
 * [ceil(frames / temporal) * (height / patch) * (width / patch), 3 * temporal * patch * patch]; rows run over (time, block row, block column, row in block,
 * column in block), a block being merge x merge patches; columns over (channel, frame, y, x). */
KEDGE_API int32_t kedge_image_patches(const kedge_context* ctx, int32_t dtype, void* out, const uint8_t* frames, int64_t n_frames,
                                      int64_t height, int64_t width, int64_t patch, int64_t merge, int64_t temporal, KEDGE_IN const float* mean,
                                      KEDGE_IN const float* std, kedge_status* status);

/* ------------------------------------------------------------------------------------------------------- AT-RL ---- */

/* docs/method.md sections 2 to 4 (Jiao et al., arXiv 2602.11455), batched over packed responses. offsets: i32[n + 1], from 0 to `tokens`, never falling:
 * response i has the tokens [offsets[i], offsets[i + 1]), which may be none. max_tokens: upper bound of a response's tokens (it sizes CUDA's grid and
 * scratch). On CUDA the offsets must be good. A response's bits do not depend on the others'. */

/* The score of each token, by which tokens are told apart (docs/method.md section 1.6). kind: 0: the connectivity c_t; 1: the peak
 * max(0, max over r of p_t[r] - m[r]), with p the profile and m its mean over the response (0 without regions); 2: the entropy H_t, not below 0; 3: c_t H_t;
 * 4: the peak times H_t; 5: the scaled peak max(0, max over r of (p_t[r] - m[r]) / sqrt(m[r] + a)), with a a tenth of the mean of m over the regions. With visible, the score is divided by v / (v + o + t) where v > 0, t counted from the response's first token. All is computed in f64, and m
 * is summed in the order of the tokens: every device gives the same bits. A NaN in a profile gives its response NaN.
 * score: f32[tokens]; connectivity, entropy: f32[tokens]; profile: f32[tokens, regions]; each nullable where the kind does not read it. visible: i32[n, 2] { v, o }, the
 * visual and the other keys that the response's first row sees; nullable: nothing is divided. */
KEDGE_API int32_t kedge_token_score(const kedge_context* ctx, float* score, const float* connectivity, const float* profile,
                                    const float* entropy, const int32_t* visible, const int32_t* offsets, int64_t n, int64_t tokens,
                                    int64_t max_tokens, int64_t regions, int32_t kind, kedge_status* status);
/* The graph of a response's tokens. w(t, u) = max(0, cos(p_t - m, p_u - m)) * sqrt(c_t * c_u) / max(c), with p the profile, m its mean over the response, c the
 * connectivity; cos is 0 for a vector |p_t - m| <= 1e-6 |m|. With contrast > 0, w is multiplied by exp(-|d_t - d_u| / contrast), d_t = c_t / mean(c). A w that is
 * not above 0, or below `threshold`, is no edge. Each token picks its `neighbours` heaviest edges (ties: lower index). An edge is kept that either end picks, with
 * mutual != 0 that both pick. |t - u| = 1 adds `adjacency`, weights are rounded to integers, w * 2^20 (0: no edge).
 * profile: f32[tokens, regions]; connectivity: f32[tokens]. regions 0: no visual tokens. neighbours: in [0, 32]; adjacency: in [0, 1000]; threshold: in [0, 1);
 * contrast: finite, 0: none.
 * rows: i32[tokens, 2] { begin, end }: token t's edges; neighbour: i32[2 (neighbours + 1) tokens], counted from the response's first token, rising within
 * a row; weight: i32, of the same length, > 0. Rows of a response lie behind one another, with gaps; what is in the gaps is undefined. Every edge is in both its rows. */
KEDGE_API int32_t kedge_token_graph(const kedge_context* ctx, int32_t* rows, int32_t* neighbour, int32_t* weight, const float* profile,
                                    const float* connectivity, const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens,
                                    int64_t regions, int32_t neighbours, double adjacency, double threshold, double contrast, int32_t mutual,
                                    kedge_status* status);
/* Partitions each response's tokens into K = clamp(round(T / cluster_size), 2, 64) clusters (one below 4 tokens), none empty, none above
 * floor((1 + imbalance / 1000) * ceil(T / K)) tokens, with a small edge cut. cluster: i32[tokens] in [0, K), numbered by first token. stats: i64[n, 3]
 * { K, cut, tokens of the largest cluster }, nullable. rows, neighbour, weight: those of kedge_token_graph; capacity: length of neighbour; max_edges: upper bound of the
 * sum of a response's rows' lengths. cluster_size >= 1; imbalance: per mille, in [0, 1000]. Equal graphs and seeds give equal clusters on every device. Karypis &
 * Kumar, SIAM J. Sci. Comput. 20 (1998); Fiduccia & Mattheyses, DAC 1982. A bad edge, on CUDA: cluster -1 for the whole response. */
KEDGE_API int32_t kedge_partition(const kedge_context* ctx, int32_t* cluster, int64_t* stats, const int32_t* rows, const int32_t* neighbour,
                                  const int32_t* weight, int64_t capacity, int64_t max_edges, const int32_t* offsets, int64_t n,
                                  int64_t tokens, int64_t max_tokens, int32_t cluster_size, int32_t imbalance, uint64_t seed,
                                  kedge_status* status);
/* Token weights with mean 1 over each response. A = ceil(anchor_permille * T / 1000). d = connectivity / its mean; D_k = mean of d over cluster k; P = the shortest
 * prefix of the clusters, by D falling (ties: lower first token), that holds A tokens; theta = midpoint of the lowest D in P and the highest outside (nothing is
 * outside: the former). mode: 0 off: 1 everywhere.
 *   1 soft: w_min + (w_max - w_min) * sigmoid((D_k - theta) / temperature), with normalise != 0 divided by its token mean; 1 everywhere where the connectivity
 *     is constant (max - min <= 1e-6 mean) or its mean is 0, where there is one cluster, where all D are equal (max - min <= 1e-6). With own > 0 a token has
 *     x_t = (1 - own) D_k + own d_t in place of D_k: theta is the midpoint of the lowest x among the A highest and the highest other (there is no other: the
 *     former), and the weight is 1 everywhere where all x are equal (max - min <= 1e-6), whatever the clusters;
 *   2 hard: T / A on the anchors, the A tokens of highest connectivity (ties: earlier first), else 0;
 *   3 low: T / L on the L = max(1, floor(T / 2)) tokens of lowest connectivity (ties: earlier first), else 0;
 *   4 random: T / A on the A tokens of the largest draws (ties: earlier first), else 0; the draw of token t is philox4x32-10(key = seed, counter = { prompt lo,
 *     prompt hi, sample, t })[0].
 * A response with visual[i] = 0 gets 1 everywhere, in every mode. weight: f32[tokens]; flags: u8[tokens], nullable: bit 0, an anchor; bit 1, of a cluster in P.
 * cluster: i32[tokens] in [0, T), nullable but for mode 1; visual: u8[n], nullable: all have visual tokens; keys: u32[n, 3] { prompt lo, prompt hi, sample },
 * nullable but for mode 4. anchor_permille in [1, 1000]; temperature > 0; w_min, w_max >= 0, not both 0; own in [0, 1]. A NaN connectivity gives its response NaN in mode 1. */
KEDGE_API int32_t kedge_token_weights(const kedge_context* ctx, float* weight, uint8_t* flags, const float* connectivity, const int32_t* cluster,
                                      const uint8_t* visual, const uint32_t* keys, const int32_t* offsets, int64_t n, int64_t tokens,
                                      int64_t max_tokens, int32_t mode, int32_t anchor_permille, double w_min, double w_max,
                                      double temperature, double own, int32_t normalise, uint64_t seed, kedge_status* status);
/* out[t] = weight[t] * advantage, 0 where mask[t] = 0 (whatever else is there). advantage: f32[n], or f32[tokens] with per_token != 0; mask: u8[tokens], nullable.
 * In place allowed: out == weight, or out == advantage with per_token. */
KEDGE_API int32_t kedge_token_advantage(const kedge_context* ctx, float* out, const float* weight, const float* advantage, const uint8_t* mask,
                                        const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens, int32_t per_token,
                                        kedge_status* status);

/* ================================================================================== the CPU library alone ==== */

/* Checks a segment table in host memory by the rules above; KEDGE_INVALID or KEDGE_BAD_INDEX names the segment. */
KEDGE_HOST_API int32_t kedge_segments_check(KEDGE_IN const int32_t* segments, int64_t n_segments, int64_t q_tokens, int64_t kv_tokens,
                                            int32_t causal, kedge_status* status);

/* B of kedge_gemm packed once for many products: the decode steps of a rollout read each weight hundreds of times between updates.
 * kedge_gemm_packed gives the bits of kedge_gemm. packed: f32, 64-byte aligned, kedge_gemm_packed_bytes(n, k) bytes. */
KEDGE_HOST_API int64_t kedge_gemm_packed_bytes(int64_t n, int64_t k);
KEDGE_HOST_API int32_t kedge_gemm_pack(const kedge_context* ctx, float* packed, const float* b, int64_t ldb, int32_t trans_b, int64_t n,
                                       int64_t k, kedge_status* status);
KEDGE_HOST_API int32_t kedge_gemm_packed(const kedge_context* ctx, float* c, int64_t ldc, const float* a, int64_t lda, int32_t trans_a,
                                         const float* packed, int64_t m, int64_t n, int64_t k, double alpha, double beta,
                                         kedge_status* status);

/* A weight W [n, k] that is kept in bf16 alone, in the order in which the GEMM reads it. packed: 64-byte aligned, kedge_bf16_packed_bytes(n, k) bytes; the
 * order is the library's own. Products compute and add in f32, and give the bits of kedge_gemm with W as f32. */
KEDGE_HOST_API int64_t kedge_bf16_packed_bytes(int64_t n, int64_t k);
/* Packs rows [first, first + rows) of W from src [rows, k] of src_dtype (F32, BF16 or F16), whose rows are ld elements apart; rounded to nearest even. Every
 * row must be packed once before the others below are called. */
KEDGE_HOST_API int32_t kedge_bf16_pack(const kedge_context* ctx, void* packed, int64_t n, int64_t k, const void* src, int32_t src_dtype,
                                       int64_t ld, int64_t first, int64_t rows, kedge_status* status);
/* C = alpha A W^T + beta C; A: [m, k], C: [m, n]. With turned != 0: C = alpha A W + beta C; A: [m, n], C: [m, k]. */
KEDGE_HOST_API int32_t kedge_bf16_gemm(const kedge_context* ctx, float* c, int64_t ldc, const float* a, int64_t lda, const void* packed,
                                       int32_t turned, int64_t m, int64_t n, int64_t k, double alpha, double beta, kedge_status* status);
/* out[i] = row index[i] of W, 0 for the index -1; without an index row first + i. out: [rows, k] of out_dtype (F32 or BF16), out_stride apart. */
KEDGE_HOST_API int32_t kedge_bf16_rows(const kedge_context* ctx, void* out, int32_t out_dtype, int64_t out_stride, const void* packed,
                                       int64_t n, int64_t k, const int32_t* index, int64_t first, int64_t rows, kedge_status* status);

/* Host memory, process-wide, 64-byte aligned, contents undefined; freed blocks are kept for reuse within the budget. out: the address.
 * KEDGE_OUT_OF_MEMORY where used + bytes would pass the budget. bytes 0 gives a valid, distinct address. */
KEDGE_HOST_API int32_t kedge_host_alloc(int64_t bytes, KEDGE_OUT uint64_t* out, kedge_status* status);
/* Frees what kedge_host_alloc gave; KEDGE_INVALID for any other address (also one freed already). */
KEDGE_HOST_API int32_t kedge_host_free(uint64_t address, kedge_status* status);
/* out: i64[6] { used, peak, cached, budget, live allocations, allocations ever }, bytes. */
KEDGE_HOST_API int32_t kedge_host_memory(KEDGE_OUT int64_t* out, kedge_status* status);
/* Sets the budget (<= 0: 0.8 of what the machine or its cgroup has free now) and, where reset_peak != 0, peak = used. */
KEDGE_HOST_API int32_t kedge_host_budget(int64_t bytes, int32_t reset_peak, kedge_status* status);
/* Returns cached blocks to the system. */
KEDGE_HOST_API int32_t kedge_host_trim(kedge_status* status);
/* Moves bytes between host arrays of the caller and addresses of this library; range-checked by the caller. */
KEDGE_HOST_API int32_t kedge_host_read(KEDGE_OUT void* out, uint64_t address, int64_t bytes, kedge_status* status);
KEDGE_HOST_API int32_t kedge_host_write(uint64_t address, KEDGE_IN const void* data, int64_t bytes, kedge_status* status);

/* The handle table: the process-wide truth about tensors that may cross threads. Thread-safe. An owner is an actor's account. A handle is
 * { slot, generation }; it is stale from the moment it is freed or moved, and every use of a stale one is KEDGE_HANDLE, whose message says what became of it.
 *   open an account; the id is never reused. */
KEDGE_HOST_API int32_t kedge_owner_open(KEDGE_OUT uint32_t* owner, kedge_status* status);
/* Marks an owner dead: it can receive nothing more, what it had borrowed is returned. Idempotent. Its own handles stay until reclaimed. */
KEDGE_HOST_API int32_t kedge_owner_close(uint32_t owner, kedge_status* status);
/* Takes up to `capacity` handles of a dead owner out of the table, for the caller to free: out u64[capacity, 4] { address, bytes, device, event }.
 * count: how many. Handles lent to living borrowers are left: they go with their last return. Call until count is 0. */
KEDGE_HOST_API int32_t kedge_owner_reclaim(uint32_t owner, KEDGE_OUT uint64_t* out, int64_t capacity, KEDGE_OUT int64_t* count,
                                           kedge_status* status);
/* out: i64[4] { bytes owned, handles owned, handles borrowed from others, handles lent to others }. An unknown owner is KEDGE_HANDLE. */
KEDGE_HOST_API int32_t kedge_owner_account(uint32_t owner, KEDGE_OUT int64_t* out, kedge_status* status);
/* Enters an address; device: -1 CPU, else the CUDA ordinal. out: u32[2] { slot, generation }. */
KEDGE_HOST_API int32_t kedge_handle_register(uint32_t owner, uint64_t address, int64_t bytes, int32_t device, KEDGE_OUT uint32_t* out,
                                             kedge_status* status);
/* What a user (owner or borrower) needs: out u64[4] { address, bytes, event of the last write, owner }. */
KEDGE_HOST_API int32_t kedge_handle_resolve(uint32_t user, uint32_t slot, uint32_t generation, KEDGE_OUT uint64_t* out, kedge_status* status);
/* Moves to another living owner; not while lent. generation_out: u32[1], the new generation; the old one is stale. */
KEDGE_HOST_API int32_t kedge_handle_move(uint32_t from, uint32_t to, uint32_t slot, uint32_t generation, uint64_t event,
                                         KEDGE_OUT uint32_t* generation_out, kedge_status* status);
/* Lends for reading to a living owner; may be lent to several at once. */
KEDGE_HOST_API int32_t kedge_handle_lend(uint32_t from, uint32_t to, uint32_t slot, uint32_t generation, kedge_status* status);
/* Ends a lend; event: recorded after the borrower's last read (0: none); it replaces the event of the handle. out: u64[4] as kedge_owner_reclaim gives them, address 0 unless the owner died
 * meanwhile and this was the last lend: the caller then frees it. */
KEDGE_HOST_API int32_t kedge_handle_return(uint32_t borrower, uint32_t slot, uint32_t generation, uint64_t event, KEDGE_OUT uint64_t* out,
                                           kedge_status* status);
/* Notes the event after the owner's last write; not while lent. */
KEDGE_HOST_API int32_t kedge_handle_written(uint32_t owner, uint32_t slot, uint32_t generation, uint64_t event, kedge_status* status);
/* Takes a handle out of the table; not while lent. out: u64[4] { address, bytes, device, event }, for the caller to free. */
KEDGE_HOST_API int32_t kedge_handle_release(uint32_t owner, uint32_t slot, uint32_t generation, KEDGE_OUT uint64_t* out, kedge_status* status);

/* out: i32[4] { cores this process may use, 0, SIMD width in bytes that the build used, 0 }. */
KEDGE_HOST_API int32_t kedge_host_info(KEDGE_OUT int32_t* out, kedge_status* status);

#endif /* KEDGE_H */
