// RMSNorm with the fused residual add, forward and backward. x: [rows, dim], a row is a unit of work. Zhang & Sennrich, arXiv 1910.07467.
#include "vectors.h"

namespace kedge {
namespace {

int64_t rows_per_chunk(int64_t dim) { return std::max<int64_t>(1, 4096 / dim); }

void forward_row(float* y, float* h_out, float* rstd, const float* x, const float* residual, const float* weight, int64_t dim, double eps) {
  if (residual) {
    each_vector(0, dim, [=](int64_t i, auto count) { store(h_out + i, load(x + i, count) + load(residual + i, count), count); });
  } else if (h_out && h_out != x) {
    memcpy(h_out, x, dim * sizeof(float));
  }
  const float* h = h_out ? h_out : x;
  double squares = block_sum(dim, [=](int64_t i, auto count) { return load(h + i, count) * load(h + i, count); });
  float r = (float)(1 / std::sqrt(squares / dim + eps));
  *rstd = r;
  each_vector(0, dim, [=](int64_t i, auto count) { store(y + i, load(h + i, count) * r * load(weight + i, count), count); });
}

// dh_j = r w_j dy_j - h_j r^3 / dim * sum_i w_i dy_i h_i
template <bool kWeight>
void backward_row(float* dx, float* dweight, const float* dy, const float* dh, const float* h, const float* weight, float r, int64_t dim,
                  bool accumulate) {
  double dot = block_sum(dim, [=](int64_t i, auto count) { return load(dy + i, count) * load(weight + i, count) * load(h + i, count); });
  float c = (float)(dot / dim * r * r * r);
  each_vector(0, dim, [=](int64_t i, auto count) {
    vf g = load(dy + i, count), v = load(h + i, count);
    if (kWeight) store(dweight + i, load(dweight + i, count) + g * (v * r), count);
    vf d = g * load(weight + i, count) * r - v * c;
    if (dh) d += load(dh + i, count);
    if (accumulate) d += load(dx + i, count);
    store(dx + i, d, count);
  });
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_rmsnorm_fwd(const kedge_context* ctx, int32_t dtype, void* y_, void* h_out_, float* rstd, const void* x_,
                                    const void* residual_, const void* weight_, int64_t rows, int64_t dim, double eps,
                                    kedge_status* status) {
  KEDGE_REQUIRE_F32("rmsnorm");
  KEDGE_TRY(check_rmsnorm_fwd(y_, h_out_, rstd, x_, residual_, weight_, rows, dim, eps, status));
  if (rows == 0 || dim == 0) return ok(status);
  float *y = (float*)y_, *h_out = (float*)h_out_;
  const float *x = (const float*)x_, *residual = (const float*)residual_, *weight = (const float*)weight_;
  parallel_range(ctx, rows, rows_per_chunk(dim), dim, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++)
      forward_row(y + r * dim, h_out ? h_out + r * dim : nullptr, rstd + r, x + r * dim, residual ? residual + r * dim : nullptr, weight,
                  dim, eps);
  });
  return ok(status);
}

KEDGE_API int32_t kedge_rmsnorm_bwd(const kedge_context* ctx, int32_t dtype, void* dx_, float* dweight, const void* dy_, const void* dh_,
                                    const void* h_, const void* weight_, const float* rstd, int64_t rows, int64_t dim, int32_t accumulate,
                                    kedge_status* status) {
  KEDGE_REQUIRE_F32("rmsnorm");
  KEDGE_TRY(check_matrices(rows, dim, {{"dx", dx_}, {"dy", dy_}, {"h", h_}, {"weight", weight_}, {"rstd", rstd}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  int64_t size = dweight ? row_chunk(rows) : rows_per_chunk(dim), chunks = row_chunks(rows);
  KEDGE_REQUIRE_WORKSPACE(dweight ? chunks * dim * (int64_t)sizeof(float) : 0);
  float *dx = (float*)dx_, *partials = (float*)ctx->workspace;
  const float *dy = (const float*)dy_, *dh = (const float*)dh_, *h = (const float*)h_, *weight = (const float*)weight_;
  parallel_range(ctx, rows, size, 2 * dim, [=](int64_t begin, int64_t end) {
    float* partial = dweight ? partials + begin / size * dim : nullptr;
    if (partial) std::fill(partial, partial + dim, 0.f);
    for (int64_t r = begin; r < end; r++) {
      auto run = partial ? backward_row<true> : backward_row<false>;
      run(dx + r * dim, partial, dy + r * dim, dh ? dh + r * dim : nullptr, h + r * dim, weight, rstd[r], dim, accumulate & 1);
    }
  });
  if (dweight) add_partials(ctx, dweight, partials, chunks, dim);
  return ok(status);
}
