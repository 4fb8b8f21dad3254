// Rotary position embedding: tables of cos and sin, and the rotation of pairs (i, i + head_dim / 2). Su et al., arXiv 2104.09864; text
// M-RoPE and 2-D vision positions: Qwen2-VL, arXiv 2409.12191.
#include "../common/rope_cache.h"
#include "vectors.h"

using namespace kedge;

KEDGE_API int32_t kedge_rope_table(const kedge_context* ctx, float* cos, float* sin, const int32_t* positions, const int32_t* axis,
                                   const float* inv_freq, int64_t axes, int64_t tokens, int64_t half, kedge_status* status) {
  KEDGE_TRY(check_rope_table({{"cos", cos}, {"sin", sin}, {"positions", positions}, {"axis", axis}, {"inv_freq", inv_freq}}, axes, tokens, half, status));
  if (tokens == 0 || half == 0) return ok(status);
  for (int64_t i = 0; i < half; i++)
    if (axis[i] < 0 || axis[i] >= axes)
      return fail(status, KEDGE_BAD_INDEX, "axis[%lld] is %d, outside [0, %lld)", (long long)i, axis[i], (long long)axes);
  parallel_range(ctx, tokens, std::max<int64_t>(1, 1024 / half), 16 * half, [=](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      for (int64_t i = 0; i < half; i++) {
        float angle = (float)positions[axis[i] * tokens + t] * inv_freq[i];
        cos[t * half + i] = std::cos(angle);
        sin[t * half + i] = std::sin(angle);
      }
    }
  });
  return ok(status);
}

KEDGE_API int32_t kedge_rope(const kedge_context* ctx, int32_t dtype, void* y_, int64_t y_stride, const void* x_, int64_t x_stride,
                             const float* cos, const float* sin, int64_t tokens, int64_t heads, int64_t head_dim, int32_t inverse,
                             int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_F32("rope");
  KEDGE_TRY(check_rope({{"y", y_, y_stride}, {"x", x_, x_stride}}, cos, sin, tokens, heads, head_dim, status));
  if (tokens == 0 || heads == 0 || head_dim == 0) return ok(status);
  int64_t half = head_dim / 2;
  float* y = (float*)y_;
  const float* x = (const float*)x_;
  float sign = inverse ? -1.f : 1.f;
  parallel_range(ctx, tokens, std::max<int64_t>(1, 4096 / (heads * head_dim)), 2 * heads * head_dim, [=](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const float *ct = cos + t * half, *st = sin + t * half;
      for (int64_t h = 0; h < heads; h++) {
        const float* in = x + t * x_stride + h * head_dim;
        float* out = y + t * y_stride + h * head_dim;
        each_vector(0, half, [=](int64_t i, auto count) {
          vf c = load(ct + i, count), s = load(st + i, count) * sign, a = load(in + i, count), b = load(in + half + i, count);
          vf first = a * c - b * s, second = b * c + a * s;
          if (accumulate & 1) {
            first += load(out + i, count);
            second += load(out + half + i, count);
          }
          store(out + i, first, count);
          store(out + half + i, second, count);
        });
      }
    }
  });
  return ok(status);
}

KEDGE_API int32_t kedge_rope_cache(const kedge_context* ctx, int32_t dtype, void* qkv, int64_t qkv_stride, const void* bias, void* cache,
                                   int64_t cache_stride, const int32_t* cache_row, const float* cos, const float* sin, int64_t tokens,
                                   int64_t heads, int64_t kv_heads, int64_t head_dim, int64_t cache_tokens, kedge_status* status) {
  KEDGE_REQUIRE_F32("rope_cache");
  KEDGE_TRY(
      check_rope_cache(qkv, qkv_stride, cache, cache_stride, cache_row, cos, sin, tokens, heads, kv_heads, head_dim, cache_tokens, status));
  const int64_t half = head_dim / 2, all = heads + 2 * kv_heads;
  if (tokens == 0 || all == 0 || half == 0) return ok(status);
  for (int64_t t = 0; t < tokens; t++)
    if (cache_row[t] < -1 || cache_row[t] >= cache_tokens)
      return fail(status, KEDGE_BAD_INDEX, "cache_row[%lld] is %d, outside [-1, %lld)", (long long)t, cache_row[t], (long long)cache_tokens);
  // The ops that training runs: where a compiler fuses a product and a sum is its choice, and here it must be the same.
  if (bias) KEDGE_TRY(kedge_bias_add(ctx, dtype, qkv, qkv_stride, qkv, qkv_stride, bias, tokens, all * head_dim, status));
  KEDGE_TRY(kedge_rope(ctx, dtype, qkv, qkv_stride, qkv, qkv_stride, cos, sin, tokens, heads + kv_heads, head_dim, 0, 0, status));
  const int64_t width = 2 * kv_heads * head_dim;
  parallel_range(ctx, tokens, std::max<int64_t>(1, 8192 / (width + 1)), width, [=](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++)
      if (cache_row[t] >= 0) memcpy((float*)cache + cache_row[t] * cache_stride, (const float*)qkv + t * qkv_stride + heads * head_dim, width * sizeof(float));
  });
  return ok(status);
}
