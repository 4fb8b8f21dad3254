// KL(softmax(logits / t) || softmax(ref_logits / t)) by rows of [n, vocab], a block for each row, and its gradient by the logits.
#include "softmax.cuh"

namespace kedge {
namespace {

template <class T, int W>
__global__ void __launch_bounds__(kRowThreads)
    kl_fwd_kernel(float* kl, float* lse, float* shift, const T* logits, int64_t logits_stride, const T* ref, int64_t ref_stride,
                  const int32_t* target, const uint8_t* suppress, int vocab, double temperature, float inv_t) {
  __shared__ float shared[32];
  __shared__ double wide[kRowThreads / 32];
  const int64_t row = blockIdx.x;
  if (target && target[row] < 0) {
    if (threadIdx.x == 0) kl[row] = lse[row] = shift[row] = 0.f;
    return;
  }
  const Logits<T, W> in{logits + row * logits_stride, suppress, vocab}, other{ref + row * ref_stride, suppress, vocab};
  const int first = (int)threadIdx.x * W, step = kRowThreads * W;
  Stats x, y;
  in.each(first, vocab, step, [&](int i, const float (&v)[W]) { x.add(v, i, inv_t); });
  other.each(first, vocab, step, [&](int i, const float (&v)[W]) { y.add(v, i, inv_t); });
  x.merge(inv_t, shared);
  y.merge(inv_t, shared);
  double sum = 0;
  for (int i = first; i < vocab; i += step) {
    float a[W], b[W];
    in.load(a, i);
    other.load(b, i);
#pragma unroll
    for (int j = 0; j < W; j++) {
      const float d = a[j] - x.largest, e = expf(d * inv_t);
      if (e != 0.f) sum += (double)(e * (d - (b[j] - y.largest)));
    }
  }
  sum = block_sum<kRowThreads>(sum, wide);
  if (threadIdx.x == 0) {
    const KlRow r = kl_row(x.largest, x.sum, y.largest, y.sum, sum, temperature);
    kl[row] = r.kl, lse[row] = r.lse, shift[row] = r.shift;
  }
}

// g_v = dkl p_v ((x - y) / t + shift) / t.
template <class T, int W>
__global__ void __launch_bounds__(kBlock)
    kl_bwd_kernel(T* dlogits, int64_t dlogits_stride, const T* logits, int64_t logits_stride, const T* ref, int64_t ref_stride,
                  const float* lse, const float* shift, const float* dkl, const int32_t* target, const uint8_t* suppress, int vocab,
                  double temperature, float inv_t) {
  const int64_t row = blockIdx.x;
  const Logits<T, W> in{logits + row * logits_stride, suppress, vocab}, other{ref + row * ref_stride, suppress, vocab};
  T* to = dlogits + row * dlogits_stride;
  const bool skipped = target && target[row] < 0;
  const SplitLse whole = split_lse(lse[row], temperature);
  const float by_p = dkl[row] * inv_t, by_shift = shift[row];
  const int first = ((int)blockIdx.y * kBlock + (int)threadIdx.x) * W, step = (int)gridDim.y * kBlock * W;
  for (int i = first; i < vocab; i += step) {
    float a[W], b[W], g[W];
    in.load(a, i);
    other.load(b, i);
#pragma unroll
    for (int j = 0; j < W; j++) {
      const float p = expf(((a[j] - whole.high) - whole.low) * inv_t);
      g[j] = skipped || p == 0.f ? 0.f : by_p * p * ((a[j] - b[j]) * inv_t + by_shift);
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

KEDGE_API int32_t kedge_kl_fwd(const kedge_context* ctx, int32_t dtype, float* kl, float* lse, float* shift, const void* logits,
                               int64_t logits_stride, const void* ref_logits, int64_t ref_stride, const int32_t* target,
                               const uint8_t* suppress, int64_t n, int64_t vocab, double temperature, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_logits(n, vocab, temperature, {{"logits", logits, logits_stride}, {"ref", ref_logits, ref_stride}}, status));
  KEDGE_TRY(check_row_grid(n, vocab, status));
  if (n == 0) return ok(status);
  KEDGE_TRY(check_given({{"kl", kl}, {"lse", lse}, {"shift", shift}}, status));
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_flag(wide_logits<T>(logits, logits_stride, suppress) && vector_rows<T>(ref_logits, ref_stride), [&](auto flag) {
      constexpr int W = decltype(flag)::value ? kVec<T> : 1;
      KEDGE_LAUNCH((kl_fwd_kernel<T, W>), (unsigned)n, kRowThreads, 0, stream_of(ctx), kl, lse, shift, static_cast<const T*>(logits),
                   logits_stride, static_cast<const T*>(ref_logits), ref_stride, target, suppress, (int)vocab, temperature,
                   inverse_temperature(temperature));
    });
  });
  return finish("kl_fwd", status);
}

KEDGE_API int32_t kedge_kl_bwd(const kedge_context* ctx, int32_t dtype, void* dlogits, int64_t dlogits_stride, const void* logits,
                               int64_t logits_stride, const void* ref_logits, int64_t ref_stride, const float* lse, const float* shift,
                               const float* dkl, const int32_t* target, const uint8_t* suppress, int64_t n, int64_t vocab,
                               double temperature, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_logits(n, vocab, temperature, {{"dlogits", dlogits, dlogits_stride}, {"logits", logits, logits_stride},
                                                 {"ref", ref_logits, ref_stride}}, status));
  KEDGE_TRY(check_row_grid(n, vocab, status));
  if (n == 0 || vocab == 0) return ok(status);
  KEDGE_TRY(check_given({{"lse", lse}, {"shift", shift}, {"dkl", dkl}}, status));
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = wide_logits<T>(logits, logits_stride, suppress) && vector_rows<T>(ref_logits, ref_stride) &&
                      vector_rows<T>(dlogits, dlogits_stride);
    with_flag(wide, [&](auto flag) {
      constexpr int W = decltype(flag)::value ? kVec<T> : 1;
      const int64_t slices = ceil_div(vocab, (int64_t)kBlock * W * 8);
      const dim3 grid((unsigned)n, (unsigned)(slices < 1 ? 1 : slices > 64 ? 64 : slices));
      KEDGE_LAUNCH((kl_bwd_kernel<T, W>), grid, kBlock, 0, stream_of(ctx), static_cast<T*>(dlogits), dlogits_stride,
                   static_cast<const T*>(logits), logits_stride, static_cast<const T*>(ref_logits), ref_stride, lse, shift, dkl, target,
                   suppress, (int)vocab, temperature, inverse_temperature(temperature));
    });
  });
  return finish("kl_bwd", status);
}
