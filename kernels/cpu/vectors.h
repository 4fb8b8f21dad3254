// Typed loads and stores (f32, bf16, f16), whole vectors and tails by the same code, sums in fixed trees. What the elementwise and row ops
// share.
#pragma once
#include <type_traits>

#include "common.h"

namespace kedge {

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};
typedef uint16_t vh __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));
typedef uint8_t vb __attribute__((vector_size(kLanes), aligned(1), may_alias));
typedef uint32_t vu __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef double vd __attribute__((vector_size(kLanes * 4), aligned(8), may_alias));  // half as many lanes: one register
typedef float vf_half __attribute__((vector_size(kLanes * 2), aligned(4), may_alias));

inline vu select(vi mask, vu a, vu b) { return (a & (vu)mask) | (b & ~(vu)mask); }
inline vf vabs(vf x) { return (vf)((vi)x & 0x7fffffff); }
inline vf vsqrt(vf x) {
  vf r{};
  for (int i = 0; i < kLanes; i++) r[i] = __builtin_sqrtf(x[i]);
  return r;
}

// ---- 16-bit floats, rounded to nearest even; NaN stays NaN ----
inline vu to_half_bits(vf x, bf16) {
  vu u = (vu)x;
  return select(x != x, (u >> 16) | 0x40, (u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
inline vf from_half_bits(vu b, bf16) { return (vf)(b << 16); }
inline vu to_half_bits(vf x, f16) {
  vu u = (vu)x, a = u & 0x7fffffff;
  vu normal = (a + 0xfff + ((a >> 13) & 1) - 0x38000000) >> 13;  // a carry into the exponent is the right result, up to infinity
  vu small = (vu)((vf)a + splat(0.5f)) - 0x3f000000;             // below 2^-14: 0.5 has f16's smallest spacing, the addition rounds
  vu r = select((vi)a < 0x38800000, small, normal);
  r = select((vi)a > 0x477fffff, vu{} + 0x7c00, r);
  r = select(x != x, ((a >> 13) & 0x3ff) | 0x7e00, r);
  return r | ((u >> 16) & 0x8000);
}
inline vf from_half_bits(vu b, f16) {
  vu a = (b & 0x7fff) << 13;
  vu r = (vu)((vf)a * splat(0x1p112f));  // exact, also for subnormal numbers
  r = select((vi)a > 0x0f7fffff, a | 0x7f800000, r);
  return (vf)(r | ((b & 0x8000) << 16));
}

inline vf load(const bf16* p) { return from_half_bits(__builtin_convertvector(*(const vh*)p, vu), bf16{}); }
inline vf load(const f16* p) { return from_half_bits(__builtin_convertvector(*(const vh*)p, vu), f16{}); }
inline void store(bf16* p, vf v) { *(vh*)p = __builtin_convertvector(to_half_bits(v, bf16{}), vh); }
inline void store(f16* p, vf v) { *(vh*)p = __builtin_convertvector(to_half_bits(v, f16{}), vh); }
// -1 in the lanes where the byte is not 0.
inline vi load_mask(const uint8_t* p) { return __builtin_convertvector(*(const vb*)p, vi) != 0; }

// ---- whole vectors and tails ----
// body(i, count) for i = begin, begin + kLanes, ...; count is Full or, in the last call, the number of elements left. Because the tail
// runs the same code, an element's bits do not depend on where it lies in the array.
using Full = std::integral_constant<int, kLanes>;
template <class Body>
inline void each_vector(int64_t begin, int64_t end, Body&& body) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) body(i, Full{});
  if (i < end) body(i, (int)(end - i));
}
template <class T>
inline vf load(const T* p, Full) {
  return load(p);
}
template <class T>
inline vf load(const T* p, int count) {
  T t[kLanes] = {};
  for (int i = 0; i < count; i++) t[i] = p[i];
  return load(t);
}
template <class T>
inline void store(T* p, vf v, Full) {
  store(p, v);
}
template <class T>
inline void store(T* p, vf v, int count) {
  T t[kLanes];
  store(t, v);
  for (int i = 0; i < count; i++) p[i] = t[i];
}
// 0 behind the first `count` lanes.
inline vf only(vf v, Full) { return v; }
inline vf only(vf v, int count) {
  for (int i = count; i < kLanes; i++) v[i] = 0;
  return v;
}

// ---- sums in f64 ----
// kLanes doubles. Two registers, since GCC takes a vector wider than one apart into scalars.
struct Doubles {
  vd low, high;

  Doubles& operator+=(Doubles o) {
    low += o.low;
    high += o.high;
    return *this;
  }
  Doubles operator*(Doubles o) const { return {low * o.low, high * o.high}; }
};
inline Doubles widen(vf v) {
  vf_half h[2];
  memcpy(h, &v, sizeof v);
  return {__builtin_convertvector(h[0], vd), __builtin_convertvector(h[1], vd)};
}
inline vf narrow(Doubles d) {
  vf_half h[2] = {__builtin_convertvector(d.low, vf_half), __builtin_convertvector(d.high, vf_half)};
  vf v;
  memcpy(&v, h, sizeof v);
  return v;
}
inline double hsum(Doubles d) {
  vd v = d.low + d.high;
  double t[kLanes / 2];
  memcpy(t, &v, sizeof v);
  for (int w = kLanes / 4; w > 0; w /= 2)
    for (int i = 0; i < w; i++) t[i] += t[i + w];
  return t[0];
}

// sum of a[i] b[i] for rows that stay in cache: f32 lanes over blocks of 32 vectors, f64 across the blocks.
template <class Term>
inline double block_sum(int64_t n, Term&& term) {
  constexpr int64_t kBlock = 32 * kLanes;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    vf s0{}, s1{}, s2{}, s3{};
    int64_t end = std::min(n, begin + kBlock), i = begin;
    for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
      s0 += term(i, Full{});
      s1 += term(i + kLanes, Full{});
      s2 += term(i + 2 * kLanes, Full{});
      s3 += term(i + 3 * kLanes, Full{});
    }
    each_vector(i, end, [&](int64_t j, auto count) { s0 += term(j, count); });
    total += hsum((s0 + s1) + (s2 + s3));
  }
  return total;
}

