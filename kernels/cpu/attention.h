// What the attention kernels share: tiles of keys against panels of query rows.
//
// q lies in panels, transposed; scores lie transposed too, [key][lane]. So K and V are read as they are (each number broadcast), the
// softmax needs no sums across lanes, and bits do not depend on what else is in a panel. Sums over keys run in the order of the keys.
#pragma once
#include <limits>

#include "../common/attention.h"
#include "panel.h"

namespace kedge {

constexpr int kTile = 64;             // keys in a tile
constexpr int64_t kHeadStep = 4;      // head_dim is a multiple of it
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The lanes' limits [V * kLanes]: lane i sees keys below limit[i] of a tile. `first`: the smallest limit, `last`: the largest.
struct Limits {
  int32_t lane[kPanel];
  int first, last;
};
inline vi visible_lanes(const Limits& limits, int v, int key) { return *(const vi*)(limits.lane + v * kLanes) > key; }

// c[dim, lanes] += a[keys, dim]^T * b[keys, lanes] over the keys that each lane sees: what product() gives where all of `a` is finite.
// Unseen keys have weight 0, but 0 times infinity is not 0.
template <int V>
inline void product_of_seen(int64_t dim, int keys, const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                            const Limits& limits) {
  for (int64_t i = 0; i < dim; i++)
    for (int v = 0; v < V; v++) {
      vf sum = load(c + i * V * kLanes + v * kLanes);
      for (int k = 0; k < keys; k++) {
        vf next = fused(splat(a[k * lda + i]), load(b + k * ldb + v * kLanes), sum);
        sum = select(visible_lanes(limits, v, k), next, sum);
      }
      store(c + i * V * kLanes + v * kLanes, sum);
    }
}

// ---- softmax over tiles ----
// Sums of weights per lane: row 0 over all keys but sinks, row 1 + r over region r (row 1 over all regions where `rows` is 2). region: of
// the tile's keys; null: none is a sink, or of a region.
struct MassSums {
  const int32_t* region;
  float* sums;  // [rows, lanes]
  int64_t rows;
};

// Adds the weights [keys, V * kLanes] of a tile whose keys have regions. Not while the exponentials are computed: their constants fill
// the registers.
template <int V>
inline void add_masses(const MassSums mass, const float* weights, int keys) {
  constexpr int lanes = V * kLanes;
  vf free[V] = {};
  for (int j = 0; j < keys; j++) {
    int32_t r = mass.region[j];
    if (r == -2) continue;
    vf weight[V];
    for (int v = 0; v < V; v++) {
      weight[v] = load(weights + j * lanes + v * kLanes);
      free[v] += weight[v];
    }
    if (r < 0) continue;
    float* sums = mass.sums + std::min<int64_t>(1 + r, mass.rows - 1) * lanes;
    for (int v = 0; v < V; v++) store(sums + v * kLanes, load(sums + v * kLanes) + weight[v]);
  }
  for (int v = 0; v < V; v++) store(mass.sums + v * kLanes, load(mass.sums + v * kLanes) + free[v]);
}

// What one head adds to a row's mass and profile, from its sums of probabilities (n, then m_r; docs/method.md section 1.3). total: { mass,
// count, profile... }.
inline void add_head(float* total, const float* sums, int64_t stride, int64_t rows, float factor, bool by_row) {
  float n = sums[0] * factor, m = 0;
  float weight = by_row ? 1.f / (n > kLeastMass ? n : kLeastMass) : 1.f;
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

// The least and the largest region of keys [begin, end), at most and at least -1. No way out of the loop: it becomes vectors.
struct RegionBounds {
  int32_t least, most;
};
inline RegionBounds region_bounds(const int32_t* region, int64_t begin, int64_t end) {
  int32_t least = -1, most = -1;
  for (int64_t i = begin; i < end; i++) least = std::min(least, region[i]), most = std::max(most, region[i]);
  return { least, most };
}

inline int32_t check_regions(const int32_t* region, int64_t begin, int64_t end, int64_t regions, kedge_status* status) {
  RegionBounds all = region_bounds(region, begin, end);
  if (all.least >= -2 && all.most < regions) return KEDGE_OK;
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

// Takes a tile of keys into a panel: scores, the new maximum of each lane, a factor for what the lane has summed before, weights, and the
// weighted sum of the values. A lane's sums run over the keys in their order and do not see the other lanes. (Dao, arXiv 2307.08691,
// algorithm 1 with the roles of rows and columns turned). scores: scratch [kTile, V * kLanes]. limits: null where every lane sees every
// key; else finite says whether all of `values` is. mass: nullable.
template <int V>
inline void attend(const Panel& panel, int64_t dim, const float* k, int64_t k_stride, const float* values, int64_t v_stride, int keys,
                   const Limits* limits, bool finite, float* scores, const MassSums* mass) {
  constexpr int lanes = V * kLanes;
  product<V, false>(keys, dim, k, k_stride, panel.q, lanes, scores, lanes, false);
  if (limits)
    for (int j = limits->first; j < keys; j++)
      for (int v = 0; v < V; v++) {
        float* s = scores + j * lanes + v * kLanes;
        store(s, select(visible_lanes(*limits, v, j), load(s), splat(-kInfinity)));
      }
  vf before[V], top[V], shift[V], rescale[V], sum[V];
  for (int v = 0; v < V; v++) top[v] = before[v] = load(panel.max + v * kLanes);
  for (int j = 0; j < keys; j++)
    for (int v = 0; v < V; v++) {
      vf s = load(scores + j * lanes + v * kLanes);
      top[v] = top[v] > s ? top[v] : s;  // a NaN may be passed over here; it reaches the sum below
    }
  bool moved = false, begun = false;
  for (int v = 0; v < V; v++) {
    shift[v] = top[v] == -kInfinity ? vf{} : top[v];
    rescale[v] = weight_of(before[v] - shift[v]);
    sum[v] = vf{};
    vi same = before[v] == top[v];
    for (int i = 0; i < kLanes; i++) moved |= same[i] == 0, begun |= before[v][i] != -kInfinity;
  }
  if (moved) {
    for (int64_t i = 0; i < dim; i++)
      for (int v = 0; v < V; v++) store(panel.out + i * lanes + v * kLanes, load(panel.out + i * lanes + v * kLanes) * rescale[v]);
    if (mass && begun)
      for (int64_t r = 0; r < mass->rows; r++)
        for (int v = 0; v < V; v++) store(mass->sums + r * lanes + v * kLanes, load(mass->sums + r * lanes + v * kLanes) * rescale[v]);
  }
  for (int j = 0; j < keys; j++)
    for (int v = 0; v < V; v++) {
      vf weight = weight_of(load(scores + j * lanes + v * kLanes) - shift[v]);
      store(scores + j * lanes + v * kLanes, weight);
      sum[v] += weight;
    }
  if (mass && mass->region) add_masses<V>(*mass, scores, keys);
  else if (mass)
    for (int v = 0; v < V; v++) store(mass->sums + v * kLanes, load(mass->sums + v * kLanes) + sum[v]);
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
