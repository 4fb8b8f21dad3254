// The graph of a response's tokens (kedge.h; docs/method.md section 2.1). Rows are centred and scaled so that a weight is one dot product;
// panels of tokens meet all others of their response, and only each token's best are kept: no matrix of tokens by tokens exists.
#include "../common/token_graph.h"

#include <new>
#include <utility>
#include <vector>

#include "panel.h"
#include "responses.h"

namespace kedge {
namespace {

constexpr int kColumns = 96;  // tokens that a panel meets at a time

// A token's heaviest edges so far, heaviest first, as two vectors: an edge is put in without a branch. It keeps to the order of `insert_pick`.
struct Heaviest {
  static constexpr int kMost = 8;
  typedef float Weights __attribute__((vector_size(4 * kMost)));
  typedef int32_t Tokens __attribute__((vector_size(4 * kMost)));
  Weights weight;
  Tokens token;  // -1: none

  void clear() { weight = Weights{}, token = Tokens{} - 1; }
  void insert(float w, int32_t t) {
    const Tokens down = {0, 0, 1, 2, 3, 4, 5, 6}, behind = {0, -1, -1, -1, -1, -1, -1, -1};
    const Tokens lighter = weight < w, moved = __builtin_shuffle(lighter, down) & behind;  // moved: those whose place is their predecessor's now
    weight = lighter ? (moved ? __builtin_shuffle(weight, down) : Weights{} + w) : weight;
    token = lighter ? (moved ? __builtin_shuffle(token, down) : Tokens{} + t) : token;
  }
  // Writes the first `neighbours` in the order of their tokens.
  void write(Pick* list, int32_t neighbours) const {
    Tokens rank = {};
    for (int32_t k = 0; k < neighbours; k++) {
      list[k] = {0.f, -1};
      if (token[k] >= 0) rank -= token > token[k];
    }
    for (int32_t k = 0; k < neighbours; k++)
      if (token[k] >= 0) list[rank[k]] = {weight[k], token[k]};
  }
};

struct Graph {
  const float *profile, *connectivity;
  const int32_t* offsets;
  int64_t regions, pitch;  // pitch: regions rounded up to whole vectors of 4
  int32_t neighbours;
  double adjacency;
  EdgeRule rule;
  int32_t *rows, *neighbour, *weight;
  // Scratch, for all tokens: scaled rows, scores over their mean; each token's picks; who picked it, as a list
  // [incoming[t], incoming[t + 1]) of tokens and weights.
  float *scaled, *relative;
  Pick *picks, *picked;
  int32_t* incoming;

  int64_t length(int64_t i) const { return offsets[i + 1] - offsets[i]; }

  // scaled[t] = (p_t - m) / |p_t - m| * sqrt(c_t / max c); relative[t] = c_t / mean c.
  void scale(int64_t i, double* mean) const {
    const int64_t first = offsets[i], n = length(i);
    double norm = 0, most = 0, sum = 0;
    std::fill_n(mean, regions, 0.);
    for (int64_t t = first; t < first + n; t++) {
      most = connectivity[t] > most ? connectivity[t] : most;
      sum += connectivity[t];
      for (int64_t r = 0; r < regions; r++) mean[r] += profile[t * regions + r];
    }
    for (int64_t r = 0; r < regions; r++) mean[r] /= (double)n, norm += mean[r] * mean[r];
    for (int64_t t = first; t < first + n; t++) {
      const float* p = profile + t * regions;
      double square = 0;
      for (int64_t r = 0; r < regions; r++) square += (p[r] - mean[r]) * (p[r] - mean[r]);
      const double factor = square <= 1e-12 * norm || !(most > 0) ? 0 : std::sqrt(connectivity[t] / most) / std::sqrt(square);
      for (int64_t r = 0; r < pitch; r++) scaled[t * pitch + r] = r < regions ? (float)((p[r] - mean[r]) * factor) : 0.f;
      relative[t] = (float)(connectivity[t] / (sum / (double)n));
    }
  }

  // Multiplies scores [columns, kPanel] by exp(-|d_t - d_u| / contrast), d the relative scores of the lanes' tokens and of the columns'.
  void attenuate(float* scores, const float* lanes, int count, const float* columns, int64_t n) const {
    float own[kPanel] = {};
    std::copy_n(lanes, count, own);
    for (int64_t j = 0; j < n; j++)
      for (int v = 0; v < 2; v++) {
        float* at = scores + j * kPanel + v * kLanes;
        const vf apart = load(own + v * kLanes) - splat(columns[j]);
        store(at, load(at) * vexp(vmin(apart, -apart) / splat(rule.contrast)));
      }
  }

