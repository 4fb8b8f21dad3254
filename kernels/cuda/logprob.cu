// Log-probability of a target and entropy of softmax(logits / temperature), one pass over a row by a block, and their gradient, one pass as
// well. logits: [n, vocab] with a stride.
#include "softmax.cuh"

namespace kedge {
namespace {

template <class T, int W>
__global__ void __launch_bounds__(kRowThreads)
    logprob_fwd_kernel(float* logprob, float* entropy, float* lse, const T* logits, int64_t stride, const int32_t* target,
                       const uint8_t* suppress, int vocab, float inv_t) {
  __shared__ float shared[32];
  const int64_t row = blockIdx.x;
  const int chosen = target[row];
  if (chosen < 0 || chosen >= vocab) {  // -1: skipped
    if (threadIdx.x == 0) {
      const float value = chosen == -1 ? 0.f : NAN;
      logprob[row] = lse[row] = value;
      if (entropy) entropy[row] = value;
    }
    return;
  }
  const Logits<T, W> in{logits + row * stride, suppress, vocab};
  Stats stats;
  in.each((int)threadIdx.x * W, vocab, kRowThreads * W, [&](int i, const float (&x)[W]) { stats.add(x, i, inv_t); });
  stats.merge(inv_t, shared);
  if (threadIdx.x == 0) {
    const bool infinite = stats.largest == -INFINITY || stats.largest == INFINITY;
    const float log_sum = infinite ? 0.f : logf(stats.sum);
    const bool suppressed = suppress && suppress[chosen];
    lse[row] = stats.largest * inv_t + log_sum;
    logprob[row] = suppressed ? -INFINITY : (to_float(in.x[chosen]) - stats.largest) * inv_t - log_sum;
    if (entropy) entropy[row] = log_sum - stats.weighted / stats.sum;
  }
}

// With d = log p = z - lse: dz_v = dlogprob ([v = target] - p_v) - dentropy p_v (d_v + entropy), over temperature.
template <class T, int W>
__global__ void __launch_bounds__(kBlock)
    logprob_bwd_kernel(T* dlogits, int64_t dlogits_stride, const T* logits, int64_t logits_stride, const int32_t* target, const float* lse,
                       const float* entropy, const float* dlogprob, const float* dentropy, const uint8_t* suppress, int vocab,
                       double temperature, float inv_t) {
  const int64_t row = blockIdx.x;
  const Logits<T, W> in{logits + row * logits_stride, suppress, vocab};
  T* to = dlogits + row * dlogits_stride;
  const int chosen = target[row];
  const bool skipped = chosen == -1, bad = chosen < -1 || chosen >= vocab;
  const SplitLse whole = split_lse(lse[row], temperature);
  const float by_target = dlogprob[row] * inv_t;
  const float by_entropy = dentropy ? -dentropy[row] * inv_t : 0.f, h = dentropy ? entropy[row] : 0.f;
  const int first = ((int)blockIdx.y * kBlock + (int)threadIdx.x) * W, step = (int)gridDim.y * kBlock * W;
  for (int i = first; i < vocab; i += step) {
    float x[W], g[W];
    in.load(x, i);
#pragma unroll
    for (int j = 0; j < W; j++) {
      const float d = ((x[j] - whole.high) - whole.low) * inv_t, p = expf(d);
      g[j] = p * (by_entropy * (fmaxf(d, -200.f) + h) - by_target);
      if (i + j == chosen) g[j] += by_target;
      if (skipped) g[j] = 0.f;
      if (bad) g[j] = NAN;
    }
    if (suppress && !bad) {
      uint32_t mask[W];
      in.load_mask(mask, i);
#pragma unroll
      for (int j = 0; j < W; j++) g[j] = mask[j] ? 0.f : g[j];
    }
    if (i + W <= vocab) {
      store_vec(to + i, g);
    } else {
      store_some(to + i, g, vocab - i);
    }
  }
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_logprob_fwd(const kedge_context* ctx, int32_t dtype, float* logprob, float* entropy, float* lse, const void* logits,
                                    int64_t logits_stride, const int32_t* target, const uint8_t* suppress, int64_t n, int64_t vocab,
                                    double temperature, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_logits(n, vocab, temperature, {{"logits", logits, logits_stride}}, status));
  KEDGE_TRY(check_row_grid(n, vocab, status));
  if (n == 0) return ok(status);
  KEDGE_TRY(check_given({{"logprob", logprob}, {"lse", lse}, {"target", target}}, status));
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = static_cast<const T*>(logits);
    if (wide_logits<T>(logits, logits_stride, suppress)) {
      KEDGE_LAUNCH((logprob_fwd_kernel<T, kVec<T>>), (unsigned)n, kRowThreads, 0, stream_of(ctx), logprob, entropy, lse, x, logits_stride,
                   target, suppress, (int)vocab, inverse_temperature(temperature));
    } else {
      KEDGE_LAUNCH((logprob_fwd_kernel<T, 1>), (unsigned)n, kRowThreads, 0, stream_of(ctx), logprob, entropy, lse, x, logits_stride, target,
                   suppress, (int)vocab, inverse_temperature(temperature));
    }
  });
  return finish("logprob_fwd", status);
}

KEDGE_API int32_t kedge_logprob_bwd(const kedge_context* ctx, int32_t dtype, void* dlogits, int64_t dlogits_stride, const void* logits,
                                    int64_t logits_stride, const int32_t* target, const float* lse, const float* entropy,
                                    const float* dlogprob, const float* dentropy, const uint8_t* suppress, int64_t n, int64_t vocab,
                                    double temperature, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_logprob_bwd(n, vocab, temperature, {{"dlogits", dlogits, dlogits_stride}, {"logits", logits, logits_stride}},
                              {{"target", target}, {"lse", lse}, {"dlogprob", dlogprob}}, entropy, dentropy, status));
  KEDGE_TRY(check_row_grid(n, vocab, status));
  if (n == 0 || vocab == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_flag(wide_logits<T>(logits, logits_stride, suppress) && vector_rows<T>(dlogits, dlogits_stride), [&](auto flag) {
      constexpr int W = decltype(flag)::value ? kVec<T> : 1;
      const int64_t slices = ceil_div(vocab, (int64_t)kBlock * W * 8);
      const dim3 grid((unsigned)n, (unsigned)(slices > 64 ? 64 : slices));
      KEDGE_LAUNCH((logprob_bwd_kernel<T, W>), grid, kBlock, 0, stream_of(ctx), static_cast<T*>(dlogits), dlogits_stride,
                   static_cast<const T*>(logits), logits_stride, target, lse, entropy, dlogprob, dentropy, suppress, (int)vocab,
                   temperature, inverse_temperature(temperature));
    });
  });
  return finish("logprob_bwd", status);
}
