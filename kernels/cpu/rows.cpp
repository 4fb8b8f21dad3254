// Gather, scatter and scatter-add of rows by an index array: embeddings, their gradient, visual embeddings over placeholder rows, keys
// into a cache.
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

}  // namespace
}  // namespace kedge

using namespace kedge;

#define REQUIRE_INDICES(rows) \
  do { \
    int64_t bad = first_bad(index, n, rows); \
    if (bad < n) \
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
  float* out = (float*)out_;
  const float* src = (const float*)src_;
  // A chunk owns columns of all rows, so that each row's additions keep the order of i.
  parallel_range(ctx, dim, kColumns, n, [=](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < n; i++) {
      if (index[i] < 0) continue;
      float* o = out + index[i] * out_stride;
      const float* s = src + i * src_stride;
      each_vector(begin, end, [=](int64_t c, auto count) { store(o + c, load(o + c, count) + load(s + c, count), count); });
    }
  });
  return ok(status);
}
