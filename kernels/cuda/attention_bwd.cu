// Attention backward over packed segments with shared prefixes (kedge.h), with P = exp(scale q k^T - lse), delta = sum_d out dout and
// dS = P (dout v^T - delta): dq = scale dS k, dk = scale dS^T q, dv = P^T dout. Three kernels, no atomics:
//   delta: a warp per query row and head;
//   by queries: a block per tile of 64 queries and query head walks the keys that it sees, as the forward does, and gives dq;
//   by keys: a block per tile of 64 keys and key head walks the queries that see it, for each query head of its group the segment's own,
//   then those of its children in their order, and gives dk and dv. A shared prefix's gradient is thus one sum in a fixed order over all
//   its suffixes.
#include "attention.cuh"

namespace kedge {
namespace {

struct Params {
  const void *q, *k, *v, *out, *dout;
  void *dq, *dk, *dv;
  const float* lse;
  float* delta;  // [q_tokens, heads]
  const int32_t* segments;
  int64_t q_stride, k_stride, v_stride, out_stride, dout_stride, dq_stride, dk_stride, dv_stride, n_segments, q_tokens, kv_tokens;
  int tiles, heads, group, dim;
  float scale, scale2;  // scale2: scale * log2(e)
  bool causal, wide;
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
  const Segment s = read_segment(p.segments, blockIdx.x / p.tiles, p.n_segments, p.q_tokens, p.kv_tokens);
  const int q0 = (p.tiles - 1 - (int)(blockIdx.x % p.tiles)) * E::kRows, head = blockIdx.y;
  if (!s.q_good || q0 >= s.q_len) return;
  const int rows = min(E::kRows, s.q_len - q0);
  const int64_t token = s.q_start + q0;
  T* dq = static_cast<T*>(p.dq) + token * p.dq_stride + head * p.dim;
  if (!s.good) {
    for (int i = threadIdx.x; i < rows * p.dim; i += E::kThreads) dq[i / p.dim * p.dq_stride + i % p.dim] = from_float<T>(NAN);
    return;
  }
  KEDGE_DYNAMIC_SHARED(T, shared);
  constexpr int kTile = E::kCols * E::kStride;
  T *queries = shared, *douts = queries + E::kRows * E::kStride, *keys = douts + E::kRows * E::kStride, *values = keys + 2 * kTile;
  float* scratch = reinterpret_cast<float*>(values + 2 * kTile);
  const T *k = static_cast<const T*>(p.k) + head / p.group * p.dim, *v = static_cast<const T*>(p.v) + head / p.group * p.dim;
  const KeyTiles tiles(s, q0, rows, p.causal, E::kCols);
  auto fetch = [&](int t) {
    if (t < tiles.tiles) {
      const KeyTiles::Tile tile = tiles.tile(t, E::kCols);
      load_tile<E, E::kCols>(
          keys + t % 2 * kTile, [&](int i) { return k + (tile.start + (int64_t)i) * p.k_stride; }, tile.count, p.dim, p.wide);
      load_tile<E, E::kCols>(
          values + t % 2 * kTile, [&](int i) { return v + (tile.start + (int64_t)i) * p.v_stride; }, tile.count, p.dim, p.wide);
    }
    copy_async_commit();
  };
  const T *q = static_cast<const T*>(p.q) + token * p.q_stride + head * p.dim,
          *dout = static_cast<const T*>(p.dout) + token * p.dout_stride + head * p.dim;
  load_tile<E, E::kRows>(queries, [&](int i) { return q + i * p.q_stride; }, rows, p.dim, p.wide);
  load_tile<E, E::kRows>(douts, [&](int i) { return dout + i * p.dout_stride; }, rows, p.dim, p.wide);
  fetch(0);

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
    fetch(t + 1);
    copy_async_wait<1>();
    __syncthreads();
    if (E::first_row() < rows) {
      const KeyTiles::Tile tile = tiles.tile(t, E::kCols);
      typename E::Scores s, ds;
      E::scores(s, queries, keys + t % 2 * kTile);
      E::scores(ds, douts, values + t % 2 * kTile);
#pragma unroll
      for (int i = 0; i < E::kScoreRows; i++)
#pragma unroll
        for (int j = 0; j < E::kScoreCols; j++) {
          const bool seen = E::col(j) < tile.count && E::col(j) <= E::row(i) + tile.visible;
          ds.at(i, j) = seen ? exp2f(s.at(i, j) * p.scale2 - lse2[i]) * (ds.at(i, j) - delta[i]) : 0.f;
        }
      E::accumulate(acc, ds, keys + t % 2 * kTile, scratch);
    }
    __syncthreads();
  }
  store_rows<E>(acc, factor, [&](int i) { return E::row(i) < rows ? dq + E::row(i) * p.dq_stride : nullptr; }, p.dim, p.accumulate & 1);
}

// The tiles of queries that see a tile of keys, in order: for each query head of the group the segment's own, then each child's.
struct QueryTiles {
  const Params& p;
  const Segment& s;
  int first_own;                                           // the first own query (a multiple of the tile) that sees a key of the tile
  int head, source, q0, start, length, end_head, visible;  // source: -1 own, else the child; visible: as in KeyTiles, for q0 = 0

