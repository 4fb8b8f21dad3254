// Packed responses (kedge.h, AT-RL): response i has the tokens [offsets[i], offsets[i + 1]).
#pragma once
#include "common.h"

namespace kedge {

// KEDGE_OK, or what is wrong with the offsets.
inline int32_t check_responses(const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens, kedge_status* status) {
  KEDGE_REQUIRE(n >= 0 && tokens >= 0 && max_tokens >= 0, "n %lld, tokens %lld, max_tokens %lld: one is negative", (long long)n,
                (long long)tokens, (long long)max_tokens);
  KEDGE_REQUIRE(n > 0 || tokens == 0, "there are %lld tokens but no response", (long long)tokens);
  KEDGE_REQUIRE(offsets || n == 0, "offsets is NULL");
  if (n == 0) return KEDGE_OK;
  if (offsets[0] != 0 || offsets[n] != tokens)
    return fail(status, KEDGE_BAD_INDEX, "offsets run from %d to %d, not from 0 to %lld", offsets[0], offsets[n], (long long)tokens);
  for (int64_t i = 0; i < n; i++) {
    if (offsets[i + 1] < offsets[i])
      return fail(status, KEDGE_BAD_INDEX, "offsets[%lld] is %d, below the one before it, %d", (long long)i + 1, offsets[i + 1], offsets[i]);
    KEDGE_REQUIRE(offsets[i + 1] - offsets[i] <= max_tokens, "response %lld has %d tokens, the bound given is %lld", (long long)i,
                  offsets[i + 1] - offsets[i], (long long)max_tokens);
  }
  return KEDGE_OK;
}

}  // namespace kedge
