// Policy losses with their gradient, importance weights and divergences of packed sequences; common/policy_loss.h says what a token
// contributes. A sequence is the work of one thread, whichever has time. Its sums go to a place of its own in the workspace and are added
// up in the order of the sequences, so that the result does not depend on the threads.
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

// arrays: those of an op, which say a token's log-ratio and its weight.
template <class Arrays>
LogRatios log_ratios(const Arrays& arrays, int64_t begin, int64_t end) {
  LogRatios all{0, 0};
  for (int64_t i = begin; i < end; i++)
    if (arrays.weight[i] != 0) all.add(arrays.log_ratio(i));
  return all;
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_policy_loss(const kedge_context* ctx, float* loss, float* dlogprob, float* token_loss, double* stats,
                                    const float* logprob, const float* old_logprob, const float* advantage, const float* weight,
                                    const float* correction, const float* entropy, const int32_t* offsets, int64_t n, int64_t sequences,
                                    int32_t kind, double ratio_low, double ratio_high, double dual, double tau_positive,
                                    double tau_negative, double log_ratio_max, double entropy_coefficient, kedge_status* status) {
  const PolicyLoss p{kind, ratio_low, ratio_high, dual, tau_positive, tau_negative, log_ratio_max};
  const PolicyArrays a{dlogprob, token_loss, logprob, old_logprob, advantage, weight, correction, entropy};
  KEDGE_TRY(check_policy_loss(p, a, loss, offsets, n, sequences, status));
  KEDGE_TRY(check_offsets(offsets, n, sequences, status));
  KEDGE_REQUIRE_WORKSPACE(sequences * (int64_t)sizeof(PolicySums));
  PolicySums* sums = (PolicySums*)ctx->workspace;
  int64_t size = std::max<int64_t>(1, sequences / 64);
  parallel_range(ctx, sequences, size, 100 * (n / std::max<int64_t>(1, sequences)), [=](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; s++) {
      const int64_t begin = offsets[s], end = offsets[s + 1];
      PolicySums sum{};
      const LogRatios ratios = by_sequence(kind) ? log_ratios(a, begin, end) : LogRatios{0, 0};
      double by_mean = 0;  // d loss / d mean log-ratio
      for (int64_t i = begin; i < end; i++) by_mean += policy_token(p, a, i, ratios.mean(), sum);
      if (kind == kGspo)
        for (int64_t i = begin; i < end; i++)
          if (weight[i] != 0) dlogprob[i] = (float)(by_mean / ratios.count);
      sums[s] = sum;
    }
  });
  PolicySums all{};
  for (int64_t s = 0; s < sequences; s++) {
    for (int k = 0; k < kLargestRatio; k++) all.x[k] += sums[s].x[k];
    all.x[kLargestRatio] = std::max(all.x[kLargestRatio], sums[s].x[kLargestRatio]);
  }
  loss[0] = (float)(all.x[0] - (entropy ? entropy_coefficient * all.x[kEntropySlot] : 0));
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
  const ImportanceWeights p{level, mask != 0, low, high, log_ratio_max};
  const ImportanceArrays a{out, logprob, rollout_logprob, weight};
  KEDGE_TRY(check_importance_weights(p, a, offsets, n, sequences, status));
  KEDGE_TRY(check_offsets(offsets, n, sequences, status));
  KEDGE_REQUIRE_WORKSPACE(sequences * (int64_t)sizeof(ImportanceSums));
  ImportanceSums* sums = (ImportanceSums*)ctx->workspace;
  int64_t size = std::max<int64_t>(1, sequences / 64);
  parallel_range(ctx, sequences, size, 50 * (n / std::max<int64_t>(1, sequences)), [=](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; s++) {
      const int64_t begin = offsets[s], end = offsets[s + 1];
      ImportanceSums sum{};
      const LogRatios ratios = level == kByToken ? LogRatios{0, 0} : log_ratios(a, begin, end);
      for (int64_t i = begin; i < end; i++) importance_token(p, a, i, ratios, sum);
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
  const Divergence p{kind, old_logprob != nullptr, alpha, log_ratio_max, value_max};
  const DivergenceArrays a{dlogprob, value, logprob, ref_logprob, old_logprob, weight};
  KEDGE_TRY(check_divergence(p, a, n, status));
  constexpr int64_t kChunk = 1024;
  const int64_t chunks = ceil_div(n, kChunk);
  KEDGE_REQUIRE_WORKSPACE(chunks * kDivergenceStats * (int64_t)sizeof(double));
  double* sums = (double*)ctx->workspace;
  parallel_range(ctx, n, kChunk, 100, [=](int64_t begin, int64_t end) {
    double sum[kDivergenceStats] = {};
    for (int64_t i = begin; i < end; i++) divergence_token(p, a, i, sum);
    std::copy(sum, sum + kDivergenceStats, sums + begin / kChunk * kDivergenceStats);
  });
  double all[kDivergenceStats] = {};
  for (int64_t c = 0; c < chunks; c++)
    for (int k = 0; k < kDivergenceStats; k++) all[k] += sums[kDivergenceStats * c + k];
  if (loss) loss[0] = (float)all[0];
  if (stats)
    for (int k = 0; k < kDivergenceStats; k++) stats[k] += all[k];
  return ok(status);
}
