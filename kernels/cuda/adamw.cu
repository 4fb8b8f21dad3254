// Gradient norm, clipping and AdamW with decoupled decay (Loshchilov & Hutter, arXiv 1711.05101) over flat arrays of n elements. The state
// may lie in pinned host memory: every array is read once and written once, 16 bytes at a time.
//
// As the CPU's: the decay and the step are one subtraction from p; beta, 1 - beta, bias corrections and step sizes are formed in f64.
// Stochastic rounding adds 16 random bits below a bf16's last place and truncates; the bits come from philox4x32-10 with key = seed and
// counter = { g lo, g hi, step lo, 2 * (step hi) + a }, g = element / 4; word j serves element 4 g + j. For a = 0 the word's lower half
// rounds m and its upper half v; for a = 1 the lower half rounds param. Kahan rounding keeps a value as the sum of two bf16: value =
// bf16(exact), lost = bf16(exact - value).
#include "../common/philox.h"
#include "elements.cuh"

namespace kedge {
namespace {

enum Rounding { kNearest = 0, kStochastic = 1, kKahan = 2 };
typedef __nv_bfloat16 bf16;

template <class T>
struct Squares {
  const T* x;
  template <int W>
  __device__ __forceinline__ double at(int64_t i) const {
    float v[W];
    load_vec(v, x + i);
    double sum = 0;
#pragma unroll
    for (int j = 0; j < W; j++) sum += (double)v[j] * (double)v[j];
    return sum;
  }
};

__global__ void clip_kernel(float* out, const double* sum_squares, double max_norm, double grad_scale) {
  const double norm = sqrt(sum_squares[0]) * grad_scale, limit = max_norm / (norm + 1e-6);
  const bool finite = fabsf((float)norm) <= FLT_MAX;
  out[0] = (float)norm;
  out[1] = !finite ? 0.f : (float)(max_norm > 0 ? grad_scale * (limit < 1. ? limit : 1.) : grad_scale);
  out[2] = finite ? 0.f : 1.f;
  out[3] = 0.f;
}

// Random words for elements i to i + W - 1; i: a multiple of W, which is 1 or 4.
template <int W>
__device__ __forceinline__ void random_words(uint32_t (&words)[W], uint64_t seed, int64_t step, int64_t i, uint32_t array) {
  const uint64_t g = (uint64_t)i / 4;
  const Philox4 r = philox((uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)g, (uint32_t)(g >> 32), (uint32_t)step,
                           (uint32_t)((uint64_t)step >> 32) * 2 + array);
  if constexpr (W == 4) {
#pragma unroll
    for (int j = 0; j < 4; j++) words[j] = r.x[j];
  } else {
    const int j = (int)(i % 4);
    words[0] = j == 0 ? r.x[0] : j == 1 ? r.x[1] : j == 2 ? r.x[2] : r.x[3];
  }
}

// One array of the state: how it is read, and how its new value is rounded.
template <class T, Rounding kRounding>
struct State {
  static constexpr bool kRounds = std::is_same<T, bf16>::value, kRandom = kRounds && kRounding == kStochastic;
  T* x;
  bf16* lost;

  template <int W>
  __device__ __forceinline__ void get(float (&v)[W], int64_t i) const {
    load_vec(v, x + i);
    if constexpr (kRounds && kRounding == kKahan) {
      float l[W];
      load_vec(l, lost + i);
#pragma unroll
      for (int j = 0; j < W; j++) v[j] += l[j];
    }
  }
  // Random bits: 16 of words[j], from `shift` on.
  template <int W>
  __device__ __forceinline__ void set(int64_t i, float (&v)[W], const uint32_t (&words)[W], int shift) const {
    (void)words, (void)shift;
    if constexpr (kRandom) {
#pragma unroll
      for (int j = 0; j < W; j++) {
        const uint32_t bits = float_to_bits(v[j]);  // the sum is exact in bf16: the store does not round again
        v[j] = v[j] != v[j] ? v[j] : bits_to_float((bits + (words[j] >> shift & 0xffffu)) & 0xffff0000u);
      }
    }
    store_vec(x + i, v);
    if constexpr (kRounds && kRounding == kKahan) {
      float l[W];
#pragma unroll
      for (int j = 0; j < W; j++) l[j] = v[j] - to_float(from_float<bf16>(v[j]));
      store_vec(lost + i, l);
    }
  }
};

// sqrt to 2 ulp, as the division below: such errors are of the step, which is small beside p, and the exact ones are calls that cost
// registers.
__device__ __forceinline__ float root(float x) { return x > 0.f && x < INFINITY ? x * rsqrtf(x) : x; }

struct Nothing {};

// copy: the param next to its master (Copy Nothing: none).
template <class P, class M, class Copy, Rounding kRounding>
struct AdamW {
  State<P, kRounding> p;
  State<M, kRounding> m, v;
  Copy* copy;
  const float *grad, *clip;
  float decay, step_size, beta1, beta2, one_minus_beta1, one_minus_beta2, inv_sqrt_bias2, eps;
  uint64_t seed;
  int64_t step;

