// Log-probability of a target and entropy of softmax(logits / temperature), and their gradient. logits: [n, vocab] with a stride.
#include "softmax.h"

namespace kedge {
namespace {

// With p = exp(z - lse) and d = log p: g_v = dlogprob ([v = target] - p_v) - dentropy p_v (d_v + entropy), over temperature.
void backward_chunk(float* dlogits, const float* x, const uint8_t* suppress, int64_t begin, int64_t end, int64_t target, double lse,
                    float entropy, float dlogprob, float dentropy, double temperature) {
  const auto [high, low] = split_lse(lse, temperature);
  float inv_t = inverse_temperature(temperature);
  float by_p = -dlogprob * inv_t, by_entropy = -dentropy * inv_t;
  each_vector(begin, end, [=, high = high, low = low](int64_t i, auto count) {
    vf v = load_logits(x, suppress, i, count);
    vf d = ((v - high) - low) * inv_t;
    vf p = vexp(d);
    vf g = p * (by_p + by_entropy * (vmax(d, splat(-200.f)) + entropy));
    if (target >= i && target < i + count) g[target - i] += dlogprob * inv_t;
    if (suppress) {
      uint8_t bytes[kLanes] = {};
      memcpy(bytes, suppress + i, count);
      g = select(load_mask(bytes), vf{}, g);
    }
    store(dlogits + i, g, count);
  });
}

}  // namespace
}  // namespace kedge

using namespace kedge;

#define REQUIRE_TARGETS() \
  for (int64_t i = 0; i < n; i++) \
    if (target[i] < -1 || target[i] >= vocab) \
  return fail(status, KEDGE_BAD_INDEX, "target[%lld] is %d, outside [-1, %lld)", (long long)i, target[i], (long long)vocab)

KEDGE_API int32_t kedge_logprob_fwd(const kedge_context* ctx, int32_t dtype, float* logprob, float* entropy, float* lse,
                                    const void* logits_, int64_t logits_stride, const int32_t* target, const uint8_t* suppress, int64_t n,
                                    int64_t vocab, double temperature, kedge_status* status) {
  KEDGE_REQUIRE_F32("logprob");
  KEDGE_TRY(check_logits(n, vocab, temperature, {{"logits", logits_, logits_stride}}, status));
  if (n == 0) return ok(status);
  KEDGE_TRY(check_given({{"logprob", logprob}, {"lse", lse}, {"target", target}}, status));
  REQUIRE_TARGETS();
  const float* logits = (const float*)logits_;
  int64_t chunks = vocab_chunks(vocab);
  KEDGE_REQUIRE_WORKSPACE(n * chunks * (int64_t)sizeof(SoftmaxPart) + n * (int64_t)sizeof(float));
  SoftmaxPart* parts = (SoftmaxPart*)ctx->workspace;
  float* inv_t = (float*)(parts + n * chunks);
  for (int64_t i = 0; i < n; i++) inv_t[i] = target[i] < 0 ? NAN : inverse_temperature(temperature);
  softmax_parts(ctx, parts, logits, logits_stride, suppress, n, vocab, inv_t);
  for (int64_t i = 0; i < n; i++) {
    if (target[i] < 0) {
      logprob[i] = lse[i] = 0;
      if (entropy) entropy[i] = 0;
      continue;
    }
    SoftmaxPart all = merge(parts + i * chunks, chunks, 1 / temperature);
    double log_sum = std::isinf(all.largest) ? 0 : std::log(all.sum), x = logits[i * logits_stride + target[i]];
    bool suppressed = suppress && suppress[target[i]];
    lse[i] = (float)(all.largest / temperature + log_sum);
    logprob[i] = suppressed ? -INFINITY : (float)((x - all.largest) / temperature - log_sum);
    if (entropy) entropy[i] = (float)(log_sum - all.weighted / all.sum);
  }
  return ok(status);
}

KEDGE_API int32_t kedge_logprob_bwd(const kedge_context* ctx, int32_t dtype, void* dlogits_, int64_t dlogits_stride, const void* logits_,
                                    int64_t logits_stride, const int32_t* target, const float* lse, const float* entropy,
                                    const float* dlogprob, const float* dentropy, const uint8_t* suppress, int64_t n, int64_t vocab,
                                    double temperature, kedge_status* status) {
  KEDGE_REQUIRE_F32("logprob");
  KEDGE_TRY(check_logprob_bwd(n, vocab, temperature, {{"dlogits", dlogits_, dlogits_stride}, {"logits", logits_, logits_stride}},
                              {{"target", target}, {"lse", lse}, {"dlogprob", dlogprob}}, entropy, dentropy, status));
  if (n == 0 || vocab == 0) return ok(status);
  REQUIRE_TARGETS();
  float* dlogits = (float*)dlogits_;
  const float* logits = (const float*)logits_;
  int64_t chunks = vocab_chunks(vocab);
  parallel_range(ctx, n * chunks, tasks_per_chunk(vocab), 4 * std::min(vocab, kVocabChunk), [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      int64_t r = task / chunks, first = task % chunks * kVocabChunk, last = std::min(vocab, first + kVocabChunk);
      float* out = dlogits + r * dlogits_stride;
      if (target[r] < 0) std::fill(out + first, out + last, 0.f);
      else
        backward_chunk(out, logits + r * logits_stride, suppress, first, last, target[r], lse[r], dentropy ? entropy[r] : 0, dlogprob[r],
                       dentropy ? dentropy[r] : 0, temperature);
    }
  });
  return ok(status);
}
