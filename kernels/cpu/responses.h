// The check of packed responses' offsets, which the CPU library can read.
#pragma once
#include "../common/responses.h"
#include "common.h"

namespace kedge {

// The counts, then the offsets: from 0 to `tokens`, never falling, and no response longer than max_tokens.
inline int32_t check_responses(const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens, kedge_status* status) {
  KEDGE_TRY(check_response_counts(offsets, n, tokens, max_tokens, status));
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
