// Gather, scatter and scatter-add of rows by an index array: embeddings, their gradient, visual embeddings over placeholder rows, keys
// into a cache; and weighted sums of a few rows: position embeddings between the places of a grid.
#include "vectors.h"

namespace kedge {
namespace {

constexpr int64_t kColumns = 64;  // a chunk of scatter_add_rows: 256 bytes of each row

// The place of the first index outside [-1, rows), or n.
int64_t first_bad(const int32_t* index, int64_t n, int64_t rows) {
  for (int64_t i = 0; i < n; i++)
    if (index[i] < -1 || index[i] >= rows) return i;
  return n;
}

int64_t rows_per_chunk(int64_t dim) { return std::max<int64_t>(1, 8192 / dim); }

template <class T>
void gather(const kedge_context* ctx, T* out, int64_t out_stride, const T* table, int64_t table_stride, const int32_t* index, int64_t n,
            int64_t dim, bool accumulate) {
  parallel_range(ctx, n, rows_per_chunk(dim), dim, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      T* o = out + r * out_stride;
      const T* row = table + index[r] * table_stride;
      if (index[r] < 0) {
        if (!accumulate) memset((void*)o, 0, dim * sizeof(T));
      } else if (accumulate) {
        each_vector(0, dim, [=](int64_t i, auto count) { store(o + i, load(o + i, count) + load(row + i, count), count); });
      } else {
        memcpy((void*)o, (const void*)row, dim * sizeof(T));
      }
    }
  });
}

// Place p of the index takes row p / taps of src. A chunk owns columns of all rows, so that each row's additions keep the order of p.
template <bool kWeighted>
void scatter_add(const kedge_context* ctx, float* out, int64_t out_stride, const float* src, int64_t src_stride, const int32_t* index,
                 const float* weight, int64_t places, int64_t taps, int64_t dim) {
  parallel_range(ctx, dim, kColumns, places, [=](int64_t begin, int64_t end) {
    for (int64_t p = 0; p < places; p++) {
      if (index[p] < 0) continue;
      float* o = out + index[p] * out_stride;
      const float* s = src + (kWeighted ? p / taps : p) * src_stride;
      each_vector(begin, end, [=](int64_t c, auto count) {
        vf v = load(s + c, count);
        if constexpr (kWeighted) v *= weight[p];
        store(o + c, load(o + c, count) + v, count);
      });
    }
  });
}

}  // namespace
}  // namespace kedge

using namespace kedge;

#define REQUIRE_INDICES(rows) REQUIRE_ALL_INDICES(n, rows)
#define REQUIRE_ALL_INDICES(places, rows) \
  do { \
    int64_t bad = first_bad(index, places, rows); \
    if (bad < (places)) \
      return fail(status, KEDGE_BAD_INDEX, "index[%lld] is %d, outside [-1, %lld)", (long long)bad, index[bad], (long long)(rows)); \
  } while (0)

KEDGE_API int32_t kedge_gather_rows(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* table,
                                    int64_t table_stride, const int32_t* index, int64_t n, int64_t table_rows, int64_t dim,
                                    int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32 || dtype == KEDGE_BF16, "gather_rows takes f32 and bf16, not dtype %d", dtype);
  KEDGE_TRY(check_indexed(n, dim, table_rows, index, {{"out", out, out_stride}}, {"table", table, table_stride}, status));
  if (n == 0 || dim == 0) return ok(status);
  REQUIRE_INDICES(table_rows);
  if (dtype == KEDGE_F32) gather(ctx, (float*)out, out_stride, (const float*)table, table_stride, index, n, dim, accumulate);
  else gather(ctx, (bf16*)out, out_stride, (const bf16*)table, table_stride, index, n, dim, accumulate);
  return ok(status);
}

