// Attention of one new token per sequence over [prefix shared by its group][own] in a cache, and its connectivity (kedge.h). The keys of
// each part are cut into chunks of 256, counted from the part's start, so that a sequence's bits depend on nothing else in the batch.
//   partial: a block takes a chunk and up to 64 rows, a row being a sequence and a query head of one key head's group. Over a prefix, the
//   rows of all
//     sequences of the group stand together, so that its keys are read once for each 64 of them; over own keys, a sequence's. Each row gets
//     the maximum, the sum and the weighted values of its chunk, and the region sums relative to that maximum. Own keys may lie in pages: a tile
//     of keys lies in one of them.
//   combine: per sequence and head, puts the chunks together in order. Each chunk's sums are relative to its own maximum, so each is brought to the largest
//   of them. heads: sums the connectivity over heads, in order.
#include "region_sums.cuh"

namespace kedge {
namespace {

constexpr int kChunk = 256;

struct Params {
  const void *q, *k, *v;
  void* out;
  float *partials, *shares, *mass, *profile;  // partials: [n, heads, chunks, record]; shares: [n, heads, 2 + width], a head's connectivity
  const int32_t *region, *groups, *sequences, *pages;
  int64_t q_stride, k_stride, v_stride, out_stride, cache_tokens, n_pages;
  int page_bits;  // a page has 2^page_bits keys; 0: own keys lie behind one another
  int n_groups, n, prefix_chunks, own_chunks, heads, group, dim, regions, width, record;  // width: regions, or 0 where no profile is wanted
  float scale2;
  bool wide, renorm;
  uint64_t skip_heads;
};
// A record: maximum (log2 units), sum, values [dim], then with connectivity m, n, profile [width].

struct Sequence {
  int prefix_start, prefix_len, begin, end, own_start, own_len;  // begin, end: the sequences of its group
  bool good;
};
__device__ __forceinline__ Sequence read_sequence(const Params& p, int i) {
  int low = 0, high = p.n_groups;  // the last group that begins at or before i
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (p.groups[middle * 4 + 2] <= i) low = middle;
    else high = middle;
  }
  const int32_t *g = p.groups + low * 4, *o = p.sequences + (int64_t)i * 2;
  Sequence s{g[0], g[1], g[2], g[3], o[0], o[1], false};
  const bool own = p.page_bits == 0 ? inside(s.own_start, s.own_len, p.cache_tokens)
                                    : s.own_len >= 0 && inside(s.own_start, (s.own_len + (1 << p.page_bits) - 1) >> p.page_bits, p.n_pages);
  s.good = s.begin >= 0 && s.begin <= i && i < s.end && s.end <= p.n && inside(s.prefix_start, s.prefix_len, p.cache_tokens) && own && s.prefix_len <= p.prefix_chunks * (int64_t)kChunk &&
           s.own_len <= p.own_chunks * (int64_t)kChunk;
  return s;
}

constexpr int shared_width(int width) { return width <= kRegionsShared ? width | 1 : 0; }
template <class E, bool kConnectivity>
int64_t shared_bytes(int width) {
  int64_t bytes = int64_t(E::kRows + 4 * E::kCols) * E::kStride * sizeof(typename E::T) + E::kScratchBytes;
  if (kConnectivity) bytes += (E::kRows * (E::kCols + 1 + shared_width(width) + 1) + 2 * E::kCols) * 4;
  return bytes;
}

// Keys [first, first + count) of a prefix or of a sequence's own, of which every row sees all. pages: of the sequence, NULL where key 0 is row
// `start` of the cache and the others lie behind it.
struct ChunkTiles {
  const int32_t* pages;
  int start, page_bits, first, count, tiles;

