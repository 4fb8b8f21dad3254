// Policy losses with their gradient, importance weights and divergences of packed sequences; common/policy_loss.h says what a token
// contributes. A block takes a sequence (or a chunk of tokens), leaves its sums in the workspace, and one block adds those up in a fixed
// order.
#include "../common/policy_loss.h"

#include "common.cuh"

namespace kedge {
namespace {

// A sequence's tokens; `bad` where its offsets do not fit, and then nothing of it is touched but its sums.
struct Range {
  int begin, end;
  bool bad;
};
__device__ __forceinline__ Range sequence_range(const int32_t* offsets, int64_t s, int64_t n, int64_t sequences) {
  const int begin = offsets[s], end = offsets[s + 1];
  return {begin, end, begin < 0 || end < begin || end > n || (s == 0 && begin != 0) || (s == sequences - 1 && end != n)};
}

// A sequence's log-ratios, in every thread.
template <class Arrays>
__device__ __forceinline__ LogRatios log_ratios(const Range& range, const Arrays& arrays, double* shared) {
  LogRatios all{0, 0};
  for (int i = range.begin + (int)threadIdx.x; i < range.end; i += kBlock)
    if (arrays.weight[i] != 0.f) all.add(arrays.log_ratio(i));
  all.sum = block_sum<kBlock>(all.sum, shared);
  all.count = block_sum<kBlock>(all.count, shared);
  return all;
}

// The larger, over a block; a tree like block_sum's.
__device__ __forceinline__ double block_largest(double v, double* shared) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    const double other = __shfl_xor_sync(kFullWarp, v, offset);
    v = other > v ? other : v;
  }
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
  __syncthreads();
#pragma unroll
  for (int w = 0; w < kBlock / 32; w++) v = shared[w] > v ? shared[w] : v;
  __syncthreads();
  return v;
}
// Sums (and at kLargest the largest) over a block, written by one thread.
template <int kStats, int kLargest>
__device__ __forceinline__ void write_sums(double* out, const double (&x)[kStats], bool bad, double* shared) {
#pragma unroll
  for (int k = 0; k < kStats; k++) {
    const double v = k == kLargest ? block_largest(x[k], shared) : block_sum<kBlock>(x[k], shared);
    if (threadIdx.x == 0) out[k] = bad ? (double)NAN : v;
  }
}

__global__ void __launch_bounds__(kBlock)
    policy_loss_kernel(double* sums, PolicyArrays a, const int32_t* offsets, int64_t n, int64_t sequences, PolicyLoss p) {
  __shared__ double shared[kBlock / 32];
  for (int64_t s = blockIdx.x; s < sequences; s += gridDim.x) {
    Range range = sequence_range(offsets, s, n, sequences);
    if (range.bad) range.end = range.begin;
    LogRatios ratios{0, 0};
    if (by_sequence(p.kind)) ratios = log_ratios(range, a, shared);
    PolicySums sum{};
    double by_mean = 0;  // d loss / d mean log-ratio
    for (int i = range.begin + (int)threadIdx.x; i < range.end; i += kBlock) by_mean += policy_token(p, a, i, ratios.mean(), sum);
    if (p.kind == kGspo) {
      by_mean = block_sum<kBlock>(by_mean, shared);
      for (int i = range.begin + (int)threadIdx.x; i < range.end; i += kBlock) {
        if (a.weight[i] != 0.f) a.dlogprob[i] = (float)(by_mean / ratios.count);
      }
    }
    write_sums<kPolicyStats, kLargestRatio>(sums + s * kPolicyStats, sum.x, range.bad, shared);
  }
}

__global__ void __launch_bounds__(kBlock)
    importance_weights_kernel(double* sums, ImportanceArrays a, const int32_t* offsets, int64_t n, int64_t sequences, ImportanceWeights p) {
  __shared__ double shared[kBlock / 32];
  for (int64_t s = blockIdx.x; s < sequences; s += gridDim.x) {
    Range range = sequence_range(offsets, s, n, sequences);
    if (range.bad) range.end = range.begin;
    LogRatios ratios{0, 0};
    if (p.level != kByToken) ratios = log_ratios(range, a, shared);
    ImportanceSums sum{};
    for (int i = range.begin + (int)threadIdx.x; i < range.end; i += kBlock) importance_token(p, a, i, ratios, sum);
    write_sums<kImportanceStats, kLargestGap>(sums + s * kImportanceStats, sum.x, range.bad, shared);
  }
}

constexpr int kNoLargest = -1;
constexpr int64_t kTokenChunk = 2048;

__global__ void __launch_bounds__(kBlock) divergence_kernel(double* sums, DivergenceArrays a, int64_t n, Divergence p) {
  __shared__ double shared[kBlock / 32];
  const int64_t begin = blockIdx.x * kTokenChunk, end = begin + kTokenChunk < n ? begin + kTokenChunk : n;
  double sum[kDivergenceStats] = {};
  for (int64_t i = begin + threadIdx.x; i < end; i += kBlock) divergence_token(p, a, i, sum);
  write_sums<kDivergenceStats, kNoLargest>(sums + blockIdx.x * kDivergenceStats, sum, false, shared);
}

