// The checks of kedge_rope_cache, once for both libraries.
#pragma once
#include "arguments.h"

namespace kedge {

inline int32_t check_rope_cache(const void* qkv, int64_t qkv_stride, const void* cache, int64_t cache_stride, const int32_t* cache_row,
                                const void* cos, const void* sin, int64_t tokens, int64_t heads, int64_t kv_heads, int64_t head_dim,
                                int64_t cache_tokens, kedge_status* status) {
  KEDGE_REQUIRE(heads >= 0 && kv_heads >= 0 && heads <= INT32_MAX && kv_heads <= INT32_MAX, "heads is %lld, kv_heads %lld", (long long)heads,
                (long long)kv_heads);
  KEDGE_REQUIRE(cache_tokens >= 0, "cache_tokens is %lld", (long long)cache_tokens);
  KEDGE_TRY(check_rope({{"qkv", qkv, qkv_stride}, {"cache_row", cache_row, INT64_MAX}}, cos, sin, tokens, heads + 2 * kv_heads, head_dim, status));
  KEDGE_TRY(check_strides(2 * kv_heads * head_dim, {{"cache", cache, cache_stride}}, status));
  return check_given({{"cache", cache || cache_tokens == 0 || tokens == 0 || kv_heads == 0 || head_dim == 0}}, status);
}

}  // namespace kedge
