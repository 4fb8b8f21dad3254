// Rows by index: gather (the embedding, visual embeddings out of a matrix), scatter (over placeholder rows, into a cache) and scatter-add
// (the embedding's gradient), which sums repeated rows in the order of i; and weighted sums of a few rows (position embeddings between the
// places of a grid), whose gradient is a scatter-add too.
#include "elements.cuh"

namespace kedge {
namespace {

template <class T, bool kAccumulate>
struct Gather {
  T* out;
  const T* table;
  const int32_t* index;
  int64_t out_stride, table_stride, table_rows;
  template <int W>
  __device__ __forceinline__ void at(int64_t row, int64_t c) const {
    const int64_t id = index[row];
    float v[W];
    if (id >= 0 && id < table_rows) {
      load_vec(v, table + id * table_stride + c);
    } else {
#pragma unroll
      for (int j = 0; j < W; j++) v[j] = id == -1 ? 0.f : NAN;
    }
    T* to = out + row * out_stride + c;
    if constexpr (kAccumulate) {
      if (id == -1) return;
      float old[W];
      load_vec(old, to);
#pragma unroll
      for (int j = 0; j < W; j++) v[j] += old[j];
    }
    store_vec(to, v);
  }
};

// A bad index has no row to write to: it is skipped as -1 is.
template <class T, bool kClear>
struct Scatter {
  T* out;
  const T* src;
  const int32_t* index;
  int64_t out_stride, src_stride, out_rows;
  template <int W>
  __device__ __forceinline__ void at(int64_t row, int64_t c) const {
    const int64_t id = index[row];
    if (id < 0 || id >= out_rows) return;
    float v[W] = {};
    if constexpr (!kClear) load_vec(v, src + row * src_stride + c);
    store_vec(out + id * out_stride + c, v);
  }
};

// index, weight: [n, taps].
template <class T>
struct GatherWeighted {
  T* out;
  const T* table;
  const int32_t* index;
  const float* weight;
  int64_t out_stride, table_stride;
  int table_rows, taps;
  template <int W>
  __device__ __forceinline__ void at(int64_t row, int64_t c) const {
    float sum[W] = {};
    const int first = (int)row * taps;
#pragma unroll 1
    for (int place = first; place < first + taps; place++) {
      const int id = index[place];
      if (id == -1) continue;
      float v[W] = {};
      float by = NAN;
      if (id >= 0 && id < table_rows) {
        by = weight[place];
        load_vec(v, table + id * table_stride + c);
      }
#pragma unroll
      for (int j = 0; j < W; j++) sum[j] += v[j] * by;
    }
    store_vec(out + row * out_stride + c, sum);
  }
};

// ---- scatter_add: next[i] is the next place with the same index (n: none), follows[i] != 0 where there is an earlier one ----

struct Clear {
  int32_t* x;
  template <int W>
  __device__ __forceinline__ void at(int64_t i) const {
    x[i] = 0;
  }
};

// A warp for each i looks ahead for its index, 128 places at a time. Each entry of `follows` is set by its one predecessor.
__global__ void __launch_bounds__(kBlock) link_kernel(int32_t* next, int32_t* follows, const int32_t* index, int64_t n, int64_t out_rows) {
  constexpr int kLook = 4;
  const int lane = threadIdx.x % 32;
  for (int64_t i = ((int64_t)blockIdx.x * kBlock + threadIdx.x) / 32; i < n; i += (int64_t)gridDim.x * (kBlock / 32)) {
    const int32_t id = index[i];
    int64_t found = n;
    if (id >= 0 && id < out_rows) {
      for (int64_t base = i + 1; base < n && found == n; base += 32 * kLook) {
        bool same[kLook];
#pragma unroll
        for (int k = 0; k < kLook; k++) same[k] = base + 32 * k + lane < n && index[base + 32 * k + lane] == id;
#pragma unroll
        for (int k = 0; k < kLook; k++) {
          const unsigned hits = __ballot_sync(kFullWarp, same[k]);
          if (hits && found == n) found = base + 32 * k + __ffs((int)hits) - 1;
        }
      }
    }
    if (lane == 0) {
      next[i] = (int32_t)found;
      if (found < n) follows[found] = 1;
    }
  }
}

// 2^shift threads (whole warps) for each i that is the first with its index: they own that row of `out`, each some of its columns, and add
// all rows of the chain, in order; those for the other i have nothing to do. Neighbours in the chain are found 32 at a time, so that a long
// run of one index (padding) does not wait on `next` for each: the lanes look at 32 places and a vote says which belong to the chain;
// `next` of the last leads on. kWeighted: place i takes row i / taps of src, times weight[i].
template <class T, class Out, int W, bool kWeighted>
__global__ void __launch_bounds__(kBlock)
    scatter_add_kernel(Out* out, int64_t out_stride, const T* src, int64_t src_stride, const int32_t* index, const float* weight,
                       unsigned taps, const int32_t* next, const int32_t* follows, int64_t n, int64_t out_rows, int64_t dim, int shift) {
  constexpr int kBatch = 4;
  const int lane = threadIdx.x % 32;
  const int64_t vectors = ceil_div(dim, (int64_t)W), lanes = (int64_t)gridDim.y << shift,
                rows_at_once = (int64_t)gridDim.x * (kBlock >> shift);
  const int64_t first = ((int64_t)blockIdx.y << shift) + (threadIdx.x & ((1 << shift) - 1));
  for (int64_t i = (int64_t)blockIdx.x * (kBlock >> shift) + (threadIdx.x >> shift); i < n; i += rows_at_once) {
    const int32_t id = index[i];
    if (id < 0 || id >= out_rows || follows[i]) continue;
    // The lanes of a warp take neighbouring vectors and go through the chain together: votes need them all.
    for (int64_t v0 = first - lane; v0 < vectors; v0 += lanes) {
      const int64_t c = (v0 + lane) * W;
      const bool mine = c < dim;
      float sum[W] = {};
      Out* to = out + (int64_t)id * out_stride + c;
      if (mine) load_vec(sum, to);
      for (int64_t at = i; at < n;) {
        unsigned hits = __ballot_sync(kFullWarp, at + lane < n && index[at + lane] == id);
        const int64_t last = at + 31 - __clz((int)hits);
        while (hits) {
          float v[kBatch][W];
          [[maybe_unused]] float by[kBatch];
          int count = 0;
#pragma unroll
          for (int b = 0; b < kBatch; b++) {
            if (hits) {
              const int64_t row = at + __ffs((int)hits) - 1;
              hits &= hits - 1;
              count = b + 1;
              if constexpr (kWeighted) {
                if (mine) load_vec(v[b], src + (unsigned)row / taps * src_stride + c);
                by[b] = weight[row];
              } else {
                if (mine) load_vec(v[b], src + row * src_stride + c);
              }
            }
          }
#pragma unroll
          for (int b = 0; b < kBatch; b++) {
            if (b < count && mine) {
#pragma unroll
              for (int j = 0; j < W; j++) {
                if constexpr (kWeighted) sum[j] += v[b][j] * by[b];
                else sum[j] += v[b][j];
              }
            }
          }
        }
        at = next[last];
      }
      if (mine) store_vec(to, sum);
    }
  }
}

template <class T, class Out, int W, bool kWeighted>
void launch_scatter_add(const kedge_context* ctx, Out* out, int64_t out_stride, const T* src, int64_t src_stride, const int32_t* index,
                        const float* weight, int64_t taps, int64_t n, int64_t out_rows, int64_t dim) {
  int32_t *next = static_cast<int32_t*>(ctx->workspace), *follows = next + n;
  const int64_t vectors = ceil_div(dim, (int64_t)W);
  int shift = 5;
  while (shift < 8 && (int64_t(1) << shift) < vectors) shift++;
  const int64_t slices = ceil_div(vectors, (int64_t)1 << shift), groups = kBlock >> shift;
  dim3 grid(grid_rows(ceil_div(n, groups)), (unsigned)(slices > 64 ? 64 : slices));
  KEDGE_LAUNCH((scatter_add_kernel<T, Out, W, kWeighted>), grid, kBlock, 0, stream_of(ctx), out, out_stride, src, src_stride, index, weight,
               (unsigned)taps, next, follows, n, out_rows, dim, shift);
}
// n: places of the index, `taps` for each row of src. Needs n * 8 bytes of workspace.
template <bool kWeighted>
void scatter_add(const kedge_context* ctx, int32_t dtype, void* out, int32_t out_dtype, int64_t out_stride, const void* src,
                 int64_t src_stride, const int32_t* index, const float* weight, int64_t taps, int64_t n, int64_t out_rows, int64_t dim) {
  int32_t *next = static_cast<int32_t*>(ctx->workspace), *follows = next + n;
  for_each<1>(ctx, n, false, Clear{follows});
  KEDGE_LAUNCH(link_kernel, grid_for(n, kBlock / 32), kBlock, 0, stream_of(ctx), next, follows, index, n, out_rows);
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_flag(out_dtype == KEDGE_F32, [&](auto flag) {
      using Out = std::conditional_t<decltype(flag)::value, float, T>;
      const bool wide = dim % kVec<T> == 0 && vector_rows<Out>(out, out_stride) && vector_rows<T>(src, src_stride);
      auto launch = wide ? launch_scatter_add<T, Out, kVec<T>, kWeighted> : launch_scatter_add<T, Out, 1, kWeighted>;
      launch(ctx, static_cast<Out*>(out), out_stride, static_cast<const T*>(src), src_stride, index, weight, taps, n, out_rows, dim);
    });
  });
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_gather_rows(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* table,
                                    int64_t table_stride, const int32_t* index, int64_t n, int64_t table_rows, int64_t dim,
                                    int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_indexed(n, dim, table_rows, index, {{"out", out, out_stride}}, {"table", table, table_stride}, status));
  if (n == 0 || dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = vector_rows<T>(out, out_stride) && vector_rows<T>(table, table_stride);
    with_flag(accumulate != 0, [&](auto flag) {
      for_rows<kVec<T>>(ctx, n, dim, wide,
                        Gather<T, decltype(flag)::value>{static_cast<T*>(out), static_cast<const T*>(table), index, out_stride,
                                                         table_stride, table_rows});
    });
  });
  return finish("gather_rows", status);
}