// stats[k] += the sum over parts of sums[part, k] (the largest at kLargest); loss = total[0] - coefficient * total[entropy_slot].
template <int kStats, int kLargest>
__global__ void __launch_bounds__(kBlock)
    token_stats_kernel(float* loss, double* stats, const double* sums, int64_t parts, int entropy_slot, double coefficient) {
  __shared__ double shared[kBlock / 32];
  double result = 0;
#pragma unroll 1
  for (int k = 0; k < kStats; k++) {
    double v = 0;
    for (int64_t s = threadIdx.x; s < parts; s += kBlock) {
      const double x = sums[s * kStats + k];
      v = k != kLargest ? v + x : x > v ? x : v;
    }
    v = k == kLargest ? block_largest(v, shared) : block_sum<kBlock>(v, shared);
    if (k == 0) result += v;
    if (k == entropy_slot) result -= coefficient * v;
    if (threadIdx.x == 0 && stats) stats[k] = k != kLargest ? stats[k] + v : v > stats[k] ? v : stats[k];
  }
  if (threadIdx.x == 0 && loss) loss[0] = (float)result;
}

// Threads count tokens in 32 bits; tokens of no sequence would get no result.
int32_t check_grid(int64_t n, int64_t sequences, kedge_status* status) {
  KEDGE_REQUIRE(n <= INT_MAX - kBlock && (sequences > 0 || n == 0), "n is %lld, sequences %lld", (long long)n, (long long)sequences);
  return KEDGE_OK;
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
  const PolicyArrays arrays{dlogprob, token_loss, logprob, old_logprob, advantage, weight, correction, entropy};
  KEDGE_TRY(check_policy_loss(p, arrays, loss, offsets, n, sequences, status));
  KEDGE_TRY(check_grid(n, sequences, status));
  KEDGE_REQUIRE_WORKSPACE(sequences * kPolicyStats * (int64_t)sizeof(double));
  KEDGE_SET_DEVICE();
  double* sums = static_cast<double*>(ctx->workspace);
  if (sequences > 0)
    KEDGE_LAUNCH(policy_loss_kernel, grid_rows(sequences), kBlock, 0, stream_of(ctx), sums, arrays, offsets, n, sequences, p);
  KEDGE_LAUNCH((token_stats_kernel<kPolicyStats, kLargestRatio>), 1, kBlock, 0, stream_of(ctx), loss, stats, sums, sequences,
               entropy ? kEntropySlot : -1, entropy_coefficient);
  return finish("policy_loss", status);
}

KEDGE_API int32_t kedge_importance_weights(const kedge_context* ctx, float* out, double* stats, const float* logprob,
                                           const float* rollout_logprob, const float* weight, const int32_t* offsets, int64_t n,
                                           int64_t sequences, int32_t level, int32_t mask, double low, double high, double log_ratio_max,
                                           kedge_status* status) {
  const ImportanceWeights p{level, mask != 0, low, high, log_ratio_max};
  const ImportanceArrays arrays{out, logprob, rollout_logprob, weight};
  KEDGE_TRY(check_importance_weights(p, arrays, offsets, n, sequences, status));
  KEDGE_TRY(check_grid(n, sequences, status));
  KEDGE_REQUIRE_WORKSPACE(sequences * kImportanceStats * (int64_t)sizeof(double));
  if (sequences == 0) return ok(status);
  KEDGE_SET_DEVICE();
  double* sums = static_cast<double*>(ctx->workspace);
  KEDGE_LAUNCH(importance_weights_kernel, grid_rows(sequences), kBlock, 0, stream_of(ctx), sums, arrays, offsets, n, sequences, p);
  if (stats)
    KEDGE_LAUNCH((token_stats_kernel<kImportanceStats, kLargestGap>), 1, kBlock, 0, stream_of(ctx), nullptr, stats, sums, sequences, -1,
                 0.);
  return finish("importance_weights", status);
}

KEDGE_API int32_t kedge_divergence(const kedge_context* ctx, float* loss, float* dlogprob, float* value, double* stats,
                                   const float* logprob, const float* ref_logprob, const float* old_logprob, const float* weight, int64_t n,
                                   int32_t kind, double alpha, double log_ratio_max, double value_max, kedge_status* status) {
  const Divergence p{kind, old_logprob != nullptr, alpha, log_ratio_max, value_max};
  const DivergenceArrays arrays{dlogprob, value, logprob, ref_logprob, old_logprob, weight};
  KEDGE_TRY(check_divergence(p, arrays, n, status));
  const int64_t chunks = ceil_div(n, kTokenChunk);
  KEDGE_REQUIRE(chunks <= kRowCap, "n is %lld", (long long)n);
  KEDGE_REQUIRE_WORKSPACE(chunks * kDivergenceStats * (int64_t)sizeof(double));
  KEDGE_SET_DEVICE();
  double* sums = static_cast<double*>(ctx->workspace);
  if (chunks > 0) KEDGE_LAUNCH(divergence_kernel, (unsigned)chunks, kBlock, 0, stream_of(ctx), sums, arrays, n, p);
  if (loss || stats)
    KEDGE_LAUNCH((token_stats_kernel<kDivergenceStats, kNoLargest>), 1, kBlock, 0, stream_of(ctx), loss, stats, sums, chunks, -1, 0.);
  return finish("divergence", status);
}
