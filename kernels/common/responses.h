// Packed responses (kedge.h, AT-RL): response i has the tokens [offsets[i], offsets[i + 1]).
#pragma once
#include "arguments.h"
#include "both.h"

namespace kedge {

// The counts alone: on CUDA the offsets lie in device memory and are not looked at.
inline int32_t check_response_counts(const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens, kedge_status* status) {
  KEDGE_REQUIRE(n >= 0 && tokens >= 0 && max_tokens >= 0, "n %lld, tokens %lld, max_tokens %lld: one is negative", (long long)n,
                (long long)tokens, (long long)max_tokens);
  KEDGE_REQUIRE(n > 0 || tokens == 0, "there are %lld tokens but no response", (long long)tokens);
  KEDGE_REQUIRE(offsets || n == 0, "offsets is NULL");
  return KEDGE_OK;
}

// The weighted advantage of a token (docs/method.md section 4). mask: nullable.
KEDGE_BOTH inline float token_advantage(float weight, float advantage, const uint8_t* mask, int64_t t) {
  return mask && !mask[t] ? 0.f : weight * advantage;
}

}  // namespace kedge
