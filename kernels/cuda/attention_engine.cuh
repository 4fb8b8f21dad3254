// Tiles of attention: a block works on kRows rows (queries, or keys in the gradient by keys) against kCols columns, all of them lines of
// head_dim elements in shared memory, padded with zeros to kDim. An engine does the two products of such tiles, f32 on plain cores and bf16
// on tensor cores, and says which elements a thread holds.
#pragma once
#include "mma.cuh"

namespace kedge {

constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

template <class T, int kDim>
struct Engine;

// 256 threads as 16 x 16: a thread holds rows 4 ty.. 4 ty + 3, and columns tx, tx + 16 of the scores. Of the accumulator [kRows, kDim] it
// holds the same rows, and kAccCols columns in runs of kRun neighbours, so that it reads a run at once. Lines are padded by 4 elements: the
// 16 lanes that read one column of different lines then meet in different banks.
template <int kDim_>
struct Engine<float, kDim_> {
  using T = float;
  static constexpr int kDim = kDim_, kThreads = 256, kRows = 64, kCols = 32, kStride = kDim + 4, kScoreRows = 4, kScoreCols = 2;
  static constexpr int kRun = kDim % 64 == 0 ? 4 : kDim % 32 == 0 ? 2 : 1;  // neighbouring columns of an accumulator
  static constexpr int kAccCols = kDim / 16, kLanes = 16;                   // lanes that share a row: lane bits 0..3
  static constexpr int kProbStride = kCols + 4, kScratchBytes = kRows * kProbStride * 4;

  struct Scores {
    float v[kScoreRows][kScoreCols];
    __device__ __forceinline__ float& at(int i, int j) { return v[i][j]; }
  };
  struct Acc {
    float v[kScoreRows][kAccCols];
    __device__ __forceinline__ float& at(int i, int j) { return v[i][j]; }
  };
  static __device__ __forceinline__ int first_row() { return threadIdx.x / 32 * 8; }  // of the warp
  static __device__ __forceinline__ int row(int i) { return threadIdx.x / 16 * 4 + i; }
  static __device__ __forceinline__ int col(int j) { return threadIdx.x % 16 + 16 * j; }
  static __device__ __forceinline__ int acc_col(int j) { return j / kRun * 16 * kRun + threadIdx.x % 16 * kRun + j % kRun; }

  // s = rows * cols^T
  static __device__ __forceinline__ void scores(Scores& s, const float* rows, const float* cols) {
#pragma unroll
    for (int i = 0; i < kScoreRows; i++)
#pragma unroll
      for (int j = 0; j < kScoreCols; j++) s.v[i][j] = 0.f;
#pragma unroll 4
    for (int d = 0; d < kDim; d += 4) {
      float4 a[kScoreRows], b[kScoreCols];
#pragma unroll
      for (int i = 0; i < kScoreRows; i++) a[i] = *reinterpret_cast<const float4*>(rows + row(i) * kStride + d);
#pragma unroll
      for (int j = 0; j < kScoreCols; j++) b[j] = *reinterpret_cast<const float4*>(cols + col(j) * kStride + d);
#pragma unroll
      for (int i = 0; i < kScoreRows; i++)
#pragma unroll
        for (int j = 0; j < kScoreCols; j++)
          s.v[i][j] = fmaf(a[i].w, b[j].w, fmaf(a[i].z, b[j].z, fmaf(a[i].y, b[j].y, fmaf(a[i].x, b[j].x, s.v[i][j]))));
    }
  }
  // acc += p * cols. A thread needs its rows of p whole but holds two columns of them; the 16 lanes that share the rows exchange them
  // through scratch. They are of one warp, so barriers of the warp do: one between the writes and the reads, one before the next call
  // writes again.
  static __device__ __forceinline__ void accumulate(Acc& acc, const Scores& p, const float* cols, float* scratch) {
#pragma unroll
    for (int i = 0; i < kScoreRows; i++)
#pragma unroll
      for (int j = 0; j < kScoreCols; j++) scratch[row(i) * kProbStride + col(j)] = p.v[i][j];
    __syncwarp();
#pragma unroll 2
    for (int k = 0; k < kCols; k += 4) {
      float4 a[kScoreRows];
#pragma unroll
      for (int i = 0; i < kScoreRows; i++) a[i] = *reinterpret_cast<const float4*>(scratch + row(i) * kProbStride + k);
#pragma unroll
      for (int kk = 0; kk < 4; kk++) {
        float b[kAccCols];
        const float* line = cols + (k + kk) * kStride;
#pragma unroll
        for (int j = 0; j < kAccCols; j += kRun) {
          if constexpr (kRun == 4) {
            const float4 v = *reinterpret_cast<const float4*>(line + acc_col(j));
            b[j] = v.x, b[j + 1] = v.y, b[j + 2] = v.z, b[j + 3] = v.w;
          } else if constexpr (kRun == 2) {
            const float2 v = *reinterpret_cast<const float2*>(line + acc_col(j));
            b[j] = v.x, b[j + 1] = v.y;
          } else {
            b[j] = line[acc_col(j)];
          }
        }
#pragma unroll
        for (int i = 0; i < kScoreRows; i++) {
          const float x = kk == 0 ? a[i].x : kk == 1 ? a[i].y : kk == 2 ? a[i].z : a[i].w;
#pragma unroll
          for (int j = 0; j < kAccCols; j++) acc.v[i][j] = fmaf(x, b[j], acc.v[i][j]);
        }
      }
    }
    __syncwarp();
  }
};

// 4 warps of 16 rows each; a thread holds rows group and group + 8 of its warp's (see mma.cuh).
template <int kDim_>
struct Engine<__nv_bfloat16, kDim_> {
  using T = __nv_bfloat16;
  static constexpr int kDim = kDim_, kThreads = 128, kRows = 64, kCols = kDim > 80 ? 32 : 64, kStride = kDim + 8, kScoreRows = 2,
                       kScoreCols = kCols / 4;
  static constexpr int kRun = 2, kAccCols = kDim / 4, kLanes = 4, kScratchBytes = 0;

