// Token weights and advantages (kedge.h; docs/method.md sections 3 and 4): a response is one task, on one thread, by the rules of
// common/token_weights.h.
#include "../common/token_weights.h"

#include "one_thread.h"
#include "responses.h"

using namespace kedge;

KEDGE_API int32_t kedge_token_weights(const kedge_context* ctx, float* weight, uint8_t* flags, const float* connectivity, const int32_t* cluster,
                                      const uint8_t* visual, const uint32_t* keys, const int32_t* offsets, int64_t n, int64_t tokens,
                                      int64_t max_tokens, int32_t mode, int32_t anchor_permille, double w_min, double w_max,
                                      double temperature, double own, int32_t normalise, uint64_t seed, kedge_status* status) {
  KEDGE_TRY(check_responses(offsets, n, tokens, max_tokens, status));
  const WeightRule rule = {mode, anchor_permille, w_min, w_max, temperature, own, normalise != 0, seed};
  KEDGE_TRY(check_token_weights(weight, connectivity, cluster, keys, n, tokens, max_tokens, rule, status));
  if (tokens == 0) return ok(status);
  for (int64_t i = 0; cluster && i < n; i++)
    for (int64_t t = offsets[i]; t < offsets[i + 1]; t++)
      if (cluster[t] < 0 || cluster[t] >= offsets[i + 1] - offsets[i])
        return fail(status, KEDGE_BAD_INDEX, "cluster[%lld] is %d, not in [0, %d)", (long long)t, cluster[t], offsets[i + 1] - offsets[i]);
  KEDGE_REQUIRE_WORKSPACE(24 * tokens);
  double *density = (double*)ctx->workspace, *value = density + tokens;
  int32_t *size = (int32_t*)(value + tokens), *first = size + tokens;
  parallel(ctx, n, 256 * tokens, [&](int64_t i) {
    const int64_t at = offsets[i];
    TokenWeights<OneThread> w = {{}, connectivity + at, cluster ? cluster + at : nullptr, offsets[i + 1] - offsets[i], weight + at,
                                 flags ? flags + at : nullptr, density + at, value + at, size + at, first + at};
    w.run(rule, !visual || visual[i], keys ? keys + 3 * i : nullptr);
  });
  return ok(status);
}

KEDGE_API int32_t kedge_token_advantage(const kedge_context* ctx, float* out, const float* weight, const float* advantage, const uint8_t* mask,
                                        const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens, int32_t per_token,
                                        kedge_status* status) {
  KEDGE_TRY(check_responses(offsets, n, tokens, max_tokens, status));
  if (tokens == 0) return ok(status);
  KEDGE_TRY(check_given({{"out", out}, {"weight", weight}, {"advantage", advantage}}, status));
  parallel(ctx, n, tokens, [=](int64_t i) {
    for (int64_t t = offsets[i]; t < offsets[i + 1]; t++)
      out[t] = token_advantage(weight[t], advantage[per_token ? t : i], mask, t);
  });
  return ok(status);
}
