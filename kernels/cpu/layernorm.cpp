// LayerNorm with the fused residual add, forward and backward. x: [rows, dim], a row is a unit of work. Ba et al., arXiv 1607.06450.
#include "norm.h"

using namespace kedge;

KEDGE_API int32_t kedge_layernorm_fwd(const kedge_context* ctx, int32_t dtype, void* y_, void* h_out_, float* mean, float* rstd,
                                      const void* x_, const void* residual_, const void* weight_, const void* bias_, int64_t rows,
                                      int64_t dim, double eps, kedge_status* status) {
  KEDGE_REQUIRE_F32("layernorm");
  KEDGE_TRY(check_norm_fwd(eps, h_out_, residual_, rows, dim,
                           {{"y", y_}, {"mean", mean}, {"rstd", rstd}, {"x", x_}, {"weight", weight_}, {"bias", bias_}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  float *y = (float*)y_, *h_out = (float*)h_out_;
  const float *x = (const float*)x_, *residual = (const float*)residual_, *weight = (const float*)weight_, *bias = (const float*)bias_;
  parallel_range(ctx, rows, norm_rows_per_chunk(dim), dim, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++)
      norm_row<true>(y + r * dim, h_out ? h_out + r * dim : nullptr, mean + r, rstd + r, x + r * dim,
                     residual ? residual + r * dim : nullptr, weight, bias, dim, eps);
  });
  return ok(status);
}

KEDGE_API int32_t kedge_layernorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx_, float* dweight, float* dbias, const void* dy_,
                                      const void* dh_, const void* h_, const void* weight_, const float* mean, const float* rstd,
                                      int64_t rows, int64_t dim, int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_F32("layernorm");
  KEDGE_TRY(check_matrices(rows, dim, {{"dx", dx_}, {"dy", dy_}, {"h", h_}, {"weight", weight_}, {"mean", mean}, {"rstd", rstd}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  const int64_t sums = dweight || dbias ? 2 : 0;
  KEDGE_REQUIRE_WORKSPACE(norm_workspace(rows, dim, sums));
  float* dx = (float*)dx_;
  const float *dy = (const float*)dy_, *dh = (const float*)dh_, *h = (const float*)h_, *weight = (const float*)weight_;
  norm_rows_bwd(ctx, dweight, dbias, sums, rows, dim, [=](int64_t r, float* of_weight, float* of_bias) {
    auto run = of_weight ? norm_row_bwd<true, true> : norm_row_bwd<true, false>;
    const int64_t at = r * dim;
    run(dx + at, of_weight, of_bias, dy + at, dh ? dh + at : nullptr, h + at, weight, mean[r], rstd[r], dim, accumulate & 1);
  });
  return ok(status);
}