  struct Scores {
    float v[kCols / 8][4];
    __device__ __forceinline__ float& at(int i, int j) { return v[j / 2][i * 2 + j % 2]; }
  };
  struct Acc {
    float v[kDim / 8][4];
    __device__ __forceinline__ float& at(int i, int j) { return v[j / 2][i * 2 + j % 2]; }
  };
  static __device__ __forceinline__ int first_row() { return threadIdx.x / 32 * 16; }
  static __device__ __forceinline__ int row(int i) { return threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + 8 * i; }
  static __device__ __forceinline__ int col(int j) { return j / 2 * 8 + threadIdx.x % 4 * 2 + j % 2; }
  static __device__ __forceinline__ int acc_col(int j) { return col(j); }

  static __device__ __forceinline__ void scores(Scores& s, const T* rows, const T* cols) {
#pragma unroll
    for (int n = 0; n < kCols / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) s.v[n][e] = 0.f;
#pragma unroll
    for (int d = 0; d < kDim; d += 16) {
      uint32_t a[4];
      load_a<false>(a, rows + first_row() * kStride + d, kStride);
#pragma unroll
      for (int n = 0; n < kCols; n += 16) {
        uint32_t b[4];
        load_b<false>(b, cols + n * kStride + d, kStride);
        mma_bf16(s.v[n / 8], a, b[0], b[1]);
        mma_bf16(s.v[n / 8 + 1], a, b[2], b[3]);
      }
    }
  }
  // Two neighbouring fragments of scores are, rounded to bf16, a fragment of A.
  static __device__ __forceinline__ void accumulate(Acc& acc, const Scores& p, const T* cols, float*) {
#pragma unroll
    for (int k = 0; k < kCols; k += 16) {
      const float (&x)[4] = p.v[k / 8], (&y)[4] = p.v[k / 8 + 1];
      const uint32_t a[4] = {pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(y[0], y[1]), pack_bf16(y[2], y[3])};
#pragma unroll
      for (int n = 0; n < kDim; n += 16) {
        uint32_t b[4];
        load_b<true>(b, cols + k * kStride + n, kStride);
        mma_bf16(acc.v[n / 8], a, b[0], b[1]);
        mma_bf16(acc.v[n / 8 + 1], a, b[2], b[3]);
      }
    }
  }
};

template <class E>
__device__ __forceinline__ void clear(typename E::Acc& acc) {
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++)
#pragma unroll
    for (int j = 0; j < E::kAccCols; j++) acc.at(i, j) = 0.f;
}
// Over the lanes that share a row.
template <class E>
__device__ __forceinline__ float row_sum(float v) {
#pragma unroll
  for (int o = E::kLanes / 2; o > 0; o /= 2) v += __shfl_xor_sync(kFullWarp, v, o);
  return v;
}
template <class E>
__device__ __forceinline__ float row_max(float v) {
#pragma unroll
  for (int o = E::kLanes / 2; o > 0; o /= 2) v = fmaxf(v, __shfl_xor_sync(kFullWarp, v, o));
  return v;
}
// Folds new scores (in log2 units) into the running maximum m and the thread's part of the sum: s becomes exp2(s - m), alpha the factor for
// what was accumulated before. -inf everywhere leaves m at -inf and gives zeros. The maximum is that of the row, over all its lanes; the
// sum stays each thread's own until the end, where one reduction puts the parts together.
template <class E>
__device__ __forceinline__ void softmax_step(typename E::Scores& s, float (&m)[E::kScoreRows], float (&sum)[E::kScoreRows],
                                             float (&alpha)[E::kScoreRows]) {
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) {
    float high = s.at(i, 0);
#pragma unroll
    for (int j = 1; j < E::kScoreCols; j++) high = fmaxf(high, s.at(i, j));
    high = fmaxf(m[i], row_max<E>(high));
    const float base = high == -INFINITY ? 0.f : high;
    alpha[i] = exp2f(m[i] - base);
    m[i] = high;
    sum[i] *= alpha[i];
#pragma unroll
    for (int j = 0; j < E::kScoreCols; j++) {
      s.at(i, j) = exp2f(s.at(i, j) - base);
      sum[i] += s.at(i, j);
    }
  }
}
template <class E>
__device__ __forceinline__ void scale_rows(typename E::Acc& acc, const float (&factor)[E::kScoreRows]) {
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++)
#pragma unroll
    for (int j = 0; j < E::kAccCols; j++) acc.at(i, j) *= factor[i];
}

