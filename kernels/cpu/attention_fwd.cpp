// Attention over packed sequences with shared prefixes, forward: see kedge.h. The responses of one prompt go over the prompt's keys
// together, a tile of keys at a time, then each over its own. Dao, arXiv 2307.08691 (online softmax); Prefix Grouper, arXiv 2506.05433
// (shared prefix).
#include <new>

#include "attention_plan.h"

namespace kedge {
namespace {

constexpr int kItemPanels = 12;  // panels that go over the keys together: their state fits into half a megabyte

struct Forward {
  AttentionShape shape;
  const Segment* segments;
  float* out;
  int64_t out_stride;
  float* lse;
  const float *q, *k, *v;
  int64_t q_stride, k_stride, v_stride;

  int64_t piece_tokens() const { return std::max<int64_t>(1, kItemPanels * kPanel / shape.group()); }
  int64_t item_panels() const { return std::max<int64_t>(kItemPanels, panels_of(1, shape.group())); }
  int64_t scratch_floats() const { return item_panels() * Panel::floats(shape.dim) + kTile * kPanel + 2 * kTile * pitch_of(shape.dim); }

  // Cuts all queries into pieces; `items`: ranges of pieces of one family that fill kItemPanels panels.
  void plan(int64_t n, std::vector<Piece>& pieces, std::vector<int64_t>& items) const {
    int64_t panels = 0;
    int32_t family = -1;
    for (int64_t s = 0; s < n; s++)
      for (int64_t t = 0; t < segments[s].q_len; t += piece_tokens()) {
        Piece piece = { (int32_t)s, (int32_t)t, (int32_t)std::min<int64_t>(t + piece_tokens(), segments[s].q_len) };
        int64_t count = panels_of(piece.end - piece.begin, shape.group());
        bool joins = !items.empty() && family >= 0 && segments[s].parent == family && panels + count <= item_panels();
        if (!joins) {
          items.push_back((int64_t)pieces.size());
          panels = 0;
        }
        panels += count;
        family = segments[s].parent;
        pieces.push_back(piece);
      }
    items.push_back((int64_t)pieces.size());
  }

  // A tile of keys and values, copied close together: rows far apart, at a power of two above all, fall out of the cache between two
  // panels.
  struct Tile {
    float *k, *v;
    int64_t pitch;
  };
  void load_tile(const Tile& tile, int64_t token, int keys, int64_t head) const {
    for (int j = 0; j < keys; j++) {
      const float *from_k = k + (token + j) * k_stride + head * shape.dim, *from_v = v + (token + j) * v_stride + head * shape.dim;
      for (int64_t i = 0; i < shape.dim; i += 4) {
        *(v4*)(tile.k + j * tile.pitch + i) = *(const v4*)(from_k + i);
        *(v4*)(tile.v + j * tile.pitch + i) = *(const v4*)(from_v + i);
      }
    }
  }

  void over_prefix(const Segment& parent, int64_t head, int64_t panels, float* scratch, const Tile& tile, float* scores) const {
    for (int64_t j = 0; j < parent.kv_len; j += kTile) {
      int keys = (int)std::min<int64_t>(kTile, parent.kv_len - j);
      load_tile(tile, parent.kv_start + j, keys, head);
      for (int64_t p = 0; p < panels; p++)
        attend<2>(Panel(scratch + p * Panel::floats(shape.dim), shape.dim), shape.dim, tile.k, tile.pitch, tile.v, tile.pitch, keys,
                  nullptr, true, scores, nullptr);
    }
  }

  void over_own(const Piece& piece, int64_t head, float* scratch, const Tile& tile, float* scores) const {
    const Segment& s = segments[piece.segment];
    int64_t group = shape.group(), rows = (piece.end - piece.begin) * group, seen = s.visible(piece.end - 1, shape.causal);
    for (int64_t j = 0; j < seen; j += kTile) {
      int keys = (int)std::min<int64_t>(kTile, seen - j);
      load_tile(tile, s.kv_start + j, keys, head);
      bool masked = s.visible(piece.begin, shape.causal) < j + keys, finite = masked && all_finite(tile.v, tile.pitch, keys, shape.dim);
      for (int64_t row = 0, p = 0; row < rows; row += kPanel, p++) {
        Limits limits = limits_of(s, shape.causal, group, piece.begin * group + row, std::min<int64_t>(kPanel, rows - row), j, keys);
        if (limits.last == 0) continue;
        attend<2>(Panel(scratch + p * Panel::floats(shape.dim), shape.dim), shape.dim, tile.k, tile.pitch, tile.v, tile.pitch, limits.last,
                  limits.first < limits.last ? &limits : nullptr, finite, scores, nullptr);
      }
    }
  }

  // Calls body(panel, rows in it, first row of the piece) for each panel of a piece.
  template <class Body>
  void each_panel(const Piece& piece, float* scratch, Body&& body) const {
    int64_t rows = (piece.end - piece.begin) * shape.group();
    for (int64_t row = 0; row < rows; row += kPanel)
      body(Panel(scratch + row / kPanel * Panel::floats(shape.dim), shape.dim), (int)std::min<int64_t>(kPanel, rows - row), row);
  }

