// Rotary embedding: the table of cosines and sines from position ids, and the rotation of heads, forward and (inverse) backward.
// Su et al., arXiv 2104.09864.
#include "../common/rope_cache.h"
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

// Columns run over (head, i) of queries, keys and values, i < half: an element and its partner half a head further. A bad row of the cache has no place to
// write to: it is skipped as -1 is.
template <class T>
struct RotateAndCache {
  T *qkv, *cache;
  const T* bias;
  const int32_t* cache_row;
  const float *cos, *sin;
  int64_t qkv_stride, cache_stride, cache_tokens;
  unsigned half, heads, kv_heads;
  template <int W>
  __device__ __forceinline__ void at(int64_t token, int64_t column) const {
    const unsigned head = (unsigned)column / half, i = (unsigned)column - head * half;
    const int64_t offset = (int64_t)head * 2 * half + i;
    T* x = qkv + token * qkv_stride + offset;
    T* y = x;
    if (head >= heads) {
      const int64_t row = cache_row[token];
      if (row < 0 || row >= cache_tokens) return;
      y = cache + row * cache_stride + offset - (int64_t)heads * 2 * half;
    }
    float a[W], b[W];
    load_vec(a, x);
    load_vec(b, x + half);
    if (bias) {
      float p[W], q[W];
      load_vec(p, bias + offset);
      load_vec(q, bias + offset + half);
#pragma unroll
      for (int j = 0; j < W; j++) a[j] = to_float(from_float<T>(a[j] + p[j])), b[j] = to_float(from_float<T>(b[j] + q[j]));
    }
    if (head < heads + kv_heads) {
      float c[W], s[W];
      load_vec(c, cos + token * half + i);
      load_vec(s, sin + token * half + i);
#pragma unroll
      for (int j = 0; j < W; j++) {
        const float first = a[j] * c[j] - b[j] * s[j];
        b[j] = b[j] * c[j] + a[j] * s[j];
        a[j] = first;
      }
    }
    store_vec(y, a);
    store_vec(y + half, b);
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

KEDGE_API int32_t kedge_rope_cache(const kedge_context* ctx, int32_t dtype, void* qkv, int64_t qkv_stride, const void* bias, void* cache,
                                   int64_t cache_stride, const int32_t* cache_row, const float* cos, const float* sin, int64_t tokens,
                                   int64_t heads, int64_t kv_heads, int64_t head_dim, int64_t cache_tokens, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_rope_cache(qkv, qkv_stride, cache, cache_stride, cache_row, cos, sin, tokens, heads, kv_heads, head_dim, cache_tokens, status));
  const int64_t half = head_dim / 2, all = heads + 2 * kv_heads;
  if (tokens == 0 || all == 0 || half == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = half % kVec<T> == 0 && vector_rows<T>(qkv, qkv_stride) && vector_rows<T>(cache, cache_stride) &&
                      (!bias || aligned16(bias)) && aligned16(cos) && aligned16(sin);
    for_rows<kVec<T>>(ctx, tokens, all * half, wide,
                      RotateAndCache<T>{static_cast<T*>(qkv), static_cast<T*>(cache), static_cast<const T*>(bias), cache_row, cos, sin, qkv_stride,
                                        cache_stride, cache_tokens, (unsigned)half, (unsigned)heads, (unsigned)kv_heads});
  });
  return finish("rope_cache", status);
}
