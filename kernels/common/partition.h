// Size-constrained k-way partition of one integer graph (docs/method.md section 2.2), written once for the CPU and for CUDA: the algorithm
// asks a `Team` (one CPU thread, or a block of CUDA threads) to run loops and reductions whose results do not depend on who runs what. All
// numbers are integers, so both give the same partition.
//
// The wanted cut of a graph with hundreds of vertices is hard to find directly, so it is found on smaller graphs first (multilevel: Karypis
// & Kumar, SIAM J. Sci. Comput. 20, 1998):
//   coarsen   pairs of vertices that are tied by a heavy edge become one vertex, again and again, while the graph is large (match, contract);
//   grow      on the coarsest graph, the clusters are grown one after another (grow);
//   refine    on the way back, level by level, vertices move to the cluster to which they are tied most, or swap places with a vertex of it
//             where it is full (pass). A pass also takes steps that lose, and is rolled back to its best state (Fiduccia & Mattheyses, DAC
//             1982; swaps: Kernighan & Lin, 1970).
// `conn` holds, for every vertex and cluster, the weight of the edges between them: what a move gains is a difference of two of its
// numbers. It is kept in step with every move.
#pragma once
#include <stdint.h>

#include "responses.h"
#include "team.h"

namespace kedge {

constexpr int kMostClusters = 64, kMostLevels = 12;

struct PartitionRule {
  int32_t cluster_size, imbalance;  // imbalance in per mille
  uint64_t seed;
};

// clamp(round(tokens / cluster_size), 2, 64), halves up; 1 below 4 tokens.
KEDGE_BOTH inline int32_t cluster_count(int64_t tokens, int32_t cluster_size) {
  if (tokens < 4) return tokens > 0 ? 1 : 0;
  const int64_t k = (2 * tokens + cluster_size) / (2 * (int64_t)cluster_size);
  return (int32_t)(k < 2 ? 2 : k > kMostClusters ? kMostClusters : k);
}
// floor((1 + imbalance / 1000) * ceil(tokens / clusters)).
KEDGE_BOTH inline int64_t cluster_bound(int64_t tokens, int32_t clusters, int32_t imbalance) {
  return clusters > 0 ? (1000 + imbalance) * ((tokens + clusters - 1) / clusters) / 1000 : 0;
}

// One level: vertex v has the edges [begin[v], end[v]).
struct Level {
  int32_t n;
  int32_t *begin, *end, *to;
  int64_t* weight;
  int32_t *size, *coarse;  // tokens in a vertex; its vertex on the next level
};

// Scratch of one partition. What a level may take depends on the response alone, so that its result does not depend on the batch; `bytes`
// grows with each of its arguments, so that a slot for the largest response serves all.
struct PartitionMemory {
  int64_t tokens, clusters, members, vertices, edges;  // vertices, edges: of all levels together
  KEDGE_BOTH static PartitionMemory of(int64_t tokens, int64_t edges, const PartitionRule& rule) {
    const int64_t clusters = cluster_count(tokens, rule.cluster_size);
    return {tokens, clusters, (tokens + clusters) * (1000 + rule.imbalance) / 1000 + 1, 3 * tokens, 3 * edges};
  }
  KEDGE_BOTH int64_t bytes() const { return 8 * (tokens * (3 + clusters) + edges) + 4 * (5 * vertices + edges + 10 * tokens + members + 2 * kMostClusters + 8); }
};

// The team shares one, and its threads run the same steps. A value that steers them is read before a synchronisation and changed behind
// one.
template <class Team>
struct Partitioner {
  Team team;
  Level level[kMostLevels];
  int32_t clusters, tokens;
  int64_t bound;
  uint64_t seed;
  typename Team::Queue queue;
  int64_t *conn, *tie, *other;  // conn: [vertices, clusters], the weight from a vertex to each cluster; other: the largest of them but its own
  int32_t *part, *kept, *locked, *moved, *came, *went, *place, *mark;
  int32_t *member, *load, *count;  // member: [clusters, bound]; of each cluster, tokens and vertices

