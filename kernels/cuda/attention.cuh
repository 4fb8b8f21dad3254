// What the attention ops share: the segment table, the tiles of queries and of keys that a block works on, launching.
#pragma once
#include <atomic>

#include "../common/attention.h"
#include "attention_engine.cuh"

namespace kedge {

constexpr int64_t kHeadStep = 8;  // head_dim is a multiple of it

// exp2 is cheaper than exp: scores are scaled so that exp(scale q.k) = exp2(scale2 q.k).
inline float scale2_of(double scale) { return (float)(scale * 1.4426950408889634); }

// What the kernels over packed segments take alike.
struct PackedParams {
  const void *q, *k;
  const int32_t* segments;
  int64_t q_stride, k_stride, n_segments, q_tokens, kv_tokens;
  int tiles, heads, group, dim;  // tiles: blocks for each segment; group: query heads per key head
  float scale2;
  bool causal, wide;             // wide: all rows can be read 16 bytes at a time
};
inline PackedParams packed_params(const kedge_attention_shape& x, const void* q, const void* k, const int32_t* segments, int64_t tiles,
                                  bool wide) {
  const int heads = (int)x.heads, group = (int)(x.heads / x.kv_heads), dim = (int)x.head_dim;
  return {q, k, segments, x.q_stride, x.k_stride, x.n_segments, x.q_tokens, x.kv_tokens, (int)tiles, heads, group, dim, scale2_of(x.scale),
          x.causal != 0, wide};
}
// A block for each head; grids have at most 65535 in this direction.
inline int32_t check_head_grid(int64_t heads, kedge_status* status) {
  KEDGE_REQUIRE(heads <= 65535, "heads is %lld", (long long)heads);
  return KEDGE_OK;
}
// max: an upper bound of a segment's rows, cut into tiles of 64; all blocks of a grid are counted in 32 bits.
inline int32_t check_tiles(const char* name, int64_t max, int64_t n_segments, kedge_status* status) {
  KEDGE_REQUIRE(ceil_div<int64_t>(max, 64) * n_segments <= INT_MAX, "%s is %lld with %lld segments", name, (long long)max,
                (long long)n_segments);
  return KEDGE_OK;
}

// An entry of the segment table (kedge.h), its parent's keys with it. `good` is false where a range leaves its array: then nothing of it
// may be read.
struct Segment {
  int q_start, q_len, kv_start, kv_len, prefix_start, prefix_len, child_begin, child_end;
  bool q_good, good;
};
__device__ __forceinline__ bool inside(int start, int length, int64_t n) {
  return start >= 0 && length >= 0 && start + (int64_t)length <= n;
}
__device__ __forceinline__ Segment read_segment(const int32_t* table, int64_t index, int64_t n_segments, int64_t q_tokens,
                                                int64_t kv_tokens) {
  const int32_t* e = table + index * 8;
  Segment s{e[0], e[1], e[2], e[3], 0, 0, e[5], e[6], false, false};
  s.q_good = inside(s.q_start, s.q_len, q_tokens);
  s.good = s.q_good && inside(s.kv_start, s.kv_len, kv_tokens) && e[4] < n_segments && s.child_begin >= 0 && s.child_end <= n_segments;
  if (s.good && e[4] >= 0) {
    s.prefix_start = table[e[4] * 8 + 2], s.prefix_len = table[e[4] * 8 + 3];
    s.good = inside(s.prefix_start, s.prefix_len, kv_tokens);
  }
  return s;
}

// The tile of queries that a block works on: blockIdx.x counts the tiles of all segments. A segment's last tile sees the most keys and
// comes first, so that the longest work is not what is left at the end.
struct QueryTile {
  Segment s;
  int q0, rows;   // its first query in the segment, and how many it has
  int64_t token;  // its first query in q
  bool exists;    // false: nothing to do, not even on a bad segment
};
template <class E>
__device__ __forceinline__ QueryTile query_tile(const PackedParams& p) {
  QueryTile tile{read_segment(p.segments, blockIdx.x / p.tiles, p.n_segments, p.q_tokens, p.kv_tokens), 0, 0, 0, false};
  tile.q0 = (p.tiles - 1 - (int)(blockIdx.x % p.tiles)) * E::kRows;
  tile.exists = tile.s.q_good && tile.q0 < tile.s.q_len;
  tile.rows = min(E::kRows, tile.s.q_len - tile.q0);
  tile.token = tile.s.q_start + tile.q0;
  return tile;
}

// Keys [start, start + count) that a block works on at a time.
struct KeyTile {
  int start, count, visible;  // row i of the query tile sees column j if j < count and j <= i + visible

  __device__ __forceinline__ bool sees(int row, int column) const { return column < count && column <= row + visible; }
};

// The tiles of keys that rows [0, rows) of a query tile see: the prefix's, then the segment's own. Tiles start at the first key of each
// part, and a row's sums run over them in this order, whatever else is in the batch.
struct KeyTiles {
  int prefix_start, prefix_len, own_start, own_len, prefix_tiles, tiles;
  int diagonal;  // own key j is seen by row i of the tile if j <= i + diagonal

