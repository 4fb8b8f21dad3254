// SwiGLU (Shazeer, arXiv 2002.05202) and GELU in its three forms (Hendrycks & Gimpel, arXiv 1606.08415), forward and backward.
#include "../common/gelu.h"
#include "../common/normal_tail.h"
#include "vectors.h"

namespace kedge {
namespace {

constexpr int64_t kChunk = 8192;  // elements

// sigmoid(x) and sigmoid(-x), each to its own relative precision.
inline void sigmoid(vf x, vf& s, vf& s_minus) {
  vf e = vexp(-vabs(x)), near = 1.f / (1.f + e), far = e * near;
  vi negative = x < vf{};
  s = select(negative, far, near);
  s_minus = select(negative, near, far);
}

// The normal distribution's Phi(x) and phi(x), Phi to its own relative precision for all x (gelu: under 4 ulp of f32 above -1, under 5 in
// the tail below). With a = |x|: for a < 1, (Phi(x) - 1/2) / x is a polynomial in x^2 (to 2e-10). Beyond: the tail of
// common/normal_tail.h. The polynomial was found by weighted least squares driven to the minimax.
inline void normal(vf x, vf& cdf, vf& density) {
  vf a = vmin(vabs(x), splat(16.f));
  vf high = (vf)((vi)a & (vi)(vu{} + 0xfffff000u));
  vf e = with_rest(vexp(high * high * -0.5f), (a + high) * (a - high) * -0.5f);
  vf q = (a - 2.5f) / (a + 2.5f);
  vf tail = e * (normal_tail(q) / (1.f + a));
  cdf = select(x > vf{}, 1.f - tail, tail);
  vf u = x * x;
  vf c = splat(-7.5302646109776106e-06f);
  c = c * u + 0.00011314354924252257f;
  c = c * u - 0.0011859845835715532f;
  c = c * u + 0.009973171167075634f;
  c = c * u - 0.06649032980203629f;
  c = c * u + 0.3989422917366028f;
  cdf = select(a < splat(1.f), x * c + 0.5f, cdf);
  density = e * 0.3989422804014327f;
}

// GELU is x gate(x); slope is that of the gate.
struct ErfGate {
  static void at(vf x, vf& gate, vf& slope) { normal(x, gate, slope); }
};
// Far from 0 the gate is 0 or 1 whatever x is; the bound keeps an infinite slope of t from a product with 0.
template <class Form>
struct SigmoidGate {
  static void at(vf x, vf& gate, vf& slope) {
    vf a = vmin(vmax(x, splat(-128.f)), splat(128.f)), s_minus;
    sigmoid(Form::inner(a), gate, s_minus);
    slope = gate * s_minus * Form::slope(a);
  }
};

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_swiglu_fwd(const kedge_context* ctx, int32_t dtype, void* out_, int64_t out_stride, const void* gate_,
                                   int64_t gate_stride, const void* up_, int64_t up_stride, int64_t rows, int64_t dim,
                                   kedge_status* status) {
  KEDGE_REQUIRE_F32("swiglu");
  KEDGE_TRY(check_matrices(rows, dim, {{"out", out_, out_stride}, {"gate", gate_, gate_stride}, {"up", up_, up_stride}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  float* out = (float*)out_;
  const float *gate = (const float*)gate_, *up = (const float*)up_;
  parallel_range(ctx, rows, std::max<int64_t>(1, kChunk / dim), 4 * dim, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      float* o = out + r * out_stride;
      const float *g = gate + r * gate_stride, *u = up + r * up_stride;
      each_vector(0, dim, [=](int64_t i, auto count) {
        vf x = load(g + i, count), s, s_minus;
        sigmoid(x, s, s_minus);
        store(o + i, x * s * load(u + i, count), count);
      });
    }
  });
  return ok(status);
}

KEDGE_API int32_t kedge_swiglu_bwd(const kedge_context* ctx, int32_t dtype, void* dgate_, int64_t dgate_stride, void* dup_,
                                   int64_t dup_stride, const void* dout_, int64_t dout_stride, const void* gate_, int64_t gate_stride,
                                   const void* up_, int64_t up_stride, int64_t rows, int64_t dim, int32_t accumulate,
                                   kedge_status* status) {
  KEDGE_REQUIRE_F32("swiglu");
  KEDGE_TRY(check_matrices(rows, dim, {{"dgate", dgate_, dgate_stride}, {"dup", dup_, dup_stride}, {"dout", dout_, dout_stride},
                                       {"gate", gate_, gate_stride}, {"up", up_, up_stride}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  float *dgate = (float*)dgate_, *dup = (float*)dup_;
  const float *dout = (const float*)dout_, *gate = (const float*)gate_, *up = (const float*)up_;
  parallel_range(ctx, rows, std::max<int64_t>(1, kChunk / dim), 6 * dim, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      float *dg = dgate + r * dgate_stride, *du = dup + r * dup_stride;
      const float *d = dout + r * dout_stride, *g = gate + r * gate_stride, *u = up + r * up_stride;
      each_vector(0, dim, [=](int64_t i, auto count) {
        vf x = load(g + i, count), y = load(d + i, count), s, s_minus;
        sigmoid(x, s, s_minus);
        vf by_gate = y * load(u + i, count) * (s + x * s * s_minus), by_up = y * (x * s);
        if (accumulate & 1) by_gate += load(dg + i, count);
        if (accumulate & 2) by_up += load(du + i, count);
        store(dg + i, by_gate, count);
        store(du + i, by_up, count);
      });
    }
  });
  return ok(status);
}

KEDGE_API int32_t kedge_gelu_fwd(const kedge_context* ctx, int32_t dtype, void* y_, const void* x_, int64_t n, int32_t form,
                                 kedge_status* status) {
  KEDGE_REQUIRE_F32("gelu");
  KEDGE_TRY(check_gelu(n, form, {{"y", y_}, {"x", x_}}, status));
  if (n == 0) return ok(status);
  float* y = (float*)y_;
  const float* x = (const float*)x_;
  with_gate<ErfGate, SigmoidGate>(form, [=](auto gate) {
    parallel_range(ctx, n, kChunk, 6, [=](int64_t begin, int64_t end) {
      each_vector(begin, end, [=](int64_t i, auto count) {
        vf v = load(x + i, count), open, slope;
        gate.at(v, open, slope);
        store(y + i, v * open, count);
      });
    });
  });
  return ok(status);
}

KEDGE_API int32_t kedge_gelu_bwd(const kedge_context* ctx, int32_t dtype, void* dx_, const void* dy_, const void* x_, int64_t n,
                                 int32_t form, int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_F32("gelu");
  KEDGE_TRY(check_gelu(n, form, {{"dx", dx_}, {"dy", dy_}, {"x", x_}}, status));
  if (n == 0) return ok(status);
  float* dx = (float*)dx_;
  const float *dy = (const float*)dy_, *x = (const float*)x_;
  with_gate<ErfGate, SigmoidGate>(form, [=](auto gate) {
    parallel_range(ctx, n, kChunk, 6, [=](int64_t begin, int64_t end) {
      each_vector(begin, end, [=](int64_t i, auto count) {
        vf v = load(x + i, count), open, slope;
        gate.at(v, open, slope);
        vf d = load(dy + i, count) * (open + v * slope);
        if (accumulate & 1) d += load(dx + i, count);
        store(dx + i, d, count);
      });
    });
  });
  return ok(status);
}
