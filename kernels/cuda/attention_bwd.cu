// Attention backward over packed segments with shared prefixes (kedge.h), with P = exp(scale q k^T - lse), delta = sum_d out dout and
// dS = P (dout v^T - delta): dq = scale dS k, dk = scale dS^T q, dv = P^T dout. Kernels without atomics:
//   delta: a warp per query row and head;
//   by queries: a block per tile of 64 queries and query head walks the keys that it sees, as the forward does, and gives dq;
//   by keys: a block per tile of 64 keys and key head walks the queries that see it, for each query head of its group the segment's own,
//   then those of its children in their order, and gives dk and dv. The keys of a shared prefix are seen by the queries of all suffixes,
//   and there are few such tiles: they have a block for each query head, and a kernel that adds the heads up. A shared prefix's gradient
//   is thus a sum in a fixed order over the heads, and for each head over all suffixes.
#include "attention.cuh"

namespace kedge {
namespace {

struct Params : PackedParams {
  const void *v, *out, *dout;
  void *dq, *dk, *dv;
  const float* lse;
  float* delta;  // [q_tokens, heads]
  float* parts;  // [2: dk, dv][heads][kv_tokens][dim]: what each query head gives to keys of shared prefixes; NULL: no tile is split
  int64_t v_stride, out_stride, dout_stride, dq_stride, dk_stride, dv_stride;
  float scale;
  int accumulate;
};

template <class E>
constexpr int64_t kSharedBytes = int64_t(2 * E::kRows + 4 * E::kCols) * E::kStride * sizeof(typename E::T) + E::kScratchBytes;

template <class T>
__global__ void attention_delta(Params p) {
  const int64_t index = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32;
  if (index >= p.q_tokens * p.heads) return;
  const int64_t token = index / p.heads, head = index % p.heads;
  const T *out = static_cast<const T*>(p.out) + token * p.out_stride + head * p.dim,
          *dout = static_cast<const T*>(p.dout) + token * p.dout_stride + head * p.dim;
  float sum = 0.f;
  for (int d = threadIdx.x % 32; d < p.dim; d += 32) sum = fmaf(to_float(out[d]), to_float(dout[d]), sum);
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) p.delta[index] = sum;
}

template <class E>
__global__ void __launch_bounds__(E::kThreads, 1) attention_bwd_queries(Params p) {
  using T = typename E::T;
  const QueryTile at = query_tile<E>(p);
  if (!at.exists) return;
  const int rows = at.rows, head = blockIdx.y;
  const int64_t token = at.token;
  T* dq = static_cast<T*>(p.dq) + token * p.dq_stride + head * p.dim;
  if (!at.s.good) return write_nan<E>(dq, p.dq_stride, rows, p.dim);
  KEDGE_DYNAMIC_SHARED(T, shared);
  using Stages = KeyStages<E, true>;
  T *queries = shared, *douts = queries + E::kRows * E::kStride, *keys = douts + E::kRows * E::kStride, *values = keys + 2 * Stages::kTile;
  float* scratch = reinterpret_cast<float*>(values + 2 * Stages::kTile);
  const int64_t column = head / p.group * p.dim;
  const Stages stages{keys, values, static_cast<const T*>(p.k) + column, static_cast<const T*>(p.v) + column};
  const KeyTiles tiles(at.s, at.q0, rows, p.causal, E::kCols);
  load_rows<E, E::kRows>(queries, static_cast<const T*>(p.q) + head * p.dim, p.q_stride, token, rows, p.dim, p.wide);
  load_rows<E, E::kRows>(douts, static_cast<const T*>(p.dout) + head * p.dim, p.dout_stride, token, rows, p.dim, p.wide);
  stages.fetch(p, tiles, 0);

  typename E::Acc acc;
  clear<E>(acc);
  float lse2[E::kScoreRows], delta[E::kScoreRows], factor[E::kScoreRows];
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) {
    const bool exists = E::row(i) < rows;
    lse2[i] = exists ? lse2_of(p.lse[(token + E::row(i)) * p.heads + head]) : INFINITY;
    delta[i] = exists ? p.delta[(token + E::row(i)) * p.heads + head] : 0.f;
    factor[i] = p.scale;
  }
  for (int t = 0; t < tiles.tiles; t++) {
    stages.fetch(p, tiles, t + 1);
    copy_async_wait<1>();
    __syncthreads();
    if (E::first_row() < rows) {
      const KeyTile tile = tiles.tile(t, E::kCols);
      typename E::Scores s, ds;
      E::scores(s, queries, stages.key_tile(t));
      E::scores(ds, douts, stages.value_tile(t));
#pragma unroll
      for (int i = 0; i < E::kScoreRows; i++)
#pragma unroll
        for (int j = 0; j < E::kScoreCols; j++)
          ds.at(i, j) =
              tile.sees(E::row(i), E::col(j)) ? exp2f(s.at(i, j) * p.scale2 - lse2[i]) * (ds.at(i, j) - delta[i]) : 0.f;
      E::accumulate(acc, ds, stages.key_tile(t), scratch);
    }
    __syncthreads();
  }
  store_rows<E>(acc, factor, [&](int i) { return E::row(i) < rows ? dq + E::row(i) * p.dq_stride : nullptr; }, p.dim, p.accumulate & 1);
}

