// Decode attention: one new token per sequence over [shared prefix][own] in a cache, connectivity in the same pass; see kedge.h. First all
// rows (sequence, query head) of a group go over its prefix together and leave their state in the workspace, then each sequence goes on
// over its own keys. The order of a row's sums is that of attention_fwd. Hydragen, arXiv 2402.05099.
//
// Regions lie in the prefix, as a rule: their masses stay in the state while a row goes over its own keys, and get one factor at the end.
//
// A state is what a row has summed so far, relative to the largest score so far (online softmax). It has one owner at a time: the task of
// its group's rows over the prefix, then the task of its sequence and key head. `parallel` ends the first before the second begins.
#include <new>
#include <vector>

#include "attention.h"

namespace kedge {
namespace {

constexpr int kItemRows = 2 * kPanel;  // rows of a group that go over the prefix together

struct Group {
  int32_t prefix_start, prefix_len, seq_begin, seq_end;
};
struct Sequence {
  int32_t own_start, own_len;
};
// Where keys lie: key j at row pages[j >> bits] + the rest of j, or without pages at row start + j. A tile of keys lies in one page.
struct Place {
  int64_t start;
  const int32_t* pages;
  int bits;

  int64_t row(int64_t j) const { return pages ? pages[j >> bits] + (j & ((int64_t(1) << bits) - 1)) : start + j; }
  // body(first row, keys), a kedge_code, for each piece of keys [0, length) that lie behind one another.
  template <class Body>
  int32_t each_piece(int64_t length, Body&& body) const {
    int64_t most = pages ? int64_t(1) << bits : length;
    for (int64_t j = 0; j < length; j += most) KEDGE_TRY(body(row(j), std::min(most, length - j)));
    return KEDGE_OK;
  }
};
// Rows [begin, end) of group `group`, row = (sequence - seq_begin) * heads of the key head + head.
struct Item {
  int64_t group, begin, end;
};

struct Decode {
  int64_t heads, kv_heads, dim;
  float scale;
  float* out;
  const float *q, *k, *v;
  int64_t out_stride, q_stride, k_stride, v_stride;
  const int32_t* region;
  int64_t region_rows;  // sums of a head by region: of every region, or 1 of them all; 0: no connectivity
  const Group* groups;
  const Sequence* sequences;
  const int32_t* pages;
  int page_bits;  // 0: no pages
  // Workspace: [n, heads, state_floats()]: out; max, later the factor of the masses by region; sum; mass on all but sinks; unused; masses
  // by region.
  float* states;

  int64_t per_head() const { return heads / kv_heads; }
  int64_t region_floats() const { return round_up(region_rows, kLanes); }
  int64_t state_floats() const { return dim + 4 + region_floats(); }
  int64_t panel_floats() const { return Panel::floats(dim) + (1 + region_floats()) * kPanel; }
  int64_t scratch_floats() const { return kItemRows / kPanel * panel_floats() + kTile * kPanel; }
  float* state(int64_t sequence, int64_t head) const { return states + (sequence * heads + head) * state_floats(); }
  Place own_place(int64_t sequence) const {
    int64_t first = sequences[sequence].own_start;
    return { first, page_bits ? pages + first : nullptr, page_bits };
  }
  Panel panel(float* scratch, int64_t i) const { return Panel(scratch + i * panel_floats(), dim); }
  float* sums(float* scratch, int64_t i) const { return scratch + i * panel_floats() + Panel::floats(dim); }

  // body(V, panel, first row, rows) for each panel of `rows` rows, V vectors wide.
  template <class Body>
  static void each_panel(int64_t rows, Body&& body) {
    for (int64_t p = 0; p * kPanel < rows; p++) {
      int count = (int)std::min<int64_t>(kPanel, rows - p * kPanel);
      if (count <= kLanes) body(std::integral_constant<int, 1>{}, p, p * kPanel, count);
      else body(std::integral_constant<int, 2>{}, p, p * kPanel, count);
    }
  }

  // Tiles of keys [0, length) into the panels of `rows` rows. mass_rows: of MassSums; 0: none; region: as there, of all keys.
  void over(const Place& place, int64_t length, int64_t head, float* scratch, int64_t rows, int64_t mass_rows, const int32_t* region) const {
    float* scores = scratch + kItemRows / kPanel * panel_floats();
    static_assert(kLeastPage % kTile == 0);
    for (int64_t j = 0; j < length; j += kTile)
      each_panel(rows, [&, row = place.row(j)](auto V, int64_t p, int64_t, int) {
        MassSums mass = { region ? region + row : nullptr, sums(scratch, p), mass_rows };
        int count = (int)std::min<int64_t>(kTile, length - j);
        const float *keys = k + row * k_stride + head * dim, *values = v + row * v_stride + head * dim;
        attend<V>(panel(scratch, p), dim, keys, k_stride, values, v_stride, count, nullptr, true, scores, mass_rows ? &mass : nullptr);
      });
  }

