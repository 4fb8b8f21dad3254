// Policy losses with their gradient, and importance weights, of packed sequences. Sequences are shared between threads; each is one task, and the
// sequences' sums are added in order.
#include "../common/policy_loss.h"

#include "common.h"

namespace kedge {
namespace {

int32_t check_offsets(const int32_t* offsets, int64_t n, int64_t sequences, kedge_status* status) {
  for (int64_t s = 0; s <= sequences; s++) {
    int64_t before = s == 0 ? 0 : offsets[s - 1];
    if (offsets[s] < before || offsets[s] > n || (s == 0 && offsets[s] != 0) || (s == sequences && offsets[s] != n))
      return fail(status, KEDGE_BAD_INDEX, "offsets[%lld] is %d: offsets must rise from 0 to n = %lld", (long long)s, offsets[s],
                  (long long)n);
  }
  return KEDGE_OK;
}

struct Tokens {
  const float *logprob, *other, *weight;
  double sum = 0;
  int64_t count = 0;

  double difference(int64_t i) const { return (double)logprob[i] - other[i]; }
  // Sum of the differences and number of the tokens of [begin, end).
  void add(int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      if (weight[i] != 0) sum += difference(i), count++;
  }
  double mean() const { return count ? sum / count : 0; }
};

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_policy_loss(const kedge_context* ctx, float* loss, float* dlogprob, float* token_loss_out, double* stats,
                                    const float* logprob, const float* old_logprob, const float* advantage, const float* weight,
                                    const float* correction, const float* entropy, const int32_t* offsets, int64_t n, int64_t sequences,
                                    int32_t kind, double ratio_low, double ratio_high, double dual, double tau_positive,
                                    double tau_negative, double log_ratio_max, double entropy_coefficient, kedge_status* status) {
  KEDGE_REQUIRE(kind >= 0 && kind < kPolicyKinds, "kind is %d", kind);
  KEDGE_REQUIRE(n >= 0 && sequences >= 0, "n is %lld, sequences %lld", (long long)n, (long long)sequences);
  KEDGE_REQUIRE(ratio_low >= 0 && ratio_high >= ratio_low, "ratio_low is %g, ratio_high %g", ratio_low, ratio_high);
  KEDGE_REQUIRE(tau_positive > 0 && tau_negative > 0 && log_ratio_max > 0, "tau_positive %g, tau_negative %g, log_ratio_max %g",
                tau_positive, tau_negative, log_ratio_max);
  KEDGE_REQUIRE(loss && offsets, "loss or offsets is NULL");
  KEDGE_REQUIRE(n == 0 || (dlogprob && logprob && old_logprob && advantage && weight),
                "dlogprob, logprob, old_logprob, advantage or weight is NULL");
  if (int32_t e = check_offsets(offsets, n, sequences, status)) return e;
  KEDGE_REQUIRE_WORKSPACE(sequences * (int64_t)sizeof(PolicySums));
  const PolicyLoss p{kind, ratio_low, ratio_high, dual, tau_positive, tau_negative, log_ratio_max};
  PolicySums* sums = (PolicySums*)ctx->workspace;
  const bool by_sequence = kind == kGspo || kind == kGspoToken;
  int64_t size = std::max<int64_t>(1, sequences / 64);
  parallel_range(ctx, sequences, size, 100 * (n / std::max<int64_t>(1, sequences)), [=](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; s++) {
      const int64_t begin = offsets[s], end = offsets[s + 1];
      PolicySums sum{};
      Tokens tokens{logprob, old_logprob, weight};
      if (by_sequence) tokens.add(begin, end);
      double by_mean = 0;  // d loss / d mean log-ratio
      for (int64_t i = begin; i < end; i++) {
        dlogprob[i] = 0;
        if (token_loss_out) token_loss_out[i] = 0;
        if (weight[i] == 0) continue;
        const double d = tokens.difference(i), scale = correction ? (double)weight[i] * correction[i] : weight[i];
        const TokenLoss t = token_loss(p, logprob[i], by_sequence ? tokens.mean() : d, advantage[i]);
        sum.add(t, scale * t.loss, weight[i], logprob[i], d, entropy ? entropy[i] : 0);
        by_mean += scale * t.slope;
        dlogprob[i] = (float)(scale * t.slope);
        if (token_loss_out) token_loss_out[i] = (float)t.loss;
      }
      if (kind == kGspo)
        for (int64_t i = begin; i < end; i++)
          if (weight[i] != 0) dlogprob[i] = (float)(by_mean / tokens.count);
      sums[s] = sum;
    }
  });
  PolicySums all{};
  for (int64_t s = 0; s < sequences; s++) {
    for (int k = 0; k < kLargestRatio; k++) all.x[k] += sums[s].x[k];
    all.x[kLargestRatio] = std::max(all.x[kLargestRatio], sums[s].x[kLargestRatio]);
  }
  loss[0] = (float)(all.x[0] - (entropy ? entropy_coefficient * all.x[7] : 0));
  if (stats) {
    for (int k = 0; k < kLargestRatio; k++) stats[k] += all.x[k];
    stats[kLargestRatio] = std::max(stats[kLargestRatio], all.x[kLargestRatio]);
  }
  return ok(status);
}

KEDGE_API int32_t kedge_importance_weights(const kedge_context* ctx, float* out, double* stats, const float* logprob,
                                           const float* rollout_logprob, const float* weight, const int32_t* offsets, int64_t n,
                                           int64_t sequences, int32_t level, int32_t mask, double low, double high, double log_ratio_max,
                                           kedge_status* status) {
  KEDGE_REQUIRE(level >= 0 && level <= 2, "level is %d", level);
  KEDGE_REQUIRE(n >= 0 && sequences >= 0, "n is %lld, sequences %lld", (long long)n, (long long)sequences);
  KEDGE_REQUIRE(low >= 0 && high >= low && log_ratio_max > 0, "low is %g, high %g, log_ratio_max %g", low, high, log_ratio_max);
  KEDGE_REQUIRE(offsets && (n == 0 || (out && logprob && rollout_logprob && weight)),
                "offsets, out, logprob, rollout_logprob or weight is NULL");
  if (int32_t e = check_offsets(offsets, n, sequences, status)) return e;
  KEDGE_REQUIRE_WORKSPACE(sequences * (int64_t)sizeof(ImportanceSums));
  const ImportanceWeights p{mask != 0, low, high, log_ratio_max};
  ImportanceSums* sums = (ImportanceSums*)ctx->workspace;
  int64_t size = std::max<int64_t>(1, sequences / 64);
  parallel_range(ctx, sequences, size, 50 * (n / std::max<int64_t>(1, sequences)), [=](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; s++) {
      const int64_t begin = offsets[s], end = offsets[s + 1];
      ImportanceSums sum{};
      Tokens tokens{logprob, rollout_logprob, weight};
      if (level > 0) tokens.add(begin, end);
      for (int64_t i = begin; i < end; i++) {
        out[i] = 0;
        if (weight[i] == 0) continue;
        const double d = tokens.difference(i);
        const Importance w = importance(p, level == 0 ? d : level == 1 ? tokens.sum : tokens.mean());
        sum.add(w, d);
        out[i] = (float)w.factor;
      }
      sums[s] = sum;
    }
  });
  if (!stats) return ok(status);
  for (int64_t s = 0; s < sequences; s++)
    for (int k = 0; k < kImportanceStats; k++)
      stats[k] = k == kLargestGap ? std::max(stats[k], sums[s].x[k]) : stats[k] + sums[s].x[k];
  return ok(status);
}

