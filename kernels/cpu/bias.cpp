// Bias add and the bias gradient. x, dy: [rows, dim] with strides.
#include "vectors.h"

using namespace kedge;

KEDGE_API int32_t kedge_bias_add(const kedge_context* ctx, int32_t dtype, void* y_, int64_t y_stride, const void* x_, int64_t x_stride,
                                 const void* bias_, int64_t rows, int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_F32("bias_add");
  KEDGE_TRY(check_matrices(rows, dim, {{"y", y_, y_stride}, {"x", x_, x_stride}, {"bias", bias_}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  float* y = (float*)y_;
  const float *x = (const float*)x_, *bias = (const float*)bias_;
  parallel_range(ctx, rows, std::max<int64_t>(1, 8192 / dim), dim, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      float* o = y + r * y_stride;
      const float* a = x + r * x_stride;
      each_vector(0, dim, [=](int64_t i, auto count) { store(o + i, load(a + i, count) + load(bias + i, count), count); });
    }
  });
  return ok(status);
}

KEDGE_API int32_t kedge_bias_grad(const kedge_context* ctx, int32_t dtype, float* dbias, const void* dy_, int64_t dy_stride, int64_t rows,
                                  int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_F32("bias_grad");
  KEDGE_TRY(check_matrices(rows, dim, {{"dbias", dbias}, {"dy", dy_, dy_stride}}, status));
  if (rows == 0 || dim == 0) return ok(status);
  int64_t size = row_chunk(rows), chunks = row_chunks(rows);
  KEDGE_REQUIRE_WORKSPACE(chunks * dim * (int64_t)sizeof(float));
  float* partials = (float*)ctx->workspace;
  const float* dy = (const float*)dy_;
  parallel_range(ctx, rows, size, dim, [=](int64_t begin, int64_t end) {
    float* partial = partials + begin / size * dim;
    std::fill(partial, partial + dim, 0.f);
    for (int64_t r = begin; r < end; r++) {
      const float* row = dy + r * dy_stride;
      each_vector(0, dim, [=](int64_t i, auto count) { store(partial + i, load(partial + i, count) + load(row + i, count), count); });
    }
  });
  add_partials(ctx, dbias, partials, chunks, dim);
  return ok(status);
}
