// Attention over packed sequences with shared prefixes, backward: see kedge.h. One pass over (part of a segment's keys, key head): the
// part's dk and dv sum over all rows that see it, own rows first, then the children in order; what it gives to dq goes to a buffer of its
// own in the workspace, and a last pass adds a row's parts in the order of the keys. With P = exp(S - lse), dP = dO V^T, delta = rowsum(dO
// * O): dS = P * (dP - delta), dV = P^T dO, dK = dS^T Q * scale, dQ = dS K * scale. Dao, arXiv 2307.08691, algorithm 2.
#include <new>

#include "attention_plan.h"

namespace kedge {
namespace {

constexpr int kGroupPanels = 4;                    // panels of rows that meet a tile of keys together
constexpr int kGroupRows = kGroupPanels * kPanel;
constexpr int kScorePitch = kGroupRows + 16;

// A thread's scratch. Matrices of rows have pitch `pitch`; panels lie behind one another, [dim, kPanel] each.
struct Scratch {
  float *k, *v, *dk, *dv;                // [kChunk, pitch]
  float *q, *dout;                       // [kGroupRows, pitch]
  float *q_panels, *dout_panels, *dq_panels;
  float *p, *ds;                         // [kTile, kScorePitch]
  float *lse, *delta;                    // [kGroupRows]
  int64_t pitch;

  static int64_t floats(int64_t dim) {
    int64_t pitch = pitch_of(dim);
    return 4 * kChunk * pitch + 2 * kGroupRows * pitch + 3 * kGroupRows * dim + 2 * kTile * kScorePitch + 2 * kGroupRows;
  }
  Scratch(float* at, int64_t dim) : pitch(pitch_of(dim)) {
    auto take = [&](int64_t n) { return at += n, at - n; };
    k = take(kChunk * pitch), v = take(kChunk * pitch), dk = take(kChunk * pitch), dv = take(kChunk * pitch);
    q = take(kGroupRows * pitch), dout = take(kGroupRows * pitch);
    q_panels = take(kGroupRows * dim), dout_panels = take(kGroupRows * dim), dq_panels = take(kGroupRows * dim);
    p = take(kTile * kScorePitch), ds = take(kTile * kScorePitch);
    lse = take(kGroupRows), delta = take(kGroupRows);
  }
};

struct Item {
  int32_t segment;
  int64_t begin, end;  // keys of the segment
  int64_t cost;
};

struct Backward {
  AttentionShape shape;
  const Segment* segments;
  float *dq, *dk, *dv;
  int64_t dq_stride, dk_stride, dv_stride;
  const float *dout, *q, *k, *v, *out, *lse;
  int64_t dout_stride, q_stride, k_stride, v_stride, out_stride;
  bool add_dq, add_dk, add_dv;
  float *parts, *delta;  // workspace: [parts, kv_heads, q_tokens, group, dim]; [q_tokens, heads]

  float* part_row(int64_t part, int64_t head, int64_t token) const {
    return parts + ((part * shape.kv_heads + head) * shape.q_tokens + token) * shape.group() * shape.dim;
  }

