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

// What the calls over packed sequences check alike, the table of segments too. May throw std::bad_alloc.
inline int32_t check_attention(int32_t dtype, const kedge_attention_shape* shape, const int32_t* segments, kedge_status* status) {
  KEDGE_REQUIRE_F32("attention");
  KEDGE_TRY(check_packed(shape, segments, kHeadStep, status));
  const AttentionShape x(*shape);
  return check_segments(segments, shape->n_segments, { x.q_tokens, x.kv_tokens, x.max_q, x.max_kv, x.causal }, status);
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
