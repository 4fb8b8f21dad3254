// Panels of rows: small matrix products, transposition, the exponential of a softmax. What the attention kernels compute with.
//
// A panel holds V * kLanes rows as the lanes of V vectors: [dim][lanes]. A lane's arithmetic depends on its own row only.
#pragma once
#include "common.h"

namespace kedge {

constexpr int kPanel = 2 * kLanes;  // rows in a panel

// Floats from row to row of a scratch matrix `width` wide: an odd number of cache lines, so that columns spread over the cache's sets.
inline int64_t pitch_of(int64_t width) { return (round_up(width, 16) / 16 | 1) * 16; }

// ---- small matrix products ----
// c[R, V * kLanes] (+)= op(a) * b[depth, V * kLanes]; a: [R, depth], or [depth, R] where Transposed. One chain of sums per element, by
// depth.
template <int R, int V, bool Transposed>
inline void product_block(int64_t depth, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, bool add) {
  vf sum[R][V];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) sum[r][v] = add ? load(c + r * ldc + v * kLanes) : vf{};
  for (int64_t k = 0; k < depth; k++) {
    vf row[V];
    for (int v = 0; v < V; v++) row[v] = load(b + v * kLanes);
    for (int r = 0; r < R; r++) {
      vf x = splat(Transposed ? a[r] : a[r * lda]);
      for (int v = 0; v < V; v++) sum[r][v] = fused(x, row[v], sum[r][v]);
    }
    a += Transposed ? lda : 1;
    b += ldb;
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) store(c + r * ldc + v * kLanes, sum[r][v]);
}

// The same for any number of rows.
template <int V, bool Transposed>
inline void product(int64_t rows, int64_t depth, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
                    bool add) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6) product_block<6, V, Transposed>(depth, a + r * (Transposed ? 1 : lda), lda, b, ldb, c + r * ldc, ldc, add);
  a += r * (Transposed ? 1 : lda);
  c += r * ldc;
  switch (rows - r) {
    case 1: return product_block<1, V, Transposed>(depth, a, lda, b, ldb, c, ldc, add);
    case 2: return product_block<2, V, Transposed>(depth, a, lda, b, ldb, c, ldc, add);
    case 3: return product_block<3, V, Transposed>(depth, a, lda, b, ldb, c, ldc, add);
    case 4: return product_block<4, V, Transposed>(depth, a, lda, b, ldb, c, ldc, add);
    case 5: return product_block<5, V, Transposed>(depth, a, lda, b, ldb, c, ldc, add);
  }
}

// c[rows, dim] += a[rows, depth] * b[depth, dim]; c and b have room for whole vectors.
inline void product_wide(int64_t rows, int64_t depth, int64_t dim, const float* a, int64_t lda, const float* b, float* c, int64_t pitch) {
  for (int64_t i = 0; i < dim; i += 2 * kLanes)
    if (dim - i > kLanes) product<2, false>(rows, depth, a, lda, b + i, pitch, c + i, pitch, true);
    else product<1, false>(rows, depth, a, lda, b + i, pitch, c + i, pitch, true);
}

// ---- moving rows in and out of panels ----
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t i4 __attribute__((vector_size(16)));
#if defined(__clang__)
#define KEDGE_SHUFFLE(a, b, w, x, y, z) __builtin_shufflevector(a, b, w, x, y, z)
#else
#define KEDGE_SHUFFLE(a, b, w, x, y, z) __builtin_shuffle(a, b, (i4){ w, x, y, z })
#endif