  template <int W>
  __device__ __forceinline__ void at(int64_t i) const {
    float coefficient = 1.f;
    if (clip) {
      if (clip[2] != 0.f) return;
      coefficient = clip[1];
    }
    float g[W], first[W], second[W], x[W];
    load_vec(g, grad + i);
    m.get(first, i);
    v.get(second, i);
    p.get(x, i);
    uint32_t words[W] = {}, param_words[W] = {};
    if constexpr (decltype(m)::kRandom) random_words(words, seed, step, i, 0);
    if constexpr (decltype(p)::kRandom) random_words(param_words, seed, step, i, 1);
#pragma unroll
    for (int j = 0; j < W; j++) {
      g[j] *= coefficient;
      first[j] = first[j] * beta1 + g[j] * one_minus_beta1;
      second[j] = second[j] * beta2 + g[j] * g[j] * one_minus_beta2;
      x[j] -= x[j] * decay + __fdividef(first[j] * step_size, root(second[j]) * inv_sqrt_bias2 + eps);
    }
    m.set(i, first, words, 0);
    v.set(i, second, words, 16);
    if constexpr (!std::is_same<Copy, Nothing>::value) store_vec(copy + i, x);
    p.set(i, x, param_words, 0);
  }
};

struct Request {
  void* param;
  int32_t param_dtype;
  float* master;
  void *m, *v;
  int32_t moment_dtype;
  void *m_lost, *v_lost, *p_lost;
  const float *grad, *clip;
  int64_t n;
  double lr, beta1, beta2, eps, weight_decay, bias1, bias2;
  uint64_t seed;
  int64_t step;
};

template <class P, class M, class Copy, Rounding kRounding>
void launch(const kedge_context* ctx, const Request& r) {
  P* p = static_cast<P*>(std::is_same<Copy, Nothing>::value ? r.param : (void*)r.master);
  const AdamW<P, M, Copy, kRounding> body{{p, static_cast<bf16*>(r.p_lost)},
                                          {static_cast<M*>(r.m), static_cast<bf16*>(r.m_lost)},
                                          {static_cast<M*>(r.v), static_cast<bf16*>(r.v_lost)},
                                          static_cast<Copy*>(r.param),
                                          r.grad,
                                          r.clip,
                                          (float)(r.lr * r.weight_decay),
                                          (float)(r.lr / r.bias1),
                                          (float)r.beta1,
                                          (float)r.beta2,
                                          (float)(1 - r.beta1),
                                          (float)(1 - r.beta2),
                                          (float)(1 / sqrt(r.bias2)),
                                          (float)r.eps,
                                          r.seed,
                                          r.step};
  bool wide = true;
  for (const void* array : {(const void*)r.param, (const void*)r.master, (const void*)r.m, (const void*)r.v, (const void*)r.m_lost,
                            (const void*)r.v_lost, (const void*)r.p_lost, (const void*)r.grad})
    wide = wide && aligned16(array);
  for_each<4>(ctx, r.n, wide, body);
}

template <class M, Rounding kRounding>
void choose_param(const kedge_context* ctx, const Request& r) {
  if (r.master && r.param_dtype == KEDGE_F32) {
    launch<float, M, float, kRounding>(ctx, r);
  } else if (r.master) {
    launch<float, M, bf16, kRounding>(ctx, r);
  } else {
    launch<float, M, Nothing, kRounding>(ctx, r);
  }
}
// What is f32 knows no rounding mode: only kernels that round one are built.
template <Rounding kRounding>
void choose(const kedge_context* ctx, const Request& r) {
  const bool bf16_param = !r.master && r.param_dtype == KEDGE_BF16;
  if (r.moment_dtype == KEDGE_F32) {
    if (bf16_param) {
      launch<bf16, float, Nothing, kRounding>(ctx, r);
    } else {
      choose_param<float, kNearest>(ctx, r);
    }
  } else if (bf16_param) {
    launch<bf16, bf16, Nothing, kRounding>(ctx, r);
  } else {
    choose_param<bf16, kRounding>(ctx, r);
  }
}

bool is_finite(double x) { return fabs(x) <= DBL_MAX; }

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_sum_squares(const kedge_context* ctx, int32_t dtype, double* out, const void* x, int64_t n, int32_t accumulate,
                                    kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_REQUIRE(n >= 0, "n is %lld", (long long)n);
  KEDGE_REQUIRE(out && (x || n == 0), "out or x is NULL");
  KEDGE_REQUIRE_WORKSPACE(sum_chunks(n) * 8);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    sum_all<kVec<T>>(ctx, out, n, aligned16(x), accumulate != 0, Squares<T>{static_cast<const T*>(x)});
  });
  return finish("sum_squares", status);
}