// The tiles of queries that see a tile of keys, in order: for each of some query heads the segment's own, then each child's. This order
// is that of the additions into dk and dv, and it depends on the segment's family alone. A block has two of these: one says what to fetch,
// and runs one tile ahead of the other, which says what to compute.
struct QueryTiles {
  const Params& p;
  const Segment& s;
  int first_own;                                           // the first own query (a multiple of the tile) that sees a key of the tile
  int head, source, q0, start, length, end_head, visible;  // source: -1 own, else the child; visible: as in KeyTiles, for q0 = 0

  __device__ __forceinline__ QueryTiles(const Params& p, const Segment& s, int kv0, int first_head, int heads, int cols) : p(p), s(s) {
    first_own = p.causal ? max(0, kv0 - (s.kv_len - s.q_len)) / cols * cols : 0;
    head = first_head, end_head = head + heads, source = -2;
    length = q0 = 0;
    settle();
  }
  __device__ __forceinline__ bool done() const { return head == end_head; }
  __device__ __forceinline__ void next(int cols) {
    q0 += cols;
    settle();
  }
  __device__ __forceinline__ void settle() {
    while (q0 >= length) {
      source = source == -2 ? -1 : source == -1 ? s.child_begin : source + 1;
      if (source >= s.child_end && source >= 0) {
        if (++head == end_head) return;
        source = -1;
      }
      if (source == -1) {
        start = s.q_start, length = s.q_len, q0 = first_own;
      } else {
        start = p.segments[source * 8 + 0], length = p.segments[source * 8 + 1], q0 = 0;
        if (!inside(start, length, p.q_tokens)) length = 0;
      }
    }
  }
};

// A tile of keys. `split`: it has a block for each query head, whose sums go to `parts`.
struct KeyBlock {
  Segment s;
  int kv0;
  bool exists, split;
};
template <class E>
__device__ __forceinline__ KeyBlock key_block(const Params& p) {
  KeyBlock block{read_segment(p.segments, blockIdx.x / p.tiles, p.n_segments, p.q_tokens, p.kv_tokens), 0, false, false};
  block.kv0 = (int)(blockIdx.x % p.tiles) * E::kRows;
  block.exists = block.s.good && block.kv0 < block.s.kv_len;
  block.split = p.parts && block.s.child_begin < block.s.child_end;
  return block;
}
// The part of a query head for a key; of dk where which is 0, of dv where it is 1.
__device__ __forceinline__ float* part_row(const Params& p, int which, int head, int64_t token) {
  return p.parts + (((int64_t)which * p.heads + head) * p.kv_tokens + token) * p.dim;
}
template <class E, class Line>
__device__ __forceinline__ void store_part(typename E::Acc& acc, Line&& line, int dim) {
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) {
    float* to = line(i);
    if (!to) continue;
#pragma unroll
    for (int j = 0; j < E::kAccCols; j++)
      if (E::acc_col(j) < dim) to[E::acc_col(j)] = acc.at(i, j);
  }
}

