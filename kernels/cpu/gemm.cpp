// GEMM: C = alpha op(A) op(B) + beta C in f32, row-major, any leading dimensions and transposes; and the same with B packed beforehand.
// Packed panels, a register-blocked micro-kernel and cache blocks after Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
// (ACM TOMS 34, 2008) and BLIS (Van Zee & van de Geijn, ACM TOMS 41, 2015).
//
// Order of sums: k is cut into blocks of kDepth. A block's sum is one chain of fused multiply-adds over k in order, starting at 0; C = alpha sum
// for the first block with beta 0, C = fma(alpha, sum, C) otherwise, after C = beta C where beta is neither 0 nor 1. Every path below keeps to it,
// so an element's bits depend on its row of A, its column of B and k alone. The tiling may therefore follow the shape and the threads.
#include "common.h"

#include <utility>

#if defined(__FMA__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace kedge {
namespace {

// A micro-tile has kRows x kCols elements of C in registers; kVecs vectors to a row.
#if defined(__AVX512F__)
constexpr int kRows = 12, kVecs = 2;  // 24 accumulators of 32 registers
#elif defined(__aarch64__)
constexpr int kRows = 8, kVecs = 3;
#else
constexpr int kRows = 6, kVecs = 2;  // 12 of 16
#endif
constexpr int kCols = kVecs * kLanes;
constexpr int64_t kDepth = 256;                // a panel of B [kDepth, kCols] stays in L1
constexpr int64_t kBlockRows = 24 * kRows;     // a block of A [kBlockRows, kDepth] stays in L2
constexpr int64_t kSharedCols = 64 * kCols;    // columns of B packed at a time
constexpr int64_t kSharedB = kSharedCols * 4 * kDepth;  // floats: B packed at a time (4 MB for 16 columns), in L3
constexpr int64_t kSharedA = 256 * 1024;       // floats: A packed at a time where m is small
constexpr int kMaxGroup = 4;                   // panels that one call of a micro-kernel may span

// Written out, since GCC splits chains of fused operations again when it tunes for Zen (avoid-fma-max-bits).
inline vf fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}
// splat() for the inner loop: x - 0 is x for every x, so nothing but the broadcast remains.
inline vf broadcast(float x) { return x - vf{}; }

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// ---- packing ----

// A matrix as stored: element (i, p) of the packed direction i and the summed direction p is data[i * ld + p], or data[p * ld + i] if `along`.
struct Source {
  const float* data;
  int64_t ld;
  bool along;
  Source at(int64_t i, int64_t p) const { return {data + (along ? p * ld + i : i * ld + p), ld, along}; }
};

alignas(64) const float kZeros[kDepth] = {};

typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));
inline v4 load4(const float* p) { return *(const v4*)p; }

// Four floats of each of rows r[0], r[4], ... side by side.
inline vf join(const float* const* r, int64_t p) {
#if defined(__AVX512F__)
  typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
  v8 low = __builtin_shufflevector(load4(r[0] + p), load4(r[4] + p), 0, 1, 2, 3, 4, 5, 6, 7);
  v8 high = __builtin_shufflevector(load4(r[8] + p), load4(r[12] + p), 0, 1, 2, 3, 4, 5, 6, 7);
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__AVX__)
  return __builtin_shufflevector(load4(r[0] + p), load4(r[4] + p), 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return load4(r[0] + p);
#endif
}

// Within each four lanes: element i of the result is lane Qi of a (below 4) or of b.
template <int Q0, int Q1, int Q2, int Q3, int... I>
inline vf shuffle4(vf a, vf b, std::integer_sequence<int, I...>) {
  constexpr int q[4] = {Q0, Q1, Q2, Q3};
  return __builtin_shufflevector(a, b, (I / 4 * 4 + q[I % 4] % 4 + q[I % 4] / 4 * kLanes)...);
}
template <int Q0, int Q1, int Q2, int Q3>
inline vf shuffle4(vf a, vf b) {
  return shuffle4<Q0, Q1, Q2, Q3>(a, b, std::make_integer_sequence<int, kLanes>());
}