  // Lays the scratch out, by one thread where the partitioner is shared; level[0] gets its memory.
  KEDGE_TEAM void lay_out(void* scratch, const PartitionMemory& memory, const PartitionRule& rule) {
    tokens = (int32_t)memory.tokens;
    clusters = (int32_t)memory.clusters;
    bound = cluster_bound(tokens, clusters, rule.imbalance);
    seed = rule.seed;
    int64_t* wide = static_cast<int64_t*>(scratch);
    auto take64 = [&](int64_t n) { return (wide += n) - n; };
    queue.key = take64(tokens), tie = take64(tokens), other = take64(tokens), conn = take64(memory.tokens * clusters);
    int64_t* weights = take64(memory.edges);
    int32_t* narrow = reinterpret_cast<int32_t*>(wide);
    auto take32 = [&](int64_t n) { return (narrow += n) - n; };
    int32_t *vertices = take32(5 * memory.vertices), *edges = take32(memory.edges);
    part = take32(tokens), kept = take32(tokens), locked = take32(tokens), moved = take32(tokens), came = take32(tokens), went = take32(tokens);
    place = take32(tokens), mark = take32(tokens), queue.winner = take32(2 * tokens + 8), member = take32(memory.members);
    load = take32(kMostClusters), count = take32(kMostClusters);
    level[0] = {tokens, vertices, vertices + tokens, edges, weights, vertices + 2 * tokens, vertices + 3 * tokens};
  }

  // A random number for a pair, the same on every device: it breaks ties between edges of equal rating.
  KEDGE_TEAM uint32_t hash(uint32_t a, uint32_t b, uint32_t stream) const {
    uint32_t x = a * 0x9E3779B1u ^ (b + stream * 0x85EBCA6Bu + (uint32_t)seed) * 0xC2B2AE35u ^ (uint32_t)(seed >> 32);
    x ^= x >> 16, x *= 0x7FEB352Du, x ^= x >> 15, x *= 0x846CA68Bu;
    return x ^ (x >> 16);
  }

  // ---- coarsening ----

  // Matches vertices along heavy edges (weight over the product of the sizes) while both together stay within `most` tokens. coarse[v] =
  // the partner, or v. In each round every free vertex chooses its best free neighbour, and those who chose each other are matched: so no
  // thread has to wait for another's choice, and the result does not depend on the order of the vertices. A round that matches nobody is
  // the last.
  KEDGE_TEAM void match(const Level& g, int64_t most, uint32_t stream) {
    int32_t *partner = g.coarse, *choice = moved;
    team.each(g.n, [&](int32_t v) { partner[v] = -1; });
    for (int round = 0; round < 16; round++) {
      team.each(g.n, [&](int32_t v) {
        // The vertices to choose from only become fewer: a choice that is still free stands, and so does that there is none.
        if (round > 0 && partner[v] < 0 && (choice[v] < 0 || partner[choice[v]] < 0)) return;
        choice[v] = -1;
        if (partner[v] >= 0) return;
        auto tie_breaker = [&](int32_t u) { return hash((uint32_t)(u < v ? u : v), (uint32_t)(u < v ? v : u), stream); };
        int64_t top = -1;
        int32_t best = -1;
        for (int32_t e = g.begin[v]; e < g.end[v]; e++) {
          const int32_t u = g.to[e];
          if (partner[u] >= 0 || g.size[u] + g.size[v] > most) continue;
          const int64_t sizes = (int64_t)g.size[u] * g.size[v], wide = g.weight[e] << 8, rating = sizes == 1 ? wide : wide / sizes;
          if (rating == top) {
            const uint32_t h = tie_breaker(u), top_hash = tie_breaker(best);
            if (h > top_hash || (h == top_hash && u < best)) best = u;
            continue;
          }
          best = rating > top ? u : best;  // without a branch, which nobody could predict
          top = rating > top ? rating : top;
        }
        choice[v] = best;
      });
      const int64_t found = team.sum(g.n, [&](int32_t v) -> int64_t { return choice[v] >= 0 && choice[choice[v]] == v; });
      team.each(g.n, [&](int32_t v) {
        if (choice[v] >= 0 && choice[choice[v]] == v) partner[v] = choice[v];
      });
      if (found == 0) break;
    }
    team.each(g.n, [&](int32_t v) {
      if (partner[v] < 0) partner[v] = v;
    });
  }