inline void transpose4(v4& a, v4& b, v4& c, v4& d) {
  v4 ab_low = KEDGE_SHUFFLE(a, b, 0, 4, 1, 5), ab_high = KEDGE_SHUFFLE(a, b, 2, 6, 3, 7);
  v4 cd_low = KEDGE_SHUFFLE(c, d, 0, 4, 1, 5), cd_high = KEDGE_SHUFFLE(c, d, 2, 6, 3, 7);
  a = KEDGE_SHUFFLE(ab_low, cd_low, 0, 1, 4, 5);
  b = KEDGE_SHUFFLE(ab_low, cd_low, 2, 3, 6, 7);
  c = KEDGE_SHUFFLE(ab_high, cd_high, 0, 1, 4, 5);
  d = KEDGE_SHUFFLE(ab_high, cd_high, 2, 3, 6, 7);
}
#undef KEDGE_SHUFFLE

// panel[i, lane] = row(lane)[i] * factor for lane < count, 0 for the other lanes of the panel. dim: a multiple of 4.
template <class Row>
inline void pack_panel(float* panel, int lanes, int count, int64_t dim, float factor, Row&& row) {
  static const float zeros[128] = {};
  for (int lane = 0; lane < lanes; lane += 4) {
    const float* rows[4];
    for (int i = 0; i < 4; i++) rows[i] = lane + i < count ? row(lane + i) : zeros;
    for (int64_t i = 0; i < dim; i += 4) {
      v4 a = *(const v4*)(rows[0] + i), b = *(const v4*)(rows[1] + i), c = *(const v4*)(rows[2] + i), d = *(const v4*)(rows[3] + i);
      transpose4(a, b, c, d);
      float* to = panel + i * lanes + lane;
      *(v4*)to = a * factor;
      *(v4*)(to + lanes) = b * factor;
      *(v4*)(to + 2 * lanes) = c * factor;
      *(v4*)(to + 3 * lanes) = d * factor;
    }
  }
}

// row(lane)[i] = panel[i, lane] * factor[lane] for lane < count; `add`: += .
template <class Row>
inline void unpack_panel(const float* panel, int lanes, int count, int64_t dim, const float* factor, bool add, Row&& row) {
  for (int lane = 0; lane < count; lane += 4) {
    v4 f = *(const v4*)(factor + lane);
    float* rows[4];
    for (int j = 0; j < 4; j++) rows[j] = row(std::min(lane + j, count - 1));
    int most = std::min(4, count - lane);
    for (int64_t i = 0; i < dim; i += 4) {
      const float* from = panel + i * lanes + lane;
      v4 x[4];
      for (int j = 0; j < 4; j++) x[j] = *(const v4*)(from + j * lanes) * f;
      transpose4(x[0], x[1], x[2], x[3]);
      for (int j = 0; j < most; j++) {
        float* to = rows[j] + i;
        *(v4*)to = add ? *(const v4*)to + x[j] : x[j];
      }
    }
  }
}

// Whether every number of [rows, dim] is finite. dim: a multiple of 4.
inline bool all_finite(const float* x, int64_t stride, int64_t rows, int64_t dim) {
  v4 sum = {};
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < dim; i += 4) {
      v4 y = *(const v4*)(x + r * stride + i);
      sum += y - y;  // 0, or NaN
    }
  float t[4];
  memcpy(t, &sum, sizeof t);
  return t[0] + t[1] + t[2] + t[3] == 0;
}

// exp of a score less its row's maximum or log-sum-exp: as vexp, for x that is hardly above 0 (0 below -87.3, inf far above, NaN stays
// NaN).
inline vf weight_of(vf x) {
  const vf low = splat(-87.33654f), high = splat(88.8f), magic = splat(12582912.f);
  vf c = x < low ? low : x;
  c = c > high ? high : c;
  vf n = fused(c, splat(1.44269504088896341f), magic) - magic;
  vf r = fused(n, splat(2.12194440e-4f), fused(n, splat(-0.693359375f), c));
  vf p = splat(1.9875691500e-4f);
  for (float coefficient : { 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f })
    p = fused(p, r, splat(coefficient));
  p = fused(p * r, r, r) + 1.0f;
  vf y = p * (vf)((__builtin_convertvector(n, vi) + 127) << 23);
  return (vf)((vi)y & ~(vi)(x < low));
}

}  // namespace kedge