KEDGE_API int32_t kedge_divergence(const kedge_context* ctx, float* loss, float* dlogprob, float* value, double* stats,
                                   const float* logprob, const float* ref_logprob, const float* old_logprob, const float* weight, int64_t n,
                                   int32_t kind, double alpha, double log_ratio_max, double value_max, kedge_status* status) {
  KEDGE_REQUIRE(kind >= 0 && kind < kDivergenceKinds, "kind is %d", kind);
  KEDGE_REQUIRE(n >= 0, "n is %lld", (long long)n);
  KEDGE_REQUIRE(log_ratio_max > 0 && std::isfinite(alpha), "log_ratio_max is %g, alpha %g", log_ratio_max, alpha);
  KEDGE_REQUIRE(n == 0 || (logprob && ref_logprob && weight), "logprob, ref_logprob or weight is NULL");
  constexpr int64_t kChunk = 1024;
  const int64_t chunks = ceil_div(n, kChunk);
  KEDGE_REQUIRE_WORKSPACE(chunks * 3 * (int64_t)sizeof(double));
  const Divergence p{kind, old_logprob != nullptr, alpha, log_ratio_max, value_max};
  double* sums = (double*)ctx->workspace;
  parallel_range(ctx, n, kChunk, 100, [=](int64_t begin, int64_t end) {
    double sum[3] = {};
    for (int64_t i = begin; i < end; i++) {
      TokenDivergence t{0, 0};
      if (weight[i] != 0) {
        t = token_divergence(p, (double)ref_logprob[i] - logprob[i], old_logprob ? (double)logprob[i] - old_logprob[i] : 0);
        sum[0] += weight[i] * t.value;
        sum[1] += t.value;
        sum[2] += 1;
      }
      if (dlogprob) dlogprob[i] = weight[i] == 0 ? 0 : (float)(weight[i] * t.slope);
      if (value) value[i] = (float)t.value;
    }
    std::copy(sum, sum + 3, sums + begin / kChunk * 3);
  });
  double all[3] = {};
  for (int64_t c = 0; c < chunks; c++)
    for (int k = 0; k < 3; k++) all[k] += sums[3 * c + k];
  if (loss) loss[0] = (float)all[0];
  if (stats)
    for (int k = 0; k < 3; k++) stats[k] += all[k];
  return ok(status);
}
