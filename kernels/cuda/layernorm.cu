// LayerNorm with the residual add before it, and its gradient. Ba et al., arXiv 1607.06450.
#include "norm.cuh"

using namespace kedge;

KEDGE_API int32_t kedge_layernorm_fwd(const kedge_context* ctx, int32_t dtype, void* y, void* h_out, float* mean, float* rstd, const void* x,
                                      const void* residual, const void* weight, const void* bias, int64_t rows, int64_t dim, double eps,
                                      kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_norm_fwd(eps, h_out, residual, rows, dim,
                           {{"y", y}, {"mean", mean}, {"rstd", rstd}, {"x", x}, {"weight", weight}, {"bias", bias}}, status));
  KEDGE_REQUIRE(rows <= kRowCap, "rows is %lld", (long long)rows);
  if (rows == 0 || dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const NormFwd<T> a{static_cast<T*>(y),       static_cast<T*>(h_out),          mean,                          rstd,
                       static_cast<const T*>(x), static_cast<const T*>(residual), static_cast<const T*>(weight), static_cast<const T*>(bias)};
    norm_fwd<T, true>(ctx, a, CloseRows{}, rows, dim, (float)eps);
  });
  return finish("layernorm_fwd", status);
}

KEDGE_API int32_t kedge_layernorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx, float* dweight, float* dbias, const void* dy,
                                      const void* dh, const void* h, const void* weight, const float* mean, const float* rstd, int64_t rows,
                                      int64_t dim, int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_matrices(rows, dim, {{"dx", dx}, {"dy", dy}, {"h", h}, {"weight", weight}, {"mean", mean}, {"rstd", rstd}}, status));
  KEDGE_REQUIRE(rows <= kRowCap, "rows is %lld", (long long)rows);
  if (rows == 0 || dim == 0) return ok(status);
  int32_t code = KEDGE_OK;
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const NormBwd<T> a{static_cast<T*>(dx),           static_cast<const T*>(dy), static_cast<const T*>(dh), static_cast<const T*>(h),
                       static_cast<const T*>(weight), mean,                      rstd,                      (accumulate & 1) != 0};
    code = norm_bwd<T, true>(ctx, a, CloseRows{}, dweight, dbias, rows, dim, status);
  });
  return code ? code : finish("layernorm_bwd", status);
}
