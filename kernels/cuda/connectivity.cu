// Connectivity from a forward's q, k, lse (kedge.h; docs/method.md section 1). A block takes a tile of 64 queries of a segment and a share
// of the query heads (at most 4 shares, fixed by the number of heads), walks the keys as the forward does, and sums the probabilities
// exp(scale q.k - lse) per row and region, head by head. Each share writes sums of its own; a last kernel adds them in order. By head
// (renorm 2), a head's sums go straight to where they belong.
//
// Within a tile, all threads compute the probabilities, each those of its elements of the product, add up their masses and leave them in shared memory; then
// the threads that share a row add up its profile. So each sum has one owner and one order, and needs no atomics.
#include "region_sums.cuh"

namespace kedge {
namespace {

constexpr int kShares = 4;

struct Params : PackedParams {
  const float* lse;
  const int32_t *region, *row_out;
  float *mass, *profile;
  float *sums, *profiles;  // [shares, rows_out, 2 + width]; [shares, rows_out, width] where the profiles do not fit in shared memory
  int64_t rows_out;
  int regions, width, shares;  // width: regions, or 0 where no profile is wanted
  int32_t renorm;
  uint64_t skip_heads;
};

constexpr int shared_width(int width) { return width <= kRegionsShared ? width | 1 : 0; }  // odd: rows start in different banks
template <class E>
int64_t shared_bytes(int width) {
  return int64_t(E::kRows + 2 * E::kCols) * E::kStride * sizeof(typename E::T) +
         (E::kRows * (E::kCols + 1 + shared_width(width)) + 2 * E::kCols) * 4;
}

template <class E>
__global__ void __launch_bounds__(E::kThreads, 2) connectivity(Params p) {
  using T = typename E::T;
  const QueryTile at = query_tile<E>(p);
  if (!at.exists) return;
  const int rows = at.rows, share = blockIdx.y;
  constexpr int kLanes = E::kThreads / E::kRows;  // threads that share a row's profile
  const int mine = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  const int64_t token = at.token, row = mine < rows ? p.row_out[token + mine] : -1;
  const bool wanted = row >= 0 && row < p.rows_out;
  if (!__syncthreads_or(wanted)) return;
  const int first_head = share * p.heads / p.shares, end_head = (share + 1) * p.heads / p.shares;
  const bool by_head = p.renorm == kByHead;
  // Where a row's two masses and its profile lie, of all heads of the share or of one.
  auto mass_of = [&](int head) { return by_head ? p.mass + (row * p.heads + head) * 2 : p.sums + (share * p.rows_out + row) * (2 + p.width); };
  auto profile_of = [&](int head) { return by_head ? p.profile + (row * p.heads + head) * p.width : mass_of(head) + 2; };
  if (!at.s.good) {
    for (int head = first_head; wanted && lane == 0 && head < end_head; head++) {
      mass_of(head)[0] = mass_of(head)[1] = NAN;
      for (int r = 0; r < p.width; r++) profile_of(head)[r] = NAN;
    }
    return;
  }
  KEDGE_DYNAMIC_SHARED(T, shared);
  using Stages = KeyStages<E, false>;
  constexpr int kProbStride = E::kCols + 1;
  const int profile_stride = p.width <= kRegionsShared ? p.width | 1 : 0;
  T *queries = shared, *keys = queries + E::kRows * E::kStride;
  float *prob = reinterpret_cast<float*>(keys + 2 * Stages::kTile), *profiles = prob + E::kRows * kProbStride;
  int32_t* regions = reinterpret_cast<int32_t*>(profiles + E::kRows * profile_stride);  // [2, kCols]: of this tile of keys and of the next
  Masses<E> masses;
  Profile total{nullptr, 0, lane, kLanes};
  if (wanted && p.width > 0)
    total = {profile_stride > 0 ? profiles + mine * profile_stride : p.profiles + (share * p.rows_out + row) * p.width, p.width, lane, kLanes};

  const KeyTiles tiles(at.s, at.q0, rows, p.causal, E::kCols);
  auto fetch_regions = [&](int t) {  // of a tile, by some of the threads
    if (t >= tiles.tiles) return;
    const KeyTile tile = tiles.tile(t, E::kCols);
    if ((int)threadIdx.x < tile.count) regions[t % 2 * E::kCols + threadIdx.x] = p.region[tile.start + threadIdx.x];
  };
  for (int head = first_head; head < end_head; head++) {
    if (!counts(p.skip_heads, head)) continue;
    const Stages stages{keys, nullptr, static_cast<const T*>(p.k) + head / p.group * p.dim, nullptr};
    load_rows<E, E::kRows>(queries, static_cast<const T*>(p.q) + head * p.dim, p.q_stride, token, rows, p.dim, p.wide);
    stages.fetch(p, tiles, 0);
    float lse2[E::kScoreRows];
#pragma unroll
    for (int i = 0; i < E::kScoreRows; i++) lse2[i] = E::row(i) < rows ? lse2_of(p.lse[(token + E::row(i)) * p.heads + head]) : INFINITY;
    masses.clear();
    total.clear();
    fetch_regions(0);
    for (int t = 0; t < tiles.tiles; t++) {
      const KeyTile tile = tiles.tile(t, E::kCols);
      stages.fetch(p, tiles, t + 1);
      copy_async_wait<1>();
      const int32_t* region = regions + t % 2 * E::kCols;
      __syncthreads();  // the tile is here, and the sums of the last one are done: `prob` may be written, and the other half of `regions`
      if (E::first_row() < rows) {
        typename E::Scores x;
        E::scores(x, queries, stages.key_tile(t));
#pragma unroll
        for (int i = 0; i < E::kScoreRows; i++)
#pragma unroll
          for (int j = 0; j < E::kScoreCols; j++) {
            x.at(i, j) = tile.sees(E::row(i), E::col(j)) ? exp2f(x.at(i, j) * p.scale2 - lse2[i]) : 0.f;
            prob[E::row(i) * kProbStride + E::col(j)] = x.at(i, j);
          }
        masses.add([&](int i, int j) { return x.at(i, j); }, region, tile.count, p.regions);
      }
      __syncthreads();  // the probabilities of all rows are there; nobody reads the keys any more
      fetch_regions(t + 1);
      if (p.width > 0) {
        const uint64_t runs = runs_of(region, tile.count);
        if (total.width > 0) total.add(prob + mine * kProbStride, region, tile.count, runs);
      }
    }
    __syncthreads();  // nobody reads `prob` any more: it takes the rows' masses
#pragma unroll
    for (int i = 0; i < E::kScoreRows; i++) {
      const float on_regions = row_sum<E>(masses.regions[i]), on_all = row_sum<E>(masses.all[i]);
      if (threadIdx.x % E::kLanes == 0) prob[E::row(i) * kProbStride] = on_regions, prob[E::row(i) * kProbStride + 1] = on_all;
    }
    __syncthreads();
    if (wanted) {
      const bool by_row = p.renorm == kByRow;
      const float on_regions = prob[mine * kProbStride], on_all = prob[mine * kProbStride + 1],
                  factor = by_row ? 1.f / fmaxf(on_all, kLeastMass) : 1.f;
      float *mass = mass_of(head), *profile = profile_of(head);
      if (lane == 0) mass[0] += on_regions * factor, mass[1] += by_row ? 1.f : on_all;
      for (int r = lane; r < p.width; r += kLanes) profile[r] += total.sums[r] * factor;
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
                           int64_t regions, int64_t rows_out, const int32_t* segments, int32_t renorm,
                           uint32_t skip_low, uint32_t skip_high, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_packed(shape, segments, kHeadStep, status));
  const kedge_attention_shape& x = *shape;
  KEDGE_TRY(check_connectivity(x, mass, q, k, lse, region, row_out, regions, rows_out, renorm, status));
  KEDGE_TRY(check_tiles("max_q", x.max_q, x.n_segments, status));
  const int64_t q_tiles = ceil_div<int64_t>(x.max_q, 64);
  if (x.q_tokens == 0 || rows_out == 0 || q_tiles * x.n_segments == 0) return ok(status);
  const bool by_head = renorm == kByHead;
  const int64_t width = profile ? regions : 0, shares = x.heads < kShares ? x.heads : kShares,
                n_sums = by_head ? 0 : shares * rows_out * (2 + width);
  KEDGE_REQUIRE_WORKSPACE((n_sums + (width > kRegionsShared ? shares * rows_out * width : 0)) * 4);
  KEDGE_SET_DEVICE();
  const cudaStream_t stream = stream_of(ctx);
  float* sums = static_cast<float*>(ctx->workspace);
  const cudaError_t error = cudaMemsetAsync(sums, 0, n_sums * 4, stream);
  if (error != cudaSuccess) return finish("kedge_connectivity", error, status);
  KEDGE_TRY(with_engine(dtype, x.head_dim, [&](auto engine) -> int32_t {
    using E = decltype(engine);
    using T = typename E::T;
    const bool wide = vector_rows<T>(q, x.q_stride) && vector_rows<T>(k, x.k_stride);
    const Params p{packed_params(x, q, k, segments, q_tiles, wide), lse, region, row_out, mass, profile, sums, sums + n_sums, rows_out,
                   (int)regions, (int)width, (int)shares, renorm, head_bits(skip_low, skip_high)};
    const int64_t bytes = shared_bytes<E>((int)width);
    KEDGE_LAUNCH_SHARED((connectivity<E>), dim3((unsigned)(q_tiles * x.n_segments), (unsigned)shares), E::kThreads, bytes, stream, p);
    return KEDGE_OK;
  }));
  if (by_head) return finish("kedge_connectivity", status);
  KEDGE_LAUNCH(connectivity_add, grid_for(rows_out * (2 + width), 256), 256, 0, stream, mass, profile, sums, rows_out, (int)width,
               (int)shares);
  return finish("kedge_connectivity", status);
}
