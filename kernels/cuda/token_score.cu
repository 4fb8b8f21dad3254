// The score of tokens (kedge.h; docs/method.md section 1.6): a block takes a response, by the rules of common/token_score.h. A thread sums
// one region over the tokens in their order, as the CPU does, and neighbouring threads read neighbouring regions. Then a thread takes a
// token.
#include "../common/token_score.h"

#include "common.cuh"

namespace kedge {
namespace {

__global__ void __launch_bounds__(kBlock) token_score_kernel(float* score, TokenScore s, const int32_t* offsets, int64_t n, double* means) {
  for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
    const int64_t first = offsets[i], end = offsets[i + 1];
    double* mean = means + i * s.width();
    if (s.by_peak()) {
      for (int64_t r = threadIdx.x; r < s.regions; r += kBlock) {
        double sum = 0;
#pragma unroll 8
        for (int64_t at = first; at < end; at++) sum += s.profile[at * s.regions + r];
        mean[r] = sum / (double)(end - first);
      }
      __syncthreads();
      if (s.scaled()) {
        const double floor = s.floor_of(mean);
        for (int64_t r = threadIdx.x; r < s.regions; r += kBlock) mean[s.regions + r] = s.scale_of(mean[r], floor);
        __syncthreads();
      }
    }
    for (int64_t at = first + threadIdx.x; at < end; at += kBlock) score[at] = s.of(i, at - first, at, mean);
  }
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_token_score(const kedge_context* ctx, float* score, const float* connectivity, const float* profile, const float* entropy,
                          const int32_t* visible, const int32_t* offsets, int64_t n, int64_t tokens, int64_t max_tokens, int64_t regions,
                          int32_t kind, kedge_status* status) {
  KEDGE_TRY(check_response_counts(offsets, n, tokens, max_tokens, status));
  const TokenScore s = {kind, regions, connectivity, profile, entropy, visible};
  KEDGE_TRY(check_token_score(score, s, tokens, status));
  if (tokens == 0) return ok(status);
  KEDGE_REQUIRE_WORKSPACE(8 * n * s.width());
  KEDGE_SET_DEVICE();
  KEDGE_LAUNCH(token_score_kernel, grid_rows(n), kBlock, 0, stream_of(ctx), score, s, offsets, n, static_cast<double*>(ctx->workspace));
  return finish("token_score", status);
}
