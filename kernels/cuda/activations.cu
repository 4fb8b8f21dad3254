// SwiGLU (Shazeer, arXiv 2002.05202) and GELU in its three forms (Hendrycks & Gimpel, arXiv 1606.08415), forward and backward.
#include "../common/gelu.h"
#include "../common/normal_tail.h"
#include "elements.cuh"

namespace kedge {
namespace {

// sigmoid(x) and 1 - sigmoid(x), neither by cancellation, and no overflow on the way.
__device__ __forceinline__ void sigmoids(float x, float& s, float& one_less_s) {
  const float e = expf(-fabsf(x)), r = __fdividef(1.f, 1.f + e);  // 1 + e lies in [1, 2], where the fast division is good to 2 ulp
  s = x >= 0.f ? r : e * r;
  one_less_s = x >= 0.f ? e * r : r;
}

template <class T>
struct SwigluFwd {
  T* out;
  const T *gate, *up;
  int64_t out_stride, gate_stride, up_stride;
  template <int W>
  __device__ __forceinline__ void at(int64_t row, int64_t c) const {
    float g[W], u[W];
    load_vec(g, gate + row * gate_stride + c);
    load_vec(u, up + row * up_stride + c);
#pragma unroll
    for (int j = 0; j < W; j++) {
      float s, t;
      sigmoids(g[j], s, t);
      g[j] = g[j] * s * u[j];
    }
    store_vec(out + row * out_stride + c, g);
  }
};

template <class T>
struct SwigluBwd {
  T *dgate, *dup;
  const T *dout, *gate, *up;
  int64_t dgate_stride, dup_stride, dout_stride, gate_stride, up_stride;
  int accumulate;
  template <int W>
  __device__ __forceinline__ void at(int64_t row, int64_t c) const {
    float d[W], g[W], u[W];
    load_vec(d, dout + row * dout_stride + c);
    load_vec(g, gate + row * gate_stride + c);
    load_vec(u, up + row * up_stride + c);
#pragma unroll
    for (int j = 0; j < W; j++) {
      float s, t;
      sigmoids(g[j], s, t);
      u[j] *= d[j] * s * (1.f + g[j] * t);
      d[j] *= g[j] * s;
    }
    T *to_gate = dgate + row * dgate_stride + c, *to_up = dup + row * dup_stride + c;
    if (accumulate & 1) {
      load_vec(g, to_gate);
#pragma unroll
      for (int j = 0; j < W; j++) u[j] += g[j];
    }
    if (accumulate & 2) {
      load_vec(g, to_up);
#pragma unroll
      for (int j = 0; j < W; j++) d[j] += g[j];
    }
    store_vec(to_gate, u);
    store_vec(to_up, d);
  }
};

// 1 / x to an ulp, for x far from the ends of the range; the exact division is a call that costs registers.
__device__ __forceinline__ float reciprocal(float x) {
  const float r = __fdividef(1.f, x);
  return fmaf(r, fmaf(-x, r, 1.f), r);
}

// The normal distribution's Phi(x) and phi(x), each to its own relative precision, as kernels/cpu/activations.cpp computes them: 1 + erf
// cancels in the tail, and erfc(-x / sqrt 2) doubles the rounding of its argument there. The tail is that of common/normal_tail.h.
__device__ __forceinline__ void normal(float x, float& cdf, float& density) {
  const float a = fminf(fabsf(x), 16.f), high = bits_to_float(float_to_bits(a) & 0xfffff000u);
  const float e = with_rest(expf(high * high * -0.5f), (a + high) * (a - high) * -0.5f);
  const float q = (a - 2.5f) * reciprocal(a + 2.5f);
  const float tail = e * (normal_tail(q) * reciprocal(1.f + a));
  cdf = x > 0.f ? 1.f - tail : tail;
  density = e * 0.3989422804014327f;
}

// GELU is x gate(x); slope is that of the gate.
struct ErfGate {
  __device__ __forceinline__ static void at(float x, float& gate, float& slope) { normal(x, gate, slope); }
};
// Far from 0 the gate is 0 or 1 whatever x is; the bound keeps an infinite slope of t from a product with 0.
template <class Form>
struct SigmoidGate {
  __device__ __forceinline__ static void at(float x, float& gate, float& slope) {
    const float a = fminf(fmaxf(x, -128.f), 128.f);
    float closed;
    sigmoids(Form::inner(a), gate, closed);
    slope = gate * closed * Form::slope(a);
  }
};

template <class T, class Gate>
struct GeluFwd {
  T* y;
  const T* x;
  template <int W>
  __device__ __forceinline__ void at(int64_t i) const {
    float v[W];
    load_vec(v, x + i);
#pragma unroll
    for (int j = 0; j < W; j++) {
      float gate, slope;
      Gate::at(v[j], gate, slope);
      v[j] *= gate;
    }
    store_vec(y + i, v);
  }
};

template <class T, class Gate, bool kAccumulate>
struct GeluBwd {
  T* dx;
  const T *dy, *x;
  template <int W>
  __device__ __forceinline__ void at(int64_t i) const {
    float v[W], d[W];
    load_vec(v, x + i);
    load_vec(d, dy + i);
#pragma unroll
    for (int j = 0; j < W; j++) {
      float gate, slope;
      Gate::at(v[j], gate, slope);
      d[j] *= gate + v[j] * slope;
    }
    if constexpr (kAccumulate) {
      load_vec(v, dx + i);
#pragma unroll
      for (int j = 0; j < W; j++) d[j] += v[j];
    }
    store_vec(dx + i, d);
  }
};

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_swiglu_fwd(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* gate,
                                   int64_t gate_stride, const void* up, int64_t up_stride, int64_t rows, int64_t dim,
                                   kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_matrices(rows, dim, {{"out", out, out_stride}, {"gate", gate, gate_stride}, {"up", up, up_stride}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = vector_rows<T>(out, out_stride) && vector_rows<T>(gate, gate_stride) && vector_rows<T>(up, up_stride);
    for_rows<kVec<T>>(
        ctx, rows, dim, wide,
        SwigluFwd<T>{static_cast<T*>(out), static_cast<const T*>(gate), static_cast<const T*>(up), out_stride, gate_stride, up_stride});
  });
  return finish("swiglu_fwd", status);
}

KEDGE_API int32_t kedge_swiglu_bwd(const kedge_context* ctx, int32_t dtype, void* dgate, int64_t dgate_stride, void* dup,
                                   int64_t dup_stride, const void* dout, int64_t dout_stride, const void* gate, int64_t gate_stride,
                                   const void* up, int64_t up_stride, int64_t rows, int64_t dim, int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_matrices(rows, dim, {{"dgate", dgate, dgate_stride}, {"dup", dup, dup_stride}, {"dout", dout, dout_stride},
                                       {"gate", gate, gate_stride}, {"up", up, up_stride}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = vector_rows<T>(dgate, dgate_stride) && vector_rows<T>(dup, dup_stride) && vector_rows<T>(dout, dout_stride) &&
                      vector_rows<T>(gate, gate_stride) && vector_rows<T>(up, up_stride);
    for_rows<kVec<T>>(ctx, rows, dim, wide,
                      SwigluBwd<T>{static_cast<T*>(dgate), static_cast<T*>(dup), static_cast<const T*>(dout), static_cast<const T*>(gate),
                                   static_cast<const T*>(up), dgate_stride, dup_stride, dout_stride, gate_stride, up_stride, accumulate});
  });
  return finish("swiglu_bwd", status);
}

KEDGE_API int32_t kedge_gelu_fwd(const kedge_context* ctx, int32_t dtype, void* y, const void* x, int64_t n, int32_t form,
                                 kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_gelu(n, form, {{"y", y}, {"x", x}}, status));
  if (n == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_gate<ErfGate, SigmoidGate>(form, [&](auto gate) {
      for_each<kVec<T>>(ctx, n, aligned16(y) && aligned16(x), GeluFwd<T, decltype(gate)>{static_cast<T*>(y), static_cast<const T*>(x)});
    });
  });
  return finish("gelu_fwd", status);
}

KEDGE_API int32_t kedge_gelu_bwd(const kedge_context* ctx, int32_t dtype, void* dx, const void* dy, const void* x, int64_t n, int32_t form,
                                 int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_gelu(n, form, {{"dx", dx}, {"dy", dy}, {"x", x}}, status));
  if (n == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_flag((accumulate & 1) != 0, [&](auto flag) {
      with_gate<ErfGate, SigmoidGate>(form, [&](auto gate) {
        using Body = GeluBwd<T, decltype(gate), decltype(flag)::value>;
        for_each<kVec<T>>(ctx, n, aligned16(dx) && aligned16(dy) && aligned16(x),
                          Body{static_cast<T*>(dx), static_cast<const T*>(dy), static_cast<const T*>(x)});
      });
    });
  });
  return finish("gelu_bwd", status);
}
