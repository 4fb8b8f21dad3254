// Connectivity from a forward's q, k, lse (kedge.h; docs/method.md section 1). A block takes a tile of 64 queries of a segment and a share
// of the query heads (at most 4 shares, fixed by the number of heads), walks the keys as the forward does, and sums the probabilities
// exp(scale q.k - lse) per row and region, head by head. Each share writes sums of its own; a last kernel adds them in order.
#include "region_sums.cuh"

namespace kedge {
namespace {

constexpr int kShares = 4;

struct Params {
  const void *q, *k;
  const float* lse;
  const int32_t *region, *row_out, *segments;
  float *sums, *profiles;  // [shares, rows_out, 2 + width]; [shares, rows_out, width] where the profiles do not fit in shared memory
  int64_t q_stride, k_stride, rows_out, n_segments, q_tokens, kv_tokens;
  int q_tiles, heads, group, dim, regions, width, shares;  // width: regions, or 0 where no profile is wanted
  float scale2;
  bool causal, wide, renorm;
};

constexpr int shared_width(int width) { return width <= kRegionsShared ? width | 1 : 0; }  // odd: rows start in different banks
template <class E>
int64_t shared_bytes(int width) {
  return int64_t(E::kRows + 2 * E::kCols) * E::kStride * sizeof(typename E::T) +
         (E::kRows * (E::kCols + 1 + shared_width(width)) + E::kCols) * 4;
}

template <class E>
__global__ void __launch_bounds__(E::kThreads, 2) connectivity(Params p) {
  using T = typename E::T;
  const Segment s = read_segment(p.segments, blockIdx.x / p.q_tiles, p.n_segments, p.q_tokens, p.kv_tokens);
  const int q0 = (p.q_tiles - 1 - (int)(blockIdx.x % p.q_tiles)) * E::kRows, share = blockIdx.y;
  if (!s.q_good || q0 >= s.q_len) return;
  const int rows = min(E::kRows, s.q_len - q0), mine = threadIdx.x;
  const int64_t token = s.q_start + q0, row = mine < rows ? p.row_out[token + mine] : -1;
  const bool wanted = row >= 0 && row < p.rows_out;
  if (!__syncthreads_or(wanted)) return;
  float* sums = p.sums + (share * p.rows_out + (wanted ? row : 0)) * (2 + p.width);
  if (!s.good) {
    for (int r = 0; wanted && r < 2 + p.width; r++) sums[r] = NAN;
    return;
  }
  KEDGE_DYNAMIC_SHARED(T, shared);
  constexpr int kTile = E::kCols * E::kStride, kProbStride = E::kCols + 1;
  const int profile_stride = p.width <= kRegionsShared ? p.width | 1 : 0;
  T *queries = shared, *keys = queries + E::kRows * E::kStride;
  float *prob = reinterpret_cast<float*>(keys + 2 * kTile), *profiles = prob + E::kRows * kProbStride;
  int32_t* region = reinterpret_cast<int32_t*>(profiles + E::kRows * profile_stride);
  RegionSums total{0.f, 0.f, nullptr, p.regions};
  if (p.width > 0 && wanted)
    total.profile = profile_stride > 0 ? profiles + mine * profile_stride : p.profiles + (share * p.rows_out + row) * p.width;

  const KeyTiles tiles(s, q0, rows, p.causal, E::kCols);
  for (int head = share * p.heads / p.shares; head < (share + 1) * p.heads / p.shares; head++) {
    const T *q = static_cast<const T*>(p.q) + token * p.q_stride + head * p.dim, *k = static_cast<const T*>(p.k) + head / p.group * p.dim;
    auto fetch = [&](int t) {
      if (t < tiles.tiles) {
        const KeyTiles::Tile tile = tiles.tile(t, E::kCols);
        load_tile<E, E::kCols>(
            keys + t % 2 * kTile, [&](int i) { return k + (tile.start + (int64_t)i) * p.k_stride; }, tile.count, p.dim, p.wide);
      }
      copy_async_commit();
    };
    load_tile<E, E::kRows>(queries, [&](int i) { return q + i * p.q_stride; }, rows, p.dim, p.wide);
    fetch(0);
    float lse2[E::kScoreRows];
#pragma unroll
    for (int i = 0; i < E::kScoreRows; i++) lse2[i] = E::row(i) < rows ? lse2_of(p.lse[(token + E::row(i)) * p.heads + head]) : INFINITY;
    if (wanted) total.clear();
    for (int t = 0; t < tiles.tiles; t++) {
      const KeyTiles::Tile tile = tiles.tile(t, E::kCols);
      fetch(t + 1);
      copy_async_wait<1>();
      __syncthreads();
      if (mine < tile.count) region[mine] = p.region[tile.start + mine];
      if (E::first_row() < rows) {
        typename E::Scores x;
        E::scores(x, queries, keys + t % 2 * kTile);
#pragma unroll
        for (int i = 0; i < E::kScoreRows; i++)
#pragma unroll
          for (int j = 0; j < E::kScoreCols; j++)
            prob[E::row(i) * kProbStride + E::col(j)] =
                E::col(j) < tile.count && E::col(j) <= E::row(i) + tile.visible ? exp2f(x.at(i, j) * p.scale2 - lse2[i]) : 0.f;
      }
      __syncthreads();
      if (wanted) total.add(prob + mine * kProbStride, region, tile.count);
    }
    if (wanted) {
      const float factor = p.renorm ? 1.f / fmaxf(total.n, 0.01f) : 1.f;
      sums[0] += total.m * factor;
      sums[1] += p.renorm ? 1.f : total.n;
      for (int r = 0; r < p.width; r++) sums[2 + r] += total.profile[r] * factor;
    }
  }
}

// mass, profile += the shares' sums, in order.
__global__ void connectivity_add(float* mass, float* profile, const float* sums, int64_t rows_out, int width, int shares) {
  const int64_t n = rows_out * (2 + width);
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) {
    float sum = 0.f;
    for (int share = 0; share < shares; share++) sum += sums[share * n + i];
    const int64_t row = i / (2 + width), column = i % (2 + width);
    if (column < 2) mass[row * 2 + column] += sum;
    else profile[row * width + column - 2] += sum;
  }
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_connectivity(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape, float* mass,
                           float* profile, const void* q, const void* k, const float* lse, const int32_t* region, const int32_t* row_out,
                           int64_t regions, int64_t rows_out, const int32_t* segments, int32_t renorm, kedge_status* status) {
  if (int32_t e = check_heads(dtype, shape, status)) return e;
  const kedge_attention_shape& x = *shape;
  if (int32_t e = check_segment_counts(x, status)) return e;
  KEDGE_REQUIRE(rows_out >= 0, "rows_out is %lld", (long long)rows_out);
  KEDGE_REQUIRE(regions >= 0 && regions <= INT_MAX / 2, "regions is %lld", (long long)regions);
  KEDGE_REQUIRE(renorm == 0 || renorm == 1, "renorm is %d, neither 0 nor 1", (int)renorm);
  KEDGE_REQUIRE_STRIDE(x, q_stride, x.heads * x.head_dim);
  KEDGE_REQUIRE_STRIDE(x, k_stride, x.kv_heads * x.head_dim);
  if (x.q_tokens == 0 || rows_out == 0) return ok(status);
  KEDGE_REQUIRE(mass && q && lse && row_out && (x.kv_tokens == 0 || (k && region)) && (x.n_segments == 0 || segments), "an array is NULL");
  const int64_t q_tiles = ceil_div<int64_t>(x.max_q, 64);
  KEDGE_REQUIRE(q_tiles * x.n_segments <= INT_MAX, "max_q is %lld with %lld segments", (long long)x.max_q, (long long)x.n_segments);
  if (q_tiles * x.n_segments == 0) return ok(status);
  const int64_t width = profile ? regions : 0, shares = x.heads < kShares ? x.heads : kShares, n_sums = shares * rows_out * (2 + width);
  KEDGE_REQUIRE_WORKSPACE((n_sums + (width > kRegionsShared ? shares * rows_out * width : 0)) * 4);
  KEDGE_SET_DEVICE();
  const cudaStream_t stream = stream_of(ctx);
  float* sums = static_cast<float*>(ctx->workspace);
  const cudaError_t error = cudaMemsetAsync(sums, 0, n_sums * 4, stream);
  if (error != cudaSuccess) return finish("kedge_connectivity", error, status);
  with_engine(dtype, x.head_dim, [&](auto engine) {
    using E = decltype(engine);
    using T = typename E::T;
    const Params p{q,
                   k,
                   lse,
                   region,
                   row_out,
                   segments,
                   sums,
                   sums + n_sums,
                   x.q_stride,
                   x.k_stride,
                   rows_out,
                   x.n_segments,
                   x.q_tokens,
                   x.kv_tokens,
                   (int)q_tiles,
                   (int)x.heads,
                   (int)(x.heads / x.kv_heads),
                   (int)x.head_dim,
                   (int)regions,
                   (int)width,
                   (int)shares,
                   (float)(x.scale * 1.4426950408889634),
                   x.causal != 0,
                   vector_rows<T>(q, x.q_stride) && vector_rows<T>(k, x.k_stride),
                   renorm != 0};
    const int64_t bytes = shared_bytes<E>((int)width);
    KEDGE_LAUNCH_SHARED((connectivity<E>), dim3((unsigned)(q_tiles * x.n_segments), (unsigned)shares), E::kThreads, bytes, stream, p);
  });
  KEDGE_LAUNCH(connectivity_add, grid_for(rows_out * (2 + width), 256), 256, 0, stream, mass, profile, sums, rows_out, (int)width,
               (int)shares);
  return finish("kedge_connectivity", status);
}
