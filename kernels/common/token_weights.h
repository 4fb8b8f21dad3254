// Token weights of one response (kedge.h, kedge_token_weights; docs/method.md sections 3 and 4), for a `Team` (team.h).
//
// The method sorts twice: clusters by density, to take the shortest prefix that holds enough tokens (P), and tokens by connectivity, to
// take the highest (the anchors). Sorting is hard to share between threads, and neither needs the order itself: both need the value at
// which the prefix ends. `threshold` finds that value by a binary search over the bits of a number, and every step is one sum over all
// elements, which a team forms in any order. Three things make this exact:
//   - order_of turns a float into an unsigned number, so that larger floats have larger numbers. Comparing numbers then compares floats.
//   - Ties have a rule ("the earlier token first"), so the place of a token is part of what is compared: `place` puts the float's number into
//     the high bits and the place into the low ones, earlier places larger. No two tokens are equal then, and a threshold cuts where the rule
//     says.
//   - What is summed are counts of tokens, which are integers: the sum does not depend on who adds what.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "philox.h"
#include "responses.h"
#include "team.h"

namespace kedge {

enum WeightMode { kWeightOff, kWeightSoft, kWeightHard, kWeightLow, kWeightRandom };

struct WeightRule {
  int32_t mode, anchor_permille;
  double w_min, w_max, temperature, own;
  bool normalise;
  uint64_t seed;
};

// An unsigned number in the order of the floats; NaN below all. The bits of a positive float rise with the float, so it is enough to set
// the sign bit, which lifts it above the negative ones; the bits of a negative float fall, so all of them are flipped. -0 counts as 0.
KEDGE_BOTH inline uint32_t order_of(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return x != x ? 0u : u == 0x80000000u ? 0x80000000u : u & 0x80000000u ? ~u : u | 0x80000000u;
}
KEDGE_BOTH inline uint64_t order_of(double x) {
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  const uint64_t sign = uint64_t(1) << 63;
  return x != x ? 0 : u == sign ? sign : u & sign ? ~u : u | sign;
}

// The same order in signed numbers, for argmax; ~ turns it around, so that argmax finds the least.
KEDGE_BOTH inline int64_t signed_order(uint64_t order) { return (int64_t)(order ^ uint64_t(1) << 63); }

// The largest threshold at or above which there is a mass of at least `wanted`: the sum of mass(i) over the i with key(i) >= threshold.
// Keys have `bits` bits, and i runs from 0 to n - 1. The mass falls as the threshold rises, so a binary search finds it: from the highest
// bit down, a bit is set if enough mass is left with it. With keys 5, 3, 3, 1, masses of 1 and wanted = 2: 4 leaves 1, too little; 2 leaves
// 3; 2 + 1 = 3 leaves 3. So 3 is the answer: "the two largest" are all from 3 on, and it takes `place` to tell the two threes apart.
template <class Above>
KEDGE_TEAM uint64_t search(int bits, int64_t wanted, const Above& above_of) {
  uint64_t found = 0;
  for (int bit = bits - 1; bit >= 0; bit--) {
    const uint64_t trial = found | uint64_t(1) << bit;
    const int64_t above = above_of(trial);
    if (above >= wanted) found = trial;
    if (above == wanted) break;  // exact already; lower bits would only move the threshold up to the least key that is in
  }
  return found;
}
template <class Team, class Key, class Mass>
KEDGE_TEAM uint64_t threshold(Team& team, int32_t n, int bits, int64_t wanted, const Key& key, const Mass& mass) {
  if constexpr (Team::kSerial) {
    constexpr int32_t kShort = 256;  // tokens of a response whose keys are computed once, since every step reads them all
    uint64_t keys[kShort];
    int64_t masses[kShort];
    for (int32_t i = 0; i < n && n <= kShort; i++) keys[i] = key(i), masses[i] = mass(i);
    if (n <= kShort) return search(bits, wanted, [&](uint64_t trial) {
      int64_t above = 0;
      for (int32_t i = 0; i < n; i++) above += keys[i] >= trial ? masses[i] : 0;
      return above;
    });
  }
  return search(bits, wanted,
                [&](uint64_t trial) { return team.sum(n, [&](int32_t i) -> int64_t { return key(i) >= trial ? mass(i) : 0; }); });
}

template <class Team>
struct TokenWeights {
  Team team;
  const float* connectivity;
  const int32_t* cluster;  // nullable
  int32_t tokens;
  float* weight;
  uint8_t* flags;  // nullable
  // Scratch, [tokens] each: of a cluster, the sum of d, then D, then W; its size; its first token.
  double *density, *value;  // value: x_t, where a token's own connectivity counts
  int32_t *size, *first;