  __device__ __forceinline__ QueryTiles(const Params& p, const Segment& s, int kv0, int kv_head, int cols) : p(p), s(s) {
    first_own = p.causal ? max(0, kv0 - (s.kv_len - s.q_len)) / cols * cols : 0;
    head = kv_head * p.group, end_head = head + p.group, source = -2;
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

template <class E>
__global__ void __launch_bounds__(E::kThreads, 1) attention_bwd_keys(Params p) {
  using T = typename E::T;
  const Segment s = read_segment(p.segments, blockIdx.x / p.tiles, p.n_segments, p.q_tokens, p.kv_tokens);
  const int kv0 = (int)(blockIdx.x % p.tiles) * E::kRows, kv_head = blockIdx.y;
  if (!s.good || kv0 >= s.kv_len) return;
  const int rows = min(E::kRows, s.kv_len - kv0);
  const int64_t token = s.kv_start + kv0;
  KEDGE_DYNAMIC_SHARED(T, shared);
  constexpr int kTile = E::kCols * E::kStride;
  __shared__ float lse2[2][E::kCols], delta[2][E::kCols];
  T *keys = shared, *values = keys + E::kRows * E::kStride, *queries = values + E::kRows * E::kStride, *douts = queries + 2 * kTile;
  float* scratch = reinterpret_cast<float*>(douts + 2 * kTile);
  const T *q = static_cast<const T*>(p.q), *dout = static_cast<const T*>(p.dout);
  QueryTiles fetched(p, s, kv0, kv_head, E::kCols), tile = fetched;
  int fetches = 0;
  auto fetch = [&] {
    if (!fetched.done()) {
      const int stage = fetches++ % 2, count = min(E::kCols, fetched.length - fetched.q0), column = fetched.head * p.dim;
      const int64_t first = fetched.start + fetched.q0;
      load_tile<E, E::kCols>(queries + stage * kTile, [&](int i) { return q + (first + i) * p.q_stride + column; }, count, p.dim, p.wide);
      load_tile<E, E::kCols>(
          douts + stage * kTile, [&](int i) { return dout + (first + i) * p.dout_stride + column; }, count, p.dim, p.wide);
      if (threadIdx.x < E::kCols) {
        const bool exists = (int)threadIdx.x < count;
        lse2[stage][threadIdx.x] = exists ? lse2_of(p.lse[(first + threadIdx.x) * p.heads + fetched.head]) : INFINITY;
        delta[stage][threadIdx.x] = exists ? p.delta[(first + threadIdx.x) * p.heads + fetched.head] : 0.f;
      }
      fetched.next(E::kCols);
    }
    copy_async_commit();
  };
  const T *k = static_cast<const T*>(p.k) + token * p.k_stride + kv_head * p.dim,
          *v = static_cast<const T*>(p.v) + token * p.v_stride + kv_head * p.dim;
  load_tile<E, E::kRows>(keys, [&](int i) { return k + i * p.k_stride; }, rows, p.dim, p.wide);
  load_tile<E, E::kRows>(values, [&](int i) { return v + i * p.v_stride; }, rows, p.dim, p.wide);
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

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_attention_bwd(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape,
                            KEDGE_IN const kedge_attention_gradients* gradients, void* dq, void* dk, void* dv, const void* dout,
                            const void* q, const void* k, const void* v, const void* out, const float* lse, const int32_t* segments,
                            kedge_status* status) {
  if (int32_t e = check_heads(dtype, shape, status)) return e;
  KEDGE_REQUIRE(gradients, "gradients is NULL");
  const kedge_attention_shape& x = *shape;
  const kedge_attention_gradients& g = *gradients;
  const int64_t q_width = x.heads * x.head_dim, kv_width = x.kv_heads * x.head_dim;
  if (int32_t e = check_segment_counts(x, status)) return e;
  KEDGE_REQUIRE_STRIDE(g, dq_stride, q_width);
  KEDGE_REQUIRE_STRIDE(g, dk_stride, kv_width);
  KEDGE_REQUIRE_STRIDE(g, dv_stride, kv_width);
  KEDGE_REQUIRE_STRIDE(g, dout_stride, q_width);
  KEDGE_REQUIRE_STRIDE(x, q_stride, q_width);
  KEDGE_REQUIRE_STRIDE(x, k_stride, kv_width);
  KEDGE_REQUIRE_STRIDE(x, v_stride, kv_width);
  KEDGE_REQUIRE_STRIDE(x, out_stride, q_width);
  KEDGE_REQUIRE(
      (x.q_tokens == 0 || (dq && dout && q && out && lse)) && (x.kv_tokens == 0 || (dk && dv && k && v)) && (x.n_segments == 0 || segments),
      "an array is NULL");
  const int64_t q_tiles = ceil_div<int64_t>(x.max_q, 64), kv_tiles = ceil_div<int64_t>(x.max_kv, 64);
  KEDGE_REQUIRE(q_tiles * x.n_segments <= INT_MAX && kv_tiles * x.n_segments <= INT_MAX, "max_q, max_kv are %lld, %lld with %lld segments",
                (long long)x.max_q, (long long)x.max_kv, (long long)x.n_segments);
  KEDGE_REQUIRE_WORKSPACE(x.q_tokens * x.heads * 4);
  KEDGE_SET_DEVICE();
  const cudaStream_t stream = stream_of(ctx);
  with_engine(dtype, x.head_dim, [&](auto engine) {
    using E = decltype(engine);
    using T = typename E::T;
    if (!(g.accumulate & 1)) launch_fill_rows<T>(dq, g.dq_stride, x.q_tokens, q_width, 0.f, stream);
    if (!(g.accumulate & 2)) launch_fill_rows<T>(dk, g.dk_stride, x.kv_tokens, kv_width, 0.f, stream);
    if (!(g.accumulate & 4)) launch_fill_rows<T>(dv, g.dv_stride, x.kv_tokens, kv_width, 0.f, stream);
    if (x.q_tokens * x.n_segments == 0) return;
    const bool wide = vector_rows<T>(q, x.q_stride) && vector_rows<T>(k, x.k_stride) && vector_rows<T>(v, x.v_stride) &&
                      vector_rows<T>(dout, g.dout_stride);
    Params p{q,
             k,
             v,
             out,
             dout,
             dq,
             dk,
             dv,
             lse,
             static_cast<float*>(ctx->workspace),
             segments,
             x.q_stride,
             x.k_stride,
             x.v_stride,
             x.out_stride,
             g.dout_stride,
             g.dq_stride,
             g.dk_stride,
             g.dv_stride,
             x.n_segments,
             x.q_tokens,
             x.kv_tokens,
             (int)q_tiles,
             (int)x.heads,
             (int)(x.heads / x.kv_heads),
             (int)x.head_dim,
             (float)x.scale,
             (float)(x.scale * 1.4426950408889634),
             x.causal != 0,
             wide,
             g.accumulate};
    KEDGE_LAUNCH((attention_delta<T>), (unsigned)ceil_div<int64_t>(x.q_tokens * x.heads, 8), 256, 0, stream, p);
    if (q_tiles > 0)
      KEDGE_LAUNCH_SHARED((attention_bwd_queries<E>), dim3((unsigned)(q_tiles * x.n_segments), (unsigned)x.heads), E::kThreads,
                          kSharedBytes<E>, stream, p);
    p.tiles = (int)kv_tiles;
    if (kv_tiles > 0)
      KEDGE_LAUNCH_SHARED((attention_bwd_keys<E>), dim3((unsigned)(kv_tiles * x.n_segments), (unsigned)x.kv_heads), E::kThreads,
                          kSharedBytes<E>, stream, p);
  });
  return finish("kedge_attention_bwd", status);
}
