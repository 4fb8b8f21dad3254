// Rotary embedding: the table of cosines and sines from position ids, and the rotation of heads, forward and (inverse) backward.
// Su et al., arXiv 2104.09864.
#include "elements.cuh"

namespace kedge {
namespace {

// Accurate sine and cosine (not the fast ones): angles reach tens of thousands of radians. An axis or a table of none gives NaN.
struct Table {
  float *cos, *sin;
  const int32_t *positions, *axis;
  const float* inv_freq;
  int64_t axes, tokens, half;
  template <int W>
  __device__ __forceinline__ void at(int64_t token, int64_t i) const {
    const int64_t which = axis[i];
    float c = NAN, s = NAN;
    if (which >= 0 && which < axes) sincosf((float)positions[which * tokens + token] * inv_freq[i], &s, &c);
    cos[token * half + i] = c;
    sin[token * half + i] = s;
  }
};

// Columns run over (head, i), i < half: an element and its partner half a head further.
template <class T, bool kAccumulate>
struct Rotate {
  T* y;
  const T* x;
  const float *cos, *sin;
  int64_t y_stride, x_stride;
  unsigned half;
  float sign;  // -1 turns back
  template <int W>
  __device__ __forceinline__ void at(int64_t token, int64_t column) const {
    const unsigned head = (unsigned)column / half, i = (unsigned)column - head * half;
    const int64_t offset = (int64_t)head * 2 * half + i;
    const T *x1 = x + token * x_stride + offset, *x2 = x1 + half;
    T *y1 = y + token * y_stride + offset, *y2 = y1 + half;
    float a[W], b[W], c[W], s[W], p[W], q[W];
    load_vec(a, x1);
    load_vec(b, x2);
    load_vec(c, cos + token * half + i);
    load_vec(s, sin + token * half + i);
#pragma unroll
    for (int j = 0; j < W; j++) {
      p[j] = a[j] * c[j] - b[j] * (sign * s[j]);
      q[j] = b[j] * c[j] + a[j] * (sign * s[j]);
    }
    if constexpr (kAccumulate) {
      load_vec(a, y1);
      load_vec(b, y2);
#pragma unroll
      for (int j = 0; j < W; j++) {
        p[j] += a[j];
        q[j] += b[j];
      }
    }
    store_vec(y1, p);
    store_vec(y2, q);
  }
};

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_rope_table(const kedge_context* ctx, float* cos, float* sin, const int32_t* positions, const int32_t* axis,
                                   const float* inv_freq, int64_t axes, int64_t tokens, int64_t half, kedge_status* status) {
  KEDGE_TRY(check_rope_table({{"cos", cos}, {"sin", sin}, {"positions", positions}, {"axis", axis}, {"inv_freq", inv_freq}}, axes, tokens, half, status));
  if (tokens == 0 || half == 0) return ok(status);
  KEDGE_SET_DEVICE();
  for_rows<1>(ctx, tokens, half, false, Table{cos, sin, positions, axis, inv_freq, axes, tokens, half});
  return finish("rope_table", status);
}

KEDGE_API int32_t kedge_rope(const kedge_context* ctx, int32_t dtype, void* y, int64_t y_stride, const void* x, int64_t x_stride,
                             const float* cos, const float* sin, int64_t tokens, int64_t heads, int64_t head_dim, int32_t inverse,
                             int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_rope({{"y", y, y_stride}, {"x", x, x_stride}}, cos, sin, tokens, heads, head_dim, status));
  if (tokens == 0 || heads == 0 || head_dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  const int64_t half = head_dim / 2;
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = half % kVec<T> == 0 && vector_rows<T>(y, y_stride) && vector_rows<T>(x, x_stride) && aligned16(cos) && aligned16(sin);
    with_flag((accumulate & 1) != 0, [&](auto flag) {
      for_rows<kVec<T>>(ctx, tokens, heads * half, wide,
                        Rotate<T, decltype(flag)::value>{static_cast<T*>(y), static_cast<const T*>(x), cos, sin, y_stride, x_stride,
                                                         (unsigned)half, inverse ? -1.f : 1.f});
    });
  });
  return finish("rope", status);
}
