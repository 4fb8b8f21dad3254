// C = alpha op(A) op(B) + beta C. op(A): [m, k], op(B): [k, n], C: [m, n], any leading dimensions and transposes; f32 on plain cores, bf16
// on tensor cores, f32 accumulators. Each element of C is one chain of additions over rising k (bf16: of 16-wide tensor-core steps), with
// zeros behind the last k: the same chain for every tile shape, so that a row's bits do not depend on m, n or its place. Tiles of both
// operands go through shared memory, double-buffered, the next one loaded into registers meanwhile.
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

template <class C>
__device__ __forceinline__ void put(const Problem& p, int64_t row, int64_t column, float sum) {
  if (row >= p.m || column >= p.n) return;
  C* at = static_cast<C*>(p.c) + row * p.ldc + column;
  float v = p.alpha * sum;
  if (p.beta != 0.f) v = fmaf(p.beta, to_float(*at), v);
  *at = from_float<C>(v);
}

// ---- f32: kRows x kCols elements a thread, in groups of up to 4 ----
template <int kM, int kN, int kK, int kRows, int kCols, bool kTransA, bool kTransB>
__global__ void __launch_bounds__((kM / kRows) * (kN / kCols), 1) gemm_f32(Problem p) {
  constexpr int kThreads = (kM / kRows) * (kN / kCols), kStrideA = kM + 4, kStrideB = kN + 4;
  constexpr int kGroupR = kRows < 4 ? kRows : 4, kGroupC = kCols < 4 ? kCols : 4;
  using TileA = Tile<float, kTransA ? kK : kM, kTransA ? kM : kK, kThreads>;
  using TileB = Tile<float, kTransB ? kN : kK, kTransB ? kK : kN, kThreads>;
  __shared__ __align__(16) float shared_a[2][kK * kStrideA];
  __shared__ __align__(16) float shared_b[2][kK * kStrideB];
  const int64_t row0 = blockIdx.x % p.tiles_m * kM, column0 = blockIdx.x / p.tiles_m * kN;
  const int ty = threadIdx.x / (kN / kCols), tx = threadIdx.x % (kN / kCols);
  const float *a = static_cast<const float*>(p.a) + (kTransA ? row0 : row0 * p.lda),
              *b = static_cast<const float*>(p.b) + (kTransB ? column0 * p.ldb : column0);
  TileA tile_a;
  TileB tile_b;
  auto load = [&](int64_t k0) {
    if constexpr (kTransA) tile_a.load(a + k0 * p.lda, p.lda, p.k - k0, p.m - row0, p.wide_a);
    else tile_a.load(a + k0, p.lda, p.m - row0, p.k - k0, p.wide_a);
    if constexpr (kTransB) tile_b.load(b + k0, p.ldb, p.n - column0, p.k - k0, p.wide_b);
    else tile_b.load(b + k0 * p.ldb, p.ldb, p.k - k0, p.n - column0, p.wide_b);
  };
  auto store = [&](int buffer) {
    if constexpr (kTransA) tile_a.store(shared_a[buffer], kStrideA);
    else tile_a.store_exchanged(shared_a[buffer], kStrideA);
    if constexpr (kTransB) tile_b.store_exchanged(shared_b[buffer], kStrideB);
    else tile_b.store(shared_b[buffer], kStrideB);
  };
  float sum[kRows][kCols] = {};
  if (p.k > 0) {
    load(0);
    store(0);
  }
  __syncthreads();
  int buffer = 0;
  for (int64_t k0 = 0; k0 < p.k; k0 += kK, buffer ^= 1) {
    const bool more = k0 + kK < p.k;
    if (more) load(k0 + kK);
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
template <int kM, int kN, int kK, int kWarpM, int kWarpN, bool kTransA, bool kTransB, class C>
__global__ void __launch_bounds__((kM / kWarpM) * (kN / kWarpN) * 32, 1) gemm_bf16(Problem p) {
  using T = __nv_bfloat16;
  constexpr int kThreads = (kM / kWarpM) * (kN / kWarpN) * 32, kFragM = kWarpM / 16, kFragN = kWarpN / 8;
  constexpr int kStrideA = (kTransA ? kM : kK) + 8, kStrideB = (kTransB ? kK : kN) + 8;
  using TileA = Tile<T, kTransA ? kK : kM, kTransA ? kM : kK, kThreads>;
  using TileB = Tile<T, kTransB ? kN : kK, kTransB ? kK : kN, kThreads>;
  __shared__ __align__(16) T shared_a[2][(kTransA ? kK : kM) * kStrideA];
  __shared__ __align__(16) T shared_b[2][(kTransB ? kN : kK) * kStrideB];
  const int64_t row0 = blockIdx.x % p.tiles_m * kM, column0 = blockIdx.x / p.tiles_m * kN;
  const int warp = threadIdx.x / 32, wm = warp / (kN / kWarpN) * kWarpM, wn = warp % (kN / kWarpN) * kWarpN;
  const T *a = static_cast<const T*>(p.a) + (kTransA ? row0 : row0 * p.lda),
          *b = static_cast<const T*>(p.b) + (kTransB ? column0 * p.ldb : column0);
  TileA tile_a;
  TileB tile_b;
  auto load = [&](int64_t k0) {
    if constexpr (kTransA) tile_a.load(a + k0 * p.lda, p.lda, p.k - k0, p.m - row0, p.wide_a);
    else tile_a.load(a + k0, p.lda, p.m - row0, p.k - k0, p.wide_a);
    if constexpr (kTransB) tile_b.load(b + k0, p.ldb, p.n - column0, p.k - k0, p.wide_b);
    else tile_b.load(b + k0 * p.ldb, p.ldb, p.k - k0, p.n - column0, p.wide_b);
  };
  float sum[kFragM][kFragN][4] = {};
  if (p.k > 0) {
    load(0);
    tile_a.store(shared_a[0], kStrideA);
    tile_b.store(shared_b[0], kStrideB);
  }
  __syncthreads();
  int buffer = 0;
  for (int64_t k0 = 0; k0 < p.k; k0 += kK, buffer ^= 1) {
    const bool more = k0 + kK < p.k;
    if (more) load(k0 + kK);
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
    if (more) {
      tile_a.store(shared_a[buffer ^ 1], kStrideA);
      tile_b.store(shared_b[buffer ^ 1], kStrideB);
    }
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

// Calls f with the tile shape of a problem: large tiles only where they make blocks enough to fill a device, flat ones for few rows.
enum Shape { kFlat, kSmall, kLarge };
Shape shape_of(const Problem& p) {
  if (p.m <= 16) return kFlat;
  return ceil_div<int64_t>(p.m, 128) * ceil_div<int64_t>(p.n, 128) >= 96 ? kLarge : kSmall;
}
template <class F>
void with_transposes(bool trans_a, bool trans_b, F&& f) {
  with_flag(trans_a, [&](auto ta) { with_flag(trans_b, [&](auto tb) { f(ta, tb); }); });
}

template <int kM, int kN, int kK, int kRows, int kCols>
bool launch_f32(Problem p, bool trans_a, bool trans_b, cudaStream_t stream) {
  p.tiles_m = ceil_div<int64_t>(p.m, kM);
  const int64_t blocks = p.tiles_m * ceil_div<int64_t>(p.n, kN);
  if (blocks > INT_MAX) return false;
  with_transposes(trans_a, trans_b, [&](auto ta, auto tb) {
    KEDGE_LAUNCH((gemm_f32<kM, kN, kK, kRows, kCols, decltype(ta)::value, decltype(tb)::value>), (unsigned)blocks,
                 (kM / kRows) * (kN / kCols), 0, stream, p);
  });
  return true;
}
template <int kM, int kN, int kK, int kWarpM, int kWarpN, class C>
bool launch_bf16(Problem p, bool trans_a, bool trans_b, cudaStream_t stream) {
  p.tiles_m = ceil_div<int64_t>(p.m, kM);
  const int64_t blocks = p.tiles_m * ceil_div<int64_t>(p.n, kN);
  if (blocks > INT_MAX) return false;
  with_transposes(trans_a, trans_b, [&](auto ta, auto tb) {
    KEDGE_LAUNCH((gemm_bf16<kM, kN, kK, kWarpM, kWarpN, decltype(ta)::value, decltype(tb)::value, C>), (unsigned)blocks,
                 (kM / kWarpM) * (kN / kWarpN) * 32, 0, stream, p);
  });
  return true;
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_gemm(const kedge_context* ctx, int32_t dtype, void* c, int32_t c_dtype, int64_t ldc, const void* a, int64_t lda,
                   int32_t trans_a, const void* b, int64_t ldb, int32_t trans_b, int64_t m, int64_t n, int64_t k, double alpha, double beta,
                   kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_REQUIRE_DTYPE(c_dtype == dtype || c_dtype == KEDGE_F32, "c_dtype %d is neither the dtype nor F32", (int)c_dtype);
  KEDGE_REQUIRE(m >= 0 && n >= 0 && k >= 0, "m, n, k are %lld, %lld, %lld", (long long)m, (long long)n, (long long)k);
  KEDGE_REQUIRE(lda >= (trans_a ? m : k), "lda is %lld, a row has %lld", (long long)lda, (long long)(trans_a ? m : k));
  KEDGE_REQUIRE(ldb >= (trans_b ? k : n), "ldb is %lld, a row has %lld", (long long)ldb, (long long)(trans_b ? k : n));
  KEDGE_REQUIRE(ldc >= n, "ldc is %lld, a row has %lld", (long long)ldc, (long long)n);
  if (m == 0 || n == 0) return ok(status);
  KEDGE_REQUIRE(c && (k == 0 || (a && b)), "a matrix is NULL");
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