template <class E>
__global__ void __launch_bounds__(E::kThreads, 1) attention_bwd_keys(Params p) {
  using T = typename E::T;
  const KeyBlock at = key_block<E>(p);
  const Segment& s = at.s;
  // With parts, grids count query heads; a tile that is not split leaves them all to the first of its group.
  const int first_head = p.parts ? (int)blockIdx.y : (int)blockIdx.y * p.group, kv_head = first_head / p.group, kv0 = at.kv0;
  if (!at.exists || (!at.split && first_head % p.group != 0)) return;
  const int rows = min(E::kRows, s.kv_len - kv0);
  const int64_t token = s.kv_start + kv0;
  KEDGE_DYNAMIC_SHARED(T, shared);
  constexpr int kTile = E::kCols * E::kStride;
  __shared__ float lse2[2][E::kCols], delta[2][E::kCols];
  T *keys = shared, *values = keys + E::kRows * E::kStride, *queries = values + E::kRows * E::kStride, *douts = queries + 2 * kTile;
  float* scratch = reinterpret_cast<float*>(douts + 2 * kTile);
  const T *q = static_cast<const T*>(p.q), *dout = static_cast<const T*>(p.dout);
  QueryTiles fetched(p, s, kv0, first_head, at.split ? 1 : p.group, E::kCols), tile = fetched;
  int fetches = 0;
  // Starts the copy of the next tile of queries, with lse and delta of its rows, into the stage that is free.
  auto fetch = [&] {
    if (!fetched.done()) {
      const int stage = fetches++ % 2, count = min(E::kCols, fetched.length - fetched.q0), column = fetched.head * p.dim;
      const int64_t first = fetched.start + fetched.q0;
      load_rows<E, E::kCols>(queries + stage * kTile, q + column, p.q_stride, first, count, p.dim, p.wide);
      load_rows<E, E::kCols>(douts + stage * kTile, dout + column, p.dout_stride, first, count, p.dim, p.wide);
      if (threadIdx.x < E::kCols) {
        const bool exists = (int)threadIdx.x < count;
        lse2[stage][threadIdx.x] = exists ? lse2_of(p.lse[(first + threadIdx.x) * p.heads + fetched.head]) : INFINITY;
        delta[stage][threadIdx.x] = exists ? p.delta[(first + threadIdx.x) * p.heads + fetched.head] : 0.f;
      }
      fetched.next(E::kCols);
    }
    copy_async_commit();
  };
  load_rows<E, E::kRows>(keys, static_cast<const T*>(p.k) + kv_head * p.dim, p.k_stride, token, rows, p.dim, p.wide);
  load_rows<E, E::kRows>(values, static_cast<const T*>(p.v) + kv_head * p.dim, p.v_stride, token, rows, p.dim, p.wide);
  fetch();

  typename E::Acc dk, dv;
  clear<E>(dk);
  clear<E>(dv);
  for (int t = 0; !tile.done(); t++, tile.next(E::kCols)) {
    fetch();
    copy_async_wait<1>();
    __syncthreads();
    if (E::first_row() < rows) {
      const int stage = t % 2, count = tile.length - tile.q0;
      // Own query q0 + j sees key kv0 + i if kv0 + i <= q0 + j + kv_len - q_len.
      const int visible = tile.source == -1 && p.causal ? tile.q0 + s.kv_len - s.q_len - kv0 : INT_MAX / 2;
      typename E::Scores prob, ds;
      E::scores(prob, keys, queries + stage * kTile);
#pragma unroll
      for (int j = 0; j < E::kScoreCols; j++) {
        const float lse = lse2[stage][E::col(j)];
#pragma unroll
        for (int i = 0; i < E::kScoreRows; i++)
          prob.at(i, j) = E::col(j) < count && E::row(i) <= E::col(j) + visible ? exp2f(prob.at(i, j) * p.scale2 - lse) : 0.f;
      }
      E::accumulate(dv, prob, douts + stage * kTile, scratch);
      E::scores(ds, values, douts + stage * kTile);
#pragma unroll
      for (int j = 0; j < E::kScoreCols; j++) {
        const float d = delta[stage][E::col(j)];
#pragma unroll
        for (int i = 0; i < E::kScoreRows; i++) ds.at(i, j) = prob.at(i, j) * (ds.at(i, j) - d);
      }
      E::accumulate(dk, ds, queries + stage * kTile, scratch);
    }
    __syncthreads();
  }
  if (at.split) {
    store_part<E>(dk, [&](int i) { return E::row(i) < rows ? part_row(p, 0, first_head, token + E::row(i)) : nullptr; }, p.dim);
    store_part<E>(dv, [&](int i) { return E::row(i) < rows ? part_row(p, 1, first_head, token + E::row(i)) : nullptr; }, p.dim);
    return;
  }
  float factor[E::kScoreRows];
  T *dk_out = static_cast<T*>(p.dk) + token * p.dk_stride + kv_head * p.dim,
    *dv_out = static_cast<T*>(p.dv) + token * p.dv_stride + kv_head * p.dim;
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) factor[i] = p.scale;
  store_rows<E>(dk, factor, [&](int i) { return E::row(i) < rows ? dk_out + E::row(i) * p.dk_stride : nullptr; }, p.dim, p.accumulate & 2);
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) factor[i] = 1.f;
  store_rows<E>(dv, factor, [&](int i) { return E::row(i) < rows ? dv_out + E::row(i) * p.dv_stride : nullptr; }, p.dim, p.accumulate & 4);
}

// Adds up the parts of a group's query heads, in their order.
template <class E>
__global__ void attention_bwd_add_parts(Params p) {
  using T = typename E::T;
  const KeyBlock at = key_block<E>(p);
  if (!at.exists || !at.split) return;
  const int rows = min(E::kRows, at.s.kv_len - at.kv0), kv_head = blockIdx.y, first = kv_head * p.group;
  for (int i = threadIdx.x; i < rows * p.dim; i += blockDim.x) {
    const int64_t token = at.s.kv_start + at.kv0 + i / p.dim;
    const int d = i % p.dim;
    float sums[2] = {0.f, 0.f};
    for (int head = first; head < first + p.group; head++)
#pragma unroll
      for (int which = 0; which < 2; which++) sums[which] += part_row(p, which, head, token)[d];
    T *dk = static_cast<T*>(p.dk) + token * p.dk_stride + kv_head * p.dim + d,
      *dv = static_cast<T*>(p.dv) + token * p.dv_stride + kv_head * p.dim + d;
    *dk = from_float<T>(sums[0] * p.scale + (p.accumulate & 2 ? to_float(*dk) : 0.f));
    *dv = from_float<T>(sums[1] + (p.accumulate & 4 ? to_float(*dv) : 0.f));
  }
}

