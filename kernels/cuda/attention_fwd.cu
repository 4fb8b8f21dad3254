// Attention forward over packed segments with shared prefixes (kedge.h): out = softmax(scale q k^T) v, lse. One block per tile of 64
// queries of a segment and query head, which walks the keys it sees, the parent's first, then its own, in tiles, with a running maximum and
// sum (Dao, arXiv 2307.08691). Tiles start at the segment's first query and at the first key of each part, so that a row's bits depend on
// its segment and its parent alone. Keys and values of the next tile are copied into the other half of shared memory meanwhile.
#include "attention.cuh"

namespace kedge {
namespace {

struct Params {
  const void *q, *k, *v;
  void* out;
  float* lse;
  const int32_t* segments;
  int64_t q_stride, k_stride, v_stride, out_stride, n_segments, q_tokens, kv_tokens;
  int q_tiles, heads, group, dim;  // group: query heads per key head
  float scale2;                    // scale * log2(e)
  bool causal, wide;
};

template <class E>
constexpr int64_t kSharedBytes = int64_t(E::kRows + 4 * E::kCols) * E::kStride * sizeof(typename E::T) + E::kScratchBytes;

template <class E>
__global__ void __launch_bounds__(E::kThreads, 2) attention_fwd(Params p) {
  using T = typename E::T;
  const Segment s = read_segment(p.segments, blockIdx.x / p.q_tiles, p.n_segments, p.q_tokens, p.kv_tokens);
  const int q0 = (p.q_tiles - 1 - (int)(blockIdx.x % p.q_tiles)) * E::kRows, head = blockIdx.y;  // the longest rows first
  if (!s.q_good || q0 >= s.q_len) return;
  const int rows = min(E::kRows, s.q_len - q0);
  const int64_t token = s.q_start + q0;
  T* out = static_cast<T*>(p.out) + token * p.out_stride + head * p.dim;
  float* lse = p.lse + token * p.heads + head;
  if (!s.good) {
    for (int i = threadIdx.x; i < rows * p.dim; i += E::kThreads) out[i / p.dim * p.out_stride + i % p.dim] = from_float<T>(NAN);
    for (int i = threadIdx.x; i < rows; i += E::kThreads) lse[(int64_t)i * p.heads] = NAN;
    return;
  }
  KEDGE_DYNAMIC_SHARED(T, shared);
  constexpr int kTile = E::kCols * E::kStride;
  T *queries = shared, *keys = queries + E::kRows * E::kStride, *values = keys + 2 * kTile;
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
  const T* q = static_cast<const T*>(p.q) + token * p.q_stride + head * p.dim;
  load_tile<E, E::kRows>(queries, [&](int i) { return q + i * p.q_stride; }, rows, p.dim, p.wide);
  fetch(0);

  typename E::Acc acc;
  clear<E>(acc);
  float high[E::kScoreRows], sum[E::kScoreRows], alpha[E::kScoreRows];
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) high[i] = -INFINITY, sum[i] = 0.f;
  for (int t = 0; t < tiles.tiles; t++) {
    fetch(t + 1);
    copy_async_wait<1>();
    __syncthreads();
    if (E::first_row() < rows) {
      const KeyTiles::Tile tile = tiles.tile(t, E::kCols);
      typename E::Scores s;
      E::scores(s, queries, keys + t % 2 * kTile);
#pragma unroll
      for (int i = 0; i < E::kScoreRows; i++)
#pragma unroll
        for (int j = 0; j < E::kScoreCols; j++)
          s.at(i, j) = E::col(j) < tile.count && E::col(j) <= E::row(i) + tile.visible ? s.at(i, j) * p.scale2 : -INFINITY;
      softmax_step<E>(s, high, sum, alpha);
      scale_rows<E>(acc, alpha);
      E::accumulate(acc, s, values + t % 2 * kTile, scratch);
    }
    __syncthreads();
  }
  float factor[E::kScoreRows];
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) {
    const float total = row_sum<E>(sum[i]);
    factor[i] = total == 0.f ? 0.f : 1.f / total;
    if (threadIdx.x % E::kLanes == 0 && E::row(i) < rows)
      lse[(int64_t)E::row(i) * p.heads] = total == 0.f ? -INFINITY : (high[i] + log2f(total)) * kLn2;
  }
  store_rows<E>(acc, factor, [&](int i) { return E::row(i) < rows ? out + E::row(i) * p.out_stride : nullptr; }, p.dim, false);
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_attention_fwd(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape, void* out, float* lse,
                            const void* q, const void* k, const void* v, const int32_t* segments, kedge_status* status) {
  if (int32_t e = check_heads(dtype, shape, status)) return e;
  const kedge_attention_shape& x = *shape;
  const int64_t q_width = x.heads * x.head_dim, kv_width = x.kv_heads * x.head_dim;
  if (int32_t e = check_segment_counts(x, status)) return e;
  KEDGE_REQUIRE_STRIDE(x, out_stride, q_width);
  KEDGE_REQUIRE_STRIDE(x, q_stride, q_width);
  KEDGE_REQUIRE_STRIDE(x, k_stride, kv_width);
  KEDGE_REQUIRE_STRIDE(x, v_stride, kv_width);
  if (x.q_tokens == 0) return ok(status);
  KEDGE_REQUIRE(out && lse && q && (x.kv_tokens == 0 || (k && v)) && (x.n_segments == 0 || segments), "an array is NULL");
  const int64_t q_tiles = ceil_div<int64_t>(x.max_q, 64);
  KEDGE_REQUIRE(q_tiles * x.n_segments <= INT_MAX, "max_q is %lld with %lld segments", (long long)x.max_q, (long long)x.n_segments);
  KEDGE_SET_DEVICE();
  const cudaStream_t stream = stream_of(ctx);
  with_engine(dtype, x.head_dim, [&](auto engine) {
    using E = decltype(engine);
    using T = typename E::T;
    launch_fill_rows<T>(out, x.out_stride, x.q_tokens, q_width, 0.f, stream);
    launch_fill_rows<float>(lse, x.heads, x.q_tokens, x.heads, -INFINITY, stream);
    if (q_tiles * x.n_segments == 0) return;
    const Params p{q,
                   k,
                   v,
                   out,
                   lse,
                   segments,
                   x.q_stride,
                   x.k_stride,
                   x.v_stride,
                   x.out_stride,
                   x.n_segments,
                   x.q_tokens,
                   x.kv_tokens,
                   (int)q_tiles,
                   (int)x.heads,
                   (int)(x.heads / x.kv_heads),
                   (int)x.head_dim,
                   (float)(x.scale * 1.4426950408889634),
                   x.causal != 0,
                   vector_rows<T>(q, x.q_stride) && vector_rows<T>(k, x.k_stride) && vector_rows<T>(v, x.v_stride)};
    KEDGE_LAUNCH_SHARED((attention_fwd<E>), dim3((unsigned)(q_tiles * x.n_segments), (unsigned)x.heads), E::kThreads, kSharedBytes<E>,
                        stream, p);
  });
  return finish("kedge_attention_fwd", status);
}
