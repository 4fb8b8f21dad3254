// RMSNorm with the fused residual add, and of each head by itself, forward and backward. A row is a unit of work. Zhang & Sennrich, arXiv
// 1910.07467.
#include "norm.h"

using namespace kedge;

KEDGE_API int32_t kedge_rmsnorm_fwd(const kedge_context* ctx, int32_t dtype, void* y_, void* h_out_, float* rstd, const void* x_,
                                    const void* residual_, const void* weight_, int64_t rows, int64_t dim, double eps,
                                    kedge_status* status) {
  KEDGE_REQUIRE_F32("rmsnorm");
  KEDGE_TRY(check_norm_fwd(eps, h_out_, residual_, rows, dim, {{"y", y_}, {"rstd", rstd}, {"x", x_}, {"weight", weight_}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  float *y = (float*)y_, *h_out = (float*)h_out_;
  const float *x = (const float*)x_, *residual = (const float*)residual_, *weight = (const float*)weight_;
  parallel_range(ctx, rows, norm_rows_per_chunk(dim), dim, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++)
      norm_row<false>(y + r * dim, h_out ? h_out + r * dim : nullptr, nullptr, rstd + r, x + r * dim,
                      residual ? residual + r * dim : nullptr, weight, nullptr, dim, eps);
  });
  return ok(status);
}

KEDGE_API int32_t kedge_rmsnorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx_, float* dweight, const void* dy_, const void* dh_,
                                    const void* h_, const void* weight_, const float* rstd, int64_t rows, int64_t dim, int32_t accumulate,
                                    kedge_status* status) {
  KEDGE_REQUIRE_F32("rmsnorm");
  KEDGE_TRY(check_matrices(rows, dim, {{"dx", dx_}, {"dy", dy_}, {"h", h_}, {"weight", weight_}, {"rstd", rstd}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  const int64_t sums = dweight ? 1 : 0;
  KEDGE_REQUIRE_WORKSPACE(norm_workspace(rows, dim, sums));
  float* dx = (float*)dx_;
  const float *dy = (const float*)dy_, *dh = (const float*)dh_, *h = (const float*)h_, *weight = (const float*)weight_;
  norm_rows_bwd(ctx, dweight, nullptr, sums, rows, dim, [=](int64_t r, float* of_weight, float*) {
    auto run = of_weight ? norm_row_bwd<false, true> : norm_row_bwd<false, false>;
    const int64_t at = r * dim;
    run(dx + at, of_weight, nullptr, dy + at, dh ? dh + at : nullptr, h + at, weight, 0, rstd[r], dim, accumulate & 1);
  });
  return ok(status);
}

KEDGE_API int32_t kedge_head_rmsnorm_fwd(const kedge_context* ctx, int32_t dtype, void* y_, int64_t y_stride, float* rstd, const void* x_,
                                         int64_t x_stride, const void* weight_, int64_t tokens, int64_t heads, int64_t head_dim, double eps,
                                         kedge_status* status) {
  KEDGE_REQUIRE_F32("head_rmsnorm");
  KEDGE_TRY(check_head_norm(eps, tokens, heads, head_dim, {{"y", y_, y_stride}, {"x", x_, x_stride}}, {{"weight", weight_}}, status));
  const int64_t rows = tokens * heads;
  if (rows == 0 || head_dim == 0) return ok(status);
  float* y = (float*)y_;
  const float *x = (const float*)x_, *weight = (const float*)weight_;
  parallel_range(ctx, rows, norm_rows_per_chunk(head_dim), head_dim, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++)
      norm_row<false>(y + head_row(r, heads, y_stride, head_dim), nullptr, nullptr, rstd ? rstd + r : nullptr,
                      x + head_row(r, heads, x_stride, head_dim), nullptr, weight, nullptr, head_dim, eps);
  });
  return ok(status);
}

KEDGE_API int32_t kedge_head_rmsnorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx_, int64_t dx_stride, float* dweight,
                                         const void* dy_, int64_t dy_stride, const void* x_, int64_t x_stride, const void* weight_,
                                         const float* rstd, int64_t tokens, int64_t heads, int64_t head_dim, int32_t accumulate,
                                         kedge_status* status) {
  KEDGE_REQUIRE_F32("head_rmsnorm");
  KEDGE_TRY(check_head_norm(1, tokens, heads, head_dim, {{"dx", dx_, dx_stride}, {"dy", dy_, dy_stride}, {"x", x_, x_stride}},
                            {{"weight", weight_}, {"rstd", rstd}}, status));
  const int64_t rows = tokens * heads;
  if (rows == 0 || head_dim == 0) return ok(status);
  const int64_t sums = dweight ? 1 : 0;
  KEDGE_REQUIRE_WORKSPACE(norm_workspace(rows, head_dim, sums));
  float* dx = (float*)dx_;
  const float *dy = (const float*)dy_, *x = (const float*)x_, *weight = (const float*)weight_;
  norm_rows_bwd(ctx, dweight, nullptr, sums, rows, head_dim, [=](int64_t r, float* of_weight, float*) {
    auto run = of_weight ? norm_row_bwd<false, true> : norm_row_bwd<false, false>;
    run(dx + head_row(r, heads, dx_stride, head_dim), of_weight, nullptr, dy + head_row(r, heads, dy_stride, head_dim), nullptr,
        x + head_row(r, heads, x_stride, head_dim), weight, 0, rstd[r], head_dim, accumulate & 1);
  });
  return ok(status);
}
