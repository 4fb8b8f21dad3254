// KL(softmax(logits / t) || softmax(ref_logits / t)) by rows of [n, vocab], a block a row, and its gradient by the logits.
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
  // sum e^{(x - largest x) / t} * ((x - largest x) - (y - largest y)): differences from the largest, so that a shift of either row costs no digits.
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
    const double log_x = log((double)x.sum), log_y = log((double)y.sum), k = sum / x.sum / temperature + log_y - log_x;
    kl[row] = (float)k;
    lse[row] = (float)(x.largest / temperature + log_x);
    shift[row] = (float)(((double)y.largest - x.largest) / temperature + log_y - log_x - k);
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
  const double top = (double)lse[row] * temperature;
  const float high = (float)top, low = (float)(top - (double)high), by_p = dkl[row] * inv_t, by_shift = shift[row];
  const int first = ((int)blockIdx.y * kBlock + (int)threadIdx.x) * W, step = (int)gridDim.y * kBlock * W;
  for (int i = first; i < vocab; i += step) {
    float a[W], b[W], g[W];
    in.load(a, i);
    other.load(b, i);
#pragma unroll
    for (int j = 0; j < W; j++) {
      const float p = expf(((a[j] - high) - low) * inv_t);
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

#define REQUIRE_ROWS()                                                                                                                      \
  do {                                                                                                                                      \
    KEDGE_REQUIRE_FLOAT(dtype);                                                                                                             \
    KEDGE_REQUIRE(n >= 0 && n <= kRowCap && vocab >= 0 && vocab <= kMaxVocab, "n is %lld, vocab %lld", (long long)n, (long long)vocab);     \
    KEDGE_REQUIRE(temperature > 0 && temperature <= DBL_MAX, "temperature is %g", temperature);                                             \
    KEDGE_REQUIRE(logits_stride >= vocab && ref_stride >= vocab, "strides %lld and %lld are below vocab %lld", (long long)logits_stride,    \
                  (long long)ref_stride, (long long)vocab);                                                                                 \
  } while (0)

KEDGE_API int32_t kedge_kl_fwd(const kedge_context* ctx, int32_t dtype, float* kl, float* lse, float* shift, const void* logits,
                               int64_t logits_stride, const void* ref_logits, int64_t ref_stride, const int32_t* target,
                               const uint8_t* suppress, int64_t n, int64_t vocab, double temperature, kedge_status* status) {
  REQUIRE_ROWS();
  if (n == 0) return ok(status);
  KEDGE_REQUIRE(kl && lse && shift && (vocab == 0 || (logits && ref_logits)), "kl, lse, shift, logits or ref_logits is NULL");
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
  REQUIRE_ROWS();
  KEDGE_REQUIRE(dlogits_stride >= vocab, "stride %lld is below vocab %lld", (long long)dlogits_stride, (long long)vocab);
  if (n == 0 || vocab == 0) return ok(status);
  KEDGE_REQUIRE(dlogits && logits && ref_logits && lse && shift && dkl, "dlogits, logits, ref_logits, lse, shift or dkl is NULL");
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