  static constexpr int kIndexBits = 24;  // a response has at most 2^24 tokens
  // A token's rank by `key`, ties: the earlier first, as one number. No two tokens have the same.
  KEDGE_TEAM static uint64_t place(uint32_t key, int32_t t) { return (uint64_t)key << kIndexBits | (uint32_t)((1 << kIndexBits) - 1 - t); }
  // The least place among the `wanted` tokens of largest key.
  template <class Key>
  KEDGE_TEAM uint64_t largest(int64_t wanted, const Key& key) {
    return threshold(team, tokens, 32 + kIndexBits, wanted, [&](int32_t t) { return place(key(t), t); }, [](int32_t) -> int64_t { return 1; });
  }

  // How many tokens are anchors: the share of the response, rounded up, in integers.
  KEDGE_TEAM int64_t anchors(int32_t permille) const { return ((int64_t)permille * tokens + 999) / 1000; }

  // Writes D_k, the size and the first token of every cluster k (section 3, step 1), and gives the mean connectivity. Clusters are numbered
  // from 0, but any number below the count of tokens may come: one without tokens has size 0. A team of threads gives each cluster to one
  // thread, which looks through all tokens, so that a cluster's sum runs in the order of its tokens, as with one thread.
  KEDGE_TEAM double densities() {
    const double mean = team.total(tokens, [&](int32_t t) { return (double)connectivity[t]; }) / tokens;
    if constexpr (Team::kSerial) {
      for (int32_t k = 0; k < tokens; k++) density[k] = 0, size[k] = first[k] = 0;
      for (int32_t t = 0; t < tokens; t++) {
        const int32_t k = cluster[t];
        if (size[k]++ == 0) first[k] = t;
        density[k] += connectivity[t];
      }
    } else {
      const int32_t clusters = 1 + (int32_t)team.argmax(tokens, [&](int32_t t) -> int64_t { return cluster[t]; }).value;
      team.each(tokens, [&](int32_t k) {
        double sum = 0;
        int32_t count = 0, begin = 0;
        for (int32_t t = 0; k < clusters && t < tokens; t++) {
          if (cluster[t] != k) continue;
          if (count++ == 0) begin = t;
          sum += connectivity[t];
        }
        density[k] = sum, size[k] = count, first[k] = begin;
      });
    }
    team.each(tokens, [&](int32_t k) {
      if (size[k] > 0) density[k] = mean != 0 ? density[k] / size[k] / mean : 0;
    });
    return mean;
  }

  // The prefix P (section 3, step 2): clusters with a density above `least`, and of those at it, the ones whose first token is at most
  // `last`.
  struct Prefix {
    uint64_t least;
    int32_t last;
  };
  KEDGE_TEAM bool inside(const Prefix& p, int32_t k) const {
    const uint64_t key = order_of(density[k]);
    return key > p.least || (key == p.least && first[k] <= p.last);
  }
  // Clusters have different sizes, and several may share a density. So the search goes twice: by density, with a cluster's size for its
  // mass, for the density at which the prefix ends; then among the clusters of that density by their first token, for what is still wanting
  // of the mass.
  KEDGE_TEAM Prefix prefix(int64_t wanted) {
    auto key = [&](int32_t k) { return order_of(density[k]); };
    auto mass = [&](int32_t k) -> int64_t { return size[k]; };
    const uint64_t bound = threshold(team, tokens, 64, wanted, key, mass);  // may lie below the least key that it lets in
    const Best least = team.argmax(tokens, [&](int32_t k) { return size[k] > 0 && key(k) >= bound ? ~signed_order(key(k)) : kNever; });
    Prefix p = {least.index >= 0 ? key(least.index) : bound, 0};
    const int64_t above = team.sum(tokens, [&](int32_t k) -> int64_t { return key(k) > p.least ? mass(k) : 0; });
    const uint64_t tie = threshold(
        team, tokens, kIndexBits, wanted - above, [&](int32_t k) { return (uint64_t)((1 << kIndexBits) - 1 - first[k]); },
        [&](int32_t k) -> int64_t { return key(k) == p.least ? mass(k) : 0; });
    p.last = (1 << kIndexBits) - 1 - (int32_t)tie;
    return p;
  }

