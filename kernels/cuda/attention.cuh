// What the attention ops share: the segment table, the keys that a tile of queries sees, launching.
#pragma once
#include "attention_engine.cuh"

namespace kedge {

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

// The tiles of keys that rows [0, rows) of a query tile see: the prefix's, then the segment's own.
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
  struct Tile {
    int start, count, visible;  // first key; keys in it; row i of the query tile sees column j < count if j <= i + visible
  };
  __device__ __forceinline__ Tile tile(int t, int cols) const {
    if (t < prefix_tiles) return {prefix_start + t * cols, min(cols, prefix_len - t * cols), INT_MAX / 2};
    t -= prefix_tiles;
    return {own_start + t * cols, min(cols, own_len - t * cols), diagonal - t * cols};
  }
};

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

// Sets the kernel's limit of dynamic shared memory and launches it.
#define KEDGE_LAUNCH_SHARED(kernel, grid, block, shared_bytes, stream, ...) \
  do { \
    cudaError_t error_ = (shared_bytes) > 48 * 1024 \
                             ? cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(shared_bytes)) \
                             : cudaSuccess; \
    if (error_ == cudaSuccess) KEDGE_LAUNCH(kernel, grid, block, shared_bytes, stream, __VA_ARGS__); \
  } while (0)

// f(Engine<T, kDim>{}) for the smallest kDim that holds head_dim.
template <class F>
inline void with_engine(int32_t dtype, int64_t head_dim, F&& f) {
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (head_dim <= 32) f(Engine<T, 32>{});
    else if (head_dim <= 64) f(Engine<T, 64>{});
    else if (head_dim <= 80) f(Engine<T, 80>{});
    else f(Engine<T, 128>{});
  });
}

// The checks that the attention ops share. Shape: kedge_attention_shape or kedge_decode_shape.
template <class Shape>
inline int32_t check_heads(int32_t dtype, const Shape* shape, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_REQUIRE(shape, "shape is NULL");
  const long long heads = shape->heads, kv_heads = shape->kv_heads, head_dim = shape->head_dim;
  KEDGE_REQUIRE(head_dim > 0 && heads > 0 && kv_heads > 0 && heads % kv_heads == 0, "heads, kv_heads, head_dim are %lld, %lld, %lld", heads,
                kv_heads, head_dim);
  KEDGE_REQUIRE_DTYPE(head_dim % 8 == 0 && head_dim <= 128, "head_dim is %lld, not a multiple of 8 in [8, 128]", head_dim);
  KEDGE_REQUIRE(heads <= 65535, "heads is %lld", heads);
  return KEDGE_OK;
}
inline int32_t check_segment_counts(const kedge_attention_shape& x, kedge_status* status) {
  KEDGE_REQUIRE(x.n_segments >= 0 && x.max_q >= 0 && x.max_kv >= 0 && x.q_tokens >= 0 && x.kv_tokens >= 0, "a count is negative");
  return KEDGE_OK;
}
// of: the struct that holds the stride.
#define KEDGE_REQUIRE_STRIDE(of, stride, width) \
  KEDGE_REQUIRE((of).stride >= (width), #stride " is %lld, a row has %lld", (long long)(of).stride, (long long)(width))

}  // namespace kedge