  void compute_delta(int64_t token) const {
    for (int64_t h = 0; h < shape.heads; h++) {
      const float *a = dout + token * dout_stride + h * shape.dim, *b = out + token * out_stride + h * shape.dim;
      v4 sum = {};
      for (int64_t i = 0; i < shape.dim; i += 4) sum += *(const v4*)(a + i) * *(const v4*)(b + i);
      delta[token * shape.heads + h] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
  }

  // Rows [row, row + count) of a segment's queries into the scratch.
  void load_rows(const Segment& s, int64_t head, int64_t row, int64_t count, const Scratch& x) const {
    int64_t group = shape.group(), dim = shape.dim;
    float factor = (float)shape.scale;
    auto source = [&](const float* base, int64_t stride, int64_t r) {
      return base + (s.q_start + r / group) * stride + (head * group + r % group) * dim;
    };
    for (int64_t p = 0; p * kPanel < count; p++) {
      int64_t first = row + p * kPanel;
      int here = (int)std::min<int64_t>(kPanel, count - p * kPanel);
      pack_panel(x.q_panels + p * kPanel * dim, kPanel, here, dim, factor, [&](int i) { return source(q, q_stride, first + i); });
      pack_panel(x.dout_panels + p * kPanel * dim, kPanel, here, dim, 1.f, [&](int i) { return source(dout, dout_stride, first + i); });
    }
    for (int64_t r = 0; r < count; r++) {
      const float *from_q = source(q, q_stride, row + r), *from_dout = source(dout, dout_stride, row + r);
      for (int64_t i = 0; i < dim; i += 4) {
        *(v4*)(x.q + r * x.pitch + i) = *(const v4*)(from_q + i) * factor;
        *(v4*)(x.dout + r * x.pitch + i) = *(const v4*)(from_dout + i);
      }
      int64_t at = (s.q_start + (row + r) / group) * shape.heads + head * group + (row + r) % group;
      x.lse[r] = lse[at];
      x.delta[r] = delta[at];
    }
    for (int64_t r = count; r < round_up(count, kPanel); r++) x.lse[r] = x.delta[r] = 0;
  }

  // One panel against one tile: p and ds of its lanes, and its dq. `at`: the panel's place in the group.
  void panel_step(const Scratch& x, int at, const float* tile_k, const float* tile_v, int keys, const Limits* limits, bool careful) const {
    int64_t dim = shape.dim;
    float *p = x.p + at * kPanel, *ds = x.ds + at * kPanel, *dq_panel = x.dq_panels + at * kPanel * dim;
    product<2, false>(keys, dim, tile_k, x.pitch, x.q_panels + at * kPanel * dim, kPanel, p, kScorePitch, false);
    product<2, false>(keys, dim, tile_v, x.pitch, x.dout_panels + at * kPanel * dim, kPanel, ds, kScorePitch, false);
    vf log_sum[2], shift[2];
    for (int u = 0; u < 2; u++) log_sum[u] = load(x.lse + at * kPanel + u * kLanes), shift[u] = load(x.delta + at * kPanel + u * kLanes);
    for (int j = 0; j < keys; j++)
      for (int u = 0; u < 2; u++) {
        float *to_p = p + j * kScorePitch + u * kLanes, *to_ds = ds + j * kScorePitch + u * kLanes;
        vf weight = weight_of(load(to_p) - log_sum[u]), slope = weight * (load(to_ds) - shift[u]);
        if (limits && j >= limits->first) {
          vi seen = visible_lanes(*limits, u, j);
          weight = (vf)((vi)weight & seen), slope = (vf)((vi)slope & seen);
        }
        store(to_p, weight);
        store(to_ds, slope);
      }
    if (limits && careful) product_of_seen<2>(dim, keys, tile_k, x.pitch, ds, kScorePitch, dq_panel, *limits);
    else product<2, true>(dim, keys, tile_k, x.pitch, ds, kScorePitch, dq_panel, kPanel, true);
  }

  // A tile owns kTile keys; a group is at most kGroupRows rows. From the last panel to the first, since with a causal mask later rows see
  // more keys: once a panel sees none, those before it see none either. Weights of keys that a panel does not see are 0, so that the
  // group's sums for dk and dv can run over all its rows at once, in the order of the rows. A group of `count` rows against the tile at key
  // `key` of segment `owner`; own: the rows are the owner's, so that the mask applies.
  void tile_step(const Segment& owner, bool own, int64_t row, int64_t count, int64_t key, int keys, int64_t offset, bool keys_finite,
                 bool rows_finite, const Scratch& x) const {
    const float *tile_k = x.k + offset * x.pitch, *tile_v = x.v + offset * x.pitch;
    Limits limits[kGroupPanels];
    int used = (int)((count + kPanel - 1) / kPanel), first = used, seen = keys;
    bool masked = false;
    if (own) {
      for (int i = 0; i < used; i++) {
        int64_t first_row = i * kPanel, rows = std::min<int64_t>(kPanel, count - first_row);
        limits[i] = limits_of(owner, shape.causal, shape.group(), row + first_row, rows, key, keys);
        masked |= limits[i].first < limits[i].last || limits[i].last < limits[used - 1].last;
      }
      seen = limits[used - 1].last;
    }
    for (int i = used - 1; i >= 0; i--) {
      int last = own ? limits[i].last : keys;
      if (last == 0) break;
      first = i;
      panel_step(x, i, tile_k, tile_v, last, own && limits[i].first < last ? &limits[i] : nullptr, !keys_finite);
      for (int j = last; j < seen; j++)
        for (float* s : { x.p, x.ds }) std::fill_n(s + j * kScorePitch + i * kPanel, kPanel, 0.f);
    }
    if (first == used) return;
    float *to_dk = x.dk + offset * x.pitch, *to_dv = x.dv + offset * x.pitch;
    if (masked && !rows_finite) {  // unseen rows must stay out: 0 times infinity is not 0
      for (int j = 0; j < seen; j++) {
        int64_t from = first * kPanel;
        while (limits[from / kPanel].lane[from % kPanel] <= j) from++;
        int64_t at = j * kScorePitch + from, to = j * x.pitch;
        product_wide(1, count - from, shape.dim, x.p + at, kScorePitch, x.dout + from * x.pitch, to_dv + to, x.pitch);
        product_wide(1, count - from, shape.dim, x.ds + at, kScorePitch, x.q + from * x.pitch, to_dk + to, x.pitch);
      }
      return;
    }
    int64_t from = first * kPanel;
    product_wide(seen, count - from, shape.dim, x.p + from, kScorePitch, x.dout + from * x.pitch, to_dv, x.pitch);
    product_wide(seen, count - from, shape.dim, x.ds + from, kScorePitch, x.q + from * x.pitch, to_dk, x.pitch);
  }

  // All rows of `viewer` against the chunk [begin, end) of the owner's keys. `part`: which part of a row's dq this adds to; `fresh`: it is
  // the first to.
  void view(const Segment& owner, const Segment& viewer, int64_t head, int64_t begin, int64_t end, int64_t part, bool fresh,
            bool keys_finite, const Scratch& x) const {
    bool own = &owner == &viewer;
    int64_t group = shape.group();
    for (int64_t row = 0; row < viewer.q_len * group; row += kGroupRows) {
      int64_t count = std::min<int64_t>(kGroupRows, viewer.q_len * group - row);
      int64_t seen = own ? viewer.visible((row + count - 1) / group, shape.causal) : owner.kv_len;
      if (seen <= begin) continue;
      load_rows(viewer, head, row, count, x);
      bool masked = own && shape.causal;
      bool rows_finite = !masked || (all_finite(x.q, x.pitch, count, shape.dim) && all_finite(x.dout, x.pitch, count, shape.dim));
      std::fill_n(x.dq_panels, round_up(count, kPanel) * shape.dim, 0.f);
      for (int64_t j = begin; j < std::min(end, seen); j += kTile)
        tile_step(owner, own, row, count, j, (int)std::min<int64_t>(kTile, end - j), j - begin, keys_finite, rows_finite, x);
      float scale[kPanel], *to = part_row(part, head, viewer.q_start) + row * shape.dim;
      std::fill_n(scale, kPanel, (float)shape.scale);
      for (int64_t p = 0; p < count; p += kPanel)
        unpack_panel(x.dq_panels + p * shape.dim, kPanel, (int)std::min<int64_t>(kPanel, count - p), shape.dim, scale, !fresh,
                     [&](int i) { return to + (p + i) * shape.dim; });
    }
  }

  void item(const Item& item, int64_t head, const Scratch& x) const {
    const Segment& s = segments[item.segment];
    int64_t dim = shape.dim, part = item.begin / part_keys(s.kv_len);
    for (int64_t begin = item.begin; begin < item.end; begin += kChunk) {
      int64_t end = std::min(item.end, begin + kChunk), at = s.kv_start + begin;
      for (int64_t j = 0; j < end - begin; j++) {
        std::copy_n(k + (at + j) * k_stride + head * dim, dim, x.k + j * x.pitch);
        std::copy_n(v + (at + j) * v_stride + head * dim, dim, x.v + j * x.pitch);
      }
      std::fill_n(x.dk, (end - begin) * x.pitch, 0.f);
      std::fill_n(x.dv, (end - begin) * x.pitch, 0.f);
      bool finite = all_finite(x.k, x.pitch, end - begin, dim), fresh = begin == item.begin;
      int64_t before = s.parent >= 0 ? parts_of(segments[s.parent].kv_len) : 0;
      view(s, s, head, begin, end, before + part, fresh, finite, x);
      for (int32_t c = s.child_begin; c < s.child_end; c++) view(s, segments[c], head, begin, end, part, fresh, finite, x);
      for (int64_t j = 0; j < end - begin; j++) {
        write_row(dk + (at + j) * dk_stride + head * dim, x.dk + j * x.pitch, add_dk);
        write_row(dv + (at + j) * dv_stride + head * dim, x.dv + j * x.pitch, add_dv);
      }
    }
  }

  void write_row(float* to, const float* from, bool add) const {
    for (int64_t i = 0; i < shape.dim; i += 4) *(v4*)(to + i) = add ? *(v4*)(to + i) + *(const v4*)(from + i) : *(const v4*)(from + i);
  }

  // dq of one token: the sum of its parts, those of the prefix first. Each part was written by the one task that had these keys; which task
  // ended first does not matter.
  void gather_dq(const Segment& s, int64_t i) const {
    int64_t width = shape.group() * shape.dim, before = s.parent >= 0 ? parts_of(segments[s.parent].kv_len) : 0;
    int64_t seen = s.visible(i, shape.causal), own = seen > 0 ? (seen - 1) / part_keys(s.kv_len) + 1 : 0;
    for (int64_t head = 0; head < shape.kv_heads; head++) {
      float* to = dq + (s.q_start + i) * dq_stride + head * width;
      if (!add_dq) std::fill_n(to, width, 0.f);
      for (int64_t d = 0; d < width; d += 4) {
        v4 sum = {};
        for (int64_t p = 0; p < before + own; p++) sum += *(const v4*)(part_row(p, head, s.q_start + i) + d);
        *(v4*)(to + d) += sum;
      }
    }
  }
};

int32_t backward(const kedge_context* ctx, Backward& b, int64_t n, kedge_status* status) {
  const AttentionShape& x = b.shape;
  std::vector<Item> items;
  int64_t most_parts = 0, work = 0;
  for (int64_t s = 0; s < n; s++) {
    const Segment& segment = b.segments[s];
    int64_t rows = segment.q_len, keys = part_keys(segment.kv_len);
    for (int32_t c = segment.child_begin; c < segment.child_end; c++) rows += b.segments[c].q_len;
    for (int64_t j = 0; j < segment.kv_len; j += keys) {
      int64_t end = std::min<int64_t>(j + keys, segment.kv_len);
      items.push_back({ (int32_t)s, j, end, (end - j) * rows });
      work += (end - j) * rows;
    }
    if (segment.q_len > 0)
      most_parts = std::max(most_parts, parts_of(segment.kv_len) + (segment.parent >= 0 ? parts_of(b.segments[segment.parent].kv_len) : 0));
  }
  // Long ones first: less waiting at the end.
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& c) { return a.cost > c.cost; });
  auto query_gaps = uncovered(b.segments, n, x.q_tokens, false), key_gaps = uncovered(b.segments, n, x.kv_tokens, true);
  std::vector<Piece> rows;
  for (int64_t s = 0; s < n; s++)
    for (int32_t t = 0; t < b.segments[s].q_len; t += 64) rows.push_back({ (int32_t)s, t, std::min(t + 64, b.segments[s].q_len) });