// out[q][i] = r[i][p + q] for q < 4, i < kLanes.
inline void transpose4(const float* const* r, int64_t p, vf* out) {
  vf t0 = join(r, p), t1 = join(r + 1, p), t2 = join(r + 2, p), t3 = join(r + 3, p);
  vf u0 = shuffle4<0, 4, 1, 5>(t0, t1), u1 = shuffle4<2, 6, 3, 7>(t0, t1);
  vf u2 = shuffle4<0, 4, 1, 5>(t2, t3), u3 = shuffle4<2, 6, 3, 7>(t2, t3);
  out[0] = shuffle4<0, 1, 4, 5>(u0, u2);
  out[1] = shuffle4<2, 3, 6, 7>(u0, u2);
  out[2] = shuffle4<0, 1, 4, 5>(u1, u3);
  out[3] = shuffle4<2, 3, 6, 7>(u1, u3);
}

// dst[p * width + i] = source(i, p) for i < valid, 0 for the others; p < depth <= kDepth.
template <int kWidth>
void pack_panel(float* dst, const Source& s, int valid, int64_t depth) {
  if (s.along) {
    if (valid == kWidth) {
      for (int64_t p = 0; p < depth; p++) memcpy(dst + p * kWidth, s.data + p * s.ld, kWidth * sizeof(float));
    } else {
      for (int64_t p = 0; p < depth; p++)
        for (int i = 0; i < kWidth; i++) dst[p * kWidth + i] = i < valid ? s.data[p * s.ld + i] : 0.f;
    }
    return;
  }
  // Transposed kLanes rows by four columns at a time. The last group of rows may be partial: its stores run over into the next p, so it goes first,
  // and what it spoils is written after it.
  int64_t whole = std::max<int64_t>(0, depth - ceil_div(kLanes, kWidth)) / 4 * 4;
  for (int g = (kWidth - 1) / kLanes * kLanes; g >= 0; g -= kLanes) {
    const float* rows[kLanes];
    for (int i = 0; i < kLanes; i++) rows[i] = g + i < valid ? s.data + (g + i) * s.ld : kZeros;
    for (int64_t p = 0; p < whole; p += 4) {
      vf out[4];
      transpose4(rows, p, out);
      for (int q = 0; q < 4; q++) store(dst + (p + q) * kWidth + g, out[q]);
    }
  }
  for (int64_t p = whole; p < depth; p++)
    for (int i = 0; i < kWidth; i++) dst[p * kWidth + i] = i < valid ? s.data[i * s.ld + p] : 0.f;
}

// B, packed: blocks of kDepth along k, each a row of panels [depth, kCols]; columns past n are 0.
struct Panels {
  const float* data;
  int64_t cols, k;  // cols: a multiple of kCols
  static int64_t size(int64_t n, int64_t k) { return round_up(n, kCols) * k; }
  int64_t offset(int64_t p, int64_t j) const { return p * cols + j * std::min(kDepth, k - p); }  // of block p, column j
};

void pack_b(const kedge_context* ctx, float* dst, const Source& b, int64_t n, int64_t k) {
  Panels panels{dst, round_up(n, kCols), k};
  const int64_t group = 4 * kCols, groups = ceil_div(n, group);
  parallel(ctx, groups * ceil_div(k, kDepth), n * k, [&](int64_t chunk) {
    int64_t p = chunk / groups * kDepth, first = chunk % groups * group;
    for (int64_t j = first; j < std::min(n, first + group); j += kCols)
      pack_panel<kCols>(dst + panels.offset(p, j), b.at(j, p), (int)std::min<int64_t>(kCols, n - j), std::min(kDepth, k - p));
  });
}

// ---- micro-kernels ----

struct Update {
  float alpha;
  bool overwrite;  // C is not read
};