  // Builds level[l + 1] from level[l] and its partners; false where it would not be much smaller. Memory is taken behind that of level l.
  // The edges of a pair are those of both its vertices; those that lead to one coarse vertex are added up. One thread finds the place of
  // such an edge by `mark`. A team cannot share `mark`; each of its threads sorts the edges of its own vertices instead, and joins
  // neighbours in the list.
  KEDGE_TEAM bool contract(int32_t l, int64_t& vertices_left, int64_t& edges_left) {
    const Level& g = level[l];
    int32_t *partner = moved, *first = came;
    team.each(g.n, [&](int32_t v) {
      partner[v] = g.coarse[v];
      first[v] = v <= g.coarse[v];
    });
    const int32_t n = team.scan(first, g.n);
    const int32_t used = g.end[g.n - 1];
    if (n > g.n - g.n / 8 || n > vertices_left || used > edges_left) return false;
    vertices_left -= n;
    edges_left -= used;
    int32_t* behind = g.coarse + g.n;
    team.one([&] { level[l + 1] = {n, behind, behind + n, g.to + used, g.weight + used, behind + 2 * n, behind + 3 * n}; });
    const Level& h = level[l + 1];
    team.each(g.n, [&](int32_t v) {
      const int32_t u = partner[v];
      g.coarse[v] = v <= u ? first[v] : first[u];
    });
    team.each(g.n, [&](int32_t v) {
      const int32_t u = partner[v];
      if (u < v) return;
      const int32_t c = g.coarse[v];
      h.size[c] = g.size[v] + (u != v ? g.size[u] : 0);
      h.begin[c] = g.end[v] - g.begin[v] + (u != v ? g.end[u] - g.begin[u] : 0);
    });
    team.scan(h.begin, n);
    if constexpr (Team::kSerial) team.each(n, [&](int32_t c) { mark[c] = -1; });
    team.each(g.n, [&](int32_t v) {
      const int32_t u = partner[v];
      if (u < v) return;
      const int32_t c = g.coarse[v], begin = h.begin[c];
      int32_t at = begin;
      for (int32_t i = 0; i < (u != v ? 2 : 1); i++) {
        const int32_t x = i == 0 ? v : u;
        for (int32_t e = g.begin[x]; e < g.end[x]; e++) {
          const int32_t to = g.coarse[g.to[e]];
          if (to == c) continue;
          if constexpr (Team::kSerial) {
            if (mark[to] >= begin) {
              h.weight[mark[to]] += g.weight[e];
              continue;
            }
            mark[to] = at;
          }
          h.to[at] = to;
          h.weight[at++] = g.weight[e];
        }
      }
      if constexpr (!Team::kSerial) {
        team.sort(h.to + begin, h.weight + begin, at - begin);
        int32_t last = begin - 1;
        for (int32_t e = begin; e < at; e++) {
          if (last >= begin && h.to[last] == h.to[e]) h.weight[last] += h.weight[e];
          else last++, h.to[last] = h.to[e], h.weight[last] = h.weight[e];
        }
        at = last + 1;
      }
      h.end[c] = at;
    });
    return true;
  }

  // ---- state of a partition on a level: part[v] in [0, clusters), or -1 for a vertex that has none yet ----

  // other[v] = the largest connection of v to a cluster that is not its own.
  KEDGE_TEAM void rescan(int32_t v) {
    const int64_t* row = conn + (int64_t)v * clusters;
    const int32_t own = part[v];
    int64_t most = 0;
    for (int32_t k = 0; k < clusters; k++) {  // without branches, for vectors
      const int64_t here = k == own ? 0 : row[k];
      most = here > most ? here : most;
    }
    other[v] = most;
  }
  // What moving v would gain if every cluster had room: its place in the queue.
  KEDGE_TEAM int64_t key_of(int32_t v) const {
    if (locked[v] || other[v] == 0) return kNever;
    return other[v] - (part[v] >= 0 ? conn[(int64_t)v * clusters + part[v]] : 0);
  }

  // Sets up members, loads and connections of `part` on a level.
  KEDGE_TEAM void start(const Level& g) {
    team.each(clusters, [&](int32_t k) { load[k] = count[k] = 0; });
    team.one([&] {
      for (int32_t v = 0; v < g.n; v++) {
        const int32_t k = part[v];
        if (k < 0) continue;
        load[k] += g.size[v];
        place[v] = count[k];
        member[k * bound + count[k]++] = v;
      }
    });
    team.each(g.n, [&](int32_t v) {
      int64_t* row = conn + (int64_t)v * clusters;
      for (int32_t k = 0; k < clusters; k++) row[k] = 0;
      for (int32_t e = g.begin[v]; e < g.end[v]; e++)
        if (part[g.to[e]] >= 0) row[part[g.to[e]]] += g.weight[e];
      locked[v] = 0;
      tie[v] = 0;
    });
  }

