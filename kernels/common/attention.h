// Attention (kedge.h): the checks that both libraries make, and constants of the connectivity that both add up.
#pragma once
#include "arguments.h"
#include "both.h"

namespace kedge {

// Added up by row ("row" of docs/method.md section 1.3), a row's masses are divided by its mass on all but sinks, which counts at least so
// much.
constexpr float kLeastMass = 0.01f;

// step: head_dim is a multiple of it in this library.
inline int32_t check_heads(int64_t heads, int64_t kv_heads, int64_t head_dim, int64_t step, double scale, kedge_status* status) {
  KEDGE_REQUIRE(heads > 0 && kv_heads > 0 && heads % kv_heads == 0, "heads %lld is not a multiple of kv_heads %lld", (long long)heads,
                (long long)kv_heads);
  KEDGE_REQUIRE_DTYPE(head_dim >= step && head_dim <= 128 && head_dim % step == 0, "head_dim %lld is not a multiple of %lld in [%lld, 128]",
                      (long long)head_dim, (long long)step, (long long)step);
  KEDGE_REQUIRE(is_finite(scale), "scale is %g", scale);
  return KEDGE_OK;
}

// Packed sequences: of an op over the segments of `shape`.
inline int32_t check_packed(const kedge_attention_shape* shape, const int32_t* segments, int64_t step, kedge_status* status) {
  KEDGE_REQUIRE(shape, "shape is NULL");
  const kedge_attention_shape& x = *shape;
  KEDGE_REQUIRE(x.q_tokens >= 0 && x.kv_tokens >= 0 && x.n_segments >= 0 && x.max_q >= 0 && x.max_kv >= 0,
                "q_tokens %lld, kv_tokens %lld, n_segments %lld, max_q %lld, max_kv %lld: one is negative", (long long)x.q_tokens,
                (long long)x.kv_tokens, (long long)x.n_segments, (long long)x.max_q, (long long)x.max_kv);
  KEDGE_TRY(check_heads(x.heads, x.kv_heads, x.head_dim, step, x.scale, status));
  KEDGE_REQUIRE(segments || x.n_segments == 0, "segments is NULL");
  return KEDGE_OK;
}
// Arrays of [tokens, heads, head_dim]: queries, or keys with heads = kv_heads.
inline int32_t check_token_rows(int64_t tokens, int64_t heads, const kedge_attention_shape& x, const Operands& operands,
                                kedge_status* status) {
  KEDGE_TRY(check_strides(heads * x.head_dim, operands, status));
  return tokens == 0 ? KEDGE_OK : check_given(operands, status);
}
inline int32_t check_attention_fwd(const kedge_attention_shape& x, const void* out, const float* lse, const void* q, const void* k,
                                   const void* v, kedge_status* status) {
  KEDGE_TRY(check_token_rows(x.q_tokens, x.heads, x, {{"q", q, x.q_stride}, {"out", out, x.out_stride}, {"lse", lse}}, status));
  return check_token_rows(x.kv_tokens, x.kv_heads, x, {{"k", k, x.k_stride}, {"v", v, x.v_stride}}, status);
}
inline int32_t check_attention_bwd(const kedge_attention_shape& x, const kedge_attention_gradients* gradients, const void* dq, const void* dk,
                                   const void* dv, const void* dout, const void* q, const void* k, const void* v, const void* out,
                                   const float* lse, kedge_status* status) {
  KEDGE_REQUIRE(gradients, "gradients is NULL");
  const kedge_attention_gradients& g = *gradients;
  KEDGE_TRY(check_attention_fwd(x, out, lse, q, k, v, status));
  KEDGE_TRY(check_token_rows(x.q_tokens, x.heads, x, {{"dq", dq, g.dq_stride}, {"dout", dout, g.dout_stride}}, status));
  KEDGE_TRY(check_token_rows(x.kv_tokens, x.kv_heads, x, {{"dk", dk, g.dk_stride}, {"dv", dv, g.dv_stride}}, status));
  KEDGE_REQUIRE(g.accumulate >= 0 && g.accumulate < 8, "accumulate is %d, its bits are dq, dk, dv", (int)g.accumulate);
  return KEDGE_OK;
}

enum Renorm { kPooled, kByRow, kByHead };

// The bits of query heads 0 to 63, from skip_low and skip_high of kedge.h.
inline uint64_t head_bits(uint32_t low, uint32_t high) { return (uint64_t)high << 32 | low; }
// Whether a query head counts. Those from 64 on have no bit.
KEDGE_BOTH inline bool counts(uint64_t skip_heads, int64_t head) { return head >= 64 || !(skip_heads >> head & 1); }

// most: the last of Renorm that the op takes.
inline int32_t check_renorm(int64_t regions, int32_t renorm, int32_t most, kedge_status* status) {
  KEDGE_REQUIRE(regions >= 0 && regions <= INT32_MAX / 2, "regions is %lld", (long long)regions);
  KEDGE_REQUIRE(renorm >= 0 && renorm <= most, "renorm is %d, not 0 to %d", (int)renorm, (int)most);
  return KEDGE_OK;
}
inline int32_t check_connectivity(const kedge_attention_shape& x, const float* mass, const void* q, const void* k, const float* lse,
                                  const int32_t* region, const int32_t* row_out, int64_t regions, int64_t rows_out, int32_t renorm,
                                  kedge_status* status) {
  KEDGE_REQUIRE(rows_out >= 0, "rows_out is %lld", (long long)rows_out);
  KEDGE_TRY(check_renorm(regions, renorm, kByHead, status));
  KEDGE_TRY(check_token_rows(x.q_tokens, x.heads, x, {{"q", q, x.q_stride}, {"lse", lse}, {"row_out", row_out}}, status));
  KEDGE_TRY(check_token_rows(x.kv_tokens, x.kv_heads, x, {{"k", k, x.k_stride}, {"region", region}}, status));
  return check_given({{"mass", mass || rows_out == 0}}, status);
}
// Keys of the smallest page: a tile of keys lies within one.
constexpr int kLeastPage = 64;
// The binary logarithm of a page's keys; 0 where there are no pages.
inline int page_bits(int64_t page) {
  int bits = 0;
  while ((int64_t(1) << bits) < page) bits++;
  return bits;
}
inline int32_t check_decode(const kedge_decode_shape* shape, const void* out, const float* mass, const void* q, const void* k_cache,
                            const void* v_cache, const int32_t* region, int64_t regions, const int32_t* groups, const int32_t* sequences,
                            const int32_t* pages, int32_t renorm, int64_t step, kedge_status* status) {
  KEDGE_REQUIRE(shape, "shape is NULL");
  const kedge_decode_shape& x = *shape;
  KEDGE_REQUIRE(x.n >= 0 && x.n_groups >= 0 && x.cache_tokens >= 0 && x.max_prefix >= 0 && x.max_own >= 0,
                "n %lld, n_groups %lld, cache_tokens %lld, max_prefix %lld, max_own %lld: one is negative", (long long)x.n,
                (long long)x.n_groups, (long long)x.cache_tokens, (long long)x.max_prefix, (long long)x.max_own);
  KEDGE_TRY(check_heads(x.heads, x.kv_heads, x.head_dim, step, x.scale, status));
  KEDGE_TRY(check_strides(x.heads * x.head_dim, {{"q", q, x.q_stride}, {"out", out, x.out_stride}}, status));
  KEDGE_TRY(check_strides(x.kv_heads * x.head_dim, {{"k", k_cache, x.k_stride}, {"v", v_cache, x.v_stride}}, status));
  KEDGE_TRY(check_renorm(regions, renorm, kByRow, status));
  KEDGE_REQUIRE(x.page == 0 || (x.page >= kLeastPage && x.page <= (1 << 30) && (x.page & (x.page - 1)) == 0),
                "page is %lld, neither 0 nor a power of two of %d or more", (long long)x.page, kLeastPage);
  KEDGE_REQUIRE(x.n_pages >= 0, "n_pages is %lld", (long long)x.n_pages);
  KEDGE_REQUIRE(pages || x.page == 0 || x.n_pages == 0, "pages is NULL");
  KEDGE_REQUIRE(groups || x.n_groups == 0, "groups is NULL");
  if (x.n == 0) return KEDGE_OK;
  KEDGE_REQUIRE(x.n_groups > 0, "%lld sequences are in no group", (long long)x.n);
  const bool cached = x.cache_tokens > 0;
  return check_given({{"q", q}, {"out", out}, {"sequences", sequences}, {"k_cache", k_cache || !cached}, {"v_cache", v_cache || !cached},
                      {"region", region || !mass || !cached}}, status);
}

}  // namespace kedge