  __device__ __forceinline__ int row(int key) const {
    return pages ? pages[key >> page_bits] + (key & ((1 << page_bits) - 1)) : start + key;
  }
  __device__ __forceinline__ KeyTile tile(int t, int cols) const { return {row(first + t * cols), min(cols, count - t * cols), INT_MAX / 2}; }
  // Whether all of them lie in the cache.
  __device__ __forceinline__ bool good(int64_t cache_tokens) const {
    if (!pages) return true;
    for (int key = first; key < first + count; key += 1 << page_bits) {
      const int page = key >> page_bits, here = min(1 << page_bits, first + count - (page << page_bits));
      if (!inside(pages[page], here, cache_tokens)) return false;
    }
    return true;
  }
};

// Rows [row0, row0 + rows) of those that start at sequence first (row r: sequence first + r / group, head r % group of key head kv_head)
// over a chunk of keys, into chunk `slot` of their records.
template <class E, bool kConnectivity>
__device__ __forceinline__ void partial_tile(const Params& p, int first, int row0, int rows, int kv_head, ChunkTiles tiles, int slot) {
  using T = typename E::T;
  KEDGE_DYNAMIC_SHARED(T, shared);
  using Stages = KeyStages<E, true>;
  constexpr int kProbStride = E::kCols + 1;
  T *queries = shared, *keys = queries + E::kRows * E::kStride, *values = keys + 2 * Stages::kTile;
  float *scratch = reinterpret_cast<float*>(values + 2 * Stages::kTile), *prob = scratch + E::kScratchBytes / 4,
        *rescale = prob + E::kRows * kProbStride;
  int32_t* regions = reinterpret_cast<int32_t*>(rescale + E::kRows);  // [2, kCols]: of this tile of keys and of the next
  float* profiles = rescale + E::kRows + 2 * E::kCols;
  auto sequence_of = [&](int i) { return (int64_t)first + (row0 + i) / p.group; };
  auto head_of = [&](int i) { return kv_head * p.group + (row0 + i) % p.group; };
  auto record_of = [&](int i) {
    return p.partials + ((sequence_of(i) * p.heads + head_of(i)) * (p.prefix_chunks + p.own_chunks) + slot) * p.record;
  };
  if (!tiles.good(p.cache_tokens)) {  // a NaN in the chunk's sum makes the answer NaN
    if (threadIdx.x < rows) record_of(threadIdx.x)[0] = 0.f, record_of(threadIdx.x)[1] = NAN;
    return;
  }
  const T* q = static_cast<const T*>(p.q);
  const Stages stages{keys, values, static_cast<const T*>(p.k) + kv_head * p.dim, static_cast<const T*>(p.v) + kv_head * p.dim};
  load_tile<E, E::kRows>(queries, [&](int i) { return q + sequence_of(i) * p.q_stride + head_of(i) * p.dim; }, rows, p.dim, p.wide);
  stages.fetch(p, tiles, 0);
  auto fetch_regions = [&](int t) {  // of a tile, by some of the threads
    if (t >= tiles.tiles) return;
    const KeyTile tile = tiles.tile(t, E::kCols);
    if ((int)threadIdx.x < tile.count) regions[t % 2 * E::kCols + threadIdx.x] = p.region[tile.start + threadIdx.x];
  };
  Masses<E> masses;
  Profile profile{nullptr, 0, 0, 1};
  int mine = 0;  // the row whose profile this thread has a part in
  if constexpr (kConnectivity) {
    masses.clear();
    if (p.width > 0) {
      int shared_by = 1;  // rows, rounded up to a power of two
      while (shared_by < rows) shared_by *= 2;
      const int lanes = E::kThreads / shared_by;
      mine = threadIdx.x / lanes;
      if (mine < rows)
        profile = {p.width <= kRegionsShared ? profiles + mine * (p.width | 1) : record_of(mine) + 4 + p.dim, p.width, (int)threadIdx.x % lanes, lanes};
      profile.clear();
    }
    fetch_regions(0);
  }
  typename E::Acc acc;
  clear<E>(acc);
  float high[E::kScoreRows], sum[E::kScoreRows], alpha[E::kScoreRows];
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) high[i] = -INFINITY, sum[i] = 0.f;
  for (int t = 0; t < tiles.tiles; t++) {
    const KeyTile tile = tiles.tile(t, E::kCols);
    const int32_t* region = regions + t % 2 * E::kCols;
    stages.fetch(p, tiles, t + 1);
    copy_async_wait<1>();
    __syncthreads();
    if (E::first_row() < rows) {
      typename E::Scores s;
      E::scores(s, queries, stages.key_tile(t));
#pragma unroll
      for (int i = 0; i < E::kScoreRows; i++)
#pragma unroll
        for (int j = 0; j < E::kScoreCols; j++) s.at(i, j) = E::col(j) < tile.count ? s.at(i, j) * p.scale2 : -INFINITY;
      softmax_step<E>(s, high, sum, alpha);
      if constexpr (kConnectivity) {
        masses.scale(alpha);
        masses.add([&](int i, int j) { return s.at(i, j); }, region, tile.count, p.regions);
        if (p.width > 0) {
#pragma unroll
          for (int i = 0; i < E::kScoreRows; i++) {
            if (threadIdx.x % E::kLanes == 0) rescale[E::row(i)] = alpha[i];
#pragma unroll
            for (int j = 0; j < E::kScoreCols; j++) prob[E::row(i) * kProbStride + E::col(j)] = s.at(i, j);
          }
        }
      }
      scale_rows<E>(acc, alpha);
      E::accumulate(acc, s, stages.value_tile(t), scratch);
    }
    __syncthreads();
    if constexpr (kConnectivity) {
      fetch_regions(t + 1);
      if (p.width > 0) {
        const uint64_t runs = runs_of(region, tile.count);
        if (profile.width > 0) {
          profile.scale(rescale[mine]);
          profile.add(prob + mine * kProbStride, region, tile.count, runs);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) {
    const float whole = row_sum<E>(sum[i]);
    float on_regions = 0.f, on_all = 0.f;
    if constexpr (kConnectivity) on_regions = row_sum<E>(masses.regions[i]), on_all = row_sum<E>(masses.all[i]);
    if (E::row(i) >= rows) continue;
    float* record = record_of(E::row(i));
    if (threadIdx.x % E::kLanes == 0) {
      record[0] = high[i], record[1] = whole;
      if constexpr (kConnectivity) record[2 + p.dim] = on_regions, record[3 + p.dim] = on_all;
    }
#pragma unroll
    for (int j = 0; j < E::kAccCols; j++)
      if (E::acc_col(j) < p.dim) record[2 + E::acc_col(j)] = acc.at(i, j);
  }
  if constexpr (kConnectivity) {
    if (profile.width > 0 && p.width <= kRegionsShared) {
      float* to = record_of(mine) + 4 + p.dim;
      for (int r = profile.lane; r < p.width; r += profile.lanes) to[r] = profile.sums[r];
    }
    __syncthreads();  // the block's next tile of rows has other threads for its profiles
  }
}

template <class E, bool kConnectivity>
__global__ void __launch_bounds__(E::kThreads, sizeof(typename E::T) == 4 ? 1 : 2) decode_partial(Params p) {
  const int i = blockIdx.x, kv_head = blockIdx.z, slot = blockIdx.y;
  const Sequence s = read_sequence(p, i);
  if (!s.good) return;
  if (slot < p.prefix_chunks) {
    const int start = slot * kChunk, count = min(kChunk, s.prefix_len - start), all = (s.end - s.begin) * p.group;
    if (count <= 0) return;
    // The tiles of the group's rows whose first row is one of this sequence.
    const int begin = ceil_div((i - s.begin) * p.group, E::kRows), end = ceil_div((i - s.begin + 1) * p.group, E::kRows);
    for (int tile = begin; tile < end; tile++)
      partial_tile<E, kConnectivity>(p, s.begin, tile * E::kRows, min(E::kRows, all - tile * E::kRows), kv_head,
                                     ChunkTiles{nullptr, s.prefix_start, 0, start, count, ceil_div(count, E::kCols)}, slot);
  } else {
    const int start = (slot - p.prefix_chunks) * kChunk, count = min(kChunk, s.own_len - start);
    if (count <= 0) return;
    const int32_t* pages = p.page_bits == 0 ? nullptr : p.pages + s.own_start;
    for (int row0 = 0; row0 < p.group; row0 += E::kRows)
      partial_tile<E, kConnectivity>(p, i, row0, min(E::kRows, p.group - row0), kv_head,
                                     ChunkTiles{pages, s.own_start, p.page_bits, start, count, ceil_div(count, E::kCols)}, slot);
  }
}

template <class T>
__global__ void decode_combine(Params p) {
  const int i = blockIdx.x, head = blockIdx.y, extra = p.mass ? 2 + p.width : 0;
  const Sequence s = read_sequence(p, i);
  T* out = static_cast<T*>(p.out) + i * p.out_stride + head * p.dim;
  float* share = p.shares + ((int64_t)i * p.heads + head) * extra;
  if (!s.good) {
    for (int d = threadIdx.x; d < p.dim; d += blockDim.x) out[d] = from_float<T>(NAN);
    for (int r = threadIdx.x; r < extra; r += blockDim.x) share[r] = NAN;
    return;
  }
  const int from_prefix = ceil_div(s.prefix_len, kChunk), chunks = from_prefix + ceil_div(s.own_len, kChunk);
  const float* records = p.partials + ((int64_t)i * p.heads + head) * (p.prefix_chunks + p.own_chunks) * p.record;
  auto record = [&](int c) { return records + (int64_t)(c < from_prefix ? c : p.prefix_chunks + c - from_prefix) * p.record; };
  float high = -INFINITY, sum = 0.f;
  for (int c = 0; c < chunks; c++) high = fmaxf(high, record(c)[0]);
  if (high == -INFINITY) high = 0.f;
  for (int c = 0; c < chunks; c++) sum = fmaf(exp2f(record(c)[0] - high), record(c)[1], sum);
  const float factor = sum == 0.f ? 0.f : 1.f / sum;
  for (int e = threadIdx.x; e < p.dim + extra; e += blockDim.x) {
    float x = 0.f;
    for (int c = 0; c < chunks; c++) x = fmaf(exp2f(record(c)[0] - high), record(c)[2 + e], x);
    x *= factor;
    if (e < p.dim) out[e] = from_float<T>(x);
    else share[e - p.dim] = x;
  }
}

__global__ void decode_heads(Params p) {
  const int64_t count = (int64_t)p.n * (2 + p.width);
  for (int64_t e = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; e < count; e += (int64_t)gridDim.x * blockDim.x) {
    const int64_t row = e / (2 + p.width), column = e % (2 + p.width);
    const float* share = p.shares + row * p.heads * (2 + p.width);
    float sum = 0.f;
    for (int head = 0; head < p.heads; head++, share += 2 + p.width) {
      if (!counts(p.skip_heads, head)) continue;
      if (!p.renorm) sum += share[column];
      else if (column == 1) sum += share[1] != share[1] ? share[1] : 1.f;
      else sum += share[column] / fmaxf(share[1], kLeastMass);
    }
    if (column < 2) p.mass[row * 2 + column] += sum;
    else p.profile[row * p.width + column - 2] += sum;
  }
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_decode_attention(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_decode_shape* shape, void* out, float* mass,
                               float* profile, const void* q, const void* k_cache, const void* v_cache, const int32_t* region,
                               int64_t regions, const int32_t* groups, const int32_t* sequences, const int32_t* pages, int32_t renorm,
                               uint32_t skip_low, uint32_t skip_high, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_decode(shape, out, mass, q, k_cache, v_cache, region, regions, groups, sequences, pages, renorm, kHeadStep, status));
  const kedge_decode_shape& x = *shape;
  const int64_t n = x.n, prefix_chunks = ceil_div<int64_t>(x.max_prefix, kChunk), own_chunks = ceil_div<int64_t>(x.max_own, kChunk);
  KEDGE_REQUIRE(n <= INT_MAX && x.n_groups <= INT_MAX / 4, "n, n_groups are %lld, %lld", (long long)n, (long long)x.n_groups);
  KEDGE_REQUIRE(prefix_chunks + own_chunks <= 65535, "max_prefix, max_own are %lld, %lld", (long long)x.max_prefix, (long long)x.max_own);
  KEDGE_TRY(check_head_grid(x.heads, status));
  if (n == 0) return ok(status);
  const int64_t width = mass && profile ? regions : 0, record = 2 + x.head_dim + (mass ? 2 + width : 0),
                n_partials = n * x.heads * (prefix_chunks + own_chunks) * record;
  KEDGE_REQUIRE_WORKSPACE((n_partials + (mass ? n * x.heads * (2 + width) : 0)) * 4);
  KEDGE_SET_DEVICE();
  const cudaStream_t stream = stream_of(ctx);
  float* partials = static_cast<float*>(ctx->workspace);
  KEDGE_TRY(with_engine(dtype, x.head_dim, [&](auto engine) -> int32_t {
    using E = decltype(engine);
    using T = typename E::T;
    const Params p{q,
                   k_cache,
                   v_cache,
                   out,
                   partials,
                   partials + n_partials,
                   mass,
                   profile,
                   region,
                   groups,
                   sequences,
                   pages,
                   x.q_stride,
                   x.k_stride,
                   x.v_stride,
                   x.out_stride,
                   x.cache_tokens,
                   x.n_pages,
                   page_bits(x.page),
                   (int)x.n_groups,
                   (int)n,
                   (int)prefix_chunks,
                   (int)own_chunks,
                   (int)x.heads,
                   (int)(x.heads / x.kv_heads),
                   (int)x.head_dim,
                   (int)regions,
                   (int)width,
                   (int)record,
                   scale2_of(x.scale),
                   vector_rows<T>(q, x.q_stride) && vector_rows<T>(k_cache, x.k_stride) && vector_rows<T>(v_cache, x.v_stride),
                   renorm != 0,
                   head_bits(skip_low, skip_high)};
    if (prefix_chunks + own_chunks > 0)
      KEDGE_TRY(with_flag(mass != nullptr, [&](auto flag) -> int32_t {
        constexpr bool kConnectivity = decltype(flag)::value;
        const dim3 grid((unsigned)n, (unsigned)(prefix_chunks + own_chunks), (unsigned)x.kv_heads);
        const int64_t bytes = shared_bytes<E, kConnectivity>((int)width);
        KEDGE_LAUNCH_SHARED((decode_partial<E, kConnectivity>), grid, E::kThreads, bytes, stream, p);
        return KEDGE_OK;
      }));
    KEDGE_LAUNCH((decode_combine<T>), dim3((unsigned)n, (unsigned)x.heads), 128, 0, stream, p);
    if (mass) KEDGE_LAUNCH(decode_heads, grid_for(n * (2 + width), 128), 128, 0, stream, p);
    return KEDGE_OK;
  }));
  return finish("kedge_decode_attention", status);
}