  // Moves v from its part `a` to `b` (-1: none) and keeps everything in step; `keys`: the queue too. Each neighbour of v is one thread's:
  // what changes is its own row of conn, its own `other`, its own key. `other` is only searched for anew where it was the connection to `a`
  // that led.
  KEDGE_TEAM void move(const Level& g, int32_t v, int32_t a, int32_t b, bool keys) {
    team.one([&] {
      if (a >= 0) {
        const int32_t last = member[a * bound + --count[a]];
        member[a * bound + place[v]] = last;
        place[last] = place[v];
        load[a] -= g.size[v];
      }
      if (b >= 0) {
        place[v] = count[b];
        member[b * bound + count[b]++] = v;
        load[b] += g.size[v];
      }
      part[v] = b;
    });
    team.each(g.end[v] - g.begin[v], [&](int32_t i) {
      const int32_t e = g.begin[v] + i, u = g.to[e], own = part[u];
      const int64_t w = g.weight[e];
      int64_t* row = conn + (int64_t)u * clusters;
      bool scan = false;
      if (a >= 0) {
        scan = a != own && row[a] == other[u];
        row[a] -= w;
      }
      if (b >= 0) {
        row[b] += w;
        if (b != own && row[b] > other[u]) other[u] = row[b], scan = false;
      }
      if (!keys) return;
      if (scan) rescan(u);
      queue.set(u, key_of(u));
    });
  }

  // ---- refinement ----

  // The best other part for v. open: of those with room for it; wanted: of all.
  KEDGE_TEAM void targets(const Level& g, int32_t v, Best& open, Best& wanted) const {
    open = wanted = {kNever, -1};
    const int64_t* row = conn + (int64_t)v * clusters;
    const int32_t own = part[v], size = g.size[v];
    for (int32_t k = 0; k < clusters; k++) {
      if (row[k] <= open.value || k == own) continue;  // no better than `wanted` either
      if (row[k] > wanted.value) wanted = {row[k], k};
      if (load[k] + size <= bound) open = {row[k], k};
    }
  }

