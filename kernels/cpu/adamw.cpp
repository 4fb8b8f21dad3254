// Gradient norm, clipping and AdamW over flat arrays of n elements; common/adamw.h has the formulas. kGroup elements share their calls of
// philox, which run side by side in vectors. A group lies within a chunk, and an element's random bits depend on its place alone, so that
// the result does not depend on the threads.
#include "../common/adamw.h"

#include "../common/philox.h"
#include "vectors.h"

namespace kedge {
namespace {

constexpr int64_t kChunk = 16384;         // elements
constexpr int kCalls = 4 * kLanes;        // calls of philox that run side by side, to hide their latency
constexpr int64_t kGroup = 4 * kCalls;    // elements whose random bits they give
static_assert(kChunk % kGroup == 0, "a group does not cross chunks");

struct AdamW {
  AdamWFactors by;
  float coefficient;  // on the gradient, from clipping
  uint32_t key[2];
  int64_t step;
};

// words[j] for the elements begin + j, j < kGroup; begin: a multiple of 4. The loops over calls become vector instructions.
void random_words(const AdamW& a, int64_t begin, uint32_t array, uint32_t* words) {
  uint32_t c0[kCalls], c1[kCalls], c2[kCalls], c3[kCalls], key0 = a.key[0], key1 = a.key[1];
  for (int l = 0; l < kCalls; l++) {
    const RoundingCounter c = rounding_counter((uint64_t)begin / 4 + l, a.step, array);
    c0[l] = c.c0, c1[l] = c.c1, c2[l] = c.c2, c3[l] = c.c3;
  }
  for (int round = 0; round < 10; round++) {
    for (int l = 0; l < kCalls; l++) philox_round(c0[l], c1[l], c2[l], c3[l], key0, key1);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  for (int l = 0; l < kCalls; l++) {
    words[4 * l] = c0[l];
    words[4 * l + 1] = c1[l];
    words[4 * l + 2] = c2[l];
    words[4 * l + 3] = c3[l];
  }
}

// One value of the state in memory: how it is read, and how its new value is rounded.
template <class T, Rounding kRounding>
struct State {
  T* x;
  bf16* lost;

  template <class Count>
  vf get(int64_t i, Count count) const {
    vf v = load(x + i, count);
    if constexpr (std::is_same_v<T, bf16> && kRounding == kKahan) v += load(lost + i, count);
    return v;
  }
  template <class Count>
  void set(int64_t i, vf v, vu random16, Count count) const {
    (void)random16;
    if constexpr (!std::is_same_v<T, bf16> || kRounding == kNearest) {
      store(x + i, v, count);
    } else if constexpr (kRounding == kStochastic) {
      vu u = (vu)v;
      store(x + i, (vf)select(v != v, u | 0x400000, (u + random16) & 0xffff0000), count);  // exact in bf16: the store does not round again
    } else {
      vf high = from_half_bits(to_half_bits(v, bf16{}), bf16{});
      store(x + i, high, count);
      store(lost + i, v - high, count);
    }
  }
};

// copy: the param next to its master, nullable.
template <Rounding kRounding, class P, class M, class Copy>
void update(const kedge_context* ctx, const AdamW& a, State<P, kRounding> p, State<M, kRounding> m, State<M, kRounding> v, Copy* copy,
            const float* grad, int64_t n) {
  constexpr bool kParamBits = kRounding == kStochastic && std::is_same_v<P, bf16>;
  constexpr bool kMomentBits = kRounding == kStochastic && std::is_same_v<M, bf16>;
  parallel_range(ctx, n, kChunk, 4, [=](int64_t begin, int64_t end) {
    uint32_t moment_words[kGroup] = {}, param_words[kGroup] = {};
    for (int64_t group = begin; group < end; group += kGroup) {
      if (kMomentBits) random_words(a, group, 0, moment_words);
      if (kParamBits) random_words(a, group, 1, param_words);
      each_vector(group, std::min(end, group + kGroup), [&](int64_t i, auto count) {
        vu bits{}, param_bits{};
        if (kMomentBits) bits = *(const vu*)(moment_words + (i - group));
        if (kParamBits) param_bits = *(const vu*)(param_words + (i - group)) & 0xffff;
        vf g = load(grad + i, count) * a.coefficient;
        vf first = m.get(i, count) * a.by.beta1 + g * a.by.one_minus_beta1;
        vf second = v.get(i, count) * a.by.beta2 + g * g * a.by.one_minus_beta2;
        m.set(i, first, bits & 0xffff, count);
        v.set(i, second, bits >> 16, count);
        vf x = p.get(i, count);
        x -= x * a.by.decay + first * a.by.step_size / (vsqrt(second) * a.by.inv_sqrt_bias2 + a.by.eps);
        p.set(i, x, param_bits, count);
        if (copy) store(copy + i, x, count);
      });
    }
  });
}

template <Rounding kRounding, class M>
void choose_param(const kedge_context* ctx, const AdamW& a, void* param, int32_t param_dtype, float* master, State<M, kRounding> m,
                  State<M, kRounding> v, bf16* p_lost, const float* grad, int64_t n) {
  State<float, kRounding> f32{master ? master : (float*)param, nullptr};
  if (master && param_dtype == KEDGE_F32) update(ctx, a, f32, m, v, (float*)param, grad, n);
  else if (master) update(ctx, a, f32, m, v, (bf16*)param, grad, n);
  else if (param_dtype == KEDGE_F32) update(ctx, a, f32, m, v, (float*)nullptr, grad, n);
  else update(ctx, a, State<bf16, kRounding>{(bf16*)param, p_lost}, m, v, (float*)nullptr, grad, n);
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_sum_squares(const kedge_context* ctx, int32_t dtype, double* out, const void* x, int64_t n, int32_t accumulate,
                                    kedge_status* status) {
  KEDGE_REQUIRE_F32("sum_squares");
  KEDGE_TRY(check_sum_squares(out, x, n, status));
  double sum = sum_products(ctx, (const float*)x, (const float*)x, n);
  out[0] = accumulate ? out[0] + sum : sum;
  return ok(status);
}

KEDGE_API int32_t kedge_clip_coefficient(const kedge_context*, float* out, const double* sum_squares, double max_norm, double grad_scale,
                                         kedge_status* status) {
  KEDGE_TRY(check_given({{"out", out}, {"sum_squares", sum_squares}}, status));
  clip_coefficient(out, sum_squares[0], max_norm, grad_scale);
  return ok(status);
}

KEDGE_API int32_t kedge_adamw(const kedge_context* ctx, void* param, int32_t param_dtype, float* master, void* m, void* v,
                              int32_t moment_dtype, void* m_lost, void* v_lost, void* p_lost, const float* grad, const float* clip,
                              int64_t n, double lr, double beta1, double beta2, double eps, double weight_decay, double bias1,
                              double bias2, int32_t rounding, uint64_t seed, int64_t step, kedge_status* status) {
  const AdamWState state{param, param_dtype, master, m, v, moment_dtype, m_lost, v_lost, p_lost};
  KEDGE_TRY(check_adamw(state, grad, n, lr, beta1, beta2, eps, weight_decay, bias1, bias2, rounding, status));
  if (n == 0 || (clip && clip[2] != 0)) return ok(status);
  const AdamW a{adamw_factors(lr, beta1, beta2, eps, weight_decay, bias1, bias2), clip ? clip[1] : 1.f,
                {(uint32_t)seed, (uint32_t)(seed >> 32)}, step};
  auto run = [&](auto tag) {
    constexpr Rounding kRounding = decltype(tag)::value;
    if (moment_dtype == KEDGE_F32) {
      State<float, kRounding> first{(float*)m, nullptr}, second{(float*)v, nullptr};
      choose_param(ctx, a, param, param_dtype, master, first, second, (bf16*)p_lost, grad, n);
    } else {
      State<bf16, kRounding> first{(bf16*)m, (bf16*)m_lost}, second{(bf16*)v, (bf16*)v_lost};
      choose_param(ctx, a, param, param_dtype, master, first, second, (bf16*)p_lost, grad, n);
    }
  };
  if (rounding == kNearest) run(std::integral_constant<Rounding, kNearest>{});
  else if (rounding == kStochastic) run(std::integral_constant<Rounding, kStochastic>{});
  else run(std::integral_constant<Rounding, kKahan>{});
  return ok(status);
}
