// Gradient clipping and AdamW with decoupled decay (Loshchilov & Hutter, arXiv 1711.05101): what both libraries share. Each has the update
// of an element for itself, since one computes in vectors and the other in threads.
//
// Against torch.optim.AdamW: the same formula. torch multiplies p by the rounded factor 1 - lr * weight_decay, which in f32 is 1 for small
// products. Here the decay and the step are one subtraction from p, rounded once. beta, 1 - beta, bias corrections and step sizes are
// formed in f64.
//
// Stochastic rounding adds 16 random bits below a bf16's last place and truncates: the mean of the result is the exact value. Kahan
// rounding keeps a value as the sum of two bf16: value = bf16(exact), lost = bf16(exact - value).
#pragma once
#include "arguments.h"
#include "both.h"

namespace kedge {

enum Rounding { kNearest = 0, kStochastic = 1, kKahan = 2 };

// The counter of the Philox call that gives the random words of elements 4 * group to 4 * group + 3, a word each. array 0: the word's lower
// half rounds m and its upper half v. array 1: the lower half rounds param.
struct RoundingCounter {
  uint32_t c0, c1, c2, c3;
};
KEDGE_BOTH inline RoundingCounter rounding_counter(uint64_t group, int64_t step, uint32_t array) {
  return {(uint32_t)group, (uint32_t)(group >> 32), (uint32_t)step, (uint32_t)((uint64_t)step >> 32) * 2 + array};
}

// With g the clipped gradient: m = beta1 m + one_minus_beta1 g; v = beta2 v + one_minus_beta2 g^2;
// p -= decay p + step_size m / (sqrt(v) inv_sqrt_bias2 + eps).
struct AdamWFactors {
  float decay, step_size, beta1, beta2, one_minus_beta1, one_minus_beta2, inv_sqrt_bias2, eps;
};
inline AdamWFactors adamw_factors(double lr, double beta1, double beta2, double eps, double weight_decay, double bias1, double bias2) {
  return {(float)(lr * weight_decay), (float)(lr / bias1),  (float)beta1,             (float)beta2,
          (float)(1 - beta1),         (float)(1 - beta2), (float)(1 / sqrt(bias2)), (float)eps};
}

// out: f32[4], as kedge_clip_coefficient gives it.
KEDGE_BOTH inline void clip_coefficient(float* out, double sum_squares, double max_norm, double grad_scale) {
  const double norm = sqrt(sum_squares) * grad_scale, limit = max_norm / (norm + 1e-6);
  const float rounded = (float)norm;
  const bool finite_norm = rounded - rounded == 0;
  out[0] = rounded;
  out[1] = !finite_norm ? 0.f : (float)(max_norm > 0 ? grad_scale * (limit < 1. ? limit : 1.) : grad_scale);
  out[2] = finite_norm ? 0.f : 1.f;
  out[3] = 0.f;
}

inline int32_t check_sum_squares(const double* out, const void* x, int64_t n, kedge_status* status) {
  KEDGE_TRY(check_arrays(n, {{"x", x}}, status));
  return check_given({{"out", out}}, status);
}

// The state's arrays and dtypes.
struct AdamWState {
  void* param;
  int32_t param_dtype;
  float* master;
  void *m, *v;
  int32_t moment_dtype;
  void *m_lost, *v_lost, *p_lost;
};
inline int32_t check_adamw(const AdamWState& x, const float* grad, int64_t n, double lr, double beta1, double beta2, double eps,
                           double weight_decay, double bias1, double bias2, int32_t rounding, kedge_status* status) {
  for (int32_t dtype : {x.param_dtype, x.moment_dtype})
    KEDGE_REQUIRE_DTYPE(float_dtype(dtype), "adamw takes f32 and bf16, not dtype %d", (int)dtype);
  KEDGE_REQUIRE(rounding >= kNearest && rounding <= kKahan, "rounding is %d", (int)rounding);
  KEDGE_REQUIRE(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "beta1 %g, beta2 %g: outside [0, 1)", beta1, beta2);
  KEDGE_REQUIRE(eps >= 0 && bias1 > 0 && bias2 > 0, "eps %g, bias1 %g, bias2 %g", eps, bias1, bias2);
  KEDGE_REQUIRE(is_finite(lr) && is_finite(weight_decay), "lr %g, weight_decay %g", lr, weight_decay);
  KEDGE_TRY(check_arrays(n, {{"param", x.param}, {"m", x.m}, {"v", x.v}, {"grad", grad}}, status));
  if (n == 0 || rounding != kKahan) return KEDGE_OK;
  KEDGE_REQUIRE(x.moment_dtype == KEDGE_F32 || (x.m_lost && x.v_lost), "m_lost or v_lost is NULL with bf16 moments");
  KEDGE_REQUIRE(x.param_dtype == KEDGE_F32 || x.master || x.p_lost, "p_lost is NULL with a bf16 param that has no master");
  return KEDGE_OK;
}

}  // namespace kedge
