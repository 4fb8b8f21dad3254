// RMSNorm and LayerNorm (kCentred: rows lose their mean first), forward and backward. Rows of up to 8192 aligned elements stay in registers, 8 a
// thread, a group of 32 to 1024 threads a row; longer or unaligned rows are read two or three times by a block. The parameters' gradients are
// summed in registers over a fixed run of rows for each group, then over the groups; the runs depend on the shape alone. Zhang & Sennrich, arXiv
// 1910.07467; Ba et al., arXiv 1607.06450.
#pragma once
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
// The column of the thread's element j.
template <int kGroup, class T>
__device__ __forceinline__ int column(int j, int lane) {
  return (j / kVec<T> * kGroup + lane) * kVec<T> + j % kVec<T>;
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

// Where a row begins in an array: rows close together, or heads of tokens that lie `stride` apart.
struct CloseRows {
  __device__ __forceinline__ int64_t at(int64_t row, int64_t dim, int64_t) const { return row * dim; }
};
struct HeadRows {
  unsigned heads;
  __device__ __forceinline__ int64_t at(int64_t row, int64_t dim, int64_t stride) const {
    const int64_t token = (unsigned)row / heads;
    return token * stride + (row - token * heads) * dim;
  }
};

// h_out, residual: nullable. mean, bias: of kCentred alone.
template <class T>
struct NormFwd {
  T *y, *h_out;
  float *mean, *rstd;
  const T *x, *residual, *weight, *bias;
  int64_t y_stride = 0, x_stride = 0;

  bool wide(int64_t dim) const {
    return dim % kVec<T> == 0 && vector_rows<T>(y, y_stride) && vector_rows<T>(x, x_stride) && aligned16(h_out) && aligned16(residual) &&
           aligned16(weight) && aligned16(bias);
  }
};
// dh: nullable.
template <class T>
struct NormBwd {
  T* dx;
  const T *dy, *dh, *h, *weight;
  const float *mean, *rstd;
  bool accumulate;
  int64_t dx_stride = 0, dy_stride = 0, h_stride = 0;

  bool wide(int64_t dim) const {
    return dim % kVec<T> == 0 && vector_rows<T>(dx, dx_stride) && vector_rows<T>(dy, dy_stride) && vector_rows<T>(h, h_stride) &&
           aligned16(dh) && aligned16(weight);
  }
};

template <class T, int kGroup, bool kCentred, class Rows>
__global__ void __launch_bounds__(kThreads<kGroup>) norm_fwd_kernel(NormFwd<T> a, Rows at, int64_t rows, int dim, float eps) {
  __shared__ float shared[32];
  const int lane = threadIdx.x % kGroup;
  const int64_t row = (int64_t)blockIdx.x * (kThreads<kGroup> / kGroup) + threadIdx.x / kGroup;
  if (row >= rows) return;  // a whole warp, or no one: larger groups fill their block
  float h[kEach], w[kEach];
  load_row<kGroup>(h, a.x + at.at(row, dim, a.x_stride), lane, dim);
  load_row<kGroup>(w, a.weight, lane, dim);
  if (a.residual) {
    float r[kEach];
    load_row<kGroup>(r, a.residual + row * dim, lane, dim);
#pragma unroll
    for (int j = 0; j < kEach; j++) h[j] = to_float(from_float<T>(h[j] + r[j]));  // what the backward will read
  }
  if (a.h_out) store_row<kGroup, T>(a.h_out + row * dim, h, lane, dim);
  if constexpr (kCentred) {
    float sum = 0;
#pragma unroll
    for (int j = 0; j < kEach; j++) sum += h[j];
    const float mean = group_sum<kGroup>(sum, shared) / (float)dim;
    if (lane == 0) a.mean[row] = mean;
#pragma unroll
    for (int j = 0; j < kEach; j++) h[j] = column<kGroup, T>(j, lane) < dim ? h[j] - mean : 0.f;
  }
  float squares = 0;
#pragma unroll
  for (int j = 0; j < kEach; j++) squares += h[j] * h[j];
  const float rstd = 1.f / sqrtf(group_sum<kGroup>(squares, shared) / (float)dim + eps);
  if (lane == 0 && a.rstd) a.rstd[row] = rstd;
#pragma unroll
  for (int j = 0; j < kEach; j++) h[j] *= rstd * w[j];
  if constexpr (kCentred) {
    load_row<kGroup>(w, a.bias, lane, dim);
#pragma unroll
    for (int j = 0; j < kEach; j++) h[j] += w[j];
  }
  store_row<kGroup, T>(a.y + at.at(row, dim, a.y_stride), h, lane, dim);
}

// Any dim: a block takes a row, W elements at a time. A thread reads back only what it wrote itself.
template <class T, int W, bool kCentred, class Rows>
__global__ void __launch_bounds__(kBlock) norm_fwd_long_kernel(NormFwd<T> a, Rows at, int64_t dim, float eps) {
  __shared__ float shared[32];
  const int64_t row = blockIdx.x, base = row * dim;
  const T* x = a.x + at.at(row, dim, a.x_stride);
  float sum = 0;  // of the squares, or of the elements where the mean comes first
  for (int64_t c = threadIdx.x * W; c < dim; c += kBlock * W) {
    float h[W];
    load_vec(h, x + c);
    if (a.residual) {
      float r[W];
      load_vec(r, a.residual + base + c);
#pragma unroll
      for (int j = 0; j < W; j++) h[j] = to_float(from_float<T>(h[j] + r[j]));
    }
    if (a.h_out) store_vec(a.h_out + base + c, h);
#pragma unroll
    for (int j = 0; j < W; j++) sum += kCentred ? h[j] : h[j] * h[j];
  }
  sum = block_sum<kBlock>(sum, shared);
  const T* from = a.h_out ? a.h_out + base : x;
  [[maybe_unused]] float mean = 0;
  if constexpr (kCentred) {
    mean = sum / (float)dim;
    if (threadIdx.x == 0) a.mean[row] = mean;
    sum = 0;
    for (int64_t c = threadIdx.x * W; c < dim; c += kBlock * W) {
      float h[W];
      load_vec(h, from + c);
#pragma unroll
      for (int j = 0; j < W; j++) sum += (h[j] - mean) * (h[j] - mean);
    }
    sum = block_sum<kBlock>(sum, shared);
  }
  const float rstd = 1.f / sqrtf(sum / (float)dim + eps);
  if (threadIdx.x == 0 && a.rstd) a.rstd[row] = rstd;
  T* y = a.y + at.at(row, dim, a.y_stride);
  for (int64_t c = threadIdx.x * W; c < dim; c += kBlock * W) {
    float h[W], w[W];
    load_vec(h, from + c);
    load_vec(w, a.weight + c);
#pragma unroll
    for (int j = 0; j < W; j++) h[j] = (kCentred ? h[j] - mean : h[j]) * (rstd * w[j]);
    if constexpr (kCentred) {
      load_vec(w, a.bias + c);
#pragma unroll
      for (int j = 0; j < W; j++) h[j] += w[j];
    }
    store_vec(y + c, h);
  }
}

// With n = (h - mean) * rstd and g = dy * weight: dx = rstd * (g - mean(g) - n * mean(g * n)) + dh, where both means are LayerNorm's. Group i
// takes rows [i * chunk, (i + 1) * chunk); of_weight, of_bias: [groups, dim], the group's sums of dy * n and of dy, nullable.
template <class T, int kGroup, bool kCentred, class Rows>
__global__ void __launch_bounds__(kThreads<kGroup>)
    norm_bwd_kernel(NormBwd<T> a, Rows at, float* of_weight, float* of_bias, int64_t rows, int64_t chunk, int dim) {
  __shared__ float shared[32];
  const int lane = threadIdx.x % kGroup;
  const int64_t group = (int64_t)blockIdx.x * (kThreads<kGroup> / kGroup) + threadIdx.x / kGroup, begin = group * chunk;
  const int64_t end = begin + chunk < rows ? begin + chunk : rows;
  if (begin >= rows) return;
  float w[kEach], dw[kEach] = {};
  [[maybe_unused]] float db[kEach] = {};
  load_row<kGroup>(w, a.weight, lane, dim);
  for (int64_t row = begin; row < end; row++) {
    T* dx = a.dx + at.at(row, dim, a.dx_stride);
    float g[kEach], n[kEach], other[kEach];
    load_row<kGroup>(g, a.dy + at.at(row, dim, a.dy_stride), lane, dim);
    load_row<kGroup>(n, a.h + at.at(row, dim, a.h_stride), lane, dim);
    const float rstd = a.rstd[row];
    [[maybe_unused]] float mean = 0, sum = 0;
    if constexpr (kCentred) mean = a.mean[row];
    float dot = 0;
#pragma unroll
    for (int j = 0; j < kEach; j++) {
      if constexpr (kCentred) n[j] -= mean;  // beyond dim dy is 0, whatever n is
      n[j] *= rstd;
      dw[j] += g[j] * n[j];
      if constexpr (kCentred) db[j] += g[j];
      g[j] *= w[j];
      if constexpr (kCentred) sum += g[j];
      dot += g[j] * n[j];
    }
    dot = group_sum<kGroup>(dot, shared) / (float)dim;
    if constexpr (kCentred) sum = group_sum<kGroup>(sum, shared) / (float)dim;
#pragma unroll
    for (int j = 0; j < kEach; j++) g[j] = rstd * ((kCentred ? g[j] - sum : g[j]) - n[j] * dot);
    if (a.dh) {
      load_row<kGroup>(other, a.dh + row * dim, lane, dim);
#pragma unroll
      for (int j = 0; j < kEach; j++) g[j] += other[j];
    }
    if (a.accumulate) {
      load_row<kGroup>(other, dx, lane, dim);
#pragma unroll
      for (int j = 0; j < kEach; j++) g[j] += other[j];
    }
    store_row<kGroup, T>(dx, g, lane, dim);
  }
  if (of_weight) store_row<kGroup, T>(of_weight + group * dim, dw, lane, dim);
  if constexpr (kCentred) {
    if (of_bias) store_row<kGroup, T>(of_bias + group * dim, db, lane, dim);
  }
}

template <class T, int W, bool kCentred, class Rows>
__global__ void __launch_bounds__(kBlock) norm_bwd_long_kernel(NormBwd<T> a, Rows at, int64_t dim) {
  __shared__ float shared[32];
  const int64_t row = blockIdx.x;
  const float rstd = a.rstd[row];
  [[maybe_unused]] float mean = 0, sum = 0;
  if constexpr (kCentred) mean = a.mean[row];
  T* dx = a.dx + at.at(row, dim, a.dx_stride);
  const T *dy = a.dy + at.at(row, dim, a.dy_stride), *x = a.h + at.at(row, dim, a.h_stride);
  float dot = 0;
  for (int64_t c = threadIdx.x * W; c < dim; c += kBlock * W) {
    float g[W], h[W], w[W];
    load_vec(g, dy + c);
    load_vec(h, x + c);
    load_vec(w, a.weight + c);
#pragma unroll
    for (int j = 0; j < W; j++) {
      const float n = (kCentred ? h[j] - mean : h[j]) * rstd;
      dot += g[j] * w[j] * n;
      if constexpr (kCentred) sum += g[j] * w[j];
    }
  }
  dot = block_sum<kBlock>(dot, shared) / (float)dim;
  if constexpr (kCentred) sum = block_sum<kBlock>(sum, shared) / (float)dim;
  for (int64_t c = threadIdx.x * W; c < dim; c += kBlock * W) {
    float g[W], h[W], w[W];
    load_vec(g, dy + c);
    load_vec(h, x + c);
    load_vec(w, a.weight + c);
#pragma unroll
    for (int j = 0; j < W; j++) {
      const float n = (kCentred ? h[j] - mean : h[j]) * rstd;
      g[j] = rstd * ((kCentred ? g[j] * w[j] - sum : g[j] * w[j]) - n * dot);
    }
    if (a.dh) {
      load_vec(h, a.dh + row * dim + c);
#pragma unroll
      for (int j = 0; j < W; j++) g[j] += h[j];
    }
    if (a.accumulate) {
      load_vec(h, dx + c);
#pragma unroll
      for (int j = 0; j < W; j++) g[j] += h[j];
    }
    store_vec(dx + c, g);
  }
}

// The terms of the weight's gradient of the long rows, which is summed before dx may overwrite dy.
template <class T, bool kCentred, class Rows>
struct WeightTerm {
  NormBwd<T> a;
  Rows rows;
  int64_t dim;
  template <int W>
  __device__ __forceinline__ void at(float (&v)[W], int64_t row, int64_t c) const {
    float n[W];
    const float scale = a.rstd[row];
    [[maybe_unused]] float mean = 0;
    if constexpr (kCentred) mean = a.mean[row];
    load_vec(v, a.dy + rows.at(row, dim, a.dy_stride) + c);
    load_vec(n, a.h + rows.at(row, dim, a.h_stride) + c);
#pragma unroll
    for (int j = 0; j < W; j++) v[j] *= (kCentred ? n[j] - mean : n[j]) * scale;
  }
};

inline int group_size(int64_t dim) {
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
inline int64_t group_chunk(int64_t rows, int64_t dim) {
  const int64_t groups = (1 << 18) / group_size(dim);
  return ceil_div(rows, groups < 1024 ? groups : int64_t(1024));
}


template <class T, bool kCentred, class Rows>
void norm_fwd(const kedge_context* ctx, const NormFwd<T>& a, const Rows& at, int64_t rows, int64_t dim, float eps) {
  const bool wide = a.wide(dim);
  if (wide && dim <= kMaxRegisterDim) {
    with_group(dim, [&](auto size) {
      constexpr int kGroup = decltype(size)::value;
      const unsigned blocks = grid_rows(ceil_div(rows, (int64_t)(kThreads<kGroup> / kGroup)));
      KEDGE_LAUNCH((norm_fwd_kernel<T, kGroup, kCentred, Rows>), blocks, kThreads<kGroup>, 0, stream_of(ctx), a, at, rows, (int)dim, eps);
    });
  } else if (wide) {
    KEDGE_LAUNCH((norm_fwd_long_kernel<T, kVec<T>, kCentred, Rows>), (unsigned)rows, kBlock, 0, stream_of(ctx), a, at, dim, eps);
  } else {
    KEDGE_LAUNCH((norm_fwd_long_kernel<T, 1, kCentred, Rows>), (unsigned)rows, kBlock, 0, stream_of(ctx), a, at, dim, eps);
  }
}

// dweight, dbias: nullable.
template <class T, bool kCentred, class Rows>
int32_t norm_bwd(const kedge_context* ctx, const NormBwd<T>& a, const Rows& at, float* dweight, float* dbias, int64_t rows, int64_t dim,
                 kedge_status* status) {
  const bool wide = a.wide(dim), registers = wide && dim <= kMaxRegisterDim, sums = dweight || dbias;
  const int64_t chunk = registers && sums ? group_chunk(rows, dim) : 1, groups = ceil_div(rows, chunk);
  if (sums) KEDGE_REQUIRE_WORKSPACE(registers ? ((dweight != nullptr) + (dbias != nullptr)) * groups * dim * 4 : column_workspace(rows, dim));
  KEDGE_SET_DEVICE();
  if (registers) {
    float* partial = static_cast<float*>(ctx->workspace);
    float *of_weight = dweight ? partial : nullptr, *of_bias = !dbias ? nullptr : dweight ? partial + groups * dim : partial;
    with_group(dim, [&](auto size) {
      constexpr int kGroup = decltype(size)::value;
      const unsigned blocks = grid_rows(ceil_div(groups, (int64_t)(kThreads<kGroup> / kGroup)));
      KEDGE_LAUNCH((norm_bwd_kernel<T, kGroup, kCentred, Rows>), blocks, kThreads<kGroup>, 0, stream_of(ctx), a, at, of_weight, of_bias,
                   rows, chunk, (int)dim);
    });
    if (dweight) add_partials(ctx, dweight, of_weight, groups, dim);
    if (dbias) add_partials(ctx, dbias, of_bias, groups, dim);
    return KEDGE_OK;
  }
  if (dweight) add_column_sums<kVec<T>>(ctx, dweight, rows, dim, wide, WeightTerm<T, kCentred, Rows>{a, at, dim});
  if constexpr (kCentred) {
    if (dbias) add_column_sums<kVec<T>>(ctx, dbias, rows, dim, wide, MatrixTerm<T>{a.dy, dim});
  }
  if (wide) {
    KEDGE_LAUNCH((norm_bwd_long_kernel<T, kVec<T>, kCentred, Rows>), (unsigned)rows, kBlock, 0, stream_of(ctx), a, at, dim);
  } else {
    KEDGE_LAUNCH((norm_bwd_long_kernel<T, 1, kCentred, Rows>), (unsigned)rows, kBlock, 0, stream_of(ctx), a, at, dim);
  }
  return KEDGE_OK;
}

}  // namespace
}  // namespace kedge