  int64_t parts = round_up(most_parts * x.q_tokens * x.heads * x.dim, 64), deltas = round_up(x.q_tokens * x.heads, 64);
  int64_t scratch = round_up(Scratch::floats(x.dim), 64);
  KEDGE_REQUIRE_WORKSPACE((parts + deltas + scratch * ctx->threads) * (int64_t)sizeof(float));
  b.parts = (float*)ctx->workspace;
  b.delta = b.parts + parts;
  float* scratches = b.delta + deltas;

  auto clear = [&](const auto& gaps, float* to, int64_t stride, int64_t width) {
    for (const auto& [begin, end] : gaps)
      for (int64_t t = begin; t < end; t++) std::fill_n(to + t * stride, width, 0.f);
  };
  if (!b.add_dq) clear(query_gaps, b.dq, b.dq_stride, x.heads * x.dim);
  if (!b.add_dk) clear(key_gaps, b.dk, b.dk_stride, x.kv_heads * x.dim);
  if (!b.add_dv) clear(key_gaps, b.dv, b.dv_stride, x.kv_heads * x.dim);
  parallel(ctx, (int64_t)rows.size(), x.q_tokens * x.heads * x.dim, [&](int64_t c) {
    for (int64_t t = rows[c].begin; t < rows[c].end; t++) b.compute_delta(b.segments[rows[c].segment].q_start + t);
  });
  parallel(ctx, (int64_t)items.size() * x.kv_heads, work * x.heads * x.dim, [&](int64_t c) {
    b.item(items[c / x.kv_heads], c % x.kv_heads, Scratch(scratches + Threads::index() * scratch, x.dim));
  });
  parallel(ctx, (int64_t)rows.size(), x.q_tokens * x.heads * x.dim * most_parts, [&](int64_t c) {
    for (int64_t t = rows[c].begin; t < rows[c].end; t++) b.gather_dq(b.segments[rows[c].segment], t);
  });
  return ok(status);
}

}  // namespace
}  // namespace kedge

