// A row of RMSNorm and of LayerNorm, forward and backward, and the sum of the parameters' gradients over rows. kCentred: LayerNorm, whose rows
// lose their mean first. Zhang & Sennrich, arXiv 1910.07467; Ba et al., arXiv 1607.06450.
#pragma once
#include "vectors.h"

namespace kedge {

inline int64_t norm_rows_per_chunk(int64_t dim) { return std::max<int64_t>(1, 4096 / dim); }

// Where row r of an array of rows of heads begins: heads of one token lie together, tokens `stride` apart.
inline int64_t head_row(int64_t r, int64_t heads, int64_t stride, int64_t dim) { return r / heads * stride + r % heads * dim; }

// mean, bias: of kCentred alone. h_out and residual are nullable. y may be x.
template <bool kCentred>
inline void norm_row(float* y, float* h_out, float* mean, float* rstd, const float* x, const float* residual, const float* weight,
                     const float* bias, int64_t dim, double eps) {
  if (residual) {
    each_vector(0, dim, [=](int64_t i, auto count) { store(h_out + i, load(x + i, count) + load(residual + i, count), count); });
  } else if (h_out && h_out != x) {
    memcpy(h_out, x, dim * sizeof(float));
  }
  const float* h = h_out ? h_out : x;
  if constexpr (kCentred) {
    const float m = (float)(block_sum(dim, [=](int64_t i, auto count) { return load(h + i, count); }) / dim);
    double squares = block_sum(dim, [=](int64_t i, auto count) {
      vf d = only(load(h + i, count) - m, count);  // the elements that a short vector lacks would count as -m
      return d * d;
    });
    const float r = (float)(1 / std::sqrt(squares / dim + eps));
    *mean = m;
    *rstd = r;
    each_vector(0, dim, [=](int64_t i, auto count) {
      store(y + i, (load(h + i, count) - m) * r * load(weight + i, count) + load(bias + i, count), count);
    });
  } else {
    double squares = block_sum(dim, [=](int64_t i, auto count) { return load(h + i, count) * load(h + i, count); });
    float r = (float)(1 / std::sqrt(squares / dim + eps));
    if (rstd) *rstd = r;
    each_vector(0, dim, [=](int64_t i, auto count) { store(y + i, load(h + i, count) * r * load(weight + i, count), count); });
  }
}

// With n = (h - m) r: dh_j = r (w_j dy_j - sum_i w_i dy_i / dim - n_j sum_i w_i dy_i n_i / dim), where m and the first sum are LayerNorm's.
// kSums: dweight += dy n and, of LayerNorm, dbias += dy.
template <bool kCentred, bool kSums>
inline void norm_row_bwd(float* dx, float* dweight, float* dbias, const float* dy, const float* dh, const float* h, const float* weight,
                         float m, float r, int64_t dim, bool accumulate) {
  auto centred = [=](int64_t i, auto count) {
    if constexpr (kCentred) return load(h + i, count) - m;
    else return load(h + i, count);
  };
  double dot = block_sum(dim, [=](int64_t i, auto count) { return load(dy + i, count) * load(weight + i, count) * centred(i, count); });
  float c = (float)(dot / dim * r * r * r), all = 0;
  if constexpr (kCentred)
    all = (float)(block_sum(dim, [=](int64_t i, auto count) { return load(dy + i, count) * load(weight + i, count); }) / dim * r);
  each_vector(0, dim, [=](int64_t i, auto count) {
    vf g = load(dy + i, count), v = centred(i, count);
    if (kSums) store(dweight + i, load(dweight + i, count) + g * (v * r), count);
    if (kSums && kCentred) store(dbias + i, load(dbias + i, count) + g, count);
    vf d = g * load(weight + i, count) * r - v * c;
    if (kCentred) d -= all;
    if (dh) d += load(dh + i, count);
    if (accumulate) d += load(dx + i, count);
    store(dx + i, d, count);
  });
}

// Bytes of workspace that norm_bwd needs: `sums` rows of sums for each chunk.
inline int64_t norm_workspace(int64_t rows, int64_t dim, int64_t sums) { return sums * row_chunks(rows) * dim * (int64_t)sizeof(float); }

// Runs row(r, dweight, dbias) for all rows: with sums, in chunks of rows, each with sums of its own (`sums` of them, 1 or 2), which are then
// added to dweight and dbias (nullable) in order; without, dweight and dbias are NULL.
template <class Row>
inline void norm_rows_bwd(const kedge_context* ctx, float* dweight, float* dbias, int64_t sums, int64_t rows, int64_t dim, Row&& row) {
  const int64_t size = sums ? row_chunk(rows) : norm_rows_per_chunk(dim), chunks = row_chunks(rows);
  float* partials = (float*)ctx->workspace;
  parallel_range(ctx, rows, size, 2 * dim, [=](int64_t begin, int64_t end) {
    float* of_weight = sums > 0 ? partials + begin / size * dim : nullptr;
    float* of_bias = sums > 1 ? of_weight + chunks * dim : nullptr;
    for (float* partial : {of_weight, of_bias})
      if (partial) std::fill(partial, partial + dim, 0.f);
    for (int64_t r = begin; r < end; r++) row(r, of_weight, of_bias);
  });
  if (dweight) add_partials(ctx, dweight, partials, chunks, dim);
  if (dbias) add_partials(ctx, dbias, partials + chunks * dim, chunks, dim);
}

}  // namespace kedge
