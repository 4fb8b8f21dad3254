// Policy losses, importance weights and divergences (kedge.h): what one token contributes, in f64, and the checks of their arguments, for
// both libraries. How tokens are shared between threads, and in what order their sums are added, is each library's own.
#pragma once
#include "arguments.h"
#include "both.h"

namespace kedge {

enum : int32_t { kPpo, kGspo, kGspoToken, kCispo, kSapo, kReinforce, kPolicyKinds };

struct PolicyLoss {
  int32_t kind;
  double ratio_low, ratio_high, dual, tau_positive, tau_negative, log_ratio_max;
};

KEDGE_BOTH inline double clamped(double x, double low, double high) { return x < low ? low : x > high ? high : x; }
// A clamp must not make a finite number of an infinite one.
KEDGE_BOTH inline double finite_or_nan(double x) { return x - x == 0 ? x : NAN; }
KEDGE_BOTH inline double sign(double x) { return x > 0 ? 1. : x < 0 ? -1. : x; }

struct TokenLoss {
  double loss, slope, ratio;  // slope: by the log-prob; by the mean log-ratio of the sequence for gspo
  bool higher, lower;
};

// log_ratio: the token's, or the sequence's mean for the kinds of gspo.
KEDGE_BOTH inline TokenLoss token_loss(const PolicyLoss& p, double logprob, double log_ratio, double advantage) {
  const double d = finite_or_nan(log_ratio), r = exp(clamped(d, -p.log_ratio_max, p.log_ratio_max));
  const double dr = fabs(d) > p.log_ratio_max ? 0. : r, clip = clamped(r, p.ratio_low, p.ratio_high);
  TokenLoss t{0, 0, r, false, false};
  if (p.kind == kReinforce) {
    t.loss = -advantage * finite_or_nan(logprob);
    t.slope = -advantage;
  } else if (p.kind == kCispo) {
    t.loss = -advantage * clip * finite_or_nan(logprob);
    t.slope = -advantage * clip;
    t.higher = r > p.ratio_high;
    t.lower = r < p.ratio_low;
  } else if (p.kind == kSapo) {
    const double tau = advantage < 0 ? p.tau_negative : p.tau_positive, gate = 1 / (1 + exp(-tau * (r - 1)));
    t.loss = -advantage * (4 / tau) * gate;
    t.slope = -advantage * 4 * gate * (1 - gate) * dr;
  } else {
    const double plain = -advantage * r, bounded = -advantage * clip, most = -advantage * p.dual;
    t.higher = plain < bounded;
    t.loss = t.higher ? bounded : plain;
    t.slope = t.higher ? 0. : -advantage * dr;
    t.lower = p.dual > 0 && advantage < 0 && t.loss > most;
    if (t.lower) t.loss = most, t.slope = 0;
  }
  return t;
}

// Slots of kedge_policy_loss's stats.
constexpr int kPolicyStats = 10, kLargestRatio = 9, kEntropySlot = 7;
struct PolicySums {
  double x[kPolicyStats];

  KEDGE_BOTH void add(const TokenLoss& t, double weighted, double weight, double logprob, double log_ratio, double entropy) {
    x[0] += weighted;
    x[1] += 1;
    x[2] += t.higher;
    x[3] += t.lower;
    x[4] -= log_ratio;
    x[5] -= weight * logprob;
    x[6] += entropy;
    x[7] += weight * entropy;
    x[8] += t.ratio;
    x[9] = t.ratio > x[9] ? t.ratio : x[9];
  }
};

// Sum of the log-ratios of a sequence's tokens, and their number.
struct LogRatios {
  double sum, count;
  KEDGE_BOTH void add(double log_ratio) { sum += log_ratio, count += 1; }
  KEDGE_BOTH double mean() const { return count > 0 ? sum / count : 0; }
};

// The arrays of kedge_policy_loss, an element a token.
struct PolicyArrays {
  float *dlogprob, *token_loss;                                                    // token_loss: nullable
  const float *logprob, *old_logprob, *advantage, *weight, *correction, *entropy;  // correction, entropy: nullable

