// RMSNorm with the residual add before it, and of each head by itself, and their gradients. Zhang & Sennrich, arXiv 1910.07467.
#include "norm.cuh"

using namespace kedge;

KEDGE_API int32_t kedge_rmsnorm_fwd(const kedge_context* ctx, int32_t dtype, void* y, void* h_out, float* rstd, const void* x,
                                    const void* residual, const void* weight, int64_t rows, int64_t dim, double eps, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_norm_fwd(eps, h_out, residual, rows, dim, {{"y", y}, {"rstd", rstd}, {"x", x}, {"weight", weight}}, status));
  KEDGE_REQUIRE(rows <= kRowCap, "rows is %lld", (long long)rows);
  if (rows == 0 || dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const NormFwd<T> a{static_cast<T*>(y),       static_cast<T*>(h_out),          nullptr,                       rstd,
                       static_cast<const T*>(x), static_cast<const T*>(residual), static_cast<const T*>(weight), nullptr};
    norm_fwd<T, false>(ctx, a, CloseRows{}, rows, dim, (float)eps);
  });
  return finish("rmsnorm_fwd", status);
}

KEDGE_API int32_t kedge_rmsnorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx, float* dweight, const void* dy, const void* dh,
                                    const void* h, const void* weight, const float* rstd, int64_t rows, int64_t dim, int32_t accumulate,
                                    kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_matrices(rows, dim, {{"dx", dx}, {"dy", dy}, {"h", h}, {"weight", weight}, {"rstd", rstd}}, status));
  KEDGE_REQUIRE(rows <= kRowCap, "rows is %lld", (long long)rows);
  if (rows == 0 || dim == 0) return ok(status);
  int32_t code = KEDGE_OK;
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const NormBwd<T> a{static_cast<T*>(dx),           static_cast<const T*>(dy), static_cast<const T*>(dh), static_cast<const T*>(h),
                       static_cast<const T*>(weight), nullptr,                   rstd,                      (accumulate & 1) != 0};
    code = norm_bwd<T, false>(ctx, a, CloseRows{}, dweight, nullptr, rows, dim, status);
  });
  return code ? code : finish("rmsnorm_bwd", status);
}

KEDGE_API int32_t kedge_head_rmsnorm_fwd(const kedge_context* ctx, int32_t dtype, void* y, int64_t y_stride, float* rstd, const void* x,
                                         int64_t x_stride, const void* weight, int64_t tokens, int64_t heads, int64_t head_dim, double eps,
                                         kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_head_norm(eps, tokens, heads, head_dim, {{"y", y, y_stride}, {"x", x, x_stride}}, {{"weight", weight}}, status));
  const int64_t rows = tokens * heads;
  KEDGE_REQUIRE(rows <= kRowCap, "tokens is %lld, heads %lld", (long long)tokens, (long long)heads);
  if (rows == 0 || head_dim == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const NormFwd<T> a{static_cast<T*>(y), nullptr,  nullptr, rstd, static_cast<const T*>(x), nullptr, static_cast<const T*>(weight),
                       nullptr,            y_stride, x_stride};
    norm_fwd<T, false>(ctx, a, HeadRows{(unsigned)heads}, rows, head_dim, (float)eps);
  });
  return finish("head_rmsnorm_fwd", status);
}

KEDGE_API int32_t kedge_head_rmsnorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx, int64_t dx_stride, float* dweight,
                                         const void* dy, int64_t dy_stride, const void* x, int64_t x_stride, const void* weight,
                                         const float* rstd, int64_t tokens, int64_t heads, int64_t head_dim, int32_t accumulate,
                                         kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_head_norm(1, tokens, heads, head_dim, {{"dx", dx, dx_stride}, {"dy", dy, dy_stride}, {"x", x, x_stride}},
                            {{"weight", weight}, {"rstd", rstd}}, status));
  const int64_t rows = tokens * heads;
  KEDGE_REQUIRE(rows <= kRowCap, "tokens is %lld, heads %lld", (long long)tokens, (long long)heads);
  if (rows == 0 || head_dim == 0) return ok(status);
  int32_t code = KEDGE_OK;
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const NormBwd<T> a{static_cast<T*>(dx),           static_cast<const T*>(dy), nullptr, static_cast<const T*>(x),
                       static_cast<const T*>(weight), nullptr,                   rstd,    (accumulate & 1) != 0,
                       dx_stride,                     dy_stride,                 x_stride};
    code = norm_bwd<T, false>(ctx, a, HeadRows{(unsigned)heads}, dweight, nullptr, rows, head_dim, status);
  });
  return code ? code : finish("head_rmsnorm_bwd", status);
}