  // The same weight for every token.
  KEDGE_TEAM void fill(float value) {
    team.each(tokens, [&](int32_t t) { weight[t] = value; });
  }
  // The modes that choose tokens (section 4): tokens / wanted on the `wanted` tokens with the largest key, 0 on the others.
  template <class Key>
  KEDGE_TEAM void choose(int64_t wanted, const Key& key) {
    const uint64_t bound = largest(wanted, key);
    const float each = (float)((double)tokens / (double)wanted);
    team.each(tokens, [&](int32_t t) { weight[t] = place(key(t), t) >= bound ? each : 0.f; });
  }

  // Whether connectivity does not tell tokens apart.
  KEDGE_TEAM bool is_constant(double mean) {
    const Best low = team.argmax(tokens, [&](int32_t t) -> int64_t { return -(int64_t)order_of(connectivity[t]); }),
               high = team.argmax(tokens, [&](int32_t t) -> int64_t { return (int64_t)order_of(connectivity[t]); });
    return (double)connectivity[high.index] - (double)connectivity[low.index] <= 1e-6 * mean;
  }

  // W(C_k) of every cluster, and from it each token's weight (section 3, steps 3 to 5).
  KEDGE_TEAM void soft(const WeightRule& rule, const Prefix& p, double mean) {
    auto value = [&](int32_t k) { return density[k]; };
    auto edge = [&](bool in, bool out, bool low) {  // the cluster with the lowest or highest D of those in P, outside, or both
      return team.argmax(tokens, [&](int32_t k) {
        if (size[k] == 0 || !(inside(p, k) ? in : out)) return kNever;
        const int64_t key = signed_order(order_of(density[k]));
        return low ? ~key : key;
      }).index;
    };
    const int32_t least_in = edge(true, false, true), most_out = edge(false, true, false), least = edge(true, true, true),
                  most = edge(true, true, false);
    const int64_t clusters = team.sum(tokens, [&](int32_t k) -> int64_t { return size[k] > 0; });
    const bool constant = is_constant(mean);
    if (mean == mean && (constant || mean == 0 || clusters == 1 || value(most) - value(least) <= 1e-6)) return fill(1.f);
    const double theta = most_out < 0 ? value(least_in) : 0.5 * (value(least_in) + value(most_out));
    team.sync();  // all have read the densities: what stands there from now on is W
    team.each(tokens, [&](int32_t k) {
      if (size[k] > 0) density[k] = rule.w_min + (rule.w_max - rule.w_min) / (1 + exp((theta - density[k]) / rule.temperature));
    });
    double scale = 1;
    if (rule.normalise) scale = tokens / team.total(tokens, [&](int32_t k) { return size[k] > 0 ? size[k] * density[k] : 0.; });
    team.each(tokens, [&](int32_t t) { weight[t] = mean == mean ? (float)(density[cluster[t]] * scale) : NAN; });
  }

  // The same where a token's own connectivity counts (section 3, step 6): W of x_t = (1 - own) D_k + own d_t.
  KEDGE_TEAM void soft_own(const WeightRule& rule, int64_t wanted, double mean) {
    auto key = [&](int32_t t) { return order_of(value[t]); };
    auto edge = [&](uint64_t from, uint64_t to, bool low) {  // the token with the lowest or highest x whose key is in [from, to)
      return team.argmax(tokens, [&](int32_t t) {
        if (key(t) < from || key(t) >= to) return kNever;
        return low ? ~signed_order(key(t)) : signed_order(key(t));
      }).index;
    };
    team.each(tokens, [&](int32_t t) {
      value[t] = mean != 0 ? (1 - rule.own) * density[cluster[t]] + rule.own * (connectivity[t] / mean) : 0;
    });
    const int32_t least = edge(0, UINT64_MAX, true), most = edge(0, UINT64_MAX, false);
    if (mean == mean && (is_constant(mean) || mean == 0 || value[most] - value[least] <= 1e-6)) return fill(1.f);
    const uint64_t bound = threshold(team, tokens, 64, wanted, key, [](int32_t) -> int64_t { return 1; });
    const int32_t in = edge(bound, UINT64_MAX, true), out = edge(0, bound, false);
    const int64_t held = team.sum(tokens, [&](int32_t t) -> int64_t { return key(t) >= bound; });
    double theta = NAN;
    if (mean == mean) theta = held > wanted || out < 0 ? value[in] : 0.5 * (value[in] + value[out]);
    team.sync();  // all have read the values: what stands there from now on is W
    team.each(tokens, [&](int32_t t) {
      value[t] = rule.w_min + (rule.w_max - rule.w_min) / (1 + exp((theta - value[t]) / rule.temperature));
    });
    const double scale = rule.normalise ? tokens / team.total(tokens, [&](int32_t t) { return value[t]; }) : 1;
    team.each(tokens, [&](int32_t t) { weight[t] = mean == mean ? (float)(value[t] * scale) : NAN; });
  }

