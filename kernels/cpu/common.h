// What the CPU kernels share: threads in fixed chunks, SIMD vectors, exp.
#pragma once
#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "../common/arguments.h"
#include "threads.h"

#if defined(__FMA__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace kedge {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

// ---- threads ----
// Runs body(chunk) for chunk in [0, chunks) on ctx->threads threads. Which thread runs a chunk is not fixed, so a chunk's result must depend on
// the chunk alone: that is what makes bits equal for any number of threads. `work` is a guess of the total in element operations; little work
// stays on the calling thread.
template <class Body>
inline void parallel(const kedge_context* ctx, int64_t chunks, int64_t work, Body&& body) {
  int threads = (int)std::min<int64_t>(ctx->threads, chunks);
  if (threads <= 1 || work < 32768) {
    for (int64_t c = 0; c < chunks; c++) body(c);
    return;
  }
  using Plain = std::remove_reference_t<Body>;
  Threads::pool().run(threads, chunks, [](void* b, int64_t c) { (*static_cast<Plain*>(b))(c); }, (void*)&body);
}

// Splits [0, n) into chunks of `size` (the last one shorter): body(begin, end).
template <class Body>
inline void parallel_range(const kedge_context* ctx, int64_t n, int64_t size, int64_t work_per_element, Body&& body) {
  parallel(ctx, (n + size - 1) / size, n * work_per_element, [&](int64_t c) { body(c * size, std::min(n, (c + 1) * size)); });
}

// ---- SIMD: GCC vector extensions, so that one source serves x86-64 and arm64 ----
#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float vf __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));   // unaligned loads and stores
typedef int32_t vi __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

inline vf load(const float* p) { return *(const vf*)p; }
inline void store(float* p, vf v) { *(vf*)p = v; }
inline vf splat(float x) { return x - vf{}; }  // x - 0 is x for every x, -0 too: a broadcast, no arithmetic
// a * b + c, rounded once. Written out: tuning for Zen, GCC fuses these in some copies of a loop and not in others (avoid-fma-max-bits),
// and a row's bits would depend on which copy it met.
inline vf fused(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}
inline vf select(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }
inline vf vmax(vf a, vf b) { return select(a > b, a, b); }
inline vf vmin(vf a, vf b) { return select(a < b, a, b); }
// Sum and maximum over lanes, always by the same tree.
inline float hsum(vf v) {
  float t[kLanes];
  store(t, v);
  for (int w = kLanes / 2; w > 0; w /= 2)
    for (int i = 0; i < w; i++) t[i] += t[i + w];
  return t[0];
}
inline float hmax(vf v) {
  float t[kLanes];
  store(t, v);
  for (int w = kLanes / 2; w > 0; w /= 2)
    for (int i = 0; i < w; i++) t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
  return t[0];
}

// exp with < 1.5 ulp on [-87.3, 88.7]; 0 below, inf above, NaN stays NaN. Range reduction by ln 2 in two parts, then a degree-6 polynomial
// (coefficients of Cephes expf).
inline vf vexp(vf x) {
  const vf lo = splat(-87.33654f), hi = splat(88.72283f);
  vi below = x < lo, above = x > hi, nan = x != x;
  vf c = vmin(vmax(x, lo), hi);
  const vf magic = splat(12582912.f);  // 1.5 * 2^23: rounds to the nearest integer
  vf n = (c * 1.44269504088896341f + magic) - magic;
  vf r = c - n * 0.693359375f - n * -2.12194440e-4f;
  vf p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  vi e = __builtin_convertvector(n, vi);
  vi half = e >> 1;  // two factors, so that 2^128 does not overflow before the product
  vf result = p * (vf)((half + 127) << 23) * (vf)((e - half + 127) << 23);
  result = select(below, vf{}, result);
  result = select(above, splat(INFINITY), result);
  return select(nan, x, result);
}

}  // namespace kedge

// For an op that the CPU has in f32 alone.
#define KEDGE_REQUIRE_F32(op) KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32, op " takes f32 on the CPU, not dtype %d", (int)dtype)