  // q0: the tile's first query in the segment. Without causal, or with, own_len ends where no row of the tile sees more.
  __device__ __forceinline__ KeyTiles(const Segment& s, int q0, int rows, bool causal, int cols) {
    prefix_start = s.prefix_start, prefix_len = s.prefix_len, own_start = s.kv_start, own_len = s.kv_len;
    diagonal = causal ? q0 + s.kv_len - s.q_len : INT_MAX / 2;
    if (causal) own_len = max(0, min(own_len, rows + diagonal));
    prefix_tiles = ceil_div(prefix_len, cols), tiles = prefix_tiles + ceil_div(own_len, cols);
  }
  __device__ __forceinline__ KeyTile tile(int t, int cols) const {
    if (t < prefix_tiles) return {prefix_start + t * cols, min(cols, prefix_len - t * cols), INT_MAX / 2};
    t -= prefix_tiles;
    return {own_start + t * cols, min(cols, own_len - t * cols), diagonal - t * cols};
  }
};

// Two tiles of keys, and with kValues two of their values, in shared memory. While the block computes with tile t, tile t + 1 is on its way
// into the other place. A barrier behind the wait lets all threads see what each has copied; another behind the computation keeps the next
// copy from overtaking those that still read.
template <class E, bool kValues>
struct KeyStages {
  using T = typename E::T;
  static constexpr int kTile = E::kCols * E::kStride;
  T *keys, *values;  // [2][kCols lines] each
  const T *k, *v;    // the head's part of the first row

  __device__ __forceinline__ T* key_tile(int t) const { return keys + t % 2 * kTile; }
  __device__ __forceinline__ T* value_tile(int t) const { return values + t % 2 * kTile; }
  // Starts the copy of tile t of `tiles`, where there is one; in any case its group of copies, which copy_async_wait counts, is closed.
  template <class Params, class Tiles>
  __device__ __forceinline__ void fetch(const Params& p, const Tiles& tiles, int t) const {
    if (t < tiles.tiles) {
      const KeyTile tile = tiles.tile(t, E::kCols);
      load_rows<E, E::kCols>(key_tile(t), k, p.k_stride, tile.start, tile.count, p.dim, p.wide);
      if constexpr (kValues) load_rows<E, E::kCols>(value_tile(t), v, p.v_stride, tile.start, tile.count, p.dim, p.wide);
    }
    copy_async_commit();
  }
};

// NaN over the head's part of a tile's rows: the answer to a bad segment.
template <class E>
__device__ __forceinline__ void write_nan(typename E::T* x, int64_t stride, int rows, int dim) {
  for (int i = threadIdx.x; i < rows * dim; i += E::kThreads) x[i / dim * stride + i % dim] = from_float<typename E::T>(NAN);
}

// x[row, 0..width) = value for all rows; for tokens that no segment covers.
template <class T>
__global__ void fill_rows(T* x, int64_t stride, int64_t rows, int64_t width, float value) {
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < rows * width; i += (int64_t)gridDim.x * blockDim.x)
    x[i / width * stride + i % width] = from_float<T>(value);
}
template <class T>
inline void launch_fill_rows(void* x, int64_t stride, int64_t rows, int64_t width, float value, cudaStream_t stream) {
  if (rows * width > 0)
    KEDGE_LAUNCH((fill_rows<T>), grid_for(rows * width, 1024), 256, 0, stream, static_cast<T*>(x), stride, rows, width, value);
}

// Lets a kernel have all dynamic shared memory that a block of this device can have beside the kernel's static one, and gives the bytes. The limit belongs to
// the function, in all threads of the process: set for each launch to what that launch needs, it would be lowered by another thread between
// a thread's setting and its launch. `room`: the bytes for each device, 0 while unknown; two threads that both find none set the same value.
inline cudaError_t allow_shared(const void* kernel, std::atomic<int> (&room)[64], int device, int64_t& bytes) {
  const bool kept = device >= 0 && device < 64;
  if (kept && (bytes = room[device].load(std::memory_order_acquire)) > 0) return cudaSuccess;
  int most = 0;
  cudaFuncAttributes attributes;
  cudaError_t error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, kernel);
  if (error != cudaSuccess) return error;
  bytes = most - (int)attributes.sharedSizeBytes;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
  if (error == cudaSuccess && kept) room[device].store((int)bytes, std::memory_order_release);
  return error;
}
// Launches a kernel that may need more than the 48 KB of dynamic shared memory that every kernel may have. For a function that returns a
// kedge_code: KEDGE_UNSUPPORTED where this device's blocks have less. Another error is the launcher's to report (`finish`).
#define KEDGE_LAUNCH_SHARED(kernel, grid, block, shared_bytes, stream, ...)                                                     \
  do {                                                                                                                          \
    static std::atomic<int> room_[64];                                                                                          \
    int64_t most_ = 0;                                                                                                          \
    if (kedge::allow_shared(reinterpret_cast<const void*>(kernel), room_, ctx->device, most_) != cudaSuccess) break;            \
    KEDGE_REQUIRE_DTYPE((shared_bytes) <= most_,                                                                                \
                        "dtype %d with heads of %lld elements takes %lld bytes of shared memory, a block of this device has "   \
                        "%lld: f32 needs a device with more (A100, H100); bf16 runs here",                                      \
                        (int)dtype, (long long)x.head_dim, (long long)(shared_bytes), (long long)most_);                        \
    KEDGE_LAUNCH(kernel, grid, block, shared_bytes, stream, __VA_ARGS__);                                                       \
  } while (0)

// f(Engine<T, kDim>{}), a kedge_code, for the smallest kDim that holds head_dim.
template <class F>
inline int32_t with_engine(int32_t dtype, int64_t head_dim, F&& f) {
  return with_dtype(dtype, [&](auto tag) -> int32_t {
    using T = typename decltype(tag)::type;
    if (head_dim <= 32) return f(Engine<T, 32>{});
    if (head_dim <= 64) return f(Engine<T, 64>{});
    if (head_dim <= 80) return f(Engine<T, 80>{});
    return f(Engine<T, 128>{});
  });
}

}  // namespace kedge