KEDGE_API int32_t kedge_attention_bwd(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape,
                                      KEDGE_IN const kedge_attention_gradients* gradients, void* dq, void* dk, void* dv, const void* dout,
                                      const void* q, const void* k, const void* v, const void* out, const float* lse,
                                      const int32_t* segments, kedge_status* status) {
  using namespace kedge;
  try {
    KEDGE_TRY(check_attention(dtype, shape, segments, status));
    const kedge_attention_shape& x = *shape;
    KEDGE_TRY(check_attention_bwd(x, gradients, dq, dk, dv, dout, q, k, v, out, lse, status));
    const kedge_attention_gradients& g = *gradients;
    Backward b = { AttentionShape(x), as_segments(segments), (float*)dq, (float*)dk, (float*)dv, g.dq_stride, g.dk_stride, g.dv_stride,
                   (const float*)dout, (const float*)q, (const float*)k, (const float*)v, (const float*)out, lse,
                   g.dout_stride, x.q_stride, x.k_stride, x.v_stride, x.out_stride,
                   (g.accumulate & 1) != 0, (g.accumulate & 2) != 0, (g.accumulate & 4) != 0, nullptr, nullptr };
    return backward(ctx, b, x.n_segments, status);
  } catch (const std::bad_alloc&) {
    return fail(status, KEDGE_OUT_OF_MEMORY, "no memory to plan attention over %lld segments", (long long)shape->n_segments);
  }
}
