// Gradient norm, clipping and AdamW with decoupled decay (Loshchilov & Hutter, arXiv 1711.05101) over flat arrays of n elements.
//
// Against torch.optim.AdamW: the same formula; torch multiplies p by the rounded factor 1 - lr * weight_decay, which in f32 is 1 for small
// products. Here the decay and the step are one subtraction from p, rounded once. beta, 1 - beta, bias corrections and step sizes are
// formed in f64.
//
// Stochastic rounding adds 16 random bits below a bf16's last place and truncates. The bits come from philox4x32-10 with key = seed and
// counter = { g lo, g hi, step lo, 2 * (step hi) + a }, g = element / 4; word j serves element 4 g + j. For a = 0 the word's lower half
// rounds m and its upper half v; for a = 1 the lower half rounds param.
//
// Kahan rounding keeps a value as the sum of two bf16: value = bf16(exact), lost = bf16(exact - value).
#include "../common/philox.h"
#include "vectors.h"

namespace kedge {
namespace {

constexpr int64_t kChunk = 16384;         // elements
constexpr int kCalls = 4 * kLanes;        // calls of philox that run side by side, to hide their latency
constexpr int64_t kGroup = 4 * kCalls;    // elements whose random bits they give
static_assert(kChunk % kGroup == 0, "a group does not cross chunks");
enum Rounding { kNearest = 0, kStochastic = 1, kKahan = 2 };

struct AdamW {
  float decay, step_size, beta1, beta2, one_minus_beta1, one_minus_beta2, inv_sqrt_bias2, eps, coefficient;
  uint32_t key[2];
  int64_t step;
};

// words[j] for the elements begin + j, j < kGroup; begin: a multiple of 4. The loops over calls become vector instructions.
void random_words(const AdamW& a, int64_t begin, uint32_t array, uint32_t* words) {
  uint32_t c0[kCalls], c1[kCalls], c2[kCalls], c3[kCalls], key0 = a.key[0], key1 = a.key[1];
  for (int l = 0; l < kCalls; l++) {
    uint64_t g = (uint64_t)begin / 4 + l;
    c0[l] = (uint32_t)g;
    c1[l] = (uint32_t)(g >> 32);
    c2[l] = (uint32_t)a.step;
    c3[l] = (uint32_t)((uint64_t)a.step >> 32) * 2 + array;
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
        vf first = m.get(i, count) * a.beta1 + g * a.one_minus_beta1;
        vf second = v.get(i, count) * a.beta2 + g * g * a.one_minus_beta2;
        m.set(i, first, bits & 0xffff, count);
        v.set(i, second, bits >> 16, count);
        vf x = p.get(i, count);
        x -= x * a.decay + first * a.step_size / (vsqrt(second) * a.inv_sqrt_bias2 + a.eps);
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
  KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32, "sum_squares takes f32 on the CPU, not dtype %d", dtype);
  KEDGE_REQUIRE(n >= 0, "n is %lld", (long long)n);
  KEDGE_REQUIRE(out && (x || n == 0), "out or x is NULL");
  double sum = sum_products(ctx, (const float*)x, (const float*)x, n);
  out[0] = accumulate ? out[0] + sum : sum;
  return ok(status);
}

KEDGE_API int32_t kedge_clip_coefficient(const kedge_context*, float* out, const double* sum_squares, double max_norm, double grad_scale,
                                         kedge_status* status) {
  KEDGE_REQUIRE(out && sum_squares, "out or sum_squares is NULL");
  double norm = std::sqrt(sum_squares[0]) * grad_scale;
  bool finite = std::isfinite((float)norm);
  out[0] = (float)norm;
  out[1] = !finite ? 0.f : (float)(max_norm > 0 ? grad_scale * std::min(1., max_norm / (norm + 1e-6)) : grad_scale);
  out[2] = finite ? 0.f : 1.f;
  out[3] = 0.f;
  return ok(status);
}

KEDGE_API int32_t kedge_adamw(const kedge_context* ctx, void* param, int32_t param_dtype, float* master, void* m, void* v,
                              int32_t moment_dtype, void* m_lost, void* v_lost, void* p_lost, const float* grad, const float* clip,
                              int64_t n, double lr, double beta1, double beta2, double eps, double weight_decay, double bias1,
                              double bias2, int32_t rounding, uint64_t seed, int64_t step, kedge_status* status) {
  for (int32_t dtype : {param_dtype, moment_dtype})
    KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32 || dtype == KEDGE_BF16, "adamw takes f32 and bf16, not dtype %d", dtype);
  KEDGE_REQUIRE(n >= 0, "n is %lld", (long long)n);
  KEDGE_REQUIRE(rounding >= kNearest && rounding <= kKahan, "rounding is %d", rounding);
  KEDGE_REQUIRE(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "beta1 %g, beta2 %g: outside [0, 1)", beta1, beta2);
  KEDGE_REQUIRE(eps >= 0 && bias1 > 0 && bias2 > 0, "eps %g, bias1 %g, bias2 %g", eps, bias1, bias2);
  KEDGE_REQUIRE(std::isfinite(lr) && std::isfinite(weight_decay), "lr %g, weight_decay %g", lr, weight_decay);
  if (n == 0) return ok(status);
  KEDGE_REQUIRE(param && m && v && grad, "param, m, v or grad is NULL");
  if (rounding == kKahan) {
    KEDGE_REQUIRE(moment_dtype == KEDGE_F32 || (m_lost && v_lost), "m_lost or v_lost is NULL with bf16 moments");
    KEDGE_REQUIRE(param_dtype == KEDGE_F32 || master || p_lost, "p_lost is NULL with a bf16 param that has no master");
  }
  if (clip && clip[2] != 0) return ok(status);
  AdamW a{(float)(lr * weight_decay),
          (float)(lr / bias1),
          (float)beta1,
          (float)beta2,
          (float)(1 - beta1),
          (float)(1 - beta2),
          (float)(1 / std::sqrt(bias2)),
          (float)eps,
          clip ? clip[1] : 1.f,
          {(uint32_t)seed, (uint32_t)(seed >> 32)},
          step};
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
