// Token weights and advantages (kedge.h; docs/method.md sections 3 and 4): a block takes a response, by the rules of
// common/token_weights.h.
#include "../common/token_weights.h"

#include "block_team.cuh"

namespace kedge {
namespace {

struct Responses {
  float* weight;
  uint8_t* flags;
  const float* connectivity;
  const int32_t* cluster;
  const uint8_t* visual;
  const uint32_t* keys;
  const int32_t* offsets;
  int64_t n, tokens;
};

__global__ void __launch_bounds__(kTeamThreads, 1) token_weights_kernel(Responses r, WeightRule rule, double* density) {
  __shared__ TeamShared shared;
  double* value = density + r.tokens;
  int32_t *size = reinterpret_cast<int32_t*>(value + r.tokens), *first = size + r.tokens;
  for (int64_t i = blockIdx.x; i < r.n; i += gridDim.x) {
    const int64_t at = r.offsets[i];
    const int32_t length = (int32_t)(r.offsets[i + 1] - at);
    TokenWeights<BlockTeam> w{{&shared}, r.connectivity + at, r.cluster ? r.cluster + at : nullptr, length, r.weight + at,
                              r.flags ? r.flags + at : nullptr, density + at, value + at, size + at, first + at};
    const int64_t faults =
        r.cluster ? w.team.sum(length, [&](int32_t t) -> int64_t { return r.cluster[at + t] < 0 || r.cluster[at + t] >= length; }) : 0;
    if (faults > 0) {
      w.fill(NAN);
      if (r.flags) w.team.each(length, [&](int32_t t) { r.flags[at + t] = 0; });
      continue;
    }
    w.run(rule, !r.visual || r.visual[i], r.keys ? r.keys + 3 * i : nullptr);
  }
}

__global__ void __launch_bounds__(kBlock) token_advantage_kernel(float* out, const float* weight, const float* advantage, const uint8_t* mask,
                                                                 const int32_t* offsets, int64_t n, int per_token) {
  for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
    const int64_t end = offsets[i + 1];
    for (int64_t t = offsets[i] + threadIdx.x; t < end; t += kBlock)
      out[t] = token_advantage(weight[t], advantage[per_token ? t : i], mask, t);
  }
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_token_weights(const kedge_context* ctx, float* weight, uint8_t* flags, const float* connectivity, const int32_t* cluster,
                            const uint8_t* visual, const uint32_t* keys, const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens,
                            int32_t mode, int32_t anchor_permille, double w_min, double w_max, double temperature, double own,
                            int32_t normalise, uint64_t seed, kedge_status* status) {
  KEDGE_TRY(check_response_counts(offsets, n, tokens, max_tokens, status));
  const WeightRule rule = {mode, anchor_permille, w_min, w_max, temperature, own, normalise != 0, seed};
  KEDGE_TRY(check_token_weights(weight, connectivity, cluster, keys, n, tokens, max_tokens, rule, status));
  if (tokens == 0) return ok(status);
  KEDGE_REQUIRE_WORKSPACE(24 * tokens);
  KEDGE_SET_DEVICE();
  KEDGE_LAUNCH(token_weights_kernel, grid_rows(n), kTeamThreads, 0, stream_of(ctx),
               (Responses{weight, flags, connectivity, cluster, visual, keys, offsets, n, tokens}), rule, static_cast<double*>(ctx->workspace));
  return finish("token_weights", status);
}

int32_t kedge_token_advantage(const kedge_context* ctx, float* out, const float* weight, const float* advantage, const uint8_t* mask,
                              const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens, int32_t per_token, kedge_status* status) {
  KEDGE_TRY(check_response_counts(offsets, n, tokens, max_tokens, status));
  if (tokens == 0) return ok(status);
  KEDGE_TRY(check_given({{"out", out}, {"weight", weight}, {"advantage", advantage}}, status));
  KEDGE_SET_DEVICE();
  KEDGE_LAUNCH(token_advantage_kernel, grid_rows(n), kBlock, 0, stream_of(ctx), out, weight, advantage, mask, offsets, n, (int)per_token);
  return finish("token_advantage", status);
}