  // One pass; the gain that it kept. Above `climbing` vertices it ends once no move can gain; up to there it also tries moves that lose. It
  // takes the vertex with the largest key. The key is what a move would gain with room everywhere; what the vertex can really do, into a
  // part with room or by a swap with a member of a full one, may be less. Then it goes back into the queue with that value and waits for
  // its turn. A vertex moves once in a pass (`locked`). After `patience` moves without a new best the pass ends, and the moves behind the
  // best state are taken back.
  KEDGE_TEAM int64_t pass(const Level& g, int32_t patience, int32_t climbing) {
    team.each(g.n, [&](int32_t v) {
      locked[v] = part[v] < 0;
      rescan(v);
      queue.key[v] = key_of(v);
    });
    queue.build(g.n);
    int64_t gain = 0, most = 0;
    int32_t moves = 0, kept_moves = 0;
    int32_t tried = -1, swap = -1;  // the vertex looked at last, unless something moved since, and what it can do
    int64_t value = kNever;
    Best open, wanted;
    while (moves - kept_moves < patience) {
      const Best top = team.top(queue, g.n);
      if (top.value == kNever || (top.value <= 0 && g.n > climbing)) break;
      const int32_t v = top.index, p = part[v];
      if (v != tried) {
        tried = v;
        swap = -1;
        targets(g, v, open, wanted);
        const int64_t own = conn[(int64_t)v * clusters + p];
        if (load[p] == g.size[v]) open.index = -1;  // a part is never left empty
        value = open.index >= 0 ? open.value - own : kNever;
        if (wanted.index != open.index && wanted.index >= 0) {
          const int32_t b = wanted.index;
          // Of a swap, v's edge to the other is cut before and after, but counted as gained from either side: twice its weight too much.
          team.each(g.end[v] - g.begin[v], [&](int32_t i) { tie[g.to[g.begin[v] + i]] = g.weight[g.begin[v] + i]; });
          const Best best = team.argmax(count[b], [&](int32_t i) {
            const int32_t u = member[b * bound + i];
            if (locked[u] || load[b] - g.size[u] + g.size[v] > bound || load[p] - g.size[v] + g.size[u] > bound) return kNever;
            return conn[(int64_t)u * clusters + p] - conn[(int64_t)u * clusters + b] - 2 * tie[u];
          });
          team.each(g.end[v] - g.begin[v], [&](int32_t i) { tie[g.to[g.begin[v] + i]] = 0; });
          if (best.value != kNever && wanted.value - own + best.value > value) {
            value = wanted.value - own + best.value;
            swap = member[b * bound + best.index];
          }
        }
      }
      if (value < top.value) {  // the key was hope; the vertex waits for its turn by what it can really do
        team.one([&] { queue.set(v, value); });
        continue;
      }
      tried = -1;
      const int32_t to = swap >= 0 ? wanted.index : open.index;
      team.one([&] {
        locked[v] = 1;
        moved[moves] = v, came[moves] = p, went[moves] = to;
        queue.set(v, kNever);
        if (swap >= 0) {
          locked[swap] = 1;
          moved[moves + 1] = ~swap, came[moves + 1] = to, went[moves + 1] = p;  // negative: belongs to the move before it
          queue.set(swap, kNever);
        }
      });
      if (swap >= 0) move(g, swap, to, -1, true);
      move(g, v, p, to, true);
      if (swap >= 0) move(g, swap, -1, p, true);
      moves += swap >= 0 ? 2 : 1;
      gain += value;
      if (gain > most) most = gain, kept_moves = moves;
    }
    for (int32_t i = moves - 1; i >= kept_moves; i--) {
      const int32_t v = moved[i], from = went[i], back = came[i];
      if (v >= 0) {
        move(g, v, from, back, false);
        continue;
      }
      i--;  // a swap; in between, neither part holds more than before
      move(g, ~v, from, -1, false);
      move(g, moved[i], back, from, false);
      move(g, ~v, -1, back, false);
    }
    return most;
  }

  // Gives vertices without a part the part with room to which they are tied most.
  KEDGE_TEAM void assign(const Level& g) {
    for (;;) {
      const Best next = team.argmax(g.n, [&](int32_t v) {
        if (part[v] >= 0) return kNever;
        int64_t most = kNever;
        for (int32_t k = 0; k < clusters; k++)
          if (load[k] + g.size[v] <= bound && conn[(int64_t)v * clusters + k] > most) most = conn[(int64_t)v * clusters + k];
        return most;
      });
      if (next.index < 0 || next.value == kNever) return;
      Best open, wanted;
      targets(g, next.index, open, wanted);
      team.sync();
      move(g, next.index, -1, open.index, false);
    }
  }

  // Grows the parts one after another on a level: from a seed vertex, always the free vertex that adds the least to the cut, until the part
  // has its even share of the tokens that are left. The first seed is any vertex; a later one is one that the parts before leave isolated.
  KEDGE_TEAM void grow(const Level& g) {
    team.each(g.n, [&](int32_t v) { part[v] = -1; });
    start(g);
    int64_t left = tokens;
    int32_t vertices = g.n;
    for (int32_t k = 0; k < clusters; k++) {
      const int64_t even = (left + clusters - k - 1) / (clusters - k), target = even < bound ? even : bound;
      // tie: what a vertex would cut, alone in the part; its key: how well it closes the gap beside the parts before.
      team.each(g.n, [&](int32_t v) {
        if (part[v] >= 0) return;
        int64_t free = 0, taken = 0;
        for (int32_t e = g.begin[v]; e < g.end[v]; e++) (part[g.to[e]] < 0 ? free : taken) += g.weight[e];
        tie[v] = free;
        queue.key[v] = k == 0 ? (int64_t)hash((uint32_t)v, 0, kMostLevels) : taken - free;
      });
      const Best seed_vertex = team.argmax(g.n, [&](int32_t v) -> int64_t {
        return part[v] >= 0 ? kNever : queue.key[v];
      });
      if (seed_vertex.index < 0) break;
      int64_t held = 0;  // load[k], which another thread may already clear when this one compares
      for (int32_t v = seed_vertex.index; v >= 0;) {
        move(g, v, -1, k, false);
        left -= g.size[v];
        held += g.size[v];
        if (held >= target || --vertices < clusters - k) break;  // each of the others needs one
        const Best next = team.argmax(g.n, [&](int32_t u) {
          if (part[u] >= 0 || held + g.size[u] > target) return kNever;
          const int64_t to = conn[(int64_t)u * clusters + k];
          return to > 0 ? 2 * to - tie[u] : kNever;
        });
        v = next.value == kNever ? -1 : next.index;
      }
    }
  }