  KEDGE_BOTH double log_ratio(int64_t i) const { return (double)logprob[i] - old_logprob[i]; }
};
// gspo and gspo_token take the ratio of the whole sequence.
KEDGE_BOTH inline bool by_sequence(int32_t kind) { return kind == kGspo || kind == kGspoToken; }

// Writes the loss and the gradient of token i, and adds it to the sums. mean: of the sequence's log-ratios, read by the kinds of gspo.
// Gives the gradient; for gspo it is that by the mean, and what a token gets of it is written once all of the sequence is summed.
KEDGE_BOTH inline double policy_token(const PolicyLoss& p, const PolicyArrays& a, int64_t i, double mean, PolicySums& sum) {
  const float w = a.weight[i];
  double slope = 0, value = 0;
  if (w != 0.f) {
    const double d = a.log_ratio(i), scale = a.correction ? (double)w * a.correction[i] : w;
    const TokenLoss t = token_loss(p, a.logprob[i], by_sequence(p.kind) ? mean : d, a.advantage[i]);
    sum.add(t, scale * t.loss, w, a.logprob[i], d, a.entropy ? a.entropy[i] : 0.);
    slope = scale * t.slope;
    value = t.loss;
  }
  a.dlogprob[i] = (float)slope;
  if (a.token_loss) a.token_loss[i] = (float)value;
  return slope;
}

inline int32_t check_sequences(int64_t n, int64_t sequences, kedge_status* status) {
  KEDGE_REQUIRE(n >= 0 && sequences >= 0, "n is %lld, sequences %lld", (long long)n, (long long)sequences);
  return KEDGE_OK;
}
inline int32_t check_policy_loss(const PolicyLoss& p, const PolicyArrays& a, const float* loss, const int32_t* offsets, int64_t n,
                                 int64_t sequences, kedge_status* status) {
  KEDGE_REQUIRE(p.kind >= 0 && p.kind < kPolicyKinds, "kind is %d", (int)p.kind);
  KEDGE_TRY(check_sequences(n, sequences, status));
  KEDGE_REQUIRE(p.ratio_low >= 0 && p.ratio_high >= p.ratio_low, "ratio_low is %g, ratio_high %g", p.ratio_low, p.ratio_high);
  KEDGE_REQUIRE(p.tau_positive > 0 && p.tau_negative > 0 && p.log_ratio_max > 0, "tau_positive %g, tau_negative %g, log_ratio_max %g",
                p.tau_positive, p.tau_negative, p.log_ratio_max);
  KEDGE_TRY(check_given({{"loss", loss}, {"offsets", offsets}}, status));
  return check_arrays(n, {{"dlogprob", a.dlogprob}, {"logprob", a.logprob}, {"old_logprob", a.old_logprob}, {"advantage", a.advantage},
                          {"weight", a.weight}}, status);
}

// ---- importance weights ----

enum : int32_t { kByToken, kBySequence, kBySequenceMean, kImportanceLevels };

struct ImportanceWeights {
  int32_t level;
  bool mask;
  double low, high, log_ratio_max;
};
struct Importance {
  double factor;
  bool outside;
};
KEDGE_BOTH inline Importance importance(const ImportanceWeights& p, double log_ratio) {
  const double x = exp(clamped(finite_or_nan(log_ratio), -p.log_ratio_max, p.log_ratio_max));
  const bool outside = x < p.low || x > p.high;
  return {outside && p.mask ? 0. : clamped(x, p.low, p.high), outside};
}
// Slots of kedge_importance_weights's stats.
constexpr int kImportanceStats = 7, kLargestGap = 5;
struct ImportanceSums {
  double x[kImportanceStats];

  KEDGE_BOTH void add(const Importance& w, double difference) {
    const double gap = fabs(difference);
    x[0] += 1;
    x[1] += w.factor;
    x[2] += w.factor * w.factor;
    x[3] += w.outside;
    x[4] += gap;
    x[5] = gap > x[5] ? gap : x[5];
    x[6] -= difference;
  }
};

struct ImportanceArrays {
  float* out;
  const float *logprob, *rollout_logprob, *weight;