KEDGE_API int32_t kedge_scatter_rows(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* src,
                                     int64_t src_stride, const int32_t* index, int64_t n, int64_t out_rows, int64_t dim,
                                     kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_indexed(n, dim, out_rows, index, {scattered(src, src_stride)}, {"out", out, out_stride}, status));
  if (n == 0 || dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = vector_rows<T>(out, out_stride) && (!src || vector_rows<T>(src, src_stride));
    with_flag(!src, [&](auto flag) {
      for_rows<kVec<T>>(
          ctx, n, dim, wide,
          Scatter<T, decltype(flag)::value>{static_cast<T*>(out), static_cast<const T*>(src), index, out_stride, src_stride, out_rows});
    });
  });
  return finish("scatter_rows", status);
}

KEDGE_API int32_t kedge_scatter_add_rows(const kedge_context* ctx, int32_t dtype, void* out, int32_t out_dtype, int64_t out_stride,
                                         const void* src, int64_t src_stride, const int32_t* index, int64_t n, int64_t out_rows,
                                         int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_REQUIRE_DTYPE(out_dtype == KEDGE_F32 || out_dtype == dtype, "out_dtype %d is neither F32 nor dtype %d", out_dtype, dtype);
  KEDGE_TRY(check_indexed(n, dim, out_rows, index, {{"src", src, src_stride}}, {"out", out, out_stride}, status));
  KEDGE_REQUIRE(n < INT32_MAX - 31, "n is %lld", (long long)n);
  if (n == 0 || dim == 0) return ok(status);
  KEDGE_REQUIRE_WORKSPACE(n * 8);
  KEDGE_SET_DEVICE();
  scatter_add<false>(ctx, dtype, out, out_dtype, out_stride, src, src_stride, index, nullptr, 1, n, out_rows, dim);
  return finish("scatter_add_rows", status);
}