  // The group's rows over the prefix; their states to the workspace.
  void prefix(const Item& item, int64_t head, float* scratch) const {
    const Group& g = groups[item.group];
    int64_t group = per_head(), rows = item.end - item.begin;
    auto place = [&](int64_t row) {
      row += item.begin;
      return std::pair<int64_t, int64_t>(g.seq_begin + row / group, head * group + row % group);
    };
    each_panel(rows, [&](auto V, int64_t p, int64_t first, int count) {
      constexpr int lanes = V * kLanes;
      Panel x = panel(scratch, p);
      x.clear(dim);
      if (region_rows) std::fill_n(sums(scratch, p), (1 + region_floats()) * lanes, 0.f);
      pack_panel(x.q, lanes, count, dim, scale, [&](int lane) {
        auto [sequence, h] = place(first + lane);
        return q + sequence * q_stride + h * dim;
      });
    });
    over({ g.prefix_start, nullptr, 0 }, g.prefix_len, head, scratch, rows, region_rows ? 1 + region_rows : 0, region);
    float one[kPanel];
    std::fill_n(one, kPanel, 1.f);
    each_panel(rows, [&](auto V, int64_t p, int64_t first, int count) {
      constexpr int lanes = V * kLanes;
      Panel x = panel(scratch, p);
      float *mass = sums(scratch, p), *to[kPanel];
      for (int lane = 0; lane < count; lane++) {
        auto [sequence, h] = place(first + lane);
        to[lane] = state(sequence, h);
        to[lane][dim] = x.max[lane];
        to[lane][dim + 1] = x.sum[lane];
        if (region_rows) to[lane][dim + 2] = mass[lane];
      }
      unpack_panel(x.out, lanes, count, dim, one, false, [&](int lane) { return to[lane]; });
      if (region_rows) unpack_panel(mass + lanes, lanes, count, region_floats(), one, false, [&](int lane) { return to[lane] + dim + 4; });
    });
  }

  // Heads [first, first + count) of a key head's group, one sequence: on from the state over the sequence's own keys to the end. seen: of
  // the regions of these keys.
  template <int V>
  void own(int64_t sequence, int64_t head, int64_t first, int count, RegionBounds seen, float* scratch) const {
    constexpr int lanes = V * kLanes;
    Panel x = panel(scratch, 0);
    float* mass = sums(scratch, 0);
    int64_t h = head * per_head() + first;
    x.clear(0);
    pack_panel(x.q, lanes, count, dim, scale, [&](int lane) { return q + sequence * q_stride + (h + lane) * dim; });
    pack_panel(x.out, lanes, count, dim, 1.f, [&](int lane) { return state(sequence, h + lane); });
    const Sequence& own = sequences[sequence];
    bool apart = seen.most >= 0, sink = seen.least == -2;  // its own keys have masses by region, are sinks
    if (apart) std::fill_n(mass, (1 + region_rows) * lanes, 0.f);
    for (int lane = 0; lane < lanes; lane++) {
      const float* from = state(sequence, h + lane) + dim;
      if (lane < count) x.max[lane] = from[0], x.sum[lane] = from[1];
      if (region_rows) mass[lane] = lane < count ? from[2] : 0.f;
    }
    vf before[V];
    for (int v = 0; v < V; v++) before[v] = load(x.max + v * kLanes);
    over(own_place(sequence), own.own_len, head, scratch, count, apart ? 1 + region_rows : region_rows ? 1 : 0, apart || sink ? region : nullptr);
    float inverse[kPanel], factor[kPanel];
    for (int i = 0; i < lanes; i++) inverse[i] = 1.f / x.sum[i];
    unpack_panel(x.out, lanes, count, dim, inverse, false, [&](int lane) { return out + sequence * out_stride + (h + lane) * dim; });
    if (!region_rows) return;
    for (int v = 0; v < V; v++) {
      vf top = load(x.max + v * kLanes), shift = top == -kInfinity ? vf{} : top;
      store(factor + v * kLanes, weight_of(before[v] - shift) * load(inverse + v * kLanes));
    }
    for (int lane = 0; lane < count; lane++) {
      float *to = state(sequence, h + lane) + dim, *by_region = to + 4;
      to[0] = apart ? 1.f : factor[lane];
      to[2] = mass[lane] * inverse[lane];
      for (int64_t r = 0; apart && r < region_rows; r++)
        by_region[r] = by_region[r] * factor[lane] + mass[(1 + r) * lanes + lane] * inverse[lane];
    }
  }

