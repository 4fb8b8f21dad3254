// The tail of the normal distribution, for the exact GELU of both libraries: Phi(-a) = exp(-a^2 / 2) P(q) / (1 + a) for a >= 0, with
// q = (a - 2.5) / (a + 2.5), to 3e-9 on [0, 13.6]. The polynomial was found by weighted least squares driven to the minimax.
#pragma once
#include "both.h"

namespace kedge {
// P(q), for a float or a vector of them.
template <class V>
KEDGE_BOTH inline V normal_tail(V q) {
  V p = q * -6.451270019169897e-05f - 0.00022974947933107615f;
  p = p * q + 6.954118134672171e-07f;
  p = p * q + 0.0012665621470659971f;
  p = p * q + 0.0012847675243392587f;
  p = p * q - 0.0060484688729047775f;
  p = p * q - 0.008700110018253326f;
  p = p * q + 0.04606300964951515f;
  p = p * q - 0.03771663084626198f;
  p = p * q - 0.09158748388290405f;
  p = p * q + 0.4946596622467041f;
  return p;
}

// exp(-a^2 / 2) from e = exp(-high^2 / 2), where high is `a` without its lower bits, so that high^2 is exact, and t = (a + high) (a - high)
// / -2 is what is left of the exponent: |t| < 2^-12 a^2. Otherwise the rounding of a^2 / 2 would show in the exponential.
template <class V>
KEDGE_BOTH inline V with_rest(V e, V t) {
  V s = t * (1.f / 24) + 1.f / 6;
  s = s * t + 0.5f;
  s = s * t + 1.f;
  return e * t * s + e;
}
}  // namespace kedge
