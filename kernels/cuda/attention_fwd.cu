// Attention forward over packed segments with shared prefixes (kedge.h): out = softmax(scale q k^T) v, lse. One block per tile of 64
// queries of a segment and query head, which walks the keys it sees, the parent's first, then its own, in tiles, with a running maximum and
// sum (Dao, arXiv 2307.08691). Tiles start at the segment's first query and at the first key of each part, so that a row's bits depend on
// its segment and its parent alone. Keys and values of the next tile are copied into the other half of shared memory meanwhile.
#include "attention.cuh"

namespace kedge {
namespace {

struct Params : PackedParams {
  const void* v;
  void* out;
  float* lse;
  int64_t v_stride, out_stride;
};

template <class E>
constexpr int64_t kSharedBytes = int64_t(E::kRows + 4 * E::kCols) * E::kStride * sizeof(typename E::T) + E::kScratchBytes;

template <class E>
__global__ void __launch_bounds__(E::kThreads, 2) attention_fwd(Params p) {
  using T = typename E::T;
  const QueryTile at = query_tile<E>(p);
  if (!at.exists) return;
  const int rows = at.rows, head = blockIdx.y;
  T* out = static_cast<T*>(p.out) + at.token * p.out_stride + head * p.dim;
  float* lse = p.lse + at.token * p.heads + head;
  if (!at.s.good) {
    write_nan<E>(out, p.out_stride, rows, p.dim);
    for (int i = threadIdx.x; i < rows; i += E::kThreads) lse[(int64_t)i * p.heads] = NAN;
    return;
  }
  KEDGE_DYNAMIC_SHARED(T, shared);
  using Stages = KeyStages<E, true>;
  T *queries = shared, *keys = queries + E::kRows * E::kStride, *values = keys + 2 * Stages::kTile;
  float* scratch = reinterpret_cast<float*>(values + 2 * Stages::kTile);
  const int64_t column = head / p.group * p.dim;
  const Stages stages{keys, values, static_cast<const T*>(p.k) + column, static_cast<const T*>(p.v) + column};
  const KeyTiles tiles(at.s, at.q0, rows, p.causal, E::kCols);
  load_rows<E, E::kRows>(queries, static_cast<const T*>(p.q) + head * p.dim, p.q_stride, at.token, rows, p.dim, p.wide);
  stages.fetch(p, tiles, 0);

  typename E::Acc acc;
  clear<E>(acc);
  float high[E::kScoreRows], sum[E::kScoreRows], alpha[E::kScoreRows];
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) high[i] = -INFINITY, sum[i] = 0.f;
  for (int t = 0; t < tiles.tiles; t++) {
    stages.fetch(p, tiles, t + 1);
    copy_async_wait<1>();  // all but the copies just started have arrived: tile t is here
    __syncthreads();       // and what other threads copied of it is seen
    if (E::first_row() < rows) {
      const KeyTile tile = tiles.tile(t, E::kCols);
      typename E::Scores s;
      E::scores(s, queries, stages.key_tile(t));
#pragma unroll
      for (int i = 0; i < E::kScoreRows; i++)
#pragma unroll
        for (int j = 0; j < E::kScoreCols; j++)
          s.at(i, j) = tile.sees(E::row(i), E::col(j)) ? s.at(i, j) * p.scale2 : -INFINITY;
      softmax_step<E>(s, high, sum, alpha);
      scale_rows<E>(acc, alpha);
      E::accumulate(acc, s, stages.value_tile(t), scratch);
    }
    __syncthreads();  // all have read tile t: the next copy may overwrite it
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
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_packed(shape, segments, kHeadStep, status));
  const kedge_attention_shape& x = *shape;
  KEDGE_TRY(check_attention_fwd(x, out, lse, q, k, v, status));
  KEDGE_TRY(check_head_grid(x.heads, status));
  KEDGE_TRY(check_tiles("max_q", x.max_q, x.n_segments, status));
  if (x.q_tokens == 0) return ok(status);
  const int64_t q_tiles = ceil_div<int64_t>(x.max_q, 64), q_width = x.heads * x.head_dim;
  KEDGE_SET_DEVICE();
  const cudaStream_t stream = stream_of(ctx);
  KEDGE_TRY(with_engine(dtype, x.head_dim, [&](auto engine) -> int32_t {
    using E = decltype(engine);
    using T = typename E::T;
    launch_fill_rows<T>(out, x.out_stride, x.q_tokens, q_width, 0.f, stream);
    launch_fill_rows<float>(lse, x.heads, x.q_tokens, x.heads, -INFINITY, stream);
    if (q_tiles * x.n_segments == 0) return KEDGE_OK;
    const bool wide = vector_rows<T>(q, x.q_stride) && vector_rows<T>(k, x.k_stride) && vector_rows<T>(v, x.v_stride);
    const Params p{packed_params(x, q, k, segments, q_tiles, wide), v, out, lse, x.v_stride, x.out_stride};
    KEDGE_LAUNCH_SHARED((attention_fwd<E>), dim3((unsigned)(q_tiles * x.n_segments), (unsigned)x.heads), E::kThreads, kSharedBytes<E>,
                        stream, p);
    return KEDGE_OK;
  }));
  return finish("kedge_attention_fwd", status);
}