// C[kM, kGroup * kCols] from a: [depth, kM] and kGroup panels of B, kCols wide with rows `row` apart and `panel` apart from each other.
template <int kM, int kGroup>
void kernel(int64_t depth, const float* a, const float* b, int64_t row, int64_t panel, float* c, int64_t ldc, Update update) {
  constexpr int kN = kGroup * kVecs;
  vf sum[kM][kN];
#pragma GCC unroll 16
  for (int i = 0; i < kM; i++) {
    __builtin_prefetch(c + i * ldc, 1);
#pragma GCC unroll 16
    for (int j = 0; j < kN; j++) sum[i][j] = vf{};
  }
  const float* panels[kGroup];
  for (int g = 0; g < kGroup; g++) panels[g] = b + g * panel;
  // Holds the shorter side in registers and streams the other. Unrolling over p makes GCC 12 spill (0.6 x the speed).
#pragma GCC unroll 1
  for (int64_t p = 0; p < depth; p++) {
    vf left[kM], right[kN];
    if constexpr (kM < kN) {
#pragma GCC unroll 16
      for (int i = 0; i < kM; i++) left[i] = broadcast(a[p * kM + i]);
#pragma GCC unroll 16
      for (int j = 0; j < kN; j++) {
        right[j] = load(panels[j / kVecs] + p * row + j % kVecs * kLanes);
#pragma GCC unroll 16
        for (int i = 0; i < kM; i++) sum[i][j] = fma(left[i], right[j], sum[i][j]);
      }
    } else {
#pragma GCC unroll 16
      for (int j = 0; j < kN; j++) right[j] = load(panels[j / kVecs] + p * row + j % kVecs * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kM; i++) {
        left[i] = broadcast(a[p * kM + i]);
#pragma GCC unroll 16
        for (int j = 0; j < kN; j++) sum[i][j] = fma(left[i], right[j], sum[i][j]);
      }
    }
  }
  vf alpha = broadcast(update.alpha);
#pragma GCC unroll 16
  for (int i = 0; i < kM; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < kN; j++) {
      float* out = c + i * ldc + j * kLanes;
      store(out, update.overwrite ? alpha * sum[i][j] : fma(alpha, sum[i][j], load(out)));
    }
  }
}

// The same for one panel, of which only rows x cols elements of C exist.
template <int kM>
void kernel_edge(int64_t depth, const float* a, const float* b, int64_t row, float* c, int64_t ldc, int rows, int cols, Update update) {
  alignas(64) float tile[kM * kCols] = {};
  if (!update.overwrite)
    for (int i = 0; i < rows; i++) memcpy(tile + i * kCols, c + i * ldc, cols * sizeof(float));
  kernel<kM, 1>(depth, a, b, row, 0, tile, kCols, update);
  for (int i = 0; i < rows; i++) memcpy(c + i * ldc, tile + i * kCols, cols * sizeof(float));
}

// ---- few rows: A packed once for all threads, which share the columns ----

// kM rows of C by the columns [0, cols) of packed or plain panels. With few rows several panels at a time hide the latency of the chains.
template <int kM>
void strip(int64_t depth, const float* a, const float* b, int64_t row, int64_t panel, float* c, int64_t ldc, int64_t cols, Update update) {
  constexpr int kGroup = std::min(kMaxGroup, kRows / kM);
  int64_t j = 0;
  for (; j + kGroup * kCols <= cols; j += kGroup * kCols) kernel<kM, kGroup>(depth, a, b + j / kCols * panel, row, panel, c + j, ldc, update);
  for (; j < cols; j += kCols) {
    const float* right = b + j / kCols * panel;
    if (cols - j >= kCols) kernel<kM, 1>(depth, a, right, row, panel, c + j, ldc, update);
    else kernel_edge<kM>(depth, a, right, row, c + j, ldc, kM, (int)(cols - j), update);
  }
}

using Strip = void (*)(int64_t, const float*, const float*, int64_t, int64_t, float*, int64_t, int64_t, Update);
using PackRows = void (*)(float*, const Source&, int, int64_t);
template <int... I>
struct ByRows {
  static constexpr Strip strips[] = {strip<I + 1>...};
  static constexpr PackRows packs[] = {pack_panel<I + 1>...};
};
template <int... I>
ByRows<I...> by_rows(std::integer_sequence<int, I...>);
using Rows = decltype(by_rows(std::make_integer_sequence<int, kRows>()));  // [rows - 1]