  // Adds the masses of a sequence's heads to its mass[2] and, unless null, profile[regions].
  void add_connectivity(int64_t sequence, float* mass, float* profile, int64_t regions, bool by_row, uint64_t skip_heads) const {
    float all = 0;
    for (int64_t h = 0; h < heads; h++) {
      if (!counts(skip_heads, h)) continue;
      float *s = state(sequence, h) + dim, n = s[2];
      if (by_row) s[0] *= 1.f / (n > kLeastMass ? n : kLeastMass);
      all += by_row ? 1.f : n;
    }
    vf seen = {};
    auto add = [&](int64_t r, auto width) {  // width vectors of regions
      vf sum[width] = {};
      for (int64_t h = 0; h < heads; h++) {
        if (!counts(skip_heads, h)) continue;
        const float* s = state(sequence, h) + dim;
        for (int i = 0; i < width; i++) sum[i] = fused(load(s + 4 + r + i * kLanes), splat(s[0]), sum[i]);
      }
      for (int i = 0; i < width; i++, r += kLanes) {
        seen += sum[i];
        if (!profile) continue;
        if (r + kLanes <= regions) store(profile + r, load(profile + r) + sum[i]);
        else
          for (int64_t j = 0; r + j < regions; j++) profile[r + j] += sum[i][j];
      }
    };
    constexpr int kWide = 4;
    int64_t r = 0;
    for (; r + kWide * kLanes <= region_floats(); r += kWide * kLanes) add(r, std::integral_constant<int, kWide>{});
    for (; r < region_floats(); r += kLanes) add(r, std::integral_constant<int, 1>{});
    mass[0] += hsum(seen);
    mass[1] += all;
  }

  void clear_states(int64_t sequence, int64_t head) const {
    for (int64_t h = head * per_head(); h < (head + 1) * per_head(); h++) {
      float* s = state(sequence, h);
      std::fill_n(s, state_floats(), 0.f);
      s[dim] = -kInfinity;
    }
  }
};

int32_t check_tables(const kedge_decode_shape& shape, const Decode& d, kedge_status* status) {
  const int64_t n = shape.n, cache_tokens = shape.cache_tokens;
  auto range = [&](const char* what, int64_t i, int64_t start, int64_t length, int64_t longest) {
    if (start < 0 || length < 0 || start + length > cache_tokens)
      return fail(status, KEDGE_BAD_INDEX, "%s %lld: keys [%lld, %lld) lie outside the cache's %lld", what, (long long)i, (long long)start,
                  (long long)(start + length), (long long)cache_tokens);
    if (length > longest)
      return fail(status, KEDGE_INVALID, "%s %lld has %lld keys, the bound given is %lld", what, (long long)i, (long long)length,
                  (long long)longest);
    return (int32_t)KEDGE_OK;
  };
  auto own_range = [&](int64_t i, const Sequence& x) {
    if (!d.page_bits) return range("sequence", i, x.own_start, x.own_len, shape.max_own);
    if (x.own_start < 0 || x.own_len < 0 || x.own_start + ((x.own_len + shape.page - 1) >> d.page_bits) > shape.n_pages)
      return fail(status, KEDGE_BAD_INDEX, "sequence %lld: the pages of %d keys from %d lie outside the table's %lld", (long long)i, x.own_len,
                  x.own_start, (long long)shape.n_pages);
    KEDGE_TRY(d.own_place(i).each_piece(x.own_len, [&](int64_t row, int64_t keys) { return range("sequence", i, row, keys, keys); }));
    return range("sequence", i, 0, x.own_len, shape.max_own);
  };
  int64_t next = 0;
  for (int64_t i = 0; i < shape.n_groups; i++) {
    const Group& g = d.groups[i];
    KEDGE_TRY(range("group", i, g.prefix_start, g.prefix_len, shape.max_prefix));
    KEDGE_REQUIRE(g.seq_begin == next && g.seq_end >= g.seq_begin && g.seq_end <= n,
                  "group %lld covers sequences [%d, %d), expected a range from %lld within %lld", (long long)i, g.seq_begin, g.seq_end,
                  (long long)next, (long long)n);
    next = g.seq_end;
    for (int64_t s = g.seq_begin; s < g.seq_end; s++) {
      const Sequence& x = d.sequences[s];
      KEDGE_TRY(own_range(s, x));
      KEDGE_REQUIRE(x.own_len > 0 || g.prefix_len > 0, "sequence %lld has no keys", (long long)s);
    }
  }
  KEDGE_REQUIRE(next == n, "the groups cover %lld of %lld sequences", (long long)next, (long long)n);
  return KEDGE_OK;
}

int32_t decode(const kedge_context* ctx, Decode& d, int64_t n, int64_t n_groups, float* mass, float* profile, int64_t regions, bool by_row,
               uint64_t skip_heads, kedge_status* status) {
  std::vector<Item> items;
  int64_t prefix_work = 0, own_work = 0;
  for (int64_t g = 0; g < n_groups; g++) {
    const Group& x = d.groups[g];
    int64_t rows = (x.seq_end - x.seq_begin) * d.per_head();
    if (x.prefix_len > 0)
      for (int64_t r = 0; r < rows; r += kItemRows) items.push_back({ g, r, std::min(r + kItemRows, rows) });
    prefix_work += x.prefix_len * rows * d.kv_heads * d.dim;
    for (int64_t s = x.seq_begin; s < x.seq_end; s++) own_work += (d.sequences[s].own_len + 8) * d.heads * d.dim;
  }
  struct Traits {
    RegionBounds own;
    bool has_prefix;
  };
  std::vector<Traits> traits(n);
  for (int64_t g = 0; g < n_groups; g++)
    for (int64_t s = d.groups[g].seq_begin; s < d.groups[g].seq_end; s++) {
      RegionBounds all = { -1, -1 };
      d.own_place(s).each_piece(d.region_rows ? d.sequences[s].own_len : 0, [&](int64_t row, int64_t keys) {
        RegionBounds here = region_bounds(d.region, row, row + keys);
        all = { std::min(all.least, here.least), std::max(all.most, here.most) };
        return (int32_t)KEDGE_OK;
      });
      traits[s] = { all, d.groups[g].prefix_len > 0 };
    }

  int64_t states = round_up(n * d.heads * d.state_floats(), 64);
  int64_t scratch = round_up(d.scratch_floats(), 64);
  KEDGE_REQUIRE_WORKSPACE((states + scratch * ctx->threads) * (int64_t)sizeof(float));
  d.states = (float*)ctx->workspace;
  auto mine = [&] { return d.states + states + Threads::index() * scratch; };

  parallel(ctx, (int64_t)items.size() * d.kv_heads, prefix_work, [&](int64_t c) {
    d.prefix(items[c / d.kv_heads], c % d.kv_heads, mine());
  });
  parallel(ctx, n * d.kv_heads, own_work, [&](int64_t c) {
    int64_t sequence = c / d.kv_heads, head = c % d.kv_heads;
    const Traits& t = traits[sequence];
    if (!t.has_prefix) d.clear_states(sequence, head);
    d.each_panel(d.per_head(), [&](auto V, int64_t, int64_t first, int count) { d.own<V>(sequence, head, first, count, t.own, mine()); });
  });
  if (!mass) return ok(status);
  parallel(ctx, n, n * d.heads * d.region_rows / 4, [&](int64_t i) {
    d.add_connectivity(i, mass + 2 * i, profile ? profile + i * regions : nullptr, regions, by_row, skip_heads);
  });
  return ok(status);
}

}  // namespace
}  // namespace kedge

