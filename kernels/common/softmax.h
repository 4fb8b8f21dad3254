// Rows of logits: what both libraries share of log-probabilities, sampling and KL. z = logits / temperature.
#pragma once
#include <float.h>

#include "arguments.h"
#include "both.h"

namespace kedge {

// Tiny temperatures must not make 0 * inf of the largest entry.
KEDGE_BOTH inline float inverse_temperature(double temperature) {
  const double inverse = 1.0 / temperature;
  return inverse < (double)FLT_MAX ? (float)inverse : FLT_MAX;
}

// lse * temperature as the sum of two floats: z - lse = ((logit - high) - low) / temperature, exact where the probability is large.
struct SplitLse {
  float high, low;
};
KEDGE_BOTH inline SplitLse split_lse(double lse, double temperature) {
  const double whole = lse * temperature;
  const float high = (float)whole;
  return {high, (float)(whole - (double)high)};
}

// KL(p || q) of two rows: each row's largest logit, and its sum of e^{(x - largest) / t}; difference: the sum over p's terms of e^{(x -
// largest x) / t} * ((x - largest x) - (y - largest y)). Differences from the largest, so that a shift of either row costs no digits.
struct KlRow {
  float kl, lse, shift;
};
KEDGE_BOTH inline KlRow kl_row(double largest_x, double sum_x, double largest_y, double sum_y, double difference, double temperature) {
  const double log_x = log(sum_x), log_y = log(sum_y), kl = difference / sum_x / temperature + log_y - log_x;
  return {(float)kl, (float)(largest_x / temperature + log_x), (float)((largest_y - largest_x) / temperature + log_y - log_x - kl)};
}

// Matrices [n, vocab] of logits or of their gradients.
inline int32_t check_logits(int64_t n, int64_t vocab, double temperature, const Operands& matrices, kedge_status* status) {
  KEDGE_REQUIRE(n >= 0 && vocab >= 0, "n is %lld, vocab %lld", (long long)n, (long long)vocab);
  KEDGE_REQUIRE(temperature > 0 && is_finite(temperature), "temperature is %g", temperature);
  KEDGE_TRY(check_strides(vocab, matrices, status));
  return n == 0 || vocab == 0 ? KEDGE_OK : check_given(matrices, status);
}
inline int32_t check_logprob_bwd(int64_t n, int64_t vocab, double temperature, const Operands& matrices, const Operands& rows,
                                 const float* entropy, const float* dentropy, kedge_status* status) {
  KEDGE_TRY(check_logits(n, vocab, temperature, matrices, status));
  if (n == 0 || vocab == 0) return KEDGE_OK;
  KEDGE_TRY(check_given(rows, status));
  KEDGE_REQUIRE(entropy || !dentropy, "entropy is NULL with dentropy");
  return KEDGE_OK;
}

}  // namespace kedge