  void load_piece(const Piece& piece, int64_t head, float* scratch) const {
    int64_t group = shape.group(), start = segments[piece.segment].q_start + piece.begin;
    each_panel(piece, scratch, [&](Panel panel, int count, int64_t first) {
      panel.clear(shape.dim);
      pack_panel(panel.q, kPanel, count, shape.dim, (float)shape.scale, [&](int lane) {
        int64_t row = first + lane;
        return q + (start + row / group) * q_stride + (head * group + row % group) * shape.dim;
      });
    });
  }

  void store_piece(const Piece& piece, int64_t head, float* scratch, bool blind) const {
    int64_t group = shape.group(), start = segments[piece.segment].q_start + piece.begin;
    each_panel(piece, scratch, [&](Panel panel, int count, int64_t first) {
      float inverse[kPanel];
      for (int i = 0; i < kPanel; i++) inverse[i] = blind ? 0.f : 1.f / panel.sum[i];
      unpack_panel(panel.out, kPanel, count, shape.dim, inverse, false, [&](int lane) {
        int64_t row = first + lane;
        return out + (start + row / group) * out_stride + (head * group + row % group) * shape.dim;
      });
      for (int i = 0; i < count; i++)
        lse[(start + (first + i) / group) * shape.heads + head * group + (first + i) % group] =
            blind ? -kInfinity : panel.max[i] + (float)std::log((double)panel.sum[i]);
    });
  }

  void item(const Piece* begin, const Piece* end, int64_t head, float* scratch) const {
    float* scores = scratch + item_panels() * Panel::floats(shape.dim);
    int64_t pitch = pitch_of(shape.dim);
    Tile tile = { scores + kTile * kPanel, scores + kTile * kPanel + kTile * pitch, pitch };
    const Segment* parent = segments[begin->segment].parent >= 0 ? segments + segments[begin->segment].parent : nullptr;
    int64_t panels = 0;
    for (const Piece* p = begin; p < end; p++) {
      load_piece(*p, head, scratch + panels * Panel::floats(shape.dim));
      panels += panels_of(p->end - p->begin, shape.group());
    }
    if (parent) over_prefix(*parent, head, panels, scratch, tile, scores);
    panels = 0;
    for (const Piece* p = begin; p < end; p++) {
      float* at = scratch + panels * Panel::floats(shape.dim);
      over_own(*p, head, at, tile, scores);
      store_piece(*p, head, at, segments[p->segment].kv_len == 0 && (!parent || parent->kv_len == 0));
      panels += panels_of(p->end - p->begin, shape.group());
    }
  }
};

int32_t forward(const kedge_context* ctx, const Forward& f, int64_t n, kedge_status* status) {
  const AttentionShape& x = f.shape;
  std::vector<Piece> pieces;
  std::vector<int64_t> items;
  f.plan(n, pieces, items);
  auto gaps = uncovered(f.segments, n, x.q_tokens, false);
  int64_t scratch = round_up(f.scratch_floats(), 64);
  KEDGE_REQUIRE_WORKSPACE(scratch * (int64_t)sizeof(float) * ctx->threads);

  for (const auto& [begin, end] : gaps)
    for (int64_t t = begin; t < end; t++) {
      std::fill_n(f.out + t * f.out_stride, x.heads * x.dim, 0.f);
      std::fill_n(f.lse + t * x.heads, x.heads, -kInfinity);
    }
  int64_t count = (int64_t)items.size() - 1;
  parallel(ctx, count * x.kv_heads, x.q_tokens * x.heads * x.dim * 64, [&](int64_t c) {
    float* mine = (float*)ctx->workspace + Threads::index() * scratch;
    f.item(pieces.data() + items[c / x.kv_heads], pieces.data() + items[c / x.kv_heads + 1], c % x.kv_heads, mine);
  });
  return ok(status);
}

}  // namespace
}  // namespace kedge

KEDGE_API int32_t kedge_attention_fwd(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_attention_shape* shape, void* out,
                                      float* lse, const void* q, const void* k, const void* v, const int32_t* segments,
                                      kedge_status* status) {
  using namespace kedge;
  try {
    KEDGE_TRY(check_attention(dtype, shape, segments, status));
    const kedge_attention_shape& x = *shape;
    KEDGE_TRY(check_attention_fwd(x, out, lse, q, k, v, status));
    if (x.q_tokens == 0) return ok(status);
    Forward f = { AttentionShape(x), as_segments(segments), (float*)out, x.out_stride, lse, (const float*)q, (const float*)k,
                  (const float*)v, x.q_stride, x.k_stride, x.v_stride };
    return forward(ctx, f, x.n_segments, status);
  } catch (const std::bad_alloc&) {
    return fail(status, KEDGE_OUT_OF_MEMORY, "no memory to plan attention over %lld segments", (long long)shape->n_segments);
  }
}