  int64_t scratch_floats() const { return (pitch + kColumns) * kPanel; }  // also room for the means

  // The picks of tokens [begin, end) of response i, at most kPanel. Each lane of the panel is one token. Scores against kColumns tokens at
  // a time come from a product of matrices; then, column by column, a comparison of whole vectors skips the many scores that are in no
  // lane's list.
  void pick(int64_t i, int64_t begin, int64_t end, float* scratch) const {
    const int64_t first = offsets[i], n = length(i);
    const int count = (int)(end - begin);
    float *panel = scratch, *scores = panel + pitch * kPanel, least[kPanel];
    int32_t found[kPanel] = {};
    const bool few = neighbours <= Heaviest::kMost;
    Heaviest heaviest[kPanel];
    for (int lane = 0; few && lane < count; lane++) heaviest[lane].clear();
    std::fill_n(least, kPanel, rule.floor);
    Pick* best = picks + (first + begin) * neighbours;
    pack_panel(panel, kPanel, count, pitch, 1.f, [&](int lane) { return scaled + (first + begin + lane) * pitch; });
    for (int64_t start = 0; start < n; start += kColumns) {
      const int64_t columns = std::min<int64_t>(kColumns, n - start);
      product<2, false>(columns, pitch, scaled + (first + start) * pitch, pitch, panel, kPanel, scores, kPanel, false);
      if (rule.contrast > 0) attenuate(scores, relative + first + begin, count, relative + first + start, columns);
      for (int64_t j = 0; j < columns; j++) {
        vi above[2];
        for (int v = 0; v < 2; v++) above[v] = load(scores + j * kPanel + v * kLanes) > load(least + v * kLanes);
        uint64_t bits[kPanel / 2], any = 0;
        memcpy(bits, above, sizeof bits);
        for (uint64_t b : bits) any |= b;
        if (!any) continue;
        for (int lane = 0; lane < count; lane++) {
          const float w = scores[j * kPanel + lane];
          if (!(w > least[lane]) || start + j == begin + lane) continue;
          if (few) {
            heaviest[lane].insert(w, (int32_t)(start + j));
            least[lane] = std::max(rule.floor, heaviest[lane].weight[neighbours - 1]);
          } else insert_pick(best + (int64_t)lane * neighbours, found[lane], least[lane], neighbours, w, (int32_t)(start + j));
        }
      }
    }
    for (int lane = 0; lane < count; lane++) {
      Pick* list = best + (int64_t)lane * neighbours;
      if (few) {
        heaviest[lane].write(list, neighbours);
        continue;
      }
      for (int32_t k = found[lane]; k < neighbours; k++) list[k] = {0.f, -1};
      std::sort(list, list + found[lane], [](const Pick& a, const Pick& b) { return a.token < b.token; });
    }
  }

