// Connectivity from a forward's q, k and log-sum-exp: per row the mass of its attention on visual tokens without the sinks, and the profile
// over regions; see kedge.h. One pass over the visible keys; probabilities are never stored.
#include <new>

#include "attention_plan.h"

namespace kedge {
namespace {

constexpr int kItemPanels = 2;  // panels of one key head in an item

// Chosen query rows [begin, end) of the list, all of one segment.
struct Item {
  int32_t segment;
  int64_t begin, end;
};

struct Connectivity {
  AttentionShape shape;
  const Segment* segments;
  float *mass, *profile;
  const float *q, *k, *lse;
  int64_t q_stride, k_stride;
  const int32_t *region, *row_out;
  int64_t regions, mass_rows;
  int32_t renorm;
  uint64_t skip_heads;
  const int32_t* tokens;  // chosen query rows, counted from their segment's first

  int64_t item_tokens() const { return std::max<int64_t>(1, kItemPanels * kPanel / shape.group()); }
  // Sums that a row has: of all heads together, or of each.
  int64_t outputs() const { return renorm == kByHead ? shape.heads : 1; }
  int64_t scratch_floats() const {
    return shape.dim * kPanel + mass_rows * kPanel + kTile * kPanel + item_tokens() * outputs() * (1 + mass_rows);
  }
  // Whether any of a key head's query heads counts.
  bool any_counts(int64_t head) const {
    for (int64_t h = head * shape.group(); h < (head + 1) * shape.group(); h++)
      if (counts(skip_heads, h)) return true;
    return false;
  }

  // One panel over keys [start, start + length); s: the segment whose mask applies, null where all is visible. lanes: the panel's rows as
  // tokens.
  void over(const Segment* s, int64_t start, int64_t length, int64_t head, const int32_t* lanes, const float* log_sum, const float* panel,
            float* sums, float* scores) const {
    for (int64_t j = 0; j < length; j += kTile) {
      int keys = (int)std::min<int64_t>(kTile, length - j);
      Limits limits;
      for (int i = 0; i < kPanel; i++)
        limits.lane[i] = s ? (int32_t)std::clamp<int64_t>(s->visible(lanes[i], shape.causal) - j, 0, keys) : keys;
      int seen = *std::max_element(limits.lane, limits.lane + kPanel);
      if (seen == 0) return;
      product<2, false>(seen, shape.dim, k + (start + j) * k_stride + head * shape.dim, k_stride, panel, kPanel, scores, kPanel, false);
      MassSums to = { region + start + j, sums, mass_rows };
      for (int i = 0; i < seen; i++)
        for (int v = 0; v < 2; v++) {
          float* s = scores + i * kPanel + v * kLanes;
          vf weight = weight_of(load(s) - load(log_sum + v * kLanes));
          store(s, (vf)((vi)weight & visible_lanes(limits, v, i)));
        }
      add_masses<2>(to, scores, seen);
    }
  }

