// Partitions of token graphs (kedge.h; docs/method.md section 2.2): a block takes a response, by the algorithm of common/partition.h.
// Blocks share a limited number of slots of scratch, each for the largest response, and go through the responses in turns.
#include "../common/partition.h"

#include "block_team.cuh"

namespace kedge {
namespace {

constexpr int64_t kScratchAim = int64_t(1) << 29;
constexpr int kMostSlots = 2112;  // 16 blocks on each of 132 multiprocessors

struct Graphs {
  const int32_t *rows, *neighbour, *weight, *offsets;
  int64_t n, capacity, max_edges, max_tokens;
};

__global__ void __launch_bounds__(kTeamThreads, 1)
    partition_kernel(int32_t* cluster, int64_t* stats, Graphs g, PartitionRule rule, char* scratch, int64_t slot_bytes) {
  __shared__ TeamShared shared;
  __shared__ Partitioner<BlockTeam> p;
  // One partitioner for the block: its fields are written by one thread, and read by all behind a barrier.
  const BlockTeam team{&shared};
  if (threadIdx.x == 0) p.team = team;
  __syncthreads();
  for (int64_t i = blockIdx.x; i < g.n; i += gridDim.x) {
    const int64_t first = g.offsets[i];
    const int32_t length = (int32_t)(g.offsets[i + 1] - first);
    const int32_t* rows = g.rows + 2 * first;
    int64_t* facts = stats ? stats + 3 * i : nullptr;
    if (length < 4) {
      team.each(length, [&](int32_t t) { cluster[first + t] = 0; });
      if (facts) team.one([&] { facts[0] = length > 0, facts[1] = 0, facts[2] = length; });
      continue;
    }
    const int64_t faults = team.sum(length, [&](int32_t t) -> int64_t {
      const int64_t begin = rows[2 * t], end = rows[2 * t + 1];
      bool bad = begin < 0 || end < begin || end > g.capacity;
      for (int64_t e = begin; e < end && !bad; e++)
        bad = bad_edge(g.neighbour[e], g.weight[e], t, length);
      return bad;
    });
    const int64_t edges = faults ? 0 : team.sum(length, [&](int32_t t) -> int64_t { return rows[2 * t + 1] - rows[2 * t]; });
    if (faults > 0 || edges > g.max_edges || length > g.max_tokens) {
      team.each(length, [&](int32_t t) { cluster[first + t] = -1; });
      if (facts) team.one([&] { facts[0] = facts[1] = facts[2] = -1; });
      continue;
    }
    const PartitionMemory memory = PartitionMemory::of(length, edges, rule);
    team.one([&] { p.lay_out(scratch + blockIdx.x * slot_bytes, memory, rule); });
    const Level& finest = p.level[0];
    team.each(length, [&](int32_t v) {
      finest.begin[v] = rows[2 * v + 1] - rows[2 * v];
      finest.size[v] = 1;
    });
    team.scan(finest.begin, length);
    team.each(length, [&](int32_t v) {
      const int32_t from = rows[2 * v], to = finest.begin[v], count = rows[2 * v + 1] - from;
      for (int32_t e = 0; e < count; e++) {
        finest.to[to + e] = g.neighbour[from + e];
        finest.weight[to + e] = g.weight[from + e];
      }
      finest.end[v] = to + count;
    });
    p.run(memory);
    p.write(cluster + first, facts);
  }
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_partition(const kedge_context* ctx, int32_t* cluster, int64_t* stats, const int32_t* rows, const int32_t* neighbour,
                        const int32_t* weight, int64_t capacity, int64_t max_edges, const int32_t* offsets, int64_t n, int64_t tokens,
                        int64_t max_tokens, int32_t cluster_size, int32_t imbalance, uint64_t seed, kedge_status* status) {
  KEDGE_TRY(check_response_counts(offsets, n, tokens, max_tokens, status));
  const PartitionRule rule = {cluster_size, imbalance, seed};
  KEDGE_TRY(check_partition(cluster, rows, neighbour, weight, capacity, max_edges, tokens, max_tokens, rule, status));
  if (n == 0) return ok(status);
  const int64_t slot = ceil_div<int64_t>(PartitionMemory::of(max_tokens, max_edges, rule).bytes(), 256) * 256;
  int64_t slots = kScratchAim / slot;
  slots = slots < 1 ? 1 : slots > kMostSlots ? kMostSlots : slots;
  if (slots > n) slots = n;
  KEDGE_REQUIRE_WORKSPACE(slots * slot);
  KEDGE_SET_DEVICE();
  KEDGE_LAUNCH(partition_kernel, (unsigned)slots, kTeamThreads, 0, stream_of(ctx), cluster, stats,
               (Graphs{rows, neighbour, weight, offsets, n, capacity, max_edges, max_tokens}), rule, static_cast<char*>(ctx->workspace), slot);
  return finish("partition", status);
}