struct Problem {
  float* c;
  int64_t ldc;
  Source a, b;
  const float* packed;  // B, if given packed
  int64_t m, n, k;
  float alpha, beta;
};

int64_t few_depth(int64_t m, int64_t k) { return std::min(k, kSharedA / m / kDepth * kDepth); }

void few_rows(const kedge_context* ctx, const Problem& g, float* shared) {
  const int64_t span = few_depth(g.m, g.k), panels = ceil_div(g.n, kCols);
  const int64_t chunk = std::max<int64_t>(g.m <= kRows / 2 ? kMaxGroup : 1, ceil_div(panels, (int64_t)ctx->threads * 4)) * kCols;
  const bool direct = !g.packed && g.b.along && g.m <= kRows;  // B's rows are used once: read where they are
  const Panels given{g.packed, panels * kCols, g.k};
  for (int64_t start = 0; start < g.k; start += span) {
    const int64_t end = std::min(g.k, start + span);
    const float* left = shared;
    if (g.m == 1 && (!g.a.along || g.a.ld == 1)) {
      left = g.a.data + start;  // packed as it is
    } else {
      parallel(ctx, ceil_div(end - start, kDepth), g.m * (end - start), [&](int64_t block) {
        int64_t p = start + block * kDepth, depth = std::min(kDepth, end - p);
        for (int64_t i = 0; i < g.m; i += kRows) {
          int rows = (int)std::min<int64_t>(kRows, g.m - i);
          Rows::packs[rows - 1](shared + (p - start) * g.m + i * depth, g.a.at(i, p), rows, depth);
        }
      });
    }
    parallel_range(ctx, g.n, chunk, g.m * (end - start) / 8, [&](int64_t from, int64_t to) {
      alignas(64) float buffer[kMaxGroup * kCols * kDepth];
      for (int64_t p = start; p < end; p += kDepth) {
        const int64_t depth = std::min(kDepth, end - p);
        const Update update{g.alpha, p == 0 && g.beta == 0.f};
        auto run = [&](const float* right, int64_t row, int64_t panel, int64_t j, int64_t cols) {
          for (int64_t i = 0; i < g.m; i += kRows)
            Rows::strips[std::min<int64_t>(kRows, g.m - i) - 1](depth, left + (p - start) * g.m + i * depth, right, row, panel,
                                                                 g.c + i * g.ldc + j, g.ldc, cols, update);
        };
        if (g.packed) {
          run(g.packed + given.offset(p, from), kCols, depth * kCols, from, to - from);
          continue;
        }
        int64_t j = from;
        if (direct && to - from >= kCols) {
          j = from + (to - from) / kCols * kCols;
          run(g.b.at(from, p).data, g.b.ld, kCols, from, j - from);
        }
        // Packed into L1 (few rows: L2) right before use.
        const int64_t group = g.m <= kRows / 2 ? kMaxGroup * kCols : kCols;
        for (; j < to; j += group) {
          const int64_t cols = std::min(group, to - j);
          for (int64_t q = 0; q < cols; q += kCols)
            pack_panel<kCols>(buffer + q * depth, g.b.at(j + q, p), (int)std::min<int64_t>(kCols, cols - q), depth);
          run(buffer, kCols, depth * kCols, j, cols);
        }
      }
    });
  }
}

// ---- many rows: B packed once for all threads, which share the rows ----

struct Wide {
  int64_t cols, depth;  // of B packed at a time
  Wide(int64_t n, int64_t k) : cols(std::min(round_up(n, kCols), kSharedCols)), depth(std::min(k, kSharedB / cols / kDepth * kDepth)) {}
};