  // Partitions level[0], which the caller has filled within `memory`. The result is in part.
  KEDGE_TEAM void run(const PartitionMemory& memory) {
    // Passes that give up after 4 + n / 64 moves without gain: four and 24 + n / 8 cut 0.5 % less in 1.5 to 2.5 times the time.
    // Climbing on larger levels, too, and coarsening from four vertices a part on, cut 0.4 % and 1 % less at 64 tokens in twice the time.
    constexpr int kPasses = 3, kClimbing = 16;
    int64_t vertices_left = memory.vertices - level[0].n, edges_left = memory.edges - level[0].end[level[0].n - 1];
    int32_t last = 0;
    for (; last + 1 < kMostLevels && level[last].n > 6 * clusters && bound >= 6; last++) {
      match(level[last], bound / 3, (uint32_t)last);  // thirds still pack well
      if (!contract(last, vertices_left, edges_left)) break;
    }
    grow(level[last]);
    for (int32_t l = last; l >= 0; l--) {
      const Level& g = level[l];
      if (l < last) {
        team.each(g.n, [&](int32_t v) { kept[v] = part[g.coarse[v]]; });
        team.each(g.n, [&](int32_t v) { part[v] = kept[v]; });
      }
      start(g);
      assign(g);
      for (int i = 0; i < kPasses && pass(g, 4 + g.n / 64, kClimbing) > 0; i++) {
      }
    }
  }

  // Numbers the clusters by their first tokens. Into `cluster`; stats: { clusters, cut, tokens of the largest }.
  KEDGE_TEAM void write(int32_t* cluster, int64_t* stats) {
    const Level& g = level[0];
    team.one([&] {
      int32_t next = 0;
      for (int32_t k = 0; k < clusters; k++) count[k] = -1;
      for (int32_t v = 0; v < g.n; v++)
        if (count[part[v]] < 0) count[part[v]] = next++;
    });
    team.each(g.n, [&](int32_t v) { cluster[v] = count[part[v]]; });
    const int64_t twice = team.sum(g.n, [&](int32_t v) {
      int64_t sum = 0;
      for (int32_t e = g.begin[v]; e < g.end[v]; e++)
        if (part[g.to[e]] != part[v]) sum += g.weight[e];
      return sum;
    });
    const Best largest = team.argmax(clusters, [&](int32_t k) -> int64_t { return load[k]; });
    if (!stats) return;
    team.one([&] { stats[0] = clusters, stats[1] = twice / 2, stats[2] = largest.value; });
  }
};

// Whether an edge cannot be one of token t of a response.
KEDGE_BOTH inline bool bad_edge(int32_t neighbour, int32_t weight, int64_t t, int64_t length) {
  return neighbour < 0 || neighbour >= length || neighbour == t || weight <= 0;
}

inline int32_t check_partition(const int32_t* cluster, const int32_t* rows, const int32_t* neighbour, const int32_t* weight, int64_t capacity,
                               int64_t max_edges, int64_t tokens, int64_t max_tokens, const PartitionRule& rule, kedge_status* status) {
  KEDGE_REQUIRE(rule.cluster_size >= 1, "cluster_size is %d", (int)rule.cluster_size);
  KEDGE_REQUIRE(rule.imbalance >= 0 && rule.imbalance <= 1000, "imbalance is %d per mille, outside [0, 1000]", (int)rule.imbalance);
  KEDGE_REQUIRE(capacity >= 0 && max_edges >= 0 && max_edges <= (int64_t(1) << 29) && max_tokens <= (int64_t(1) << 24),
                "capacity %lld, max_edges %lld, max_tokens %lld", (long long)capacity, (long long)max_edges, (long long)max_tokens);
  return check_given({{"cluster", cluster || tokens == 0}, {"rows", rows || tokens == 0}, {"neighbour", neighbour || capacity == 0},
                      {"weight", weight || capacity == 0}}, status);
}

}  // namespace kedge
