// How attention over packed sequences is cut into work, and the checks of its arguments.
#pragma once
#include "attention.h"
#include "segments.h"

namespace kedge {

struct AttentionShape {
  int64_t q_tokens, kv_tokens, heads, kv_heads, dim, max_q, max_kv;
  double scale;
  bool causal;

  explicit AttentionShape(const kedge_attention_shape& x)
      : q_tokens(x.q_tokens), kv_tokens(x.kv_tokens), heads(x.heads), kv_heads(x.kv_heads), dim(x.head_dim), max_q(x.max_q),
        max_kv(x.max_kv), scale(x.scale), causal(x.causal != 0) {}
  int64_t group() const { return heads / kv_heads; }  // query heads per key head; a row of a panel is a (token, head of the group)
};

// Tokens [begin, end) of a segment's queries: cut at fixed places of the segment, so that bits do not depend on its neighbours.
struct Piece {
  int32_t segment, begin, end;
};

constexpr int kChunk = 2 * kTile;  // keys whose gradients are held at a time
constexpr int kParts = 4;          // at most so many parts of a segment's keys

// Keys in each part of a segment with kv_len keys, for the backward: a function of kv_len alone.
inline int64_t part_keys(int64_t kv_len) { return std::max<int64_t>(kChunk, round_up((kv_len + kParts - 1) / kParts, kTile)); }
inline int64_t parts_of(int64_t kv_len) { return (kv_len + part_keys(kv_len) - 1) / part_keys(kv_len); }

inline int64_t panels_of(int64_t tokens, int64_t group) { return (tokens * group + kPanel - 1) / kPanel; }

// What the calls over packed sequences check alike: dtype, sizes, head counts. Strides and pointers are each call's own.
inline int32_t check_attention(int32_t dtype, const kedge_attention_shape* shape, const int32_t* segments, kedge_status* status) {
  KEDGE_REQUIRE(shape, "shape is NULL");
  const AttentionShape x(*shape);
  const int64_t n = shape->n_segments;
  KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32, "the CPU computes attention in f32, dtype is %d", dtype);
  KEDGE_REQUIRE(x.q_tokens >= 0 && x.kv_tokens >= 0 && n >= 0, "q_tokens %lld, kv_tokens %lld, n_segments %lld: one is negative",
                (long long)x.q_tokens, (long long)x.kv_tokens, (long long)n);
  KEDGE_REQUIRE(x.heads > 0 && x.kv_heads > 0 && x.heads % x.kv_heads == 0, "heads %lld is not a multiple of kv_heads %lld",
                (long long)x.heads, (long long)x.kv_heads);
  KEDGE_REQUIRE_DTYPE(x.dim >= 4 && x.dim <= 128 && x.dim % 4 == 0, "head_dim %lld is not a multiple of 4 in [4, 128]", (long long)x.dim);
  KEDGE_REQUIRE(std::isfinite(x.scale), "scale is %g", x.scale);
  KEDGE_REQUIRE(segments || n == 0, "segments is NULL");
  return check_segments(segments, n, { x.q_tokens, x.kv_tokens, x.max_q, x.max_kv, x.causal }, status);
}

// Limits of a panel whose lane 0 is row `row` of segment s, for the tile at own key `key` of `keys` keys. `rows`: the panel's real rows;
// lanes behind them see what the last one sees.
inline Limits limits_of(const Segment& s, bool causal, int64_t group, int64_t row, int64_t rows, int64_t key, int keys) {
  Limits limits;
  for (int64_t i = 0; i < kPanel; i++) {
    int64_t token = (row + std::min(i, rows - 1)) / group;
    limits.lane[i] = (int32_t)std::clamp<int64_t>(s.visible(token, causal) - key, 0, keys);
  }
  limits.first = limits.lane[0];
  limits.last = limits.lane[kPanel - 1];
  return limits;
}

}  // namespace kedge
