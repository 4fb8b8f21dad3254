// Bias: y = x + bias over rows, and its gradient, the sum over rows.
#include "columns.cuh"
#include "elements.cuh"

namespace kedge {
namespace {

template <class T>
struct BiasAdd {
  T* y;
  const T *x, *bias;
  int64_t y_stride, x_stride;
  template <int W>
  __device__ __forceinline__ void at(int64_t row, int64_t c) const {
    float v[W], b[W];
    load_vec(v, x + row * x_stride + c);
    load_vec(b, bias + c);
#pragma unroll
    for (int j = 0; j < W; j++) v[j] += b[j];
    store_vec(y + row * y_stride + c, v);
  }
};

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_bias_add(const kedge_context* ctx, int32_t dtype, void* y, int64_t y_stride, const void* x, int64_t x_stride,
                                 const void* bias, int64_t rows, int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_matrices(rows, dim, {{"y", y, y_stride}, {"x", x, x_stride}, {"bias", bias}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = vector_rows<T>(y, y_stride) && vector_rows<T>(x, x_stride) && aligned16(bias);
    for_rows<kVec<T>>(ctx, rows, dim, wide,
                      BiasAdd<T>{static_cast<T*>(y), static_cast<const T*>(x), static_cast<const T*>(bias), y_stride, x_stride});
  });
  return finish("bias_add", status);
}

KEDGE_API int32_t kedge_bias_grad(const kedge_context* ctx, int32_t dtype, float* dbias, const void* dy, int64_t dy_stride, int64_t rows,
                                  int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_matrices(rows, dim, {{"dbias", dbias}, {"dy", dy, dy_stride}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  KEDGE_REQUIRE_WORKSPACE(column_workspace(rows, dim));
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool wide = dim % kVec<T> == 0 && vector_rows<T>(dy, dy_stride);
    add_column_sums<kVec<T>>(ctx, dbias, rows, dim, wide, MatrixTerm<T>{static_cast<const T*>(dy), dy_stride});
  });
  return finish("bias_grad", status);
}
