// The score of tokens (kedge.h; docs/method.md section 1.6): a response is one task, by the rules of common/token_score.h.
#include "../common/token_score.h"

#include "responses.h"

using namespace kedge;

KEDGE_API int32_t kedge_token_score(const kedge_context* ctx, float* score, const float* connectivity, const float* profile,
                                    const float* entropy, const int32_t* visible, const int32_t* offsets, int64_t n, int64_t tokens,
                                    int64_t max_tokens, int64_t regions, int32_t kind, kedge_status* status) {
  KEDGE_TRY(check_responses(offsets, n, tokens, max_tokens, status));
  const TokenScore s = {kind, regions, connectivity, profile, entropy, visible};
  KEDGE_TRY(check_token_score(score, s, tokens, status));
  if (tokens == 0) return ok(status);
  const int64_t width = round_up(s.width(), 8);  // threads share no line of the cache
  KEDGE_REQUIRE_WORKSPACE(8 * width * ctx->threads);
  parallel(ctx, n, 8 * tokens * (width + 1), [&](int64_t i) {
    const int64_t first = offsets[i], end = offsets[i + 1];
    double* mean = (double*)ctx->workspace + Threads::index() * width;
    if (s.by_peak() && end > first) {
      std::fill_n(mean, regions, 0.);
      for (int64_t at = first; at < end; at++)
        for (int64_t r = 0; r < regions; r++) mean[r] += profile[at * regions + r];
      for (int64_t r = 0; r < regions; r++) mean[r] /= (double)(end - first);
      if (s.scaled()) {
        const double floor = s.floor_of(mean);
        for (int64_t r = 0; r < regions; r++) mean[regions + r] = s.scale_of(mean[r], floor);
      }
    }
    for (int64_t at = first; at < end; at++) score[at] = s.of(i, at - first, at, mean);
  });
  return ok(status);
}