  // Joins each token's picks, those that picked it, and its two neighbours in time: three lists that rise by token, merged into one. The
  // list of those that picked a token comes from counting (a counting sort by the token picked); since the tokens that pick are passed in
  // order, it rises too.
  void join(int64_t i) const {
    const int64_t first = offsets[i], n = length(i);
    int32_t* lists = incoming + first + i;  // n + 1 numbers
    Pick* from = picked + first * neighbours;
    std::fill_n(lists, n + 1, 0);
    for (int64_t e = first * neighbours; e < (first + n) * neighbours; e++)
      if (picks[e].token >= 0) lists[picks[e].token]++;
    for (int64_t t = 0, sum = 0; t <= n; t++) sum += std::exchange(lists[t], (int32_t)sum);
    for (int64_t t = 0; t < n; t++)
      for (int32_t k = 0; k < neighbours; k++) {
        const Pick& p = picks[(first + t) * neighbours + k];
        if (p.token >= 0) from[lists[p.token]++] = {p.weight, (int32_t)t};
      }
    // Each list's begin has moved to its end, the begin of the next.
    int64_t at = 2 * (neighbours + 1) * first;
    for (int64_t t = 0; t < n; t++) {
      const Pick *a = picks + (first + t) * neighbours, *a_end = a + neighbours, *b = from + (t > 0 ? lists[t - 1] : 0), *b_end = from + lists[t];
      while (a_end > a && a_end[-1].token < 0) a_end--;
      rows[2 * (first + t)] = (int32_t)at;
      for (int64_t u = -1;;) {
        const int64_t after = u;
        int64_t next = n;
        if (a < a_end) next = std::min<int64_t>(next, a->token);
        if (b < b_end) next = std::min<int64_t>(next, b->token);
        if (adjacency > 0 && t > 0 && t - 1 > after) next = std::min(next, t - 1);
        if (adjacency > 0 && t + 1 < n && t + 1 > after) next = std::min(next, t + 1);
        if (next == n) break;
        u = next;
        float w = 0;
        int sides = 0;
        if (a < a_end && a->token == u) w = std::max(w, (a++)->weight), sides++;
        if (b < b_end && b->token == u) w = std::max(w, (b++)->weight), sides++;
        if (rule.mutual && sides < 2) w = 0;
        const int32_t integer = edge_weight(w, t, u, adjacency);
        if (integer <= 0) continue;
        neighbour[at] = (int32_t)u;
        weight[at++] = integer;
      }
      rows[2 * (first + t) + 1] = (int32_t)at;
    }
  }
};

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_token_graph(const kedge_context* ctx, int32_t* rows, int32_t* neighbour, int32_t* weight, const float* profile,
                                    const float* connectivity, const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens,
                                    int64_t regions, int32_t neighbours, double adjacency, double threshold, double contrast, int32_t mutual,
                                    kedge_status* status) {
  KEDGE_TRY(check_responses(offsets, n, tokens, max_tokens, status));
  KEDGE_TRY(check_token_graph(rows, neighbour, weight, profile, connectivity, tokens, regions, neighbours, adjacency, threshold, contrast, status));
  if (tokens == 0) return ok(status);
  Graph g = {profile, connectivity, offsets, regions, round_up(regions, 4), neighbours, adjacency,
             EdgeRule(threshold, contrast, mutual), rows, neighbour, weight, nullptr, nullptr, nullptr, nullptr, nullptr};
  const int64_t pitch = g.pitch, picks = tokens * neighbours, scratch = round_up(g.scratch_floats(), 16);
  KEDGE_REQUIRE_WORKSPACE(4 * (round_up(tokens * pitch, 16) + round_up(tokens, 16) + scratch * ctx->threads) + 16 * picks + 4 * (tokens + n));
  g.scaled = (float*)ctx->workspace;
  g.relative = g.scaled + round_up(tokens * pitch, 16);
  float* panels = g.relative + round_up(tokens, 16);
  g.picks = (Pick*)(panels + scratch * ctx->threads);
  g.picked = g.picks + picks;
  g.incoming = (int32_t*)(g.picked + picks);
  auto scratch_of = [&] { return panels + Threads::index() * scratch; };
  if (n >= 4 * ctx->threads) {  // enough responses for all threads: each is one task, which finds its numbers in the cache
    int64_t work = 0;
    for (int64_t i = 0; i < n; i++) work += g.length(i) * (g.length(i) * (regions + 8) + 4 * regions + 32 * (neighbours + 1));
    parallel(ctx, n, work, [&](int64_t i) {
      if (g.length(i) == 0) return;
      g.scale(i, (double*)scratch_of());
      for (int64_t t = 0; neighbours > 0 && t < g.length(i); t += kPanel) g.pick(i, t, std::min(g.length(i), t + kPanel), scratch_of());
      g.join(i);
    });
    return ok(status);
  }
  try {
    struct Item {
      int64_t response, begin, end;
    };
    std::vector<Item> items;
    int64_t work = 0;
    for (int64_t i = 0; i < n; i++) {
      for (int64_t t = 0; t < g.length(i); t += kPanel) items.push_back({i, t, std::min(g.length(i), t + kPanel)});
      work += g.length(i) * g.length(i) * (regions + 8);
    }
    parallel(ctx, n, 4 * tokens * regions, [&](int64_t i) {
      if (g.length(i) > 0) g.scale(i, (double*)scratch_of());
    });
    if (neighbours > 0)
      parallel(ctx, (int64_t)items.size(), work,
               [&](int64_t i) { g.pick(items[i].response, items[i].begin, items[i].end, scratch_of()); });
    parallel(ctx, n, 32 * tokens * (neighbours + 1), [&](int64_t i) {
      if (g.length(i) > 0) g.join(i);
    });
    return ok(status);
  } catch (const std::bad_alloc&) {
    return fail(status, KEDGE_OUT_OF_MEMORY, "no memory to plan the graphs of %lld responses", (long long)n);
  }
}