// C += alpha A B for the columns [j, j + n) of C and [p, p + panels.k) of the sum.
void many_rows(const kedge_context* ctx, const Problem& g, const Panels& panels, int64_t column, int64_t n, int64_t start, float* scratch) {
  const int64_t threads = ctx->threads, slivers = ceil_div(g.m, kRows);
  const int64_t blocks = std::min(ceil_div(slivers, 8), round_up(ceil_div(g.m, kBlockRows), 4 * threads));
  const int64_t rows = ceil_div(slivers, blocks) * kRows, down = ceil_div(g.m, rows);
  const int64_t across = std::min(ceil_div(n, 8 * kCols), down >= 2 * threads ? 1 : ceil_div(2 * threads, down));
  const int64_t width = round_up(ceil_div(n, across), kCols);
  parallel(ctx, down * across, g.m * n * panels.k / 8, [&](int64_t chunk) {
    const int64_t i0 = chunk / across * rows, i1 = std::min(g.m, i0 + rows), j0 = chunk % across * width, j1 = std::min(n, j0 + width);
    float* left = scratch + (int64_t)omp_get_thread_num() * kBlockRows * kDepth;
    for (int64_t p = 0; p < panels.k; p += kDepth) {
      const int64_t depth = std::min(kDepth, panels.k - p);
      const Update update{g.alpha, start + p == 0 && g.beta == 0.f};
      for (int64_t i = i0; i < i1; i += kRows)
        pack_panel<kRows>(left + (i - i0) * depth, g.a.at(i, start + p), (int)std::min<int64_t>(kRows, i1 - i), depth);
      for (int64_t j = j0; j < j1; j += kCols) {
        const float* right = panels.data + panels.offset(p, j);
        const int cols = (int)std::min<int64_t>(kCols, j1 - j);
        for (int64_t i = i0; i < i1; i += kRows) {
          const int tall = (int)std::min<int64_t>(kRows, i1 - i);
          float* c = g.c + i * g.ldc + column + j;
          if (tall == kRows && cols == kCols) kernel<kRows, 1>(depth, left + (i - i0) * depth, right, kCols, 0, c, g.ldc, update);
          else kernel_edge<kRows>(depth, left + (i - i0) * depth, right, kCols, c, g.ldc, tall, cols, update);
        }
      }
    }
  });
}

// ---- the whole ----

void scale_c(const kedge_context* ctx, const Problem& g) {
  parallel_range(ctx, g.m, std::max<int64_t>(1, 16384 / g.n), g.n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      for (int64_t j = 0; j < g.n; j++) g.c[i * g.ldc + j] = g.beta == 0.f ? 0.f : g.beta * g.c[i * g.ldc + j];
  });
}

int32_t run(const kedge_context* ctx, const Problem& g, kedge_status* status) {
  if (g.m == 0 || g.n == 0) return ok(status);
  const bool few = g.m <= kBlockRows;
  const Wide wide(g.n, g.k);
  const int64_t ours = g.k == 0 || few || g.packed ? 0 : wide.cols * wide.depth;
  int64_t floats = ours + (g.k == 0 ? 0 : few ? g.m * few_depth(g.m, g.k) : (int64_t)ctx->threads * kBlockRows * kDepth);
  KEDGE_REQUIRE_WORKSPACE(floats * (int64_t)sizeof(float));
  if (g.k == 0 || (g.beta != 0.f && g.beta != 1.f)) scale_c(ctx, g);
  if (g.k == 0) return ok(status);
  float* scratch = (float*)ctx->workspace;
  if (few) {
    few_rows(ctx, g, scratch);
  } else if (g.packed) {
    many_rows(ctx, g, {g.packed, round_up(g.n, kCols), g.k}, 0, g.n, 0, scratch);
  } else {
    for (int64_t j = 0; j < g.n; j += wide.cols)
      for (int64_t p = 0; p < g.k; p += wide.depth) {
        const int64_t n = std::min(wide.cols, g.n - j), k = std::min(wide.depth, g.k - p);
        pack_b(ctx, scratch, g.b.at(j, p), n, k);
        many_rows(ctx, g, {scratch, round_up(n, kCols), k}, j, n, p, scratch + ours);
      }
  }
  return ok(status);
}

}  // namespace
}  // namespace kedge

using namespace kedge;
typedef long long ll;

