// Sums over the rows of a matrix, column by column, in a fixed order: gradients of biases and of norm weights. Rows are cut into chunks
// whose size depends on their number alone. In a chunk, warp w of a block sums rows w, w + 8, ..., and the 8 sums are added in the order of
// the warps; where there are several chunks, a second pass adds those in order.
#pragma once
#include "common.cuh"

namespace kedge {
namespace {

constexpr int kColumnRows = 8;  // rows that a block reads at once: 8 warps, each 32 x W columns wide

// out[chunk, c] = sum of term.at<W>(v, r, c) over the chunk's rows, or += with accumulate. grid: (column blocks, chunks).
template <int W, class Term>
__global__ void __launch_bounds__(kBlock)
    column_sums_kernel(float* out, int64_t rows, int64_t dim, int64_t chunk, bool accumulate, Term term) {
  constexpr int kAhead = W > 4 ? 4 : 8;  // rows in flight
  __shared__ float shared[kColumnRows][32 * W + 4];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t c = ((int64_t)blockIdx.x * 32 + lane) * W, begin = blockIdx.y * chunk, end = begin + chunk < rows ? begin + chunk : rows;
  float sum[W] = {};
  if (c < dim) {
    for (int64_t r = begin + warp; r < end; r += kColumnRows * kAhead) {
      float v[kAhead][W];
#pragma unroll
      for (int k = 0; k < kAhead; k++)
        if (r + k * kColumnRows < end) term.template at<W>(v[k], r + k * kColumnRows, c);
#pragma unroll
      for (int k = 0; k < kAhead; k++)
        if (r + k * kColumnRows < end) {
#pragma unroll
          for (int j = 0; j < W; j++) sum[j] += v[k][j];
        }
    }
  }
#pragma unroll
  for (int j = 0; j < W; j++) shared[warp][lane * W + j] = sum[j];
  __syncthreads();  // from here a thread owns columns, not rows
  for (int i = threadIdx.x; i < 32 * W; i += kBlock) {
    const int64_t column = (int64_t)blockIdx.x * 32 * W + i;
    if (column < dim) {
      float total = shared[0][i];
#pragma unroll
      for (int k = 1; k < kColumnRows; k++) total += shared[k][i];
      float* to = out + blockIdx.y * dim + column;
      *to = accumulate ? *to + total : total;
    }
  }
}

constexpr int64_t kColumnMinChunk = 64, kColumnMaxChunks = 256;
// Rows in a chunk, and bytes of workspace for the chunks' sums.
inline int64_t column_chunk(int64_t rows) {
  int64_t chunk = ceil_div(rows, kColumnMaxChunks);
  return chunk < kColumnMinChunk ? kColumnMinChunk : chunk;
}
inline int64_t column_workspace(int64_t rows, int64_t dim) {
  int64_t chunks = ceil_div(rows, column_chunk(rows));
  return chunks <= 1 ? 0 : chunks * dim * 4;
}

// The elements of a matrix themselves.
template <class T>
struct MatrixTerm {
  const T* x;
  int64_t stride;
  template <int W>
  __device__ __forceinline__ void at(float (&v)[W], int64_t row, int64_t c) const {
    load_vec(v, x + row * stride + c);
  }
};
template <int W, class Term>
void launch_column_sums(const kedge_context* ctx, float* out, int64_t rows, int64_t dim, int64_t chunk, bool accumulate, const Term& term) {
  dim3 grid((unsigned)ceil_div(dim, (int64_t)32 * W), (unsigned)(rows > 0 ? ceil_div(rows, chunk) : 1));
  KEDGE_LAUNCH((column_sums_kernel<W, Term>), grid, kBlock, 0, stream_of(ctx), out, rows, dim, chunk, accumulate, term);
}
// out[c] += sum of partial[r, c], in one pass: rows are few.
inline void add_partials(const kedge_context* ctx, float* out, const float* partial, int64_t rows, int64_t dim) {
  const MatrixTerm<float> term{partial, dim};
  if (dim % 4 == 0 && aligned16(partial)) {
    launch_column_sums<4>(ctx, out, rows, dim, rows, true, term);
  } else {
    launch_column_sums<1>(ctx, out, rows, dim, rows, true, term);
  }
}
// out[c] += sum over all rows. Needs column_workspace(rows, dim). wide: dim % W == 0 and the term's arrays are aligned.
template <int W, class Term>
void add_column_sums(const kedge_context* ctx, float* out, int64_t rows, int64_t dim, bool wide, const Term& term) {
  const int64_t chunk = column_chunk(rows), chunks = ceil_div(rows, chunk);
  float* partial = static_cast<float*>(ctx->workspace);
  float* to = chunks > 1 ? partial : out;
  if (wide) {
    launch_column_sums<W>(ctx, to, rows, dim, chunk, chunks <= 1, term);
  } else {
    launch_column_sums<1>(ctx, to, rows, dim, chunk, chunks <= 1, term);
  }
  if (chunks > 1) add_partials(ctx, out, partial, chunks, dim);
}

}  // namespace
}  // namespace kedge
