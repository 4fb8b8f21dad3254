// Kernels over all elements of flat arrays, over the rows of matrices, and the sum of a flat array, for any body: body.at<W>(...) treats W
// elements at once, by 16-byte accesses where W > 1, or one where arrays are not aligned and at the ends.
#pragma once
#include "common.cuh"

namespace kedge {
namespace {  // the emulation needs internal linkage of kernels with __shared__

// body.at<W>(i) for i in [0, n) in steps of W, then body.at<1> for the rest.
template <int W, class Body>
__global__ void __launch_bounds__(kBlock) for_each_kernel(int64_t n, Body body) {
  const int64_t first = (int64_t)blockIdx.x * kBlock + threadIdx.x, threads = (int64_t)gridDim.x * kBlock;
  const int64_t vectors = n / W;
  for (int64_t v = first; v < vectors; v += threads) body.template at<W>(v * W);
  if constexpr (W > 1) {
    if (int64_t i = vectors * W + first; i < n) body.template at<1>(i);
  }
}
// wide: every array may be read W elements at a time.
template <int W, class Body>
inline void for_each(const kedge_context* ctx, int64_t n, bool wide, const Body& body) {
  if (wide) {
    KEDGE_LAUNCH((for_each_kernel<W, Body>), grid_for(n, kBlock * W), kBlock, 0, stream_of(ctx), n, body);
  } else {
    KEDGE_LAUNCH((for_each_kernel<1, Body>), grid_for(n, kBlock), kBlock, 0, stream_of(ctx), n, body);
  }
}

// body.at<W>(row, column): 2^shift threads of a block share a row, so that narrow rows fill the block too; blockIdx.y splits wide ones.
template <int W, class Body>
__global__ void __launch_bounds__(kBlock) for_rows_kernel(int64_t rows, int64_t dim, int shift, Body body) {
  const int64_t lane = ((int64_t)blockIdx.y << shift) + (threadIdx.x & ((1 << shift) - 1)), lanes = (int64_t)gridDim.y << shift;
  const int64_t vectors = dim / W, rows_at_once = (int64_t)gridDim.x * (kBlock >> shift);
  for (int64_t row = (int64_t)blockIdx.x * (kBlock >> shift) + (threadIdx.x >> shift); row < rows; row += rows_at_once) {
    for (int64_t v = lane; v < vectors; v += lanes) body.template at<W>(row, v * W);
    if constexpr (W > 1) {
#pragma unroll 1
      for (int64_t c = vectors * W + lane; c < dim; c += lanes) body.template at<1>(row, c);
    }
  }
}
struct RowGrid {
  int shift;
  dim3 grid;
};
inline RowGrid row_grid(int64_t rows, int64_t units) {
  int shift = 0;
  while (shift < 8 && (int64_t(1) << shift) < units) shift++;
  int64_t slices = ceil_div(units, int64_t(kBlock) * 8);
  return {shift, dim3(grid_rows(ceil_div(rows, int64_t(kBlock >> shift))), (unsigned)(slices < 1 ? 1 : slices > 64 ? 64 : slices))};
}
template <int W, class Body>
inline void for_rows(const kedge_context* ctx, int64_t rows, int64_t dim, bool wide, const Body& body) {
  RowGrid g = row_grid(rows, wide ? ceil_div(dim, (int64_t)W) : dim);
  if (wide) {
    KEDGE_LAUNCH((for_rows_kernel<W, Body>), g.grid, kBlock, 0, stream_of(ctx), rows, dim, g.shift, body);
  } else {
    KEDGE_LAUNCH((for_rows_kernel<1, Body>), g.grid, kBlock, 0, stream_of(ctx), rows, dim, g.shift, body);
  }
}

// ---- sums over a whole array: f64 partials of fixed chunks in the workspace, then one block ----
// The chunks depend on n alone, not on the device, and a chunk has one block: the order of the additions is fixed.

constexpr int64_t kSumMaxChunks = 2048, kSumMinChunk = 16384;
inline int64_t sum_chunks(int64_t n) {
  int64_t chunks = ceil_div(n, kSumMinChunk);
  return chunks > kSumMaxChunks ? kSumMaxChunks : chunks;
}
// partial[chunk] = sum of term.at<W>(i) over the chunk; size: elements in a chunk, a multiple of W.
template <int W, class Term>
__global__ void __launch_bounds__(kBlock) sum_kernel(double* partial, int64_t n, int64_t size, Term term) {
  __shared__ double shared[kBlock / 32];
  const int64_t begin = blockIdx.x * size < n ? blockIdx.x * size : n, end = begin + size < n ? begin + size : n,
                vectors = (end - begin) / W;
  double sum = 0;
  for (int64_t v = threadIdx.x; v < vectors; v += kBlock) sum += term.template at<W>(begin + v * W);
  if constexpr (W > 1) {
    if (int64_t i = begin + vectors * W + threadIdx.x; i < end) sum += term.template at<1>(i);
  }
  sum = block_sum<kBlock>(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
template <class Out>
__global__ void __launch_bounds__(kBlock) sum_partials_kernel(Out* out, const double* partial, int64_t chunks, bool accumulate) {
  __shared__ double shared[kBlock / 32];
  double sum = 0;
  for (int64_t c = threadIdx.x; c < chunks; c += kBlock) sum += partial[c];
  sum = block_sum<kBlock>(sum, shared);
  if (threadIdx.x == 0) out[0] = (Out)(accumulate ? (double)out[0] + sum : sum);
}
// Needs sum_chunks(n) * 8 bytes of workspace.
template <int W, class Out, class Term>
inline void sum_all(const kedge_context* ctx, Out* out, int64_t n, bool wide, bool accumulate, const Term& term) {
  double* partial = static_cast<double*>(ctx->workspace);
  const int64_t chunks = sum_chunks(n), size = chunks > 0 ? ceil_div(ceil_div(n, chunks), (int64_t)W) * W : 0;
  if (chunks > 0 && wide) {
    KEDGE_LAUNCH((sum_kernel<W, Term>), (unsigned)chunks, kBlock, 0, stream_of(ctx), partial, n, size, term);
  } else if (chunks > 0) {
    KEDGE_LAUNCH((sum_kernel<1, Term>), (unsigned)chunks, kBlock, 0, stream_of(ctx), partial, n, size, term);
  }
  KEDGE_LAUNCH((sum_partials_kernel<Out>), 1, kBlock, 0, stream_of(ctx), out, partial, chunks, accumulate);
}

}  // namespace
}  // namespace kedge
