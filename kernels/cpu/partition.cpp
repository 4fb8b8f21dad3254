// Partitions of token graphs (kedge.h; docs/method.md section 2.2): a response is one task, on one thread, by the algorithm of
// common/partition.h.
#include "../common/partition.h"

#include "one_thread.h"
#include "responses.h"

namespace kedge {
namespace {

struct Graph {
  const int32_t *rows, *neighbour, *weight, *offsets;

  int64_t edges(int64_t i) const {
    int64_t sum = 0;
    for (int64_t t = offsets[i]; t < offsets[i + 1]; t++) sum += rows[2 * t + 1] - rows[2 * t];
    return sum;
  }
};

// KEDGE_OK, or the first fault of the rows of response i.
int32_t check_graph(const Graph& g, int64_t i, int64_t capacity, int64_t max_edges, kedge_status* status) {
  int64_t first = g.offsets[i], length = g.offsets[i + 1] - first;
  for (int64_t t = first; t < first + length; t++) {
    int64_t begin = g.rows[2 * t], end = g.rows[2 * t + 1];
    if (begin < 0 || end < begin || end > capacity)
      return fail(status, KEDGE_BAD_INDEX, "rows[%lld] is [%lld, %lld), not within [0, %lld)", (long long)t, (long long)begin, (long long)end,
                  (long long)capacity);
    for (int64_t e = begin; e < end; e++)
      if (bad_edge(g.neighbour[e], g.weight[e], t - first, length))
        return fail(status, KEDGE_BAD_INDEX, "edge %lld of token %lld: neighbour %d of %lld tokens, weight %d", (long long)e, (long long)t,
                    g.neighbour[e], (long long)length, g.weight[e]);
  }
  int64_t edges = g.edges(i);
  if (edges > max_edges)
    return fail(status, KEDGE_INVALID, "response %lld has %lld edges, the bound given is %lld", (long long)i, (long long)edges,
                (long long)max_edges);
  return KEDGE_OK;
}

void partition(const Graph& g, int64_t i, const PartitionRule& rule, int32_t* cluster, int64_t* stats, void* scratch) {
  const int64_t first = g.offsets[i], length = g.offsets[i + 1] - first;
  if (length < 4) {
    for (int64_t t = first; t < first + length; t++) cluster[t] = 0;
    if (stats) stats[0] = length > 0, stats[1] = 0, stats[2] = length;
    return;
  }
  const PartitionMemory memory = PartitionMemory::of(length, g.edges(i), rule);
  Partitioner<OneThread> p;
  p.lay_out(scratch, memory, rule);
  const Level& finest = p.level[0];
  int32_t at = 0;
  for (int32_t v = 0; v < length; v++) {
    finest.begin[v] = at;
    for (int64_t e = g.rows[2 * (first + v)]; e < g.rows[2 * (first + v) + 1]; e++, at++) {
      finest.to[at] = g.neighbour[e];
      finest.weight[at] = g.weight[e];
    }
    finest.end[v] = at;
    finest.size[v] = 1;
  }
  p.run(memory);
  p.write(cluster + first, stats);
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_partition(const kedge_context* ctx, int32_t* cluster, int64_t* stats, const int32_t* rows, const int32_t* neighbour,
                                  const int32_t* weight, int64_t capacity, int64_t max_edges, const int32_t* offsets, int64_t n,
                                  int64_t tokens, int64_t max_tokens, int32_t cluster_size, int32_t imbalance, uint64_t seed,
                                  kedge_status* status) {
  KEDGE_TRY(check_responses(offsets, n, tokens, max_tokens, status));
  const PartitionRule rule = {cluster_size, imbalance, seed};
  KEDGE_TRY(check_partition(cluster, rows, neighbour, weight, capacity, max_edges, tokens, max_tokens, rule, status));
  if (n == 0) return ok(status);
  const Graph g = {rows, neighbour, weight, offsets};
  int64_t scratch = 0, edges = 0;
  for (int64_t i = 0; i < n; i++) {
    KEDGE_TRY(check_graph(g, i, capacity, max_edges, status));
    scratch = std::max(scratch, PartitionMemory::of(offsets[i + 1] - offsets[i], g.edges(i), rule).bytes());
    edges += g.edges(i);
  }
  scratch = round_up(scratch, 64);
  KEDGE_REQUIRE_WORKSPACE(scratch * ctx->threads);
  parallel(ctx, n, 100 * edges,
           [&](int64_t i) { partition(g, i, rule, cluster, stats ? stats + 3 * i : nullptr, (char*)ctx->workspace + Threads::index() * scratch); });
  return ok(status);
}
