// RMSNorm with the residual add before it, and its gradient. Rows of up to 8192 aligned elements stay in registers, 8 a thread, a group of
// 32 to 1024 threads a row; longer or unaligned rows are read twice by a block. The weight's gradient is summed in registers over a fixed
// run of rows for each group, then over the groups; the runs depend on the shape alone. Zhang & Sennrich, arXiv 1910.07467.
#include "columns.cuh"

namespace kedge {
namespace {

constexpr int kEach = 8;               // elements of a row in a thread
constexpr int kMaxRegisterDim = 8192;  // 1024 threads

template <int kGroup>
constexpr int kThreads = kGroup < 128 ? 128 : kGroup;

template <int kGroup>
__device__ __forceinline__ float group_sum(float v, float* shared) {
  if constexpr (kGroup == 32) {
    return warp_sum(v);
  } else {
    return block_sum<kGroup>(v, shared);
  }
}

// The thread's elements of a row: kEach / kVec<T> vectors, a group's width apart. Beyond dim: zeros, and nothing is written.
template <int kGroup, class T>
__device__ __forceinline__ void load_row(float (&out)[kEach], const T* row, int lane, int dim) {
  constexpr int kV = kVec<T>;
#pragma unroll
  for (int k = 0; k < kEach / kV; k++) {
    const int c = (k * kGroup + lane) * kV;
    float v[kV] = {};
    if (c < dim) load_vec(v, row + c);
#pragma unroll
    for (int j = 0; j < kV; j++) out[k * kV + j] = v[j];
  }
}
template <int kGroup, class T, class P>
__device__ __forceinline__ void store_row(P* row, const float (&x)[kEach], int lane, int dim) {
  constexpr int kV = kVec<T>;
#pragma unroll
  for (int k = 0; k < kEach / kV; k++) {
    const int c = (k * kGroup + lane) * kV;
    float v[kV];
#pragma unroll
    for (int j = 0; j < kV; j++) v[j] = x[k * kV + j];
    if (c < dim) store_vec(row + c, v);
  }
}

template <class T, int kGroup>
__global__ void __launch_bounds__(kThreads<kGroup>)
    rmsnorm_fwd_kernel(T* y, T* h_out, float* rstd_out, const T* x, const T* residual, const T* weight, int64_t rows, int dim, float eps) {
  __shared__ float shared[32];
  const int lane = threadIdx.x % kGroup;
  const int64_t row = (int64_t)blockIdx.x * (kThreads<kGroup> / kGroup) + threadIdx.x / kGroup;
  if (row >= rows) return;  // a whole warp, or no one: larger groups fill their block
  float h[kEach], w[kEach];
  load_row<kGroup>(h, x + row * dim, lane, dim);
  load_row<kGroup>(w, weight, lane, dim);
  if (residual) {
    float r[kEach];
    load_row<kGroup>(r, residual + row * dim, lane, dim);
#pragma unroll
    for (int j = 0; j < kEach; j++) h[j] = to_float(from_float<T>(h[j] + r[j]));  // what the backward will read
  }
  float squares = 0;
#pragma unroll
  for (int j = 0; j < kEach; j++) squares += h[j] * h[j];
  if (h_out) store_row<kGroup, T>(h_out + row * dim, h, lane, dim);
  const float rstd = 1.f / sqrtf(group_sum<kGroup>(squares, shared) / (float)dim + eps);
  if (lane == 0) rstd_out[row] = rstd;
#pragma unroll
  for (int j = 0; j < kEach; j++) h[j] *= rstd * w[j];
  store_row<kGroup, T>(y + row * dim, h, lane, dim);
}

// Any dim: a block takes a row, W elements at a time. A thread reads back only what it wrote itself.
template <class T, int W>
__global__ void __launch_bounds__(kBlock)
    rmsnorm_fwd_long_kernel(T* y, T* h_out, float* rstd_out, const T* x, const T* residual, const T* weight, int64_t dim, float eps) {
  __shared__ float shared[32];
  const int64_t row = blockIdx.x, base = row * dim;
  float squares = 0;
  for (int64_t c = threadIdx.x * W; c < dim; c += kBlock * W) {
    float h[W];
    load_vec(h, x + base + c);
    if (residual) {
      float r[W];
      load_vec(r, residual + base + c);
#pragma unroll
      for (int j = 0; j < W; j++) h[j] = to_float(from_float<T>(h[j] + r[j]));
    }
    if (h_out) store_vec(h_out + base + c, h);
#pragma unroll
    for (int j = 0; j < W; j++) squares += h[j] * h[j];
  }
  const float rstd = 1.f / sqrtf(block_sum<kBlock>(squares, shared) / (float)dim + eps);
  if (threadIdx.x == 0) rstd_out[row] = rstd;
  const T* from = h_out ? h_out : x;
  for (int64_t c = threadIdx.x * W; c < dim; c += kBlock * W) {
    float h[W], w[W];
    load_vec(h, from + base + c);
    load_vec(w, weight + c);
#pragma unroll
    for (int j = 0; j < W; j++) h[j] *= rstd * w[j];
    store_vec(y + base + c, h);
  }
}

// With n = h * rstd and g = dy * weight: dx = rstd * (g - n * mean(g * n)) + dh. Group i takes rows [i * chunk, (i + 1) * chunk); partial:
// [groups, dim], the group's sums of dy * n, nullable.
template <class T, int kGroup>
__global__ void __launch_bounds__(kThreads<kGroup>)
    rmsnorm_bwd_kernel(T* dx, float* partial, const T* dy, const T* dh, const T* h_in, const T* weight, const float* rstd_in, int64_t rows,
                       int64_t chunk, int dim, bool accumulate) {
  __shared__ float shared[32];
  const int lane = threadIdx.x % kGroup;
  const int64_t group = (int64_t)blockIdx.x * (kThreads<kGroup> / kGroup) + threadIdx.x / kGroup, begin = group * chunk;
  const int64_t end = begin + chunk < rows ? begin + chunk : rows;
  if (begin >= rows) return;
  float w[kEach], dw[kEach] = {};
  load_row<kGroup>(w, weight, lane, dim);
  for (int64_t row = begin; row < end; row++) {
    float g[kEach], n[kEach], other[kEach];
    load_row<kGroup>(g, dy + row * dim, lane, dim);
    load_row<kGroup>(n, h_in + row * dim, lane, dim);
    const float rstd = rstd_in[row];
    float dot = 0;
#pragma unroll
    for (int j = 0; j < kEach; j++) {
      n[j] *= rstd;
      dw[j] += g[j] * n[j];
      g[j] *= w[j];
      dot += g[j] * n[j];
    }
    dot = group_sum<kGroup>(dot, shared) / (float)dim;
#pragma unroll
    for (int j = 0; j < kEach; j++) g[j] = rstd * (g[j] - n[j] * dot);
    if (dh) {
      load_row<kGroup>(other, dh + row * dim, lane, dim);
#pragma unroll
      for (int j = 0; j < kEach; j++) g[j] += other[j];
    }
    if (accumulate) {
      load_row<kGroup>(other, dx + row * dim, lane, dim);
#pragma unroll
      for (int j = 0; j < kEach; j++) g[j] += other[j];
    }
    store_row<kGroup, T>(dx + row * dim, g, lane, dim);
  }
  if (partial) store_row<kGroup, T>(partial + group * dim, dw, lane, dim);
}

template <class T, int W>
__global__ void __launch_bounds__(kBlock) rmsnorm_bwd_long_kernel(T* dx, const T* dy, const T* dh, const T* h_in, const T* weight,
                                                                  const float* rstd_in, int64_t dim, bool accumulate) {
  __shared__ float shared[32];
  const int64_t row = blockIdx.x, base = row * dim;
  const float rstd = rstd_in[row];
  float dot = 0;
  for (int64_t c = threadIdx.x * W; c < dim; c += kBlock * W) {
    float g[W], h[W], w[W];
    load_vec(g, dy + base + c);
    load_vec(h, h_in + base + c);
    load_vec(w, weight + c);
#pragma unroll
    for (int j = 0; j < W; j++) dot += g[j] * w[j] * (h[j] * rstd);
  }
  dot = block_sum<kBlock>(dot, shared) / (float)dim;
  for (int64_t c = threadIdx.x * W; c < dim; c += kBlock * W) {
    float g[W], h[W], w[W];
    load_vec(g, dy + base + c);
    load_vec(h, h_in + base + c);
    load_vec(w, weight + c);
#pragma unroll
    for (int j = 0; j < W; j++) g[j] = rstd * (g[j] * w[j] - h[j] * rstd * dot);
    if (dh) {
      load_vec(h, dh + base + c);
#pragma unroll
      for (int j = 0; j < W; j++) g[j] += h[j];
    }
    if (accumulate) {
      load_vec(h, dx + base + c);
#pragma unroll
      for (int j = 0; j < W; j++) g[j] += h[j];
    }
    store_vec(dx + base + c, g);
  }
}

// The weight's gradient of the long rows, before dx may overwrite dy.
template <class T>
struct WeightTerm {
  const T *dy, *h;
  const float* rstd;
  int64_t dim;
  template <int W>
  __device__ __forceinline__ void at(float (&v)[W], int64_t row, int64_t c) const {
    float n[W];
    const float scale = rstd[row];
    load_vec(v, dy + row * dim + c);
    load_vec(n, h + row * dim + c);
#pragma unroll
    for (int j = 0; j < W; j++) v[j] *= n[j] * scale;
  }
};

int group_size(int64_t dim) {
  if (dim <= 32 * kEach) return 32;
  int group = 128;
  while (group * kEach < dim) group *= 2;
  return group;
}
// f(integral constant of the group's size).
template <class F>
void with_group(int64_t dim, F&& f) {
  switch (group_size(dim)) {
    case 32: return f(std::integral_constant<int, 32>{});
    case 128: return f(std::integral_constant<int, 128>{});
    case 256: return f(std::integral_constant<int, 256>{});
    case 512: return f(std::integral_constant<int, 512>{});
    default: return f(std::integral_constant<int, 1024>{});
  }
}
// Rows of a group in the backward: at most 2^18 threads and 1024 groups in all, whatever the device.
int64_t group_chunk(int64_t rows, int64_t dim) {
  const int64_t groups = (1 << 18) / group_size(dim);
  return ceil_div(rows, groups < 1024 ? groups : int64_t(1024));
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_rmsnorm_fwd(const kedge_context* ctx, int32_t dtype, void* y, void* h_out, float* rstd, const void* x,
                                    const void* residual, const void* weight, int64_t rows, int64_t dim, double eps, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_rmsnorm_fwd(y, h_out, rstd, x, residual, weight, rows, dim, eps, status));
  KEDGE_REQUIRE(rows <= kRowCap, "rows is %lld", (long long)rows);
  if (rows == 0 || dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T *to = static_cast<T*>(y), *h = static_cast<T*>(h_out);
    const T *from = static_cast<const T*>(x), *more = static_cast<const T*>(residual), *w = static_cast<const T*>(weight);
    const bool wide = dim % kVec<T> == 0 && aligned16(y) && aligned16(h_out) && aligned16(x) && aligned16(residual) && aligned16(weight);
    if (wide && dim <= kMaxRegisterDim) {
      with_group(dim, [&](auto size) {
        constexpr int kGroup = decltype(size)::value;
        const unsigned blocks = grid_rows(ceil_div(rows, (int64_t)(kThreads<kGroup> / kGroup)));
        KEDGE_LAUNCH((rmsnorm_fwd_kernel<T, kGroup>), blocks, kThreads<kGroup>, 0, stream_of(ctx), to, h, rstd, from, more, w, rows,
                     (int)dim, (float)eps);
      });
    } else if (wide) {
      KEDGE_LAUNCH((rmsnorm_fwd_long_kernel<T, kVec<T>>), (unsigned)rows, kBlock, 0, stream_of(ctx), to, h, rstd, from, more, w, dim,
                   (float)eps);
    } else {
      KEDGE_LAUNCH((rmsnorm_fwd_long_kernel<T, 1>), (unsigned)rows, kBlock, 0, stream_of(ctx), to, h, rstd, from, more, w, dim, (float)eps);
    }
  });
  return finish("rmsnorm_fwd", status);
}

KEDGE_API int32_t kedge_rmsnorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx, float* dweight, const void* dy, const void* dh,
                                    const void* h, const void* weight, const float* rstd, int64_t rows, int64_t dim, int32_t accumulate,
                                    kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_matrices(rows, dim, {{"dx", dx}, {"dy", dy}, {"h", h}, {"weight", weight}, {"rstd", rstd}}, status));
  KEDGE_REQUIRE(rows <= kRowCap, "rows is %lld", (long long)rows);
  if (rows == 0 || dim == 0) return ok(status);
  const int64_t width = dtype == KEDGE_F32 ? kVec<float> : kVec<__nv_bfloat16>;
  const bool wide = dim % width == 0 && aligned16(dx) && aligned16(dy) && aligned16(dh) && aligned16(h) && aligned16(weight);
  const bool registers = wide && dim <= kMaxRegisterDim, add = (accumulate & 1) != 0;
  const int64_t chunk = registers && dweight ? group_chunk(rows, dim) : 1, groups = ceil_div(rows, chunk);
  if (dweight) KEDGE_REQUIRE_WORKSPACE(registers ? groups * dim * 4 : column_workspace(rows, dim));
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = static_cast<T*>(dx);
    const T *g = static_cast<const T*>(dy), *g2 = static_cast<const T*>(dh), *x = static_cast<const T*>(h),
            *w = static_cast<const T*>(weight);
    if (registers) {
      float* partial = dweight ? static_cast<float*>(ctx->workspace) : nullptr;
      with_group(dim, [&](auto size) {
        constexpr int kGroup = decltype(size)::value;
        const unsigned blocks = grid_rows(ceil_div(groups, (int64_t)(kThreads<kGroup> / kGroup)));
        KEDGE_LAUNCH((rmsnorm_bwd_kernel<T, kGroup>), blocks, kThreads<kGroup>, 0, stream_of(ctx), to, partial, g, g2, x, w, rstd, rows,
                     chunk, (int)dim, add);
      });
      if (dweight) add_partials(ctx, dweight, partial, groups, dim);
      return;
    }
    if (dweight) add_column_sums<kVec<T>>(ctx, dweight, rows, dim, wide, WeightTerm<T>{g, x, rstd, dim});
    if (wide) {
      KEDGE_LAUNCH((rmsnorm_bwd_long_kernel<T, kVec<T>>), (unsigned)rows, kBlock, 0, stream_of(ctx), to, g, g2, x, w, rstd, dim, add);
    } else {
      KEDGE_LAUNCH((rmsnorm_bwd_long_kernel<T, 1>), (unsigned)rows, kBlock, 0, stream_of(ctx), to, g, g2, x, w, rstd, dim, add);
    }
  });
  return finish("rmsnorm_bwd", status);
}
