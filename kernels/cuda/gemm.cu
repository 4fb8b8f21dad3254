// C = alpha op(A) op(B) + beta C. op(A): [m, k], op(B): [k, n], C: [m, n], any leading dimensions and transposes; f32 on plain cores, bf16
// on tensor cores, f32 accumulators. Each element of C is one chain of additions over rising k (bf16: of 16-wide tensor-core steps), with
// zeros behind the last k: the same chain for every tile shape, so that a row's bits do not depend on m, n or its place. Tiles of both
// operands go through shared memory, double-buffered, the next one loaded into registers meanwhile.
//
// A block owns a tile of kM x kN elements of C and walks along k in steps of kK. In each step its threads load the next tiles of A and B
// into registers, compute with those in shared memory, then store the loaded ones into the other buffer. One barrier a step is enough: it
// stands between the stores into a buffer and its readers, and the buffer that is written was read by nobody since the barrier of the step
// before.
#include "mma.cuh"

namespace kedge {
namespace {

// A tile of an operand in shared memory, kept as it is stored: kAlong lines of kLine contiguous elements, in vectors of 16 bytes. The lines
// are rows of the [m, k] matrix or, transposed, columns.
template <class T, int kLines, int kLine, int kThreads>
struct Tile {
  static constexpr int kVector = 16 / sizeof(T), kVectors = kLines * kLine / kVector, kPerThread = (kVectors + kThreads - 1) / kThreads;
  uint4 held[kPerThread];

  // Elements (line, column) with line < lines, column < columns exist, from p; the others read as zero.
  __device__ __forceinline__ void load(const T* p, int64_t stride, int64_t lines, int64_t columns, bool wide) {
#pragma unroll
    for (int i = 0; i < kPerThread; i++) {
      const int v = threadIdx.x + i * kThreads, line = v / (kLine / kVector), column = v % (kLine / kVector) * kVector;
      held[i] = make_uint4(0, 0, 0, 0);
      if (v >= kVectors || line >= lines || column >= columns) continue;
      const T* at = p + line * stride + column;
      if (wide && column + kVector <= columns) {
        held[i] = *reinterpret_cast<const uint4*>(at);
      } else if constexpr (sizeof(T) == 4) {
        const float* f = reinterpret_cast<const float*>(at);
        held[i].x = float_to_bits(f[0]);
        if (column + 1 < columns) held[i].y = float_to_bits(f[1]);
        if (column + 2 < columns) held[i].z = float_to_bits(f[2]);
        if (column + 3 < columns) held[i].w = float_to_bits(f[3]);
      } else {
        const uint16_t* h = reinterpret_cast<const uint16_t*>(at);
        const int64_t left = columns - column;
        uint32_t w[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
          w[j] = (2 * j < left ? (uint32_t)h[2 * j] : 0u) | (2 * j + 1 < left ? (uint32_t)h[2 * j + 1] << 16 : 0u);
        held[i] = make_uint4(w[0], w[1], w[2], w[3]);
      }
    }
  }
  // Into shared memory: as stored, or with lines and columns exchanged (f32 alone).
  __device__ __forceinline__ void store(T* shared, int stride) const {
#pragma unroll
    for (int i = 0; i < kPerThread; i++) {
      const int v = threadIdx.x + i * kThreads, line = v / (kLine / kVector), column = v % (kLine / kVector) * kVector;
      if (v < kVectors) *reinterpret_cast<uint4*>(shared + line * stride + column) = held[i];
    }
  }
  __device__ __forceinline__ void store_exchanged(float* shared, int stride) const {
#pragma unroll
    for (int i = 0; i < kPerThread; i++) {
      const int v = threadIdx.x + i * kThreads, line = v / (kLine / kVector), column = v % (kLine / kVector) * kVector;
      if (v >= kVectors) continue;
      shared[(column + 0) * stride + line] = bits_to_float(held[i].x);
      shared[(column + 1) * stride + line] = bits_to_float(held[i].y);
      shared[(column + 2) * stride + line] = bits_to_float(held[i].z);
      shared[(column + 3) * stride + line] = bits_to_float(held[i].w);
    }
  }
};

struct Problem {
  const void *a, *b;
  void* c;
  int64_t m, n, k, lda, ldb, ldc, tiles_m;
  float alpha, beta;
  bool wide_a, wide_b;
};

// A block's tiles of A [kM, kK] and B [kK, kN], each kept as it is stored.
template <class T, int kM, int kN, int kK, int kThreads, bool kTransA, bool kTransB>
struct TilePair {
  static constexpr int kLinesA = kTransA ? kK : kM, kLineA = kTransA ? kM : kK, kLinesB = kTransB ? kN : kK, kLineB = kTransB ? kK : kN;
  Tile<T, kLinesA, kLineA, kThreads> a;
  Tile<T, kLinesB, kLineB, kThreads> b;
  const T *from_a, *from_b;
  int64_t rows, columns;  // of C, from the block's first on

