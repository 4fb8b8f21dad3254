// The check of a segment table: ranges inside their arrays and disjoint, families one level deep, children where the parent says.
#include "segments.h"

#include <new>

namespace kedge {
namespace {

using Ranges = std::vector<std::pair<int64_t, int64_t>>;  // start, segment

Ranges by_start(const Segment* s, int64_t n, bool keys) {
  Ranges order;
  order.reserve(n);
  for (int64_t i = 0; i < n; i++)
    if ((keys ? s[i].kv_len : s[i].q_len) > 0) order.emplace_back(keys ? s[i].kv_start : s[i].q_start, i);
  std::sort(order.begin(), order.end());
  return order;
}

int32_t check_range(int64_t i, const char* what, int64_t start, int64_t length, int64_t tokens, int64_t longest, kedge_status* status) {
  if (start < 0 || length < 0 || start + length > tokens)
    return fail(status, KEDGE_BAD_INDEX, "segment %lld: %s [%lld, %lld) lie outside [0, %lld)", (long long)i, what, (long long)start,
                (long long)(start + length), (long long)tokens);
  if (length > longest)
    return fail(status, KEDGE_INVALID, "segment %lld has %lld %s, the bound given is %lld", (long long)i, (long long)length, what,
                (long long)longest);
  return KEDGE_OK;
}

int32_t check_family(const Segment* s, int64_t n, int64_t i, kedge_status* status) {
  const Segment& x = s[i];
  if (x.parent < -1 || x.parent >= n)
    return fail(status, KEDGE_BAD_INDEX, "segment %lld: parent %d is not in [-1, %lld)", (long long)i, x.parent, (long long)n);
  if (x.child_begin < 0 || x.child_end < x.child_begin || x.child_end > n)
    return fail(status, KEDGE_BAD_INDEX, "segment %lld: children [%d, %d) are not a range within [0, %lld)", (long long)i, x.child_begin,
                x.child_end, (long long)n);
  if (x.zero != 0) return fail(status, KEDGE_INVALID, "segment %lld: its last number is %d, not 0", (long long)i, x.zero);
  if (x.parent >= 0) {
    const Segment& p = s[x.parent];
    if (x.parent == i) return fail(status, KEDGE_INVALID, "segment %lld is its own parent", (long long)i);
    if (p.parent != -1)
      return fail(status, KEDGE_INVALID, "segment %lld: its parent %d has a parent itself, %d", (long long)i, x.parent, p.parent);
    if (i < p.child_begin || i >= p.child_end)
      return fail(status, KEDGE_INVALID, "segment %lld is not among the children [%d, %d) of its parent %d", (long long)i, p.child_begin,
                  p.child_end, x.parent);
  }
  for (int64_t c = x.child_begin; c < x.child_end; c++)
    if (s[c].parent != i)
      return fail(status, KEDGE_INVALID, "segment %lld lists segment %lld as a child, whose parent is %d", (long long)i, (long long)c,
                  s[c].parent);
  return KEDGE_OK;
}

int32_t check_disjoint(const Segment* s, int64_t n, bool keys, kedge_status* status) {
  Ranges order = by_start(s, n, keys);
  for (size_t i = 1; i < order.size(); i++) {
    const Segment& before = s[order[i - 1].second];
    int64_t end = order[i - 1].first + (keys ? before.kv_len : before.q_len);
    if (order[i].first < end)
      return fail(status, KEDGE_INVALID, "segments %lld and %lld overlap: %s %lld is in both", (long long)order[i - 1].second,
                  (long long)order[i].second, keys ? "key" : "query", (long long)order[i].first);
  }
  return KEDGE_OK;
}

}  // namespace

int32_t check_segments(const int32_t* segments, int64_t n, const SegmentBounds& bounds, kedge_status* status) {
  const Segment* s = as_segments(segments);
  int64_t claimed = 0;
  for (int64_t i = 0; i < n; i++) {
    KEDGE_TRY(check_range(i, "queries", s[i].q_start, s[i].q_len, bounds.q_tokens, bounds.max_q, status));
    KEDGE_TRY(check_range(i, "keys", s[i].kv_start, s[i].kv_len, bounds.kv_tokens, bounds.max_kv, status));
    if (bounds.causal && s[i].q_len > s[i].kv_len)
      return fail(status, KEDGE_INVALID, "segment %lld has %d queries but %d keys, and the mask is causal", (long long)i, s[i].q_len,
                  s[i].kv_len);
    // Claims beyond the number of segments mean that two parents claim one child; stop before their lists cost n^2.
    claimed += std::max(0, s[i].child_end - s[i].child_begin);
    if (claimed > n && s[i].child_begin >= 0 && s[i].child_end <= n)
      return fail(status, KEDGE_INVALID, "segment %lld: its children [%d, %d) and those of the segments before it overlap", (long long)i,
                  s[i].child_begin, s[i].child_end);
    KEDGE_TRY(check_family(s, n, i, status));
  }
  KEDGE_TRY(check_disjoint(s, n, false, status));
  return check_disjoint(s, n, true, status);
}

std::vector<std::pair<int64_t, int64_t>> uncovered(const Segment* segments, int64_t n, int64_t tokens, bool keys) {
  std::vector<std::pair<int64_t, int64_t>> gaps;
  int64_t end = 0;
  for (const auto& [start, i] : by_start(segments, n, keys)) {
    if (start > end) gaps.emplace_back(end, start);
    end = start + (keys ? segments[i].kv_len : segments[i].q_len);
  }
  if (tokens > end) gaps.emplace_back(end, tokens);
  return gaps;
}

}  // namespace kedge

KEDGE_HOST_API int32_t kedge_segments_check(const int32_t* segments, int64_t n_segments, int64_t q_tokens, int64_t kv_tokens,
                                            int32_t causal, kedge_status* status) {
  using namespace kedge;
  KEDGE_REQUIRE(n_segments >= 0 && q_tokens >= 0 && kv_tokens >= 0, "n_segments %lld, q_tokens %lld, kv_tokens %lld: one is negative",
                (long long)n_segments, (long long)q_tokens, (long long)kv_tokens);
  KEDGE_REQUIRE(segments || n_segments == 0, "segments is NULL");
  try {
    KEDGE_TRY(check_segments(segments, n_segments, { q_tokens, kv_tokens, INT64_MAX, INT64_MAX, causal != 0 }, status));
  } catch (const std::bad_alloc&) {
    return fail(status, KEDGE_OUT_OF_MEMORY, "no memory to sort %lld segments", (long long)n_segments);
  }
  return ok(status);
}
