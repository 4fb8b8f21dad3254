// Memory and elementwise ops: fill, copy, cast, scale, add, multiply, dot. All are bound by memory; chunks are small enough for the cores
// to share the work and large enough to hide the cost of sharing it.
#include "vectors.h"

namespace kedge {
namespace {

constexpr int64_t kChunk = 32768;  // elements

template <class Dst, class Src>
void cast(const kedge_context* ctx, void* dst_, const void* src_, int64_t n) {
  Dst* dst = (Dst*)dst_;
  const Src* src = (const Src*)src_;
  parallel_range(ctx, n, kChunk, 1, [=](int64_t begin, int64_t end) {
    each_vector(begin, end, [=](int64_t i, auto count) { store(dst + i, load(src + i, count), count); });
  });
}

template <class Dst>
void cast_from(const kedge_context* ctx, void* dst, const void* src, int32_t src_dtype, int64_t n) {
  if (src_dtype == KEDGE_F32) cast<Dst, float>(ctx, dst, src, n);
  if (src_dtype == KEDGE_BF16) cast<Dst, bf16>(ctx, dst, src, n);
  if (src_dtype == KEDGE_F16) cast<Dst, f16>(ctx, dst, src, n);
}

void copy(const kedge_context* ctx, void* dst, const void* src, int64_t bytes) {
  parallel_range(ctx, bytes, 1 << 20, 1, [=](int64_t begin, int64_t end) {
    memcpy((char*)dst + begin, (const char*)src + begin, end - begin);
  });
}

template <class T>
void fill(const kedge_context* ctx, T* x, int64_t n, T value) {
  parallel_range(ctx, n, kChunk, 1, [=](int64_t begin, int64_t end) { std::fill(x + begin, x + end, value); });
}

template <class T>
void scale_add(const kedge_context* ctx, T* y, const T* x, int64_t n, float alpha, float beta) {
  parallel_range(ctx, n, kChunk, 1, [=](int64_t begin, int64_t end) {
    if (beta == 0) {
      each_vector(begin, end, [=](int64_t i, auto count) { store(y + i, load(x + i, count) * alpha, count); });
    } else {
      each_vector(begin, end, [=](int64_t i, auto count) { store(y + i, load(x + i, count) * alpha + load(y + i, count) * beta, count); });
    }
  });
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_abi_version(void) { return KEDGE_ABI_VERSION; }

KEDGE_API int32_t kedge_noop(const kedge_context*, kedge_status* status) { return ok(status); }

KEDGE_API int32_t kedge_fill(const kedge_context* ctx, int32_t dtype, void* x, int64_t n, double value, kedge_status* status) {
  int32_t whole;
  KEDGE_TRY(check_fill(dtype, x, n, value, whole, status));
  if (n == 0) return ok(status);
  if (dtype == KEDGE_F32) fill(ctx, (float*)x, n, (float)value);
  if (dtype == KEDGE_BF16) fill(ctx, (uint16_t*)x, n, (uint16_t)to_half_bits(splat((float)value), bf16{})[0]);
  if (dtype == KEDGE_I32) fill(ctx, (int32_t*)x, n, whole);
  return ok(status);
}

KEDGE_API int32_t kedge_copy(const kedge_context* ctx, void* dst, const void* src, int64_t bytes, kedge_status* status) {
  KEDGE_TRY(check_arrays(bytes, {{"dst", dst}, {"src", src}}, status));
  if (bytes == 0) return ok(status);
  copy(ctx, dst, src, bytes);
  return ok(status);
}

KEDGE_API int32_t kedge_copy_rows(const kedge_context* ctx, void* dst, int64_t dst_stride, const void* src, int64_t src_stride,
                                  int64_t rows, int64_t row_bytes, kedge_status* status) {
  KEDGE_TRY(check_copy_rows(dst, dst_stride, src, src_stride, rows, row_bytes, status));
  if (rows == 0 || row_bytes == 0) return ok(status);
  parallel_range(ctx, rows, std::max<int64_t>(1, (1 << 16) / row_bytes), row_bytes, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) memcpy((char*)dst + r * dst_stride, (const char*)src + r * src_stride, row_bytes);
  });
  return ok(status);
}

KEDGE_API int32_t kedge_cast(const kedge_context* ctx, void* dst, int32_t dst_dtype, const void* src, int32_t src_dtype, int64_t n,
                             kedge_status* status) {
  KEDGE_TRY(check_cast(dst, dst_dtype, src, src_dtype, n, status));
  if (n == 0) return ok(status);
  if (dst_dtype == src_dtype) copy(ctx, dst, src, n * dtype_bytes(dst_dtype));
  else if (dst_dtype == KEDGE_F32) cast_from<float>(ctx, dst, src, src_dtype, n);
  else if (dst_dtype == KEDGE_BF16) cast_from<bf16>(ctx, dst, src, src_dtype, n);
  else cast_from<f16>(ctx, dst, src, src_dtype, n);
  return ok(status);
}

KEDGE_API int32_t kedge_scale_add(const kedge_context* ctx, int32_t dtype, void* y, const void* x, int64_t n, double alpha,
                                  const float* factor, double beta, kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(float_dtype(dtype), "scale_add takes f32 and bf16, not dtype %d", dtype);
  KEDGE_TRY(check_arrays(n, {{"y", y}, {"x", x}}, status));
  if (n == 0) return ok(status);
  float scale = (float)(factor ? alpha * *factor : alpha);
  if (dtype == KEDGE_F32) scale_add(ctx, (float*)y, (const float*)x, n, scale, (float)beta);
  else scale_add(ctx, (bf16*)y, (const bf16*)x, n, scale, (float)beta);
  return ok(status);
}

KEDGE_API int32_t kedge_add(const kedge_context* ctx, int32_t dtype, void* out, const void* a, const void* b, int64_t n,
                            kedge_status* status) {
  KEDGE_REQUIRE_F32("add");
  KEDGE_TRY(check_arrays(n, {{"out", out}, {"a", a}, {"b", b}}, status));
  if (n == 0) return ok(status);
  float* o = (float*)out;
  const float *x = (const float*)a, *y = (const float*)b;
  parallel_range(ctx, n, kChunk, 1, [=](int64_t begin, int64_t end) {
    each_vector(begin, end, [=](int64_t i, auto count) { store(o + i, load(x + i, count) + load(y + i, count), count); });
  });
  return ok(status);
}

KEDGE_API int32_t kedge_mul(const kedge_context* ctx, int32_t dtype, void* out, const void* a, const void* b, int64_t n, int32_t accumulate,
                            kedge_status* status) {
  KEDGE_REQUIRE_F32("mul");
  KEDGE_TRY(check_arrays(n, {{"out", out}, {"a", a}, {"b", b}}, status));
  if (n == 0) return ok(status);
  float* o = (float*)out;
  const float *x = (const float*)a, *y = (const float*)b;
  parallel_range(ctx, n, kChunk, 1, [=](int64_t begin, int64_t end) {
    if (accumulate) {
      each_vector(begin, end, [=](int64_t i, auto c) { store(o + i, load(x + i, c) * load(y + i, c) + load(o + i, c), c); });
    } else {
      each_vector(begin, end, [=](int64_t i, auto c) { store(o + i, load(x + i, c) * load(y + i, c), c); });
    }
  });
  return ok(status);
}

KEDGE_API int32_t kedge_dot(const kedge_context* ctx, int32_t dtype, float* out, const void* a, const void* b, int64_t n,
                            int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_F32("dot");
  KEDGE_TRY(check_dot(out, a, n, status));
  double sum = sum_products(ctx, (const float*)a, (const float*)b, n);
  out[0] = (float)(accumulate ? out[0] + sum : sum);
  return ok(status);
}
