// A weight in bf16 panels: packed from rows, a range at a time, and read back by rows. bf16_panels.h has the layout, gemm.cpp the products.
#include "bf16_panels.h"

namespace kedge {
namespace {

inline uint16_t bits_of(float x) { return (uint16_t)to_half_bits(splat(x), bf16{})[0]; }
inline uint16_t bits_of(bf16 x) { return x.bits; }
inline uint16_t bits_of(f16 x) { return bits_of(from_half_bits(vu{} + x.bits, f16{})[0]); }
// kLanes numbers as bits of bf16, each in a word.
inline vu words_of(const float* p) { return to_half_bits(load(p), bf16{}); }
inline vu words_of(const bf16* p) { return __builtin_convertvector(*(const vh*)p, vu); }
inline vu words_of(const f16* p) { return to_half_bits(load(p), bf16{}); }

// Rows [from, to) of a panel whose other rows stay as they are: columns `from` to `to` of its lines.
template <class T>
void pack_some(bf16* dst, const T* src, int64_t ld, int from, int to, int64_t depth) {
  for (int c = from; c < to; c++)
    for (int64_t p = 0; p < depth; p++) dst[p * kCols + place(c)].bits = bits_of(src[(c - from) * ld + p]);
}

// All of a panel. Pairs of rows become rows of words, which are turned as floats are.
template <class T>
void pack_whole(bf16* dst, const T* src, int64_t ld, int64_t depth) {
  if constexpr (kPaired) {
    alignas(64) uint32_t words[kLanes * kDepth];
    for (int i = 0; i < kLanes; i++) {
      const T *low = src + i * ld, *high = src + (i + kLanes) * ld;
      int64_t p = 0;
      for (; p + kLanes <= depth; p += kLanes) *(vu*)(words + i * kDepth + p) = words_of(low + p) | (words_of(high + p) << 16);
      for (; p < depth; p++) words[i * kDepth + p] = bits_of(low[p]) | (uint32_t)bits_of(high[p]) << 16;
    }
    pack_panel<kLanes>((float*)dst, {(const float*)words, kDepth, false}, kLanes, depth);
  } else {
    pack_some(dst, src, ld, 0, kCols, depth);
  }
}

template <class T>
void pack(const kedge_context* ctx, bf16* packed, int64_t n, int64_t k, const T* src, int64_t ld, int64_t first, int64_t rows) {
  const int64_t begin = first / kCols, panels = ceil_div(first + rows, kCols) - begin;
  const Bf16Panels w{packed, n, k};
  parallel(ctx, panels * ceil_div(k, kDepth), rows * k, [&](int64_t chunk) {
    const int64_t j = (begin + chunk % panels) * kCols, p = chunk / panels * kDepth, depth = std::min(kDepth, k - p);
    bf16* dst = const_cast<bf16*>(w.row(j, p));
    const int64_t from = std::max<int64_t>(0, first - j), to = std::min<int64_t>(kCols, first + rows - j);
    const T* source = src + (j + from - first) * ld + p;
    if (to - from == kCols) {
      pack_whole(dst, source, ld, depth);
      return;
    }
    pack_some(dst, source, ld, (int)from, (int)to, depth);
    if (first + rows < n) return;
    for (int64_t q = 0; q < depth; q++)
      for (int c = (int)to; c < kCols; c++) dst[q * kCols + place(c)].bits = 0;
  });
}

inline void put(float* to, bf16 x) {
  uint32_t bits = (uint32_t)x.bits << 16;
  memcpy(to, &bits, sizeof bits);
}
inline void put(bf16* to, bf16 x) { *to = x; }

template <class T>
void rows_of(const kedge_context* ctx, T* out, int64_t stride, const Bf16Panels& w, const int32_t* index, int64_t first, int64_t rows) {
  const int64_t share = std::max<int64_t>(1, std::min<int64_t>(kCols, ceil_div(rows, 4 * ctx->threads)));
  parallel_range(ctx, rows, share, w.k, [&](int64_t begin, int64_t end) {
    for (int64_t p = 0; p < w.k; p += kDepth) {
      const int64_t depth = std::min(kDepth, w.k - p);
      for (int64_t i = begin; i < end; i++) {
        const int64_t row = index ? index[i] : first + i;
        T* to = out + i * stride + p;
        if (row < 0) {
          memset((void*)to, 0, depth * sizeof(T));
          continue;
        }
        const bf16* from = w.row(row / kCols * kCols, p) + place((int)(row % kCols));
        for (int64_t q = 0; q < depth; q++) put(to + q, from[q * kCols]);
      }
    }
  });
}

int32_t check_sizes(const void* packed, int64_t n, int64_t k, kedge_status* status) {
  KEDGE_REQUIRE(n >= 0 && k >= 0, "n is %lld, k %lld", (long long)n, (long long)k);
  KEDGE_REQUIRE((packed && (uintptr_t)packed % 64 == 0) || n == 0 || k == 0, "packed is NULL or not aligned to 64 bytes");
  return KEDGE_OK;
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int64_t kedge_bf16_packed_bytes(int64_t n, int64_t k) {
  const int64_t bytes = kedge_gemm_packed_bytes(n, k);
  return bytes == INT64_MAX ? bytes : bytes / 2;
}

int32_t kedge_bf16_pack(const kedge_context* ctx, void* packed, int64_t n, int64_t k, const void* src, int32_t src_dtype, int64_t ld,
                        int64_t first, int64_t rows, kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(src_dtype == KEDGE_F32 || src_dtype == KEDGE_BF16 || src_dtype == KEDGE_F16,
                      "bf16_pack takes f32, bf16 and f16, not dtype %d", (int)src_dtype);
  KEDGE_TRY(check_sizes(packed, n, k, status));
  KEDGE_REQUIRE(first >= 0 && rows >= 0 && first <= n - rows, "rows %lld + %lld of %lld", (long long)first, (long long)rows, (long long)n);
  KEDGE_TRY(check_matrices(rows, k, {{"src", src, ld}}, status));
  if (rows == 0 || k == 0) return ok(status);
  bf16* to = (bf16*)packed;
  if (src_dtype == KEDGE_F32) pack(ctx, to, n, k, (const float*)src, ld, first, rows);
  else if (src_dtype == KEDGE_BF16) pack(ctx, to, n, k, (const bf16*)src, ld, first, rows);
  else pack(ctx, to, n, k, (const f16*)src, ld, first, rows);
  return ok(status);
}

int32_t kedge_bf16_rows(const kedge_context* ctx, void* out, int32_t out_dtype, int64_t out_stride, const void* packed, int64_t n,
                        int64_t k, const int32_t* index, int64_t first, int64_t rows, kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(float_dtype(out_dtype), "bf16_rows writes f32 and bf16, not dtype %d", (int)out_dtype);
  KEDGE_TRY(check_sizes(packed, n, k, status));
  KEDGE_TRY(check_matrices(rows, k, {{"out", out, out_stride}}, status));
  if (rows == 0 || k == 0) return ok(status);
  if (index) {
    for (int64_t i = 0; i < rows; i++)
      if (index[i] < -1 || index[i] >= n)
        return fail(status, KEDGE_BAD_INDEX, "index[%lld] is %d, outside [-1, %lld)", (long long)i, index[i], (long long)n);
  } else {
    KEDGE_REQUIRE(first >= 0 && first <= n - rows, "rows %lld + %lld of %lld", (long long)first, (long long)rows, (long long)n);
  }
  const Bf16Panels w{(const bf16*)packed, n, k};
  if (out_dtype == KEDGE_F32) rows_of(ctx, (float*)out, out_stride, w, index, first, rows);
  else rows_of(ctx, (bf16*)out, out_stride, w, index, first, rows);
  return ok(status);
}
