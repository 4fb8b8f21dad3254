// The table of packed sequences (kedge.h, attention): its rows as a struct, its check, and the rows that belong to no segment.
#pragma once
#include <utility>
#include <vector>

#include "common.h"

namespace kedge {

struct Segment {
  int32_t q_start, q_len, kv_start, kv_len, parent, child_begin, child_end, zero;

  // Own keys that query `i` of this segment sees.
  int64_t visible(int64_t i, bool causal) const { return causal ? i + kv_len - q_len + 1 : kv_len; }
};

// Bounds that a table must keep.
struct SegmentBounds {
  int64_t q_tokens, kv_tokens, max_q, max_kv;
  bool causal;
};

// KEDGE_OK, or the first fault in words that name the segment. May throw std::bad_alloc.
int32_t check_segments(const int32_t* segments, int64_t n, const SegmentBounds& bounds, kedge_status* status);

// Ranges [begin, end) of [0, tokens) that no segment covers, in order. `keys`: of key rows, else of query rows. The table must have passed
// the check. May throw std::bad_alloc.
std::vector<std::pair<int64_t, int64_t>> uncovered(const Segment* segments, int64_t n, int64_t tokens, bool keys);

inline const Segment* as_segments(const int32_t* segments) { return reinterpret_cast<const Segment*>(segments); }

}  // namespace kedge
