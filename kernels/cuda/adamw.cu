// Gradient norm, clipping and AdamW over flat arrays of n elements; common/adamw.h has the formulas. The state may lie in pinned host
// memory: every array is read once and written once, 16 bytes at a time.
#include "../common/adamw.h"

#include "../common/philox.h"
#include "elements.cuh"

namespace kedge {
namespace {

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
  clip_coefficient(out, sum_squares[0], max_norm, grad_scale);
}

// Random words for elements i to i + W - 1; i: a multiple of W, which is 1 or 4.
template <int W>
__device__ __forceinline__ void random_words(uint32_t (&words)[W], uint64_t seed, int64_t step, int64_t i, uint32_t array) {
  const RoundingCounter c = rounding_counter((uint64_t)i / 4, step, array);
  const Philox4 r = philox((uint32_t)seed, (uint32_t)(seed >> 32), c.c0, c.c1, c.c2, c.c3);
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
  AdamWFactors by;
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
      first[j] = first[j] * by.beta1 + g[j] * by.one_minus_beta1;
      second[j] = second[j] * by.beta2 + g[j] * g[j] * by.one_minus_beta2;
      x[j] -= x[j] * by.decay + __fdividef(first[j] * by.step_size, root(second[j]) * by.inv_sqrt_bias2 + by.eps);
    }
    m.set(i, first, words, 0);
    v.set(i, second, words, 16);
    if constexpr (!std::is_same<Copy, Nothing>::value) store_vec(copy + i, x);
    p.set(i, x, param_words, 0);
  }
};

struct Request {
  AdamWState state;
  const float *grad, *clip;
  int64_t n;
  AdamWFactors by;
  uint64_t seed;
  int64_t step;
};

template <class P, class M, class Copy, Rounding kRounding>
void launch(const kedge_context* ctx, const Request& r) {
  const AdamWState& s = r.state;
  P* p = static_cast<P*>(std::is_same<Copy, Nothing>::value ? s.param : (void*)s.master);
  const AdamW<P, M, Copy, kRounding> body{{p, static_cast<bf16*>(s.p_lost)},
                                          {static_cast<M*>(s.m), static_cast<bf16*>(s.m_lost)},
                                          {static_cast<M*>(s.v), static_cast<bf16*>(s.v_lost)},
                                          static_cast<Copy*>(s.param),
                                          r.grad,
                                          r.clip,
                                          r.by,
                                          r.seed,
                                          r.step};
  bool wide = true;
  for (const void* array : {(const void*)s.param, (const void*)s.master, (const void*)s.m, (const void*)s.v, (const void*)s.m_lost,
                            (const void*)s.v_lost, (const void*)s.p_lost, (const void*)r.grad})
    wide = wide && aligned16(array);
  for_each<4>(ctx, r.n, wide, body);
}

template <class M, Rounding kRounding>
void choose_param(const kedge_context* ctx, const Request& r) {
  if (r.state.master && r.state.param_dtype == KEDGE_F32) {
    launch<float, M, float, kRounding>(ctx, r);
  } else if (r.state.master) {
    launch<float, M, bf16, kRounding>(ctx, r);
  } else {
    launch<float, M, Nothing, kRounding>(ctx, r);
  }
}
// What is f32 knows no rounding mode: only kernels that round one are built.
template <Rounding kRounding>
void choose(const kedge_context* ctx, const Request& r) {
  const bool bf16_param = !r.state.master && r.state.param_dtype == KEDGE_BF16;
  if (r.state.moment_dtype == KEDGE_F32) {
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

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_sum_squares(const kedge_context* ctx, int32_t dtype, double* out, const void* x, int64_t n, int32_t accumulate,
                                    kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_sum_squares(out, x, n, status));
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
  KEDGE_TRY(check_given({{"out", out}, {"sum_squares", sum_squares}}, status));
  KEDGE_SET_DEVICE();
  KEDGE_LAUNCH(clip_kernel, 1, 1, 0, stream_of(ctx), out, sum_squares, max_norm, grad_scale);
  return finish("clip_coefficient", status);
}

KEDGE_API int32_t kedge_adamw(const kedge_context* ctx, void* param, int32_t param_dtype, float* master, void* m, void* v,
                              int32_t moment_dtype, void* m_lost, void* v_lost, void* p_lost, const float* grad, const float* clip,
                              int64_t n, double lr, double beta1, double beta2, double eps, double weight_decay, double bias1, double bias2,
                              int32_t rounding, uint64_t seed, int64_t step, kedge_status* status) {
  const AdamWState state{param, param_dtype, master, m, v, moment_dtype, m_lost, v_lost, p_lost};
  KEDGE_TRY(check_adamw(state, grad, n, lr, beta1, beta2, eps, weight_decay, bias1, bias2, rounding, status));
  if (n == 0) return ok(status);
  KEDGE_SET_DEVICE();
  const Request r{state, grad, clip, n, adamw_factors(lr, beta1, beta2, eps, weight_decay, bias1, bias2), seed, step};
  if (rounding == kNearest) choose<kNearest>(ctx, r);
  if (rounding == kStochastic) choose<kStochastic>(ctx, r);
  if (rounding == kKahan) choose<kKahan>(ctx, r);
  return finish("adamw", status);
}
