// Checks of an op's arguments, once for both libraries. A check gives KEDGE_OK, or writes into the status what is wrong and gives the code.
// An op checks first the dtypes that its library has, then what stands here, then what its device cannot do; it leaves early where there is
// nothing to compute. Ops with mathematics of their own in this folder have their checks beside it.
#pragma once
#include <math.h>
#include <stdint.h>

#include <initializer_list>

#include "status.h"

namespace kedge {

// The dtypes of activations and weights. Each library has its own list of those that an op takes.
inline bool float_dtype(int32_t dtype) { return dtype == KEDGE_F32 || dtype == KEDGE_BF16; }
// Bytes of an element.
inline int64_t dtype_bytes(int32_t dtype) {
  return dtype == KEDGE_F32 || dtype == KEDGE_I32 ? 4 : dtype == KEDGE_U8 ? 1 : dtype == KEDGE_BF16 || dtype == KEDGE_F16 ? 2 : 8;
}
// False for a NaN and for both infinities.
inline bool is_finite(double x) { return x - x == 0; }

// An array by its name in kedge.h: whether it is there, and how many elements its rows lie apart where it has a stride.
struct Operand {
  const char* name;
  bool given;
  int64_t stride = INT64_MAX;

  Operand(const char* name, const void* at) : name(name), given(at != nullptr) {}
  Operand(const char* name, const void* at, int64_t stride) : name(name), given(at != nullptr), stride(stride) {}
  Operand(const char* name, bool given) : name(name), given(given) {}  // of an array that may be missing on a condition
  Operand(const char* name, bool given, int64_t stride) : name(name), given(given), stride(stride) {}
};
using Operands = std::initializer_list<Operand>;

inline int32_t check_given(const Operands& operands, kedge_status* status) {
  for (const Operand& x : operands) KEDGE_REQUIRE(x.given, "%s is NULL", x.name);
  return KEDGE_OK;
}
// Rows of an array with a stride must not overlap.
inline int32_t check_strides(int64_t width, const Operands& operands, kedge_status* status) {
  for (const Operand& x : operands)
    KEDGE_REQUIRE(x.stride >= width, "%s_stride %lld is below the row's %lld", x.name, (long long)x.stride, (long long)width);
  return KEDGE_OK;
}
// Flat arrays of n elements. Of no elements no array needs to be there.
inline int32_t check_arrays(int64_t n, const Operands& operands, kedge_status* status) {
  KEDGE_REQUIRE(n >= 0, "n is %lld", (long long)n);
  return n == 0 ? KEDGE_OK : check_given(operands, status);
}
// Matrices [rows, dim], and arrays without a stride.
inline int32_t check_matrices(int64_t rows, int64_t dim, const Operands& operands, kedge_status* status) {
  KEDGE_REQUIRE(rows >= 0 && dim >= 0, "rows is %lld, dim %lld", (long long)rows, (long long)dim);
  KEDGE_TRY(check_strides(dim, operands, status));
  return rows == 0 || dim == 0 ? KEDGE_OK : check_given(operands, status);
}

// ---- elementwise ----

inline int32_t check_copy_rows(const void* dst, int64_t dst_stride, const void* src, int64_t src_stride, int64_t rows, int64_t row_bytes,
                               kedge_status* status) {
  KEDGE_REQUIRE(rows >= 0 && row_bytes >= 0, "%lld rows of %lld bytes", (long long)rows, (long long)row_bytes);
  KEDGE_TRY(check_strides(row_bytes, {{"dst", dst, dst_stride}, {"src", src, src_stride}}, status));
  return rows == 0 || row_bytes == 0 ? KEDGE_OK : check_given({{"dst", dst}, {"src", src}}, status);
}
inline int32_t check_cast(const void* dst, int32_t dst_dtype, const void* src, int32_t src_dtype, int64_t n, kedge_status* status) {
  for (int32_t dtype : {dst_dtype, src_dtype})
    KEDGE_REQUIRE_DTYPE(float_dtype(dtype) || dtype == KEDGE_F16, "cast takes f32, bf16 and f16, not dtype %d", (int)dtype);
  return check_arrays(n, {{"dst", dst}, {"src", src}}, status);
}
// whole: the value as an integer, where the dtype is one.
inline int32_t check_fill(int32_t dtype, const void* x, int64_t n, double value, int32_t& whole, kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(float_dtype(dtype) || dtype == KEDGE_I32, "fill takes f32, bf16 and i32, not dtype %d", (int)dtype);
  KEDGE_TRY(check_arrays(n, {{"x", x}}, status));
  const double nearest = nearbyint(value);
  const bool fits = nearest >= INT32_MIN && nearest <= INT32_MAX;
  KEDGE_REQUIRE(n == 0 || dtype != KEDGE_I32 || fits, "value %g does not fit i32", value);
  whole = fits ? (int32_t)nearest : 0;
  return KEDGE_OK;
}
inline int32_t check_dot(const void* out, const void* a, int64_t n, kedge_status* status) {
  KEDGE_TRY(check_arrays(n, {{"a", a}}, status));
  return check_given({{"out", out}}, status);  // of no elements the sum is 0, and is written
}

// ---- rows by index ----

// operands: the arrays of rows, each [.., dim] with a stride. table: the array that the indices point into, which has table_rows of them.
inline int32_t check_indexed(int64_t n, int64_t dim, int64_t table_rows, const int32_t* index, const Operands& operands, const Operand& table,
                             kedge_status* status) {
  KEDGE_REQUIRE(table_rows >= 0, "%s_rows is %lld", table.name, (long long)table_rows);
  KEDGE_TRY(check_matrices(n, dim, operands, status));
  KEDGE_TRY(check_strides(dim, {table}, status));
  return n == 0 || dim == 0 ? KEDGE_OK : check_given({{"index", index}, {table.name, table.given || table_rows == 0}}, status);
}

// index, weight: [n, taps]. operands, table: as check_indexed takes them.
inline int32_t check_weighted(int64_t n, int64_t taps, int64_t dim, int64_t table_rows, const int32_t* index, const float* weight,
                              const Operands& operands, const Operand& table, kedge_status* status) {
  KEDGE_REQUIRE(taps >= 1 && n <= (INT32_MAX - 31) / taps, "n is %lld, taps %lld", (long long)n, (long long)taps);
  KEDGE_REQUIRE(table_rows <= INT32_MAX, "%s_rows is %lld", table.name, (long long)table_rows);
  KEDGE_TRY(check_indexed(n, dim, table_rows, index, operands, table, status));
  return n == 0 || dim == 0 ? KEDGE_OK : check_given({{"weight", weight}}, status);
}

// The source of scatter_rows: without one, rows are cleared.
inline Operand scattered(const void* src, int64_t src_stride) { return {"src", true, src ? src_stride : INT64_MAX}; }

// ---- norms, rotary, GEMM ----

// The forward of RMSNorm or LayerNorm.
inline int32_t check_norm_fwd(double eps, const void* h_out, const void* residual, int64_t rows, int64_t dim, const Operands& operands,
                              kedge_status* status) {
  KEDGE_REQUIRE(eps > 0, "eps is %g, not above 0", eps);
  KEDGE_TRY(check_matrices(rows, dim, operands, status));
  KEDGE_REQUIRE(h_out || !residual || rows == 0 || dim == 0, "h_out is NULL with a residual");
  return KEDGE_OK;
}
inline int32_t check_rope_table(const Operands& operands, int64_t axes, int64_t tokens, int64_t half, kedge_status* status) {
  KEDGE_REQUIRE(axes >= 0 && tokens >= 0 && half >= 0, "axes is %lld, tokens %lld, half %lld", (long long)axes, (long long)tokens,
                (long long)half);
  return tokens == 0 || half == 0 ? KEDGE_OK : check_given(operands, status);
}
// operands: [tokens, heads, head_dim]; others: arrays without a stride.
inline int32_t check_heads(int64_t tokens, int64_t heads, int64_t head_dim, const Operands& operands, const Operands& others,
                           kedge_status* status) {
  KEDGE_REQUIRE(tokens >= 0 && heads >= 0 && head_dim >= 0, "tokens is %lld, heads %lld, head_dim %lld", (long long)tokens,
                (long long)heads, (long long)head_dim);
  KEDGE_REQUIRE(head_dim == 0 || heads <= INT32_MAX / head_dim, "heads is %lld of %lld", (long long)heads, (long long)head_dim);
  KEDGE_TRY(check_matrices(tokens, heads * head_dim, operands, status));
  return tokens == 0 || heads == 0 || head_dim == 0 ? KEDGE_OK : check_given(others, status);
}
inline int32_t check_head_norm(double eps, int64_t tokens, int64_t heads, int64_t head_dim, const Operands& operands, const Operands& others,
                               kedge_status* status) {
  KEDGE_REQUIRE(eps > 0, "eps is %g, not above 0", eps);
  KEDGE_TRY(check_heads(tokens, heads, head_dim, operands, others, status));
  KEDGE_REQUIRE(heads == 0 || tokens <= INT64_MAX / heads, "tokens is %lld with %lld heads", (long long)tokens, (long long)heads);
  return KEDGE_OK;
}
inline int32_t check_rope(const Operands& operands, const void* cos, const void* sin, int64_t tokens, int64_t heads, int64_t head_dim,
                          kedge_status* status) {
  KEDGE_REQUIRE(head_dim % 2 == 0, "head_dim %lld is odd", (long long)head_dim);
  return check_heads(tokens, heads, head_dim, operands, {{"cos", cos}, {"sin", sin}}, status);
}
// Stored: rows of a leading dimension, of which each has `width` elements.
inline int32_t check_stored(const char* name, int64_t ld, int64_t width, kedge_status* status) {
  KEDGE_REQUIRE(ld >= width, "ld%s is %lld, the rows of %s have %lld", name, (long long)ld, name, (long long)width);
  return KEDGE_OK;
}
// trans_a, trans_b: A is stored [k, m], B [n, k].
inline int32_t check_gemm(const void* c, int64_t ldc, const void* a, int64_t lda, bool trans_a, const void* b, int64_t ldb, bool trans_b,
                          int64_t m, int64_t n, int64_t k, kedge_status* status) {
  KEDGE_REQUIRE(m >= 0 && n >= 0 && k >= 0, "m, n, k are %lld, %lld, %lld", (long long)m, (long long)n, (long long)k);
  KEDGE_TRY(check_stored("a", lda, trans_a ? m : k, status));
  KEDGE_TRY(check_stored("b", ldb, trans_b ? k : n, status));
  KEDGE_TRY(check_stored("c", ldc, n, status));
  if (m == 0 || n == 0) return KEDGE_OK;
  return check_given({{"c", c}, {"a", k == 0 || a}, {"b", k == 0 || b}}, status);
}

}  // namespace kedge