KEDGE_API int32_t kedge_clip_coefficient(const kedge_context* ctx, float* out, const double* sum_squares, double max_norm,
                                         double grad_scale, kedge_status* status) {
  KEDGE_REQUIRE(out && sum_squares, "out or sum_squares is NULL");
  KEDGE_SET_DEVICE();
  KEDGE_LAUNCH(clip_kernel, 1, 1, 0, stream_of(ctx), out, sum_squares, max_norm, grad_scale);
  return finish("clip_coefficient", status);
}

KEDGE_API int32_t kedge_adamw(const kedge_context* ctx, void* param, int32_t param_dtype, float* master, void* m, void* v,
                              int32_t moment_dtype, void* m_lost, void* v_lost, void* p_lost, const float* grad, const float* clip,
                              int64_t n, double lr, double beta1, double beta2, double eps, double weight_decay, double bias1, double bias2,
                              int32_t rounding, uint64_t seed, int64_t step, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(param_dtype);
  KEDGE_REQUIRE_FLOAT(moment_dtype);
  KEDGE_REQUIRE(n >= 0, "n is %lld", (long long)n);
  KEDGE_REQUIRE(rounding >= kNearest && rounding <= kKahan, "rounding is %d", rounding);
  KEDGE_REQUIRE(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "beta1 %g, beta2 %g: outside [0, 1)", beta1, beta2);
  KEDGE_REQUIRE(eps >= 0 && bias1 > 0 && bias2 > 0, "eps %g, bias1 %g, bias2 %g", eps, bias1, bias2);
  KEDGE_REQUIRE(is_finite(lr) && is_finite(weight_decay), "lr %g, weight_decay %g", lr, weight_decay);
  if (n == 0) return ok(status);
  KEDGE_REQUIRE(param && m && v && grad, "param, m, v or grad is NULL");
  if (rounding == kKahan) {
    KEDGE_REQUIRE(moment_dtype == KEDGE_F32 || (m_lost && v_lost), "m_lost or v_lost is NULL with bf16 moments");
    KEDGE_REQUIRE(param_dtype == KEDGE_F32 || master || p_lost, "p_lost is NULL with a bf16 param that has no master");
  }
  KEDGE_SET_DEVICE();
  const Request r{param, param_dtype, master, m,     v,   moment_dtype, m_lost, v_lost, p_lost, grad, clip,
                  n,     lr,          beta1,  beta2, eps, weight_decay, bias1,  bias2,  seed,   step};
  if (rounding == kNearest) choose<kNearest>(ctx, r);
  if (rounding == kStochastic) choose<kStochastic>(ctx, r);
  if (rounding == kKahan) choose<kKahan>(ctx, r);
  return finish("adamw", status);
}