// lse in log2 units; +inf (so that exp2(s - it) = 0) for a row that sees nothing.
__device__ __forceinline__ float lse2_of(float lse) { return lse == -INFINITY ? INFINITY : lse * kLog2E; }

// Fills kLines lines of a tile: line i < count comes from line(i), dim elements; the rest is zero. Asynchronous where wide (16-byte aligned
// lines).
template <class E, int kLines, class Line>
__device__ __forceinline__ void load_tile(typename E::T* shared, Line&& line, int count, int dim, bool wide) {
  using T = typename E::T;
  constexpr int kVector = 16 / (int)sizeof(T), kPerLine = E::kDim / kVector;
  for (int v = threadIdx.x; v < kLines * kPerLine; v += E::kThreads) {
    const int i = v / kPerLine, d = v % kPerLine * kVector;
    T* to = shared + i * E::kStride + d;
    if (i >= count || d >= dim) {
      *reinterpret_cast<uint4*>(to) = make_uint4(0, 0, 0, 0);
    } else if (wide) {
      copy_async16(to, line(i) + d);
    } else {
      const T* from = line(i) + d;
#pragma unroll
      for (int e = 0; e < kVector; e++) to[e] = from[e];
    }
  }
}
// The same for rows first, first + 1, ... of a matrix.
template <class E, int kLines>
__device__ __forceinline__ void load_rows(typename E::T* shared, const typename E::T* x, int64_t stride, int64_t first, int count, int dim,
                                          bool wide) {
  load_tile<E, kLines>(shared, [&](int i) { return x + (first + i) * stride; }, count, dim, wide);
}
// out[row] = factor * acc, or += where accumulate; line(i) is the row of the thread's i-th accumulator line, NULL to skip it.
template <class E, class Line>
__device__ __forceinline__ void store_rows(typename E::Acc& acc, const float (&factor)[E::kScoreRows], Line&& line, int dim,
                                           bool accumulate) {
  using T = typename E::T;
#pragma unroll
  for (int i = 0; i < E::kScoreRows; i++) {
    T* to = line(i);
    if (!to) continue;
#pragma unroll
    for (int j = 0; j < E::kAccCols; j++) {
      const int d = E::acc_col(j);
      if (d >= dim) continue;
      float v = acc.at(i, j) * factor[i];
      if (accumulate) v += to_float(to[d]);
      to[d] = from_float<T>(v);
    }
  }
}

}  // namespace kedge