// The most bytes of parts. Where they would take more, there are tiles enough for all multiprocessors.
constexpr int64_t kPartBytes = int64_t(256) << 20;

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_attention_bwd(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape,
                            KEDGE_IN const kedge_attention_gradients* gradients, void* dq, void* dk, void* dv, const void* dout,
                            const void* q, const void* k, const void* v, const void* out, const float* lse, const int32_t* segments,
                            kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_packed(shape, segments, kHeadStep, status));
  const kedge_attention_shape& x = *shape;
  KEDGE_TRY(check_attention_bwd(x, gradients, dq, dk, dv, dout, q, k, v, out, lse, status));
  const kedge_attention_gradients& g = *gradients;
  KEDGE_TRY(check_head_grid(x.heads, status));
  KEDGE_TRY(check_tiles("max_q", x.max_q, x.n_segments, status));
  KEDGE_TRY(check_tiles("max_kv", x.max_kv, x.n_segments, status));
  const int64_t q_width = x.heads * x.head_dim, kv_width = x.kv_heads * x.head_dim;
  const int64_t q_tiles = ceil_div<int64_t>(x.max_q, 64), kv_tiles = ceil_div<int64_t>(x.max_kv, 64);
  const int64_t delta_bytes = ceil_div<int64_t>(x.q_tokens * x.heads * 4, 256) * 256;
  const int64_t part_bytes = 2 * 4 * x.heads * x.kv_tokens * x.head_dim;
  const bool split = x.heads > x.kv_heads && part_bytes <= kPartBytes;
  KEDGE_REQUIRE_WORKSPACE(delta_bytes + (split ? part_bytes : 0));
  KEDGE_SET_DEVICE();
  const cudaStream_t stream = stream_of(ctx);
  KEDGE_TRY(with_engine(dtype, x.head_dim, [&](auto engine) -> int32_t {
    using E = decltype(engine);
    using T = typename E::T;
    if (!(g.accumulate & 1)) launch_fill_rows<T>(dq, g.dq_stride, x.q_tokens, q_width, 0.f, stream);
    if (!(g.accumulate & 2)) launch_fill_rows<T>(dk, g.dk_stride, x.kv_tokens, kv_width, 0.f, stream);
    if (!(g.accumulate & 4)) launch_fill_rows<T>(dv, g.dv_stride, x.kv_tokens, kv_width, 0.f, stream);
    if (x.q_tokens * x.n_segments == 0) return KEDGE_OK;
    const bool wide = vector_rows<T>(q, x.q_stride) && vector_rows<T>(k, x.k_stride) && vector_rows<T>(v, x.v_stride) &&
                      vector_rows<T>(dout, g.dout_stride);
    float *delta = static_cast<float*>(ctx->workspace), *parts = split ? delta + delta_bytes / 4 : nullptr;
    Params p{packed_params(x, q, k, segments, q_tiles, wide), v, out, dout, dq, dk, dv, lse, delta, parts, x.v_stride, x.out_stride,
             g.dout_stride, g.dq_stride, g.dk_stride, g.dv_stride, (float)x.scale, g.accumulate};
    KEDGE_LAUNCH((attention_delta<T>), (unsigned)ceil_div<int64_t>(x.q_tokens * x.heads, 8), 256, 0, stream, p);
    if (q_tiles > 0)
      KEDGE_LAUNCH_SHARED((attention_bwd_queries<E>), dim3((unsigned)(q_tiles * x.n_segments), (unsigned)x.heads), E::kThreads,
                          kSharedBytes<E>, stream, p);
    p.tiles = (int)kv_tiles;
    if (kv_tiles > 0)
      KEDGE_LAUNCH_SHARED((attention_bwd_keys<E>), dim3((unsigned)(kv_tiles * x.n_segments), (unsigned)(split ? x.heads : x.kv_heads)),
                          E::kThreads, kSharedBytes<E>, stream, p);
    if (kv_tiles > 0 && split)
      KEDGE_LAUNCH((attention_bwd_add_parts<E>), dim3((unsigned)(kv_tiles * x.n_segments), (unsigned)x.kv_heads), 256, 0, stream, p);
    return KEDGE_OK;
  }));
  return finish("kedge_attention_bwd", status);
}
