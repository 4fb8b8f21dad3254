// The inner part of the CPU's GEMM: packing into panels and the register-blocked micro-kernels. See gemm.cpp.
#pragma once
#include <utility>

#include "vectors.h"

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
constexpr int64_t kDepth = 256;  // a panel of B [kDepth, kCols] stays in L1
constexpr int kMaxGroup = 4;     // panels that are packed together, and that one call of a micro-kernel may span
constexpr int kAhead = 8;        // rows of B to prefetch, since the processor does not across pages
constexpr int kAheadBf16 = 24;   // the same for panels of bf16

// ---- packing ----

// A matrix as stored: element (i, p) of the packed direction i and the summed direction p is data[i * ld + p], or data[p * ld + i] if
// `along`.
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
  // Transposed kLanes rows by four columns at a time. The last group of rows may be partial: its stores run over into the next p, so it
  // goes first, and what it spoils is written after it.
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

// Panels of B, `panel` floats apart, for columns [0, cols). Stored along, they are cut from a row together: one visit to its page.
inline void pack_panels(float* dst, int64_t panel, const Source& b, int64_t cols, int64_t depth) {
  int64_t whole = 0;
  if (b.along) {
    whole = cols / kCols;
    for (int64_t p = 0; p < depth; p++) {
      const float* from = b.data + p * b.ld;
      for (int64_t q = 0; q < whole; q++) {
        __builtin_prefetch(from + kAhead * b.ld + q * kCols);
        memcpy(dst + q * panel + p * kCols, from + q * kCols, kCols * sizeof(float));
      }
    }
  }
  for (int64_t q = whole; q * kCols < cols; q++)
    pack_panel<kCols>(dst + q * panel, b.at(q * kCols, 0), (int)std::min<int64_t>(kCols, cols - q * kCols), depth);
}

// ---- micro-kernels ----

struct Update {
  float alpha;
  bool overwrite;  // C is not read
};

// A row of a panel.
inline void load_row(const float* row, vf* out) {
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; v++) out[v] = load(row + v * kLanes);
}
// Of bf16, with two vectors to a row, columns i and kLanes + i share a 32-bit word: a shift and a mask make both vectors from one load.
constexpr bool kPaired = kVecs == 2;
inline void load_row(const bf16* row, vf* out) {
  __builtin_prefetch(row + kAheadBf16 * kCols);
  if constexpr (kPaired) {
    const vu words = *(const vu*)row;
    out[0] = (vf)(words << 16);
    out[1] = (vf)(words & 0xffff0000);
  } else {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; v++) out[v] = load(row + v * kLanes);
  }
}

// C[kM, kGroup * kCols] from a: [depth, kM] and kGroup panels of B, kCols wide with rows `row` apart and `panel` apart from each other.
template <int kM, int kGroup, class T>
void kernel(int64_t depth, const float* a, const T* b, int64_t row, int64_t panel, float* c, int64_t ldc, Update update) {
  constexpr int kN = kGroup * kVecs;
  vf sum[kM][kN];
#pragma GCC unroll 16
  for (int i = 0; i < kM; i++) {
    __builtin_prefetch(c + i * ldc, 1);
#pragma GCC unroll 16
    for (int j = 0; j < kN; j++) sum[i][j] = vf{};
  }
  const T* panels[kGroup];
  for (int g = 0; g < kGroup; g++) panels[g] = b + g * panel;
  // Holds the shorter side in registers and streams the other. Unrolling over p makes GCC 12 spill (0.6 x the speed).
#pragma GCC unroll 1
  for (int64_t p = 0; p < depth; p++) {
    vf left[kM], right[kN];
    if constexpr (kM < kN) {
#pragma GCC unroll 16
      for (int i = 0; i < kM; i++) left[i] = splat(a[p * kM + i]);
#pragma GCC unroll 16
      for (int g = 0; g < kGroup; g++) {
        load_row(panels[g] + p * row, right + g * kVecs);
#pragma GCC unroll 16
        for (int j = g * kVecs; j < (g + 1) * kVecs; j++) {
#pragma GCC unroll 16
          for (int i = 0; i < kM; i++) sum[i][j] = fused(left[i], right[j], sum[i][j]);
        }
      }
    } else {
#pragma GCC unroll 16
      for (int g = 0; g < kGroup; g++) load_row(panels[g] + p * row, right + g * kVecs);
#pragma GCC unroll 16
      for (int i = 0; i < kM; i++) {
        left[i] = splat(a[p * kM + i]);
#pragma GCC unroll 16
        for (int j = 0; j < kN; j++) sum[i][j] = fused(left[i], right[j], sum[i][j]);
      }
    }
  }
  vf alpha = splat(update.alpha);
#pragma GCC unroll 16
  for (int i = 0; i < kM; i++) {
#pragma GCC unroll 16
    for (int j = 0; j < kN; j++) {
      float* out = c + i * ldc + j * kLanes;
      store(out, update.overwrite ? alpha * sum[i][j] : fused(alpha, sum[i][j], load(out)));
    }
  }
}

// The same for one panel, of which only rows x cols elements of C exist.
template <int kM, class T>
void kernel_edge(int64_t depth, const float* a, const T* b, int64_t row, float* c, int64_t ldc, int rows, int cols, Update update) {
  alignas(64) float tile[kM * kCols] = {};
  if (!update.overwrite)
    for (int i = 0; i < rows; i++) memcpy(tile + i * kCols, c + i * ldc, cols * sizeof(float));
  kernel<kM, 1>(depth, a, b, row, 0, tile, kCols, update);
  for (int i = 0; i < rows; i++) memcpy(c + i * ldc, tile + i * kCols, cols * sizeof(float));
}

}  // namespace
}  // namespace kedge