KEDGE_API int32_t kedge_scatter_rows(const kedge_context* ctx, int32_t dtype, void* out, int64_t out_stride, const void* src,
                                     int64_t src_stride, const int32_t* index, int64_t n, int64_t out_rows, int64_t dim,
                                     kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32 || dtype == KEDGE_BF16, "scatter_rows takes f32 and bf16, not dtype %d", dtype);
  KEDGE_TRY(check_indexed(n, dim, out_rows, index, {scattered(src, src_stride)}, {"out", out, out_stride}, status));
  if (n == 0 || dim == 0) return ok(status);
  REQUIRE_INDICES(out_rows);
  int64_t words = (out_rows + 63) / 64;  // a bit for each row written
  KEDGE_REQUIRE_WORKSPACE(words * 8);
  uint64_t* seen = (uint64_t*)ctx->workspace;
  std::fill(seen, seen + words, 0);
  for (int64_t i = 0; i < n; i++) {
    if (index[i] < 0) continue;
    uint64_t bit = 1ull << (index[i] % 64), &word = seen[index[i] / 64];
    if (word & bit) return fail(status, KEDGE_BAD_INDEX, "index[%lld] is %d, as an index before it", (long long)i, index[i]);
    word |= bit;
  }
  int64_t size = dtype == KEDGE_F32 ? 4 : 2;
  parallel_range(ctx, n, rows_per_chunk(dim), dim, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      if (index[i] < 0) continue;
      char* row = (char*)out + index[i] * out_stride * size;
      if (src) memcpy(row, (const char*)src + i * src_stride * size, dim * size);
      else memset(row, 0, dim * size);
    }
  });
  return ok(status);
}

KEDGE_API int32_t kedge_scatter_add_rows(const kedge_context* ctx, int32_t dtype, void* out_, int32_t out_dtype, int64_t out_stride,
                                         const void* src_, int64_t src_stride, const int32_t* index, int64_t n, int64_t out_rows,
                                         int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32 && out_dtype == KEDGE_F32, "scatter_add_rows takes f32 on the CPU, not dtypes %d and %d", dtype,
                      out_dtype);
  KEDGE_TRY(check_indexed(n, dim, out_rows, index, {{"src", src_, src_stride}}, {"out", out_, out_stride}, status));
  if (n == 0 || dim == 0) return ok(status);
  REQUIRE_INDICES(out_rows);
  scatter_add<false>(ctx, (float*)out_, out_stride, (const float*)src_, src_stride, index, nullptr, n, 1, dim);
  return ok(status);
}

KEDGE_API int32_t kedge_gather_weighted(const kedge_context* ctx, int32_t dtype, void* out_, int64_t out_stride, const void* table_,
                                        int64_t table_stride, const int32_t* index, const float* weight, int64_t n, int64_t taps,
                                        int64_t table_rows, int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_F32("gather_weighted");
  KEDGE_TRY(check_weighted(n, taps, dim, table_rows, index, weight, {{"out", out_, out_stride}}, {"table", table_, table_stride}, status));
  if (n == 0 || dim == 0) return ok(status);
  REQUIRE_ALL_INDICES(n * taps, table_rows);
  float* out = (float*)out_;
  const float* table = (const float*)table_;
  parallel_range(ctx, n, rows_per_chunk(dim), taps * dim, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      float* o = out + r * out_stride;
      const int32_t* from = index + r * taps;
      const float* by = weight + r * taps;
      each_vector(0, dim, [=](int64_t i, auto count) {
        vf sum{};
        for (int64_t k = 0; k < taps; k++)
          if (from[k] >= 0) sum += load(table + from[k] * table_stride + i, count) * by[k];
        store(o + i, sum, count);
      });
    }
  });
  return ok(status);
}

KEDGE_API int32_t kedge_scatter_add_weighted(const kedge_context* ctx, int32_t dtype, void* out_, int32_t out_dtype, int64_t out_stride,
                                             const void* src_, int64_t src_stride, const int32_t* index, const float* weight, int64_t n,
                                             int64_t taps, int64_t out_rows, int64_t dim, kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32 && out_dtype == KEDGE_F32, "scatter_add_weighted takes f32 on the CPU, not dtypes %d and %d", dtype,
                      out_dtype);
  KEDGE_TRY(check_weighted(n, taps, dim, out_rows, index, weight, {{"src", src_, src_stride}}, {"out", out_, out_stride}, status));
  if (n == 0 || dim == 0) return ok(status);
  REQUIRE_ALL_INDICES(n * taps, out_rows);
  scatter_add<true>(ctx, (float*)out_, out_stride, (const float*)src_, src_stride, index, weight, n * taps, taps, dim);
  return ok(status);
}