  // Writes weight, and flags where wanted. visual: whether the prompt has visual tokens. key: { prompt lo, prompt hi, sample }, for mode
  // random.
  KEDGE_TEAM void run(const WeightRule& rule, bool visual, const uint32_t* key) {
    if (tokens == 0) return;
    if (!visual) {
      if (flags) team.each(tokens, [&](int32_t t) { flags[t] = 0; });
      return fill(1.f);
    }
    const int64_t wanted = anchors(rule.anchor_permille), half = tokens > 1 ? tokens / 2 : 1;
    auto high = [&](int32_t t) { return order_of(connectivity[t]); };
    double mean = 0;
    Prefix p = {0, 0};
    if (cluster) {
      mean = densities();
      p = prefix(wanted);
    }
    if (flags) {
      const uint64_t bound = largest(wanted, high);
      team.each(tokens, [&](int32_t t) {
        flags[t] = (uint8_t)((place(high(t), t) >= bound ? 1 : 0) | (cluster && inside(p, cluster[t]) ? 2 : 0));
      });
    }
    switch (rule.mode) {
      case kWeightOff: return fill(1.f);
      case kWeightSoft: return rule.own > 0 ? soft_own(rule, wanted, mean) : soft(rule, p, mean);
      case kWeightHard: return choose(wanted, high);
      case kWeightLow: return choose(half, [&](int32_t t) { return ~order_of(connectivity[t]); });
      default:
        return choose(wanted, [&](int32_t t) {
          return philox((uint32_t)rule.seed, (uint32_t)(rule.seed >> 32), key[0], key[1], key[2], (uint32_t)t).x[0];
        });
    }
  }
};

inline int32_t check_token_weights(const float* weight, const float* connectivity, const int32_t* cluster, const uint32_t* keys, int64_t n,
                                   int64_t tokens, int64_t max_tokens, const WeightRule& rule, kedge_status* status) {
  KEDGE_REQUIRE(rule.mode >= kWeightOff && rule.mode <= kWeightRandom, "mode is %d, not 0 to 4", (int)rule.mode);
  KEDGE_REQUIRE(rule.anchor_permille >= 1 && rule.anchor_permille <= 1000, "anchor_permille is %d, outside [1, 1000]",
                (int)rule.anchor_permille);
  KEDGE_REQUIRE(rule.temperature > 0 && is_finite(rule.temperature), "temperature is %g", rule.temperature);
  KEDGE_REQUIRE(rule.w_min >= 0 && rule.w_max >= 0 && rule.w_min + rule.w_max > 0 && is_finite(rule.w_min + rule.w_max),
                "w_min is %g, w_max %g", rule.w_min, rule.w_max);
  KEDGE_REQUIRE(rule.own >= 0 && rule.own <= 1, "own is %g, outside [0, 1]", rule.own);
  KEDGE_REQUIRE(max_tokens <= int64_t(1) << 24, "max_tokens is %lld", (long long)max_tokens);
  if (n == 0 || tokens == 0) return KEDGE_OK;
  return check_given({{"weight", weight}, {"connectivity", connectivity}, {"cluster", cluster || rule.mode != kWeightSoft},
                      {"keys", keys || rule.mode != kWeightRandom}}, status);
}

}  // namespace kedge