// sum of a[i] b[i] in f64 (products are exact), b nullable: then the sum of a. At most 512 chunks, whose size depends on n alone.
inline double sum_products(const kedge_context* ctx, const float* a, const float* b, int64_t n) {
  constexpr int64_t kMostChunks = 512;
  double partial[kMostChunks];
  int64_t size = std::max<int64_t>(16384, (n + kMostChunks - 1) / kMostChunks), chunks = (n + size - 1) / size;
  parallel(ctx, chunks, n, [&](int64_t c) {
    Doubles s0{}, s1{};
    auto term = [=](int64_t i, auto count) {
      Doubles x = widen(load(a + i, count));
      return b ? x * widen(load(b + i, count)) : x;
    };
    int64_t i = c * size, end = std::min(n, (c + 1) * size);
    for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
      s0 += term(i, Full{});
      s1 += term(i + kLanes, Full{});
    }
    each_vector(i, end, [&](int64_t j, auto count) { s0 += term(j, count); });
    s0 += s1;
    partial[c] = hsum(s0);
  });
  double sum = 0;
  for (int64_t c = 0; c < chunks; c++) sum += partial[c];
  return sum;
}

// ---- gradients of parameters: rows are summed in fixed chunks, the chunks in order ----
constexpr int64_t kMostRowChunks = 128;
inline int64_t row_chunk(int64_t rows) { return std::max<int64_t>(16, (rows + kMostRowChunks - 1) / kMostRowChunks); }
inline int64_t row_chunks(int64_t rows) { return (rows + row_chunk(rows) - 1) / row_chunk(rows); }
// out[c] += the sum over chunks of partials[chunk * dim + c].
inline void add_partials(const kedge_context* ctx, float* out, const float* partials, int64_t chunks, int64_t dim) {
  parallel_range(ctx, dim, 512, chunks, [&](int64_t begin, int64_t end) {
    each_vector(begin, end, [&](int64_t i, auto count) {
      Doubles sum{};
      for (int64_t c = 0; c < chunks; c++) sum += widen(load(partials + c * dim + i, count));
      store(out + i, load(out + i, count) + narrow(sum), count);
    });
  });
}

}  // namespace kedge
