// The graph of a response's tokens (kedge.h; docs/method.md section 2.1): the parts that both libraries compute alike.
#pragma once
#include <float.h>

#include <cmath>

#include "both.h"
#include "responses.h"

namespace kedge {

constexpr int kMostNeighbours = 32;

// One of a token's heaviest edges so far; both libraries meet the other tokens in rising order.
struct alignas(8) Pick {  // read and written by 8 bytes
  float weight;
  int32_t token;  // of the response; -1: none
};

// Puts an edge that is heavier than `least` into a token's list of at most `neighbours`, heaviest first. Since tokens come in rising order,
// and an equal weight does not move up, ties go to the lower index. least: what the next edge must exceed, the lightest once the list is
// full.
KEDGE_BOTH inline void insert_pick(Pick* list, int32_t& found, float& least, int32_t neighbours, float weight, int32_t token) {
  int32_t at = found < neighbours - 1 ? found : neighbours - 1;
  for (; at > 0 && list[at - 1].weight < weight; at--) list[at] = list[at - 1];
  list[at] = Pick{weight, token};
  found = found + 1 < neighbours ? found + 1 : neighbours;
  if (found == neighbours) least = list[neighbours - 1].weight;
}

// The integer that stands for an edge's weight; 0: no edge. Neighbours in time get `adjacency` more.
KEDGE_BOTH inline int32_t edge_weight(float weight, int64_t t, int64_t u, double adjacency) {
  const double sum = (double)weight + (u == t - 1 || u == t + 1 ? adjacency : 0.);
  return (int32_t)nearbyint(sum * 1048576.);
}

// Which edges a graph has, beside the adjacent ones (kedge.h).
struct EdgeRule {
  float floor;     // a weight must exceed it: the largest float below the threshold
  float contrast;  // 0: none
  bool mutual;

  EdgeRule(double threshold, double given, int32_t both) : floor((float)threshold), contrast((float)given), mutual(both != 0) {
    if ((double)floor >= threshold && floor > 0.f) floor = std::nextafterf(floor, 0.f);
    if (given > 0 && contrast < FLT_MIN) contrast = FLT_MIN;
  }
};

inline int32_t check_token_graph(const int32_t* rows, const int32_t* neighbour, const int32_t* weight, const float* profile,
                                 const float* connectivity, int64_t tokens, int64_t regions, int32_t neighbours, double adjacency,
                                 double threshold, double contrast, kedge_status* status) {
  KEDGE_REQUIRE(regions >= 0, "regions is %lld", (long long)regions);
  KEDGE_REQUIRE(neighbours >= 0 && neighbours <= kMostNeighbours, "neighbours is %d, outside [0, %d]", (int)neighbours, kMostNeighbours);
  KEDGE_REQUIRE(adjacency >= 0 && adjacency <= 1000, "adjacency is %g, outside [0, 1000]", adjacency);
  KEDGE_REQUIRE(threshold >= 0 && threshold < 1, "threshold is %g, outside [0, 1)", threshold);
  KEDGE_REQUIRE(contrast >= 0 && contrast <= DBL_MAX, "contrast is %g, not 0 or a finite positive number", contrast);
  KEDGE_REQUIRE(2 * (int64_t)(neighbours + 1) * tokens <= INT32_MAX, "%lld tokens with %d neighbours are more edges than 32 bits count",
                (long long)tokens, (int)neighbours);
  if (tokens == 0) return KEDGE_OK;
  return check_given({{"rows", rows}, {"neighbour", neighbour}, {"weight", weight}, {"connectivity", connectivity},
                      {"profile", regions == 0 || profile}}, status);
}

}  // namespace kedge