  void item(const Item& item, float* scratch) const {
    const Segment& s = segments[item.segment];
    int64_t group = shape.group(), dim = shape.dim, rows = (item.end - item.begin) * group, width = 1 + mass_rows;
    float *panel = scratch, *sums = panel + dim * kPanel, *scores = sums + mass_rows * kPanel, *totals = scores + kTile * kPanel;
    std::fill_n(totals, (item.end - item.begin) * outputs() * width, 0.f);
    for (int64_t head = 0; head < shape.kv_heads; head++) {
      if (!any_counts(head)) continue;
      for (int64_t first = 0; first < rows; first += kPanel) {
        int count = (int)std::min<int64_t>(kPanel, rows - first);
        int32_t lanes[kPanel];
        float log_sum[kPanel];
        for (int i = 0; i < kPanel; i++) {
          int64_t row = first + std::min(i, count - 1);
          lanes[i] = tokens[item.begin + row / group];
          log_sum[i] = lse[(s.q_start + lanes[i]) * shape.heads + head * group + row % group];
        }
        pack_panel(panel, kPanel, count, dim, (float)shape.scale,
                   [&](int i) { return q + (s.q_start + lanes[i]) * q_stride + (head * group + (first + i) % group) * dim; });
        std::fill_n(sums, mass_rows * kPanel, 0.f);
        if (s.parent >= 0) {
          const Segment& parent = segments[s.parent];
          over(nullptr, parent.kv_start, parent.kv_len, head, lanes, log_sum, panel, sums, scores);
        }
        over(&s, s.kv_start, s.kv_len, head, lanes, log_sum, panel, sums, scores);
        for (int i = 0; i < count; i++) {
          int64_t token = (first + i) / group, h = head * group + (first + i) % group;
          float* total = totals + (renorm == kByHead ? token * shape.heads + h : token) * width;
          if (counts(skip_heads, h)) add_head(total, sums + i, kPanel, mass_rows, 1.f, renorm == kByRow);
        }
      }
    }
    for (int64_t i = item.begin; i < item.end; i++) {
      int64_t row = row_out[s.q_start + tokens[i]];
      for (int64_t o = 0; o < outputs(); o++) {
        int64_t to = row * outputs() + o;
        add_totals(mass + 2 * to, profile ? profile + to * regions : nullptr, totals + ((i - item.begin) * outputs() + o) * width, regions);
      }
    }
  }
};

int32_t check_rows(const int32_t* row_out, int64_t q_tokens, int64_t rows_out, kedge_status* status) {
  std::vector<int32_t> taken(rows_out, -1);
  for (int64_t i = 0; i < q_tokens; i++) {
    int64_t row = row_out[i];
    if (row < -1 || row >= rows_out)
      return fail(status, KEDGE_BAD_INDEX, "row_out[%lld] is %lld, not in [-1, %lld)", (long long)i, (long long)row, (long long)rows_out);
    if (row < 0) continue;
    if (taken[row] >= 0)
      return fail(status, KEDGE_BAD_INDEX, "row_out[%d] and row_out[%lld] are both %lld", taken[row], (long long)i, (long long)row);
    taken[row] = (int32_t)i;
  }
  return KEDGE_OK;
}

int32_t connectivity(const kedge_context* ctx, Connectivity& c, int64_t n, kedge_status* status) {
  std::vector<int32_t> tokens;
  std::vector<Item> items;
  int64_t work = 0;
  for (int64_t s = 0; s < n; s++) {
    const Segment& x = c.segments[s];
    int64_t keys = x.kv_len + (x.parent >= 0 ? c.segments[x.parent].kv_len : 0), first = (int64_t)tokens.size();
    for (int32_t i = 0; i < x.q_len; i++)
      if (c.row_out[x.q_start + i] >= 0) tokens.push_back(i);
    int64_t end = (int64_t)tokens.size();
    for (int64_t i = first; i < end; i += c.item_tokens()) items.push_back({ (int32_t)s, i, std::min(end, i + c.item_tokens()) });
    work += (end - first) * keys * c.shape.heads * c.shape.dim;
  }
  int64_t scratch = round_up(c.scratch_floats(), 64);
  KEDGE_REQUIRE_WORKSPACE(scratch * ctx->threads * (int64_t)sizeof(float));
  c.tokens = tokens.data();
  parallel(ctx, (int64_t)items.size(), work,
           [&](int64_t i) { c.item(items[i], (float*)ctx->workspace + Threads::index() * scratch); });
  return ok(status);
}

}  // namespace
}  // namespace kedge

KEDGE_API int32_t kedge_connectivity(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape, float* mass,
                                     float* profile, const void* q, const void* k, const float* lse, const int32_t* region,
                                     const int32_t* row_out, int64_t regions, int64_t rows_out, const int32_t* segments, int32_t renorm,
                                     uint32_t skip_low, uint32_t skip_high, kedge_status* status) {
  using namespace kedge;
  try {
    KEDGE_TRY(check_attention(dtype, shape, segments, status));
    const kedge_attention_shape& x = *shape;
    KEDGE_TRY(check_connectivity(x, mass, q, k, lse, region, row_out, regions, rows_out, renorm, status));
    KEDGE_TRY(check_rows(row_out, x.q_tokens, rows_out, status));
    for (int64_t s = 0; s < x.n_segments; s++) {
      const Segment& segment = as_segments(segments)[s];
      KEDGE_TRY(check_regions(region, segment.kv_start, (int64_t)segment.kv_start + segment.kv_len, regions, status));
    }
    Connectivity c = { AttentionShape(x), as_segments(segments), mass, profile, (const float*)q, (const float*)k, lse, x.q_stride,
                       x.k_stride, region, row_out, regions, 1 + (profile ? std::max<int64_t>(regions, 1) : 1), renorm, head_bits(skip_low, skip_high), nullptr };
    return connectivity(ctx, c, x.n_segments, status);
  } catch (const std::bad_alloc&) {
    return fail(status, KEDGE_OUT_OF_MEMORY, "no memory to plan connectivity over %lld segments", (long long)shape->n_segments);
  }
}