KEDGE_API int32_t kedge_gather_weighted(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* table,
                                        int64_t table_stride, const int32_t* index, const float* weight, int64_t n, int64_t taps,
                                        int64_t table_rows, int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_weighted(n, taps, dim, table_rows, index, weight, {{"out", out, out_stride}}, {"table", table, table_stride}, status));
  if (n == 0 || dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = vector_rows<T>(out, out_stride) && vector_rows<T>(table, table_stride);
    for_rows<kVec<T>>(ctx, n, dim, wide,
                      GatherWeighted<T>{static_cast<T*>(out), static_cast<const T*>(table), index, weight, out_stride, table_stride,
                                        (int)table_rows, (int)taps});
  });
  return finish("gather_weighted", status);
}

KEDGE_API int32_t kedge_scatter_add_weighted(const kedge_context* ctx, int32_t dtype, void* out, int32_t out_dtype, int64_t out_stride,
                                             const void* src, int64_t src_stride, const int32_t* index, const float* weight, int64_t n,
                                             int64_t taps, int64_t out_rows, int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_REQUIRE_DTYPE(out_dtype == KEDGE_F32 || out_dtype == dtype, "out_dtype %d is neither F32 nor dtype %d", out_dtype, dtype);
  KEDGE_TRY(check_weighted(n, taps, dim, out_rows, index, weight, {{"src", src, src_stride}}, {"out", out, out_stride}, status));
  if (n == 0 || dim == 0) return ok(status);
  KEDGE_REQUIRE_WORKSPACE(n * taps * 8);
  KEDGE_SET_DEVICE();
  scatter_add<true>(ctx, dtype, out, out_dtype, out_stride, src, src_stride, index, weight, taps, n * taps, out_rows, dim);
  return finish("scatter_add_weighted", status);
}
