// The graph of a response's tokens (kedge.h; docs/method.md section 2.1). Rows are centred and scaled so that a weight is one dot product.
// A block meets a tile of 64 tokens with all others of their response, 64 at a time, and keeps each token's best: no matrix of tokens by
// tokens exists. Then a block takes a response and joins what was picked from either side.
//
// In a tile of 64 x 64 weights a thread owns 4 x 4 and sums them over the regions, kDepth at a time through shared memory. Then the weights
// go through shared memory once more, and thread i of the first 64 owns row i: it alone looks through the row and keeps the best of token
// i.
#include "../common/token_graph.h"

#include "block_team.cuh"

namespace kedge {
namespace {

constexpr int kTile = 64, kDepth = 16, kPickThreads = 256;  // a thread computes 4 x 4 weights of a tile
constexpr int kStride = kTile + 4;

struct Params {
  const float *profile, *connectivity;
  const int32_t* offsets;
  int64_t n;
  int regions, neighbours;
  double adjacency;
  EdgeRule rule;
  int32_t *rows, *neighbour, *weight;
  // Scratch: [n, regions], [tokens, regions], [tokens], [tokens, neighbours].
  double* mean;
  float *scaled, *relative;
  Pick* picks;
};

// scaled[t] = (p_t - m) / |p_t - m| * sqrt(c_t / max c); relative[t] = c_t / mean c. A block takes a response.
__global__ void __launch_bounds__(kBlock) scale_kernel(Params g) {
  __shared__ double shared[kBlock];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  constexpr int kWarps = kBlock / 32;
  for (int64_t i = blockIdx.x; i < g.n; i += gridDim.x) {
    const int64_t first = g.offsets[i];
    const int n = (int)(g.offsets[i + 1] - first);
    if (n <= 0) continue;
    double* mean = g.mean + i * g.regions;
    // 32 regions at a time; each warp sums every eighth token.
    double square = 0;
    for (int r0 = 0; r0 < g.regions; r0 += 32) {
      const int r = r0 + lane;
      double sum = 0;
      for (int t = warp; t < n && r < g.regions; t += kWarps) sum += g.profile[(first + t) * g.regions + r];
      shared[threadIdx.x] = sum;
      __syncthreads();
      if (warp == 0 && r < g.regions) {
        sum = 0;
        for (int w = 0; w < kWarps; w++) sum += shared[w * 32 + lane];
        mean[r] = sum /= n;
        square += sum * sum;
      }
      __syncthreads();
    }
    const double norm = block_sum<kBlock>(square, shared);
    float most = 0.f;
    double total = 0;
    for (int t = threadIdx.x; t < n; t += kBlock) {
      most = fmaxf(most, g.connectivity[first + t]);
      total += g.connectivity[first + t];
    }
    most = block_max<kBlock>(most, reinterpret_cast<float*>(shared));
    total = block_sum<kBlock>(total, shared);
    for (int t = threadIdx.x; t < n; t += kBlock) g.relative[first + t] = (float)(g.connectivity[first + t] / (total / n));
    for (int t = warp; t < n; t += kWarps) {
      const float* p = g.profile + (first + t) * g.regions;
      double sum = 0;
      for (int r = lane; r < g.regions; r += 32) sum += (p[r] - mean[r]) * (p[r] - mean[r]);
      sum = warp_sum(sum);
      const double factor = sum <= 1e-12 * norm || !(most > 0.f) ? 0. : sqrt((double)(g.connectivity[first + t] / most)) / sqrt(sum);
      for (int r = lane; r < g.regions; r += 32) g.scaled[(first + t) * g.regions + r] = (float)((p[r] - mean[r]) * factor);
    }
    __syncthreads();
  }
}

// picks[t]: the heaviest edges of token t, ties to the lower index; none: -1. Block (response, tile of its tokens).
__global__ void __launch_bounds__(kPickThreads) pick_kernel(Params g) {
  __shared__ float ours[kDepth * kStride], theirs[kDepth * kStride], weights[kTile * (kTile + 1)];
  KEDGE_DYNAMIC_SHARED(Pick, lists);  // [kTile, neighbours]
  const int64_t i = blockIdx.x, first = g.offsets[i];
  const int n = (int)(g.offsets[i + 1] - first), t0 = (int)blockIdx.y * kTile;
  if (t0 >= n) return;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16, mine = threadIdx.x;
  Pick* list = lists + mine * g.neighbours;
  int found = 0;
  float least = g.rule.floor;
  const float *x = g.scaled + first * g.regions, *d = g.relative + first;
  for (int u0 = 0; u0 < n; u0 += kTile) {
    float sum[4][4] = {};
    for (int r0 = 0; r0 < g.regions; r0 += kDepth) {
      __syncthreads();
      for (int e = threadIdx.x; e < kTile * kDepth; e += kPickThreads) {
        const int r = e % kDepth, row = e / kDepth;
        ours[r * kStride + row] = t0 + row < n && r0 + r < g.regions ? x[(int64_t)(t0 + row) * g.regions + r0 + r] : 0.f;
        theirs[r * kStride + row] = u0 + row < n && r0 + r < g.regions ? x[(int64_t)(u0 + row) * g.regions + r0 + r] : 0.f;
      }
      __syncthreads();
#pragma unroll 8
      for (int r = 0; r < kDepth; r++) {
        float a[4], b[4];
        load_vec(a, ours + r * kStride + 4 * ty);
        load_vec(b, theirs + r * kStride + 4 * tx);
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
          for (int k = 0; k < 4; k++) sum[j][k] = fmaf(a[j], b[k], sum[j][k]);
      }
    }
    __syncthreads();  // without regions, the only one between the last tile's readers and these writes
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const int t = t0 + 4 * ty + j, u = u0 + 4 * tx + k;
        float w = sum[j][k];
        if (g.rule.contrast > 0.f && t < n && u < n) w *= expf(-fabsf(d[t] - d[u]) / g.rule.contrast);
        weights[(4 * ty + j) * (kTile + 1) + 4 * tx + k] = w;
      }
    __syncthreads();
    if (mine >= kTile || t0 + mine >= n) continue;
    const int columns = min(kTile, n - u0);
    for (int j = 0; j < columns; j++) {
      const float w = weights[mine * (kTile + 1) + j];
      if (!(w > least) || u0 + j == t0 + mine) continue;
      insert_pick(list, found, least, g.neighbours, w, u0 + j);
    }
  }
  if (mine >= kTile || t0 + mine >= n) return;
  Pick* out = g.picks + (first + t0 + mine) * g.neighbours;
  for (int k = 0; k < g.neighbours; k++) out[k] = k < found ? list[k] : Pick{0.f, -1};
}

// Joins each token's picks, those that picked it, and its two neighbours in time. A block takes a response. Rows are counted first, then filled:
// each edge is put into both its rows, at the place that an atomic counter gives. Which thread comes first decides that place, so every row
// is sorted afterwards, and equal neighbours become one edge: the result does not depend on the order.
__global__ void __launch_bounds__(kTeamThreads, 1) join_kernel(Params g) {
  __shared__ TeamShared shared;
  const BlockTeam team{&shared};
  for (int64_t i = blockIdx.x; i < g.n; i += gridDim.x) {
    const int64_t first = g.offsets[i];
    const int n = (int)(g.offsets[i + 1] - first), base = (int)(2 * (g.neighbours + 1) * first);
    const Pick* picks = g.picks + first * g.neighbours;
    int32_t* rows = g.rows + 2 * first;
    // rows[2 t]: an upper bound of row t's length, in place of its begin; rows[2 t + 1]: where its next edge goes.
    team.each(n, [&](int32_t t) {
      int count = 2;
      for (int k = 0; k < g.neighbours; k++) count += picks[t * g.neighbours + k].token >= 0;
      rows[2 * t] = count;
    });
    team.each(n * g.neighbours, [&](int32_t e) {
      if (picks[e].token >= 0) atomicAdd(&rows[2 * picks[e].token], 1);
    });
    // Lengths to begins: in the odd places, which lie apart as the even ones do.
    if (threadIdx.x == 0) {
      int32_t sum = base;
      for (int t = 0; t < n; t++) {
        const int32_t count = rows[2 * t];
        rows[2 * t] = rows[2 * t + 1] = sum;
        sum += count;
      }
    }
    __syncthreads();
    auto put = [&](int32_t t, int32_t u, float w) {
      const int at = atomicAdd(&rows[2 * t + 1], 1);
      g.neighbour[at] = u;
      g.weight[at] = (int32_t)float_to_bits(w);
    };
    team.each(n, [&](int32_t t) {
      for (int k = 0; k < g.neighbours; k++) {
        const Pick p = picks[t * g.neighbours + k];
        if (p.token < 0) break;
        put(t, p.token, p.weight);
        put(p.token, t, p.weight);
      }
      if (g.adjacency > 0 && t > 0) put(t, t - 1, 0.f);
      if (g.adjacency > 0 && t + 1 < n) put(t, t + 1, 0.f);
    });
    // In the order of their tokens, whichever thread was first; an edge picked from both sides once. A pick's weight is above 0.
    team.each(n, [&](int32_t t) {
      const int begin = rows[2 * t], end = rows[2 * t + 1];
      sort_by_token(g.neighbour + begin, g.weight + begin, end - begin);
      int at = begin;
      for (int e = begin; e < end;) {
        const int32_t u = g.neighbour[e];
        float w = 0.f;
        int sides = 0;
        for (; e < end && g.neighbour[e] == u; e++) {
          const float own = bits_to_float((uint32_t)g.weight[e]);
          w = fmaxf(w, own);
          sides += own > 0.f;
        }
        if (g.rule.mutual && sides < 2) w = 0.f;
        const int32_t integer = edge_weight(w, t, u, g.adjacency);
        if (integer <= 0) continue;
        g.neighbour[at] = u;
        g.weight[at++] = integer;
      }
      rows[2 * t + 1] = at;
    });
  }
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_token_graph(const kedge_context* ctx, int32_t* rows, int32_t* neighbour, int32_t* weight, const float* profile,
                          const float* connectivity, const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens, int64_t regions,
                          int32_t neighbours, double adjacency, double threshold, double contrast, int32_t mutual, kedge_status* status) {
  KEDGE_TRY(check_response_counts(offsets, n, tokens, max_tokens, status));
  KEDGE_TRY(check_token_graph(rows, neighbour, weight, profile, connectivity, tokens, regions, neighbours, adjacency, threshold, contrast, status));
  KEDGE_REQUIRE(regions <= INT_MAX / 2, "regions is %lld", (long long)regions);
  KEDGE_REQUIRE(max_tokens <= (int64_t)65535 * kTile, "max_tokens is %lld", (long long)max_tokens);
  if (tokens == 0) return ok(status);
  KEDGE_REQUIRE_WORKSPACE(8 * n * regions + 4 * tokens * (regions + 1) + 8 * tokens * neighbours);
  double* mean = static_cast<double*>(ctx->workspace);
  Pick* picks = reinterpret_cast<Pick*>(mean + n * regions);
  float* scaled = reinterpret_cast<float*>(picks + tokens * neighbours);
  float* relative = scaled + tokens * regions;
  const Params g = {profile, connectivity, offsets, n, (int)regions, (int)neighbours, adjacency, EdgeRule(threshold, contrast, mutual),
                    rows, neighbour, weight, mean, scaled, relative, picks};
  KEDGE_SET_DEVICE();
  if (neighbours > 0) {
    KEDGE_LAUNCH(scale_kernel, grid_rows(n), kBlock, 0, stream_of(ctx), g);
    KEDGE_LAUNCH(pick_kernel, dim3((unsigned)n, (unsigned)ceil_div<int64_t>(max_tokens, kTile)), kPickThreads,
                 kTile * neighbours * sizeof(Pick), stream_of(ctx), g);
  }
  KEDGE_LAUNCH(join_kernel, grid_rows(n), kTeamThreads, 0, stream_of(ctx), g);
  return finish("token_graph", status);
}