  KEDGE_BOTH double log_ratio(int64_t i) const { return (double)logprob[i] - rollout_logprob[i]; }
};
// Writes the factor of token i and adds it to the sums. ratios: of the token's sequence, read by the levels of sequences.
KEDGE_BOTH inline void importance_token(const ImportanceWeights& p, const ImportanceArrays& a, int64_t i, const LogRatios& ratios,
                                        ImportanceSums& sum) {
  double factor = 0;
  if (a.weight[i] != 0.f) {
    const double d = a.log_ratio(i);
    const Importance w = importance(p, p.level == kByToken ? d : p.level == kBySequence ? ratios.sum : ratios.mean());
    sum.add(w, d);
    factor = w.factor;
  }
  a.out[i] = (float)factor;
}

inline int32_t check_importance_weights(const ImportanceWeights& p, const ImportanceArrays& a, const int32_t* offsets, int64_t n,
                                        int64_t sequences, kedge_status* status) {
  KEDGE_REQUIRE(p.level >= 0 && p.level < kImportanceLevels, "level is %d", (int)p.level);
  KEDGE_TRY(check_sequences(n, sequences, status));
  KEDGE_REQUIRE(p.low >= 0 && p.high >= p.low && p.log_ratio_max > 0, "low is %g, high %g, log_ratio_max %g", p.low, p.high,
                p.log_ratio_max);
  KEDGE_TRY(check_given({{"offsets", offsets}}, status));
  return check_arrays(n, {{"out", a.out}, {"logprob", a.logprob}, {"rollout_logprob", a.rollout_logprob}, {"weight", a.weight}}, status);
}

// ---- divergences ----

enum : int32_t { kK1, kAbs, kK2, kK3, kK1Plus, kK3Plus, kForwardKl, kJensenShannon, kChiSquare, kTotalVariation, kAlpha, kDivergenceKinds };

struct Divergence {
  int32_t kind;
  bool weighted;  // by the ratio to an older policy
  double alpha, log_ratio_max, value_max;
};
struct TokenDivergence {
  double value, slope;
};

// difference: log reference - log policy; log_ratio: log policy - log old, read where weighted.
KEDGE_BOTH inline TokenDivergence token_divergence(const Divergence& p, double difference, double log_ratio) {
  const bool direct = p.kind == kK1 || p.kind == kAbs || p.kind == kK2 || p.kind == kK1Plus;
  double x = finite_or_nan(difference), k, s;
  const bool beyond = !direct && fabs(x) > p.log_ratio_max;
  if (beyond) x = sign(x) * p.log_ratio_max;
  const double e = expm1(x), u = e + 1, a = p.alpha, l = log1p(e / 2);
  int32_t kind = p.kind;
  if (kind == kAlpha && a == 1) kind = kK3Plus;
  if (kind == kAlpha && a == 0) kind = kForwardKl;
  switch (kind) {
    case kK1: k = -x, s = 1; break;
    case kAbs: k = fabs(x), s = sign(-x); break;
    case kK2: k = x * x / 2, s = -x; break;
    case kK3: k = e - x, s = beyond ? 0 : -e; break;
    case kK1Plus: k = -x, s = -x; break;
    case kK3Plus: k = e - x, s = -x; break;
    case kForwardKl: k = u * x - e, s = -e; break;
    case kJensenShannon: k = (u * x - (1 + u) * l) / 2, s = -l / 2; break;
    case kChiSquare: k = e * (-expm1(-x)), s = 2 * expm1(-x); break;  // e^2 / u, u = e / -expm1(-x)
    case kTotalVariation: k = fabs(e) / 2, s = sign(-x) / 2; break;
    default: {
      const double power = expm1((1 - a) * x);
      k = power / (a * (a - 1)) + e / a, s = power / (a - 1);
    }
  }
  const bool derived = p.kind < kK1Plus;  // the slope is the derivative of the value
  if (p.value_max > 0) {
    const bool outside = fabs(k) > p.value_max;
    k = clamped(k, -p.value_max, p.value_max);
    s = derived ? (outside ? 0 : s) : clamped(s, -p.value_max, p.value_max);
  }
  if (p.weighted) {
    const double d = finite_or_nan(log_ratio), r = exp(clamped(d, -p.log_ratio_max, p.log_ratio_max));
    s = r * (derived && !(fabs(d) > p.log_ratio_max) ? s + k : s);
    k *= r;
  }
  return {k, s};
}

constexpr int kDivergenceStats = 3;

struct DivergenceArrays {
  float *dlogprob, *value;                                      // both nullable
  const float *logprob, *ref_logprob, *old_logprob, *weight;  // old_logprob: nullable
};
// Writes the value and the gradient of token i, and adds it to the sums { w k, k, tokens }.
KEDGE_BOTH inline void divergence_token(const Divergence& p, const DivergenceArrays& a, int64_t i, double (&sum)[kDivergenceStats]) {
  const float w = a.weight[i];
  TokenDivergence t{0, 0};
  if (w != 0.f) {
    t = token_divergence(p, (double)a.ref_logprob[i] - a.logprob[i], a.old_logprob ? (double)a.logprob[i] - a.old_logprob[i] : 0.);
    sum[0] += w * t.value;
    sum[1] += t.value;
    sum[2] += 1;
  }
  if (a.dlogprob) a.dlogprob[i] = w == 0.f ? 0.f : (float)(w * t.slope);
  if (a.value) a.value[i] = (float)t.value;
}

inline int32_t check_divergence(const Divergence& p, const DivergenceArrays& a, int64_t n, kedge_status* status) {
  KEDGE_REQUIRE(p.kind >= 0 && p.kind < kDivergenceKinds, "kind is %d", (int)p.kind);
  KEDGE_REQUIRE(p.log_ratio_max > 0 && is_finite(p.alpha), "log_ratio_max is %g, alpha %g", p.log_ratio_max, p.alpha);
  return check_arrays(n, {{"logprob", a.logprob}, {"ref_logprob", a.ref_logprob}, {"weight", a.weight}}, status);
}

}  // namespace kedge