int32_t kedge_gemm(const kedge_context* ctx, int32_t dtype, void* c, int32_t c_dtype, int64_t ldc, const void* a, int64_t lda, int32_t trans_a,
                   const void* b, int64_t ldb, int32_t trans_b, int64_t m, int64_t n, int64_t k, double alpha, double beta,
                   kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32 && c_dtype == KEDGE_F32, "dtype %d into %d; the CPU takes f32 alone", dtype, c_dtype);
  KEDGE_REQUIRE(m >= 0 && n >= 0 && k >= 0, "m, n, k are %lld, %lld, %lld", (ll)m, (ll)n, (ll)k);
  KEDGE_REQUIRE(lda >= (trans_a ? m : k), "lda is %lld, the rows of A have %lld", (ll)lda, (ll)(trans_a ? m : k));
  KEDGE_REQUIRE(ldb >= (trans_b ? k : n), "ldb is %lld, the rows of B have %lld", (ll)ldb, (ll)(trans_b ? k : n));
  KEDGE_REQUIRE(ldc >= n, "ldc is %lld, the rows of C have %lld", (ll)ldc, (ll)n);
  KEDGE_REQUIRE(c || m == 0 || n == 0, "c is NULL");
  KEDGE_REQUIRE(a || m == 0 || k == 0, "a is NULL");
  KEDGE_REQUIRE(b || n == 0 || k == 0, "b is NULL");
  return run(ctx,
             {(float*)c, ldc, {(const float*)a, lda, trans_a != 0}, {(const float*)b, ldb, trans_b == 0}, nullptr, m, n, k, (float)alpha, (float)beta},
             status);
}

int64_t kedge_gemm_packed_bytes(int64_t n, int64_t k) {
  if (n <= 0 || k <= 0) return 0;
  int64_t bytes;
  if (n > INT64_MAX - kCols || __builtin_mul_overflow(round_up(n, kCols), k, &bytes) || __builtin_mul_overflow(bytes, 4, &bytes)) return INT64_MAX;
  return bytes;
}

int32_t kedge_gemm_pack(const kedge_context* ctx, float* packed, const float* b, int64_t ldb, int32_t trans_b, int64_t n, int64_t k,
                        kedge_status* status) {
  KEDGE_REQUIRE(n >= 0 && k >= 0, "n, k are %lld, %lld", (ll)n, (ll)k);
  KEDGE_REQUIRE(ldb >= (trans_b ? k : n), "ldb is %lld, the rows of B have %lld", (ll)ldb, (ll)(trans_b ? k : n));
  if (n == 0 || k == 0) return ok(status);
  KEDGE_REQUIRE(b, "b is NULL");
  KEDGE_REQUIRE(packed && (uintptr_t)packed % 64 == 0, "packed is NULL or not aligned to 64 bytes");
  pack_b(ctx, packed, {b, ldb, trans_b == 0}, n, k);
  return ok(status);
}

int32_t kedge_gemm_packed(const kedge_context* ctx, float* c, int64_t ldc, const float* a, int64_t lda, int32_t trans_a, const float* packed,
                          int64_t m, int64_t n, int64_t k, double alpha, double beta, kedge_status* status) {
  KEDGE_REQUIRE(m >= 0 && n >= 0 && k >= 0, "m, n, k are %lld, %lld, %lld", (ll)m, (ll)n, (ll)k);
  KEDGE_REQUIRE(lda >= (trans_a ? m : k), "lda is %lld, the rows of A have %lld", (ll)lda, (ll)(trans_a ? m : k));
  KEDGE_REQUIRE(ldc >= n, "ldc is %lld, the rows of C have %lld", (ll)ldc, (ll)n);
  KEDGE_REQUIRE(c || m == 0 || n == 0, "c is NULL");
  KEDGE_REQUIRE(a || m == 0 || k == 0, "a is NULL");
  KEDGE_REQUIRE((packed && (uintptr_t)packed % 64 == 0) || n == 0 || k == 0, "packed is NULL or not aligned to 64 bytes");
  return run(ctx, {(float*)c, ldc, {a, lda, trans_a != 0}, {}, packed, m, n, k, (float)alpha, (float)beta}, status);
}
