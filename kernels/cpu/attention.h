// What the attention kernels share: tiles of keys against panels of query rows.
//
// A panel holds V * kLanes query rows as the lanes of V vectors: q transposed, [dim][lanes]. Scores lie transposed too, [key][lane]. So K and V are
// read where they are (each number broadcast), the softmax needs no sums across lanes, and a lane's arithmetic depends on its own row only: bits do not
// depend on what else is in a panel. Sums over keys run in the order of the keys.
#pragma once
#include <limits>

#include "common.h"

#if defined(__FMA__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace kedge {

constexpr int kTile = 64;             // keys in a tile
constexpr int kPanel = 2 * kLanes;    // rows in a panel
constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
// Floats from row to row of a scratch matrix `width` wide: an odd number of cache lines, so that columns spread over the cache's sets.
inline int64_t pitch_of(int64_t width) { return (round_up(width, 16) / 16 | 1) * 16; }

inline vf broadcast(float x) { return x - vf{}; }  // x - 0 is x for every x, so nothing but the broadcast remains

// a * b + c, rounded once. Written out: tuning for Zen, GCC fuses these in some copies of a loop and not in others (avoid-fma-max-bits), and a row's
// bits would depend on which copy it met.
inline vf fused(vf a, vf b, vf c) {
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

// ---- small matrix products ----
// c[R, V * kLanes] (+)= op(a) * b[depth, V * kLanes]; a: [R, depth], or [depth, R] where Transposed. One chain of sums per element, by depth.
template <int R, int V, bool Transposed>
inline void product_block(int64_t depth, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, bool add) {
  vf sum[R][V];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) sum[r][v] = add ? load(c + r * ldc + v * kLanes) : vf{};
  for (int64_t k = 0; k < depth; k++) {
    vf row[V];
    for (int v = 0; v < V; v++) row[v] = load(b + v * kLanes);
    for (int r = 0; r < R; r++) {
      vf x = broadcast(Transposed ? a[r] : a[r * lda]);
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
inline void product(int64_t rows, int64_t depth, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, bool add) {
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
    for (int64_t i = 0; i < dim; i += 4) {
      const float* from = panel + i * lanes + lane;
      v4 x[4] = { *(const v4*)from * f, *(const v4*)(from + lanes) * f, *(const v4*)(from + 2 * lanes) * f, *(const v4*)(from + 3 * lanes) * f };
      transpose4(x[0], x[1], x[2], x[3]);
      for (int j = 0; j < 4 && lane + j < count; j++) {
        float* to = row(lane + j) + i;
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

// exp of a score less its row's maximum or log-sum-exp: as vexp, for x that is hardly above 0 (0 below -87.3, inf far above, NaN stays NaN).
inline vf weight_of(vf x) {
  const vf low = broadcast(-87.33654f), high = broadcast(88.8f), magic = broadcast(12582912.f);
  vf c = x < low ? low : x;
  c = c > high ? high : c;
  vf n = fused(c, broadcast(1.44269504088896341f), magic) - magic;
  vf r = fused(n, broadcast(2.12194440e-4f), fused(n, broadcast(-0.693359375f), c));
  vf p = broadcast(1.9875691500e-4f);
  for (float coefficient : { 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f })
    p = fused(p, r, broadcast(coefficient));
  p = fused(p * r, r, r) + 1.0f;
  vf y = p * (vf)((__builtin_convertvector(n, vi) + 127) << 23);
  return (vf)((vi)y & ~(vi)(x < low));
}

// The lanes' limits [V * kLanes]: lane i sees keys below limit[i] of a tile. `first`: the smallest limit, `last`: the largest.
struct Limits {
  int32_t lane[kPanel];
  int first, last;
};
inline vi visible_lanes(const Limits& limits, int v, int key) { return *(const vi*)(limits.lane + v * kLanes) > key; }

// c[dim, lanes] += a[keys, dim]^T * b[keys, lanes] over the keys that each lane sees: what product() gives where all of `a` is finite. Unseen keys
// have weight 0, but 0 times infinity is not 0.
template <int V>
inline void product_of_seen(int64_t dim, int keys, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, const Limits& limits) {
  for (int64_t i = 0; i < dim; i++)
    for (int v = 0; v < V; v++) {
      vf sum = load(c + i * V * kLanes + v * kLanes);
      for (int k = 0; k < keys; k++) {
        vf next = fused(broadcast(a[k * lda + i]), load(b + k * ldb + v * kLanes), sum);
        sum = select(visible_lanes(limits, v, k), next, sum);
      }
      store(c + i * V * kLanes + v * kLanes, sum);
    }
}

// ---- softmax over tiles ----
// Sums of weights per lane: row 0 over all keys but sinks, row 1 + r over region r (row 1 over all regions where `rows` is 2). region: of the tile's
// keys.
struct MassSums {
  const int32_t* region;
  float* sums;  // [rows, lanes]
  int64_t rows;
};

template <int V>
inline void add_mass(const MassSums& mass, int key, const vf (&weight)[V]) {
  int32_t r = mass.region[key];
  if (r == -2) return;
  for (int v = 0; v < V; v++) store(mass.sums + v * kLanes, load(mass.sums + v * kLanes) + weight[v]);
  if (r < 0) return;
  float* sums = mass.sums + std::min<int64_t>(1 + r, mass.rows - 1) * V * kLanes;
  for (int v = 0; v < V; v++) store(sums + v * kLanes, load(sums + v * kLanes) + weight[v]);
}

// What one head adds to a row's mass and profile, from its sums of probabilities (n, then m_r). total: { mass, count, profile... }.
inline void add_head(float* total, const float* sums, int64_t stride, int64_t rows, float factor, bool by_row) {
  float n = sums[0] * factor, m = 0;
  float weight = by_row ? 1.f / (n > 0.01f ? n : 0.01f) : 1.f;
  for (int64_t r = 1; r < rows; r++) {
    float mass = sums[r * stride] * factor;
    m += mass;
    total[1 + r] += mass * weight;
  }
  total[0] += m * weight;
  total[1] += by_row ? 1.f : n;
}

// Adds a row's totals over the heads to the caller's arrays. profile: nullable.
inline void add_totals(float* mass, float* profile, const float* total, int64_t regions) {
  mass[0] += total[0];
  mass[1] += total[1];
  if (profile)
    for (int64_t r = 0; r < regions; r++) profile[r] += total[2 + r];
}

inline int32_t check_regions(const int32_t* region, int64_t begin, int64_t end, int64_t regions, kedge_status* status) {
  for (int64_t i = begin; i < end; i++)
    if (region[i] < -2 || region[i] >= regions)
      return fail(status, KEDGE_BAD_INDEX, "region[%lld] is %d, not in [-2, %lld)", (long long)i, region[i], (long long)regions);
  return KEDGE_OK;
}

// A panel's state between tiles: q transposed and scaled, the unnormalised output, maximum and sum of weights of each lane.
struct Panel {
  float *q, *out, *max, *sum;

  static int64_t floats(int64_t dim) { return 2 * dim * kPanel + 2 * kPanel; }
  Panel(float* at, int64_t dim) : q(at), out(at + dim * kPanel), max(out + dim * kPanel), sum(max + kPanel) {}
  void clear(int64_t dim) {
    std::fill(out, out + dim * kPanel, 0.f);
    std::fill(max, max + kPanel, -kInfinity);
    std::fill(sum, sum + kPanel, 0.f);
  }
};

// Takes a tile of keys into a panel (Dao, arXiv 2307.08691, algorithm 1 with the roles of rows and columns turned). scores: scratch
// [kTile, V * kLanes]. limits: null where every lane sees every key; else finite says whether all of `values` is. mass: nullable.
template <int V>
inline void attend(const Panel& panel, int64_t dim, const float* k, int64_t k_stride, const float* values, int64_t v_stride, int keys,
                   const Limits* limits, bool finite, float* scores, const MassSums* mass) {
  constexpr int lanes = V * kLanes;
  product<V, false>(keys, dim, k, k_stride, panel.q, lanes, scores, lanes, false);
  if (limits)
    for (int j = limits->first; j < keys; j++)
      for (int v = 0; v < V; v++) {
        float* s = scores + j * lanes + v * kLanes;
        store(s, select(visible_lanes(*limits, v, j), load(s), broadcast(-kInfinity)));
      }
  vf before[V], top[V], shift[V], rescale[V], sum[V];
  for (int v = 0; v < V; v++) top[v] = before[v] = load(panel.max + v * kLanes);
  for (int j = 0; j < keys; j++)
    for (int v = 0; v < V; v++) {
      vf s = load(scores + j * lanes + v * kLanes);
      top[v] = top[v] > s ? top[v] : s;  // a NaN may be passed over here; it reaches the sum below
    }
  bool moved = false;
  for (int v = 0; v < V; v++) {
    shift[v] = top[v] == -kInfinity ? vf{} : top[v];
    rescale[v] = weight_of(before[v] - shift[v]);
    sum[v] = vf{};
    vi same = before[v] == top[v];
    for (int i = 0; i < kLanes; i++) moved |= same[i] == 0;
  }
  if (moved) {
    for (int64_t i = 0; i < dim; i++)
      for (int v = 0; v < V; v++) store(panel.out + i * lanes + v * kLanes, load(panel.out + i * lanes + v * kLanes) * rescale[v]);
    if (mass)
      for (int64_t r = 0; r < mass->rows; r++)
        for (int v = 0; v < V; v++) store(mass->sums + r * lanes + v * kLanes, load(mass->sums + r * lanes + v * kLanes) * rescale[v]);
  }
  for (int j = 0; j < keys; j++) {
    vf weight[V];
    for (int v = 0; v < V; v++) {
      weight[v] = weight_of(load(scores + j * lanes + v * kLanes) - shift[v]);
      store(scores + j * lanes + v * kLanes, weight[v]);
      sum[v] += weight[v];
    }
    if (mass) add_mass<V>(*mass, j, weight);
  }
  for (int v = 0; v < V; v++) {
    store(panel.sum + v * kLanes, fused(load(panel.sum + v * kLanes), rescale[v], sum[v]));
    store(panel.max + v * kLanes, top[v]);
  }
  if (limits && !finite)
    product_of_seen<V>(dim, keys, values, v_stride, scores, lanes, panel.out, *limits);
  else
    product<V, true>(dim, keys, values, v_stride, scores, lanes, panel.out, lanes, true);
}

}  // namespace kedge