KEDGE_API int32_t kedge_decode_attention(const kedge_context* ctx, int32_t dtype, KEDGE_IN const kedge_decode_shape* shape, void* out,
                                         float* mass, float* profile, const void* q, const void* k_cache, const void* v_cache,
                                         const int32_t* region, int64_t regions, const int32_t* groups, const int32_t* sequences,
                                         const int32_t* pages, int32_t renorm, uint32_t skip_low, uint32_t skip_high, kedge_status* status) {
  using namespace kedge;
  KEDGE_REQUIRE_F32("attention");
  KEDGE_TRY(check_decode(shape, out, mass, q, k_cache, v_cache, region, regions, groups, sequences, pages, renorm, kHeadStep, status));
  const kedge_decode_shape& x = *shape;
  int64_t region_rows = !mass ? 0 : profile ? std::max<int64_t>(regions, 1) : 1;
  Decode d = { x.heads, x.kv_heads, x.head_dim, (float)x.scale, (float*)out, (const float*)q, (const float*)k_cache,
               (const float*)v_cache, x.out_stride, x.q_stride, x.k_stride, x.v_stride, region, region_rows, (const Group*)groups,
               (const Sequence*)sequences, pages, page_bits(x.page), nullptr };
  KEDGE_TRY(check_tables(x, d, status));
  if (x.n == 0) return ok(status);
  auto check = [&](int64_t row, int64_t keys) { return check_regions(region, row, row + keys, regions, status); };
  if (mass)
    for (int64_t i = 0; i < x.n_groups; i++) {
      const Group& g = d.groups[i];
      if (g.seq_end > g.seq_begin) KEDGE_TRY(check(g.prefix_start, g.prefix_len));
      for (int64_t s = g.seq_begin; s < g.seq_end; s++) KEDGE_TRY(d.own_place(s).each_piece(d.sequences[s].own_len, check));
    }
  try {
    return decode(ctx, d, x.n, x.n_groups, mass, profile, regions, renorm == kByRow, head_bits(skip_low, skip_high), status);
  } catch (const std::bad_alloc&) {
    return fail(status, KEDGE_OUT_OF_MEMORY, "no memory to plan attention of %lld sequences", (long long)x.n);
  }
}