  __device__ __forceinline__ TilePair(const Problem& p, int64_t row0, int64_t column0) {
    from_a = static_cast<const T*>(p.a) + (kTransA ? row0 : row0 * p.lda);
    from_b = static_cast<const T*>(p.b) + (kTransB ? column0 * p.ldb : column0);
    rows = p.m - row0, columns = p.n - column0;
  }
  // Terms k0 to k0 + kK of the sums, into registers.
  __device__ __forceinline__ void load(const Problem& p, int64_t k0) {
    if constexpr (kTransA) a.load(from_a + k0 * p.lda, p.lda, p.k - k0, rows, p.wide_a);
    else a.load(from_a + k0, p.lda, rows, p.k - k0, p.wide_a);
    if constexpr (kTransB) b.load(from_b + k0, p.ldb, columns, p.k - k0, p.wide_b);
    else b.load(from_b + k0 * p.ldb, p.ldb, p.k - k0, columns, p.wide_b);
  }
};

template <class C>
__device__ __forceinline__ void put(const Problem& p, int64_t row, int64_t column, float sum) {
  if (row >= p.m || column >= p.n) return;
  C* at = static_cast<C*>(p.c) + row * p.ldc + column;
  float v = p.alpha * sum;
  if (p.beta != 0.f) v = fmaf(p.beta, to_float(*at), v);
  *at = from_float<C>(v);
}

// ---- f32: kRows x kCols elements a thread, in groups of up to 4 ----
// Threads stand as (kM / kRows) x (kN / kCols). A thread's rows and columns come in groups of 4 neighbours, the groups far apart: 4 neighbours are one
// read of 16 bytes, and the groups of neighbouring threads lie in different banks.
template <int kM, int kN, int kK, int kRows, int kCols, bool kTransA, bool kTransB>
__global__ void __launch_bounds__((kM / kRows) * (kN / kCols), 1) gemm_f32(Problem p) {
  constexpr int kThreads = (kM / kRows) * (kN / kCols), kStrideA = kM + 4, kStrideB = kN + 4;
  constexpr int kGroupR = kRows < 4 ? kRows : 4, kGroupC = kCols < 4 ? kCols : 4;
  __shared__ __align__(16) float shared_a[2][kK * kStrideA];
  __shared__ __align__(16) float shared_b[2][kK * kStrideB];
  const int64_t row0 = blockIdx.x % p.tiles_m * kM, column0 = blockIdx.x / p.tiles_m * kN;
  const int ty = threadIdx.x / (kN / kCols), tx = threadIdx.x % (kN / kCols);
  TilePair<float, kM, kN, kK, kThreads, kTransA, kTransB> tiles(p, row0, column0);
  auto store = [&](int buffer) {
    if constexpr (kTransA) tiles.a.store(shared_a[buffer], kStrideA);
    else tiles.a.store_exchanged(shared_a[buffer], kStrideA);
    if constexpr (kTransB) tiles.b.store_exchanged(shared_b[buffer], kStrideB);
    else tiles.b.store(shared_b[buffer], kStrideB);
  };
  float sum[kRows][kCols] = {};
  if (p.k > 0) {
    tiles.load(p, 0);
    store(0);
  }
  __syncthreads();
  int buffer = 0;
  for (int64_t k0 = 0; k0 < p.k; k0 += kK, buffer ^= 1) {
    const bool more = k0 + kK < p.k;
    if (more) tiles.load(p, k0 + kK);
#pragma unroll
    for (int kk = 0; kk < kK; kk++) {
      float x[kRows], y[kCols];
#pragma unroll
      for (int i = 0; i < kRows; i++)
        x[i] = shared_a[buffer][kk * kStrideA + i / kGroupR * (kM * kGroupR / kRows) + ty * kGroupR + i % kGroupR];
#pragma unroll
      for (int j = 0; j < kCols; j++)
        y[j] = shared_b[buffer][kk * kStrideB + j / kGroupC * (kN * kGroupC / kCols) + tx * kGroupC + j % kGroupC];
#pragma unroll
      for (int i = 0; i < kRows; i++)
#pragma unroll
        for (int j = 0; j < kCols; j++) sum[i][j] = fmaf(x[i], y[j], sum[i][j]);
    }
    if (more) store(buffer ^ 1);
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kRows; i++)
#pragma unroll
    for (int j = 0; j < kCols; j++)
      put<float>(p, row0 + i / kGroupR * (kM * kGroupR / kRows) + ty * kGroupR + i % kGroupR,
                 column0 + j / kGroupC * (kN * kGroupC / kCols) + tx * kGroupC + j % kGroupC, sum[i][j]);
}

// ---- bf16: warps of kWarpM x kWarpN elements ----
// A warp owns a part of the tile, made of fragments of 16 x 8 in the accumulator's layout (mma.cuh), and loads the fragments of A and B that it needs
// for each 16 terms of the sum.
template <int kM, int kN, int kK, int kWarpM, int kWarpN, bool kTransA, bool kTransB, class C>
__global__ void __launch_bounds__((kM / kWarpM) * (kN / kWarpN) * 32, 1) gemm_bf16(Problem p) {
  using T = __nv_bfloat16;
  constexpr int kThreads = (kM / kWarpM) * (kN / kWarpN) * 32, kFragM = kWarpM / 16, kFragN = kWarpN / 8;
  using Tiles = TilePair<T, kM, kN, kK, kThreads, kTransA, kTransB>;
  constexpr int kStrideA = Tiles::kLineA + 8, kStrideB = Tiles::kLineB + 8;  // 8: lines start in different banks
  __shared__ __align__(16) T shared_a[2][Tiles::kLinesA * kStrideA];
  __shared__ __align__(16) T shared_b[2][Tiles::kLinesB * kStrideB];
  const int64_t row0 = blockIdx.x % p.tiles_m * kM, column0 = blockIdx.x / p.tiles_m * kN;
  const int warp = threadIdx.x / 32, wm = warp / (kN / kWarpN) * kWarpM, wn = warp % (kN / kWarpN) * kWarpN;
  Tiles tiles(p, row0, column0);
  auto store = [&](int buffer) {
    tiles.a.store(shared_a[buffer], kStrideA);
    tiles.b.store(shared_b[buffer], kStrideB);
  };
  float sum[kFragM][kFragN][4] = {};
  if (p.k > 0) {
    tiles.load(p, 0);
    store(0);
  }
  __syncthreads();
  int buffer = 0;
  for (int64_t k0 = 0; k0 < p.k; k0 += kK, buffer ^= 1) {
    const bool more = k0 + kK < p.k;
    if (more) tiles.load(p, k0 + kK);
#pragma unroll
    for (int kk = 0; kk < kK; kk += 16) {
      uint32_t x[kFragM][4], y[kFragN / 2][4];
#pragma unroll
      for (int i = 0; i < kFragM; i++)
        load_a<kTransA>(x[i], shared_a[buffer] + (kTransA ? kk * kStrideA + wm + i * 16 : (wm + i * 16) * kStrideA + kk), kStrideA);
#pragma unroll
      for (int j = 0; j < kFragN / 2; j++)
        load_b<!kTransB>(y[j], shared_b[buffer] + (kTransB ? (wn + j * 16) * kStrideB + kk : kk * kStrideB + wn + j * 16), kStrideB);
#pragma unroll
      for (int i = 0; i < kFragM; i++)
#pragma unroll
        for (int j = 0; j < kFragN; j++) mma_bf16(sum[i][j], x[i], y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]);
    }
    if (more) store(buffer ^ 1);
    __syncthreads();
  }
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kFragM; i++)
#pragma unroll
    for (int j = 0; j < kFragN; j++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        put<C>(p, row0 + wm + i * 16 + lane / 4 + e / 2 * 8, column0 + wn + j * 8 + lane % 4 * 2 + e % 2, sum[i][j][e]);
}

// The tile shape of a problem: large tiles only where they make blocks enough to fill a device, flat ones for few rows. An element's sum is
// the same in all of them.
enum Shape { kFlat, kSmall, kLarge };
Shape shape_of(const Problem& p) {
  if (p.m <= 16) return kFlat;
  return ceil_div<int64_t>(p.m, 128) * ceil_div<int64_t>(p.n, 128) >= 96 ? kLarge : kSmall;
}
template <class F>
void with_transposes(bool trans_a, bool trans_b, F&& f) {
  with_flag(trans_a, [&](auto ta) { with_flag(trans_b, [&](auto tb) { f(ta, tb); }); });
}

// Calls launch(problem, blocks, whether A and B are transposed) for tiles of kM x kN; false where they are more than a grid has.
template <int kM, int kN, class Launch>
bool launch_tiles(Problem p, bool trans_a, bool trans_b, const Launch& launch) {
  p.tiles_m = ceil_div<int64_t>(p.m, kM);
  const int64_t blocks = p.tiles_m * ceil_div<int64_t>(p.n, kN);
  if (blocks > INT_MAX) return false;
  with_transposes(trans_a, trans_b, [&](auto ta, auto tb) { launch(p, (unsigned)blocks, ta, tb); });
  return true;
}
template <int kM, int kN, int kK, int kRows, int kCols>
bool launch_f32(const Problem& problem, bool trans_a, bool trans_b, cudaStream_t stream) {
  return launch_tiles<kM, kN>(problem, trans_a, trans_b, [&](const Problem& p, unsigned blocks, auto ta, auto tb) {
    KEDGE_LAUNCH((gemm_f32<kM, kN, kK, kRows, kCols, decltype(ta)::value, decltype(tb)::value>), blocks, (kM / kRows) * (kN / kCols), 0,
                 stream, p);
  });
}
template <int kM, int kN, int kK, int kWarpM, int kWarpN, class C>
bool launch_bf16(const Problem& problem, bool trans_a, bool trans_b, cudaStream_t stream) {
  return launch_tiles<kM, kN>(problem, trans_a, trans_b, [&](const Problem& p, unsigned blocks, auto ta, auto tb) {
    KEDGE_LAUNCH((gemm_bf16<kM, kN, kK, kWarpM, kWarpN, decltype(ta)::value, decltype(tb)::value, C>), blocks,
                 (kM / kWarpM) * (kN / kWarpN) * 32, 0, stream, p);
  });
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_gemm(const kedge_context* ctx, int32_t dtype, void* c, int32_t c_dtype, int64_t ldc, const void* a, int64_t lda,
                   int32_t trans_a, const void* b, int64_t ldb, int32_t trans_b, int64_t m, int64_t n, int64_t k, double alpha, double beta,
                   kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_REQUIRE_DTYPE(c_dtype == dtype || c_dtype == KEDGE_F32, "c_dtype %d is neither the dtype nor F32", (int)c_dtype);
  KEDGE_TRY(check_gemm(c, ldc, a, lda, trans_a != 0, b, ldb, trans_b != 0, m, n, k, status));
  if (m == 0 || n == 0) return ok(status);
  KEDGE_SET_DEVICE();
  const int64_t vector = 16 / dtype_bytes(dtype);
  Problem p{
      a, b, c, m, n, k, lda, ldb, ldc, 0, (float)alpha, (float)beta, aligned16(a) && lda % vector == 0, aligned16(b) && ldb % vector == 0};
  const cudaStream_t stream = stream_of(ctx);
  const Shape shape = shape_of(p);
  bool fits;
  if (dtype == KEDGE_F32) {
    fits = shape == kFlat    ? launch_f32<16, 64, 16, 2, 4>(p, trans_a, trans_b, stream)
           : shape == kSmall ? launch_f32<64, 64, 16, 4, 4>(p, trans_a, trans_b, stream)
                             : launch_f32<128, 128, 16, 8, 8>(p, trans_a, trans_b, stream);
  } else if (c_dtype == KEDGE_F32) {
    fits = shape == kFlat    ? launch_bf16<16, 64, 64, 16, 16, float>(p, trans_a, trans_b, stream)
           : shape == kSmall ? launch_bf16<64, 64, 32, 32, 32, float>(p, trans_a, trans_b, stream)
                             : launch_bf16<128, 128, 32, 64, 32, float>(p, trans_a, trans_b, stream);
  } else {
    fits = shape == kFlat    ? launch_bf16<16, 64, 64, 16, 16, __nv_bfloat16>(p, trans_a, trans_b, stream)
           : shape == kSmall ? launch_bf16<64, 64, 32, 32, 32, __nv_bfloat16>(p, trans_a, trans_b, stream)
                             : launch_bf16<128, 128, 32, 64, 32, __nv_bfloat16>(p, trans_a, trans_b, stream);
  }
  KEDGE_REQUIRE(fits, "m x n is %lld x %lld: too large for one grid", (long long)m, (long long)n);
  return finish("kedge_gemm", status);
}
