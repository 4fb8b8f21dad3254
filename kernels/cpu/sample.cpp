// Draws tokens from rows of logits: temperature, top-k, top-p, min-p, greedy (kedge.h says in what order). logits: [n, vocab] with a
// stride.
//
// With d = (x - max) / temperature and e = exp(d), every filter keeps e > 0 and what is not below a threshold in the order (x falling,
// index rising): top-k and top-p move that threshold, min-p bounds e. So a filter needs no sort of the row: a histogram over d finds the
// bin in which the threshold lies, and only that bin's entries are partitioned further. The draw then walks the chunks' sums and rescans
// one chunk. Each row's threshold is one task's, and sums over the vocabulary run in fixed chunks, so that a draw does not depend on the
// threads.
#include "../common/philox.h"
#include "softmax.h"

namespace kedge {
namespace {

constexpr int kBins = 1024;
constexpr float kBinsPerNat = 32;
constexpr float kNearSpan = 8;  // nats

struct Entry {
  float x, e;
  int32_t index;
};
inline bool before(const Entry& a, const Entry& b) { return a.x > b.x || (a.x == b.x && a.index < b.index); }

struct Row {
  const float* x;
  const uint8_t* suppress;
  int64_t vocab;
  float largest, inv_t;
  float least_x;       // kept: x above least_x, or equal to it with an index up to last_index; and e >= least_e
  int32_t last_index;
  float least_e;
};
// What is found out about a row between the passes.
struct Plan {
  Row row;
  SoftmaxPart all;
  double kept;  // sum of e over what is kept
  bool filtered, valid;
};

template <class Count>
inline void exponents(const Row& row, int64_t i, Count count, vf& x, vf& d, vf& e) {
  x = load_logits(row.x, row.suppress, i, count);
  d = (x - row.largest) * row.inv_t;
  e = vexp(d);
}

// Bins are equal steps of d: bin 0 holds the most probable entries.
inline vi bin_of(vf d) { return __builtin_convertvector(vmin(d * -kBinsPerNat, splat(kBins - 1)), vi); }

struct Histogram {
  double mass[kBins];
  int32_t count[kBins];
};

inline bool any(vi mask) {
  uint64_t t[kLanes / 2], all = 0;
  memcpy(t, &mask, sizeof mask);
  for (uint64_t x : t) all |= x;
  return all != 0;
}

// Counts the entries with e > 0 and d > -span.
void fill_histogram(const Row& row, float span, Histogram& h) {
  memset(&h, 0, sizeof h);
  each_vector(0, row.vocab, [&](int64_t i, auto count) {
    vf d = (load_logits(row.x, row.suppress, i, count) - row.largest) * row.inv_t;
    if (!any(d > -span)) return;
    vf e = vexp(d);
    vi bin = bin_of(d);
    for (int l = 0; l < count; l++) {
      if (!(d[l] > -span && e[l] > 0)) continue;
      h.mass[bin[l]] += e[l];
      h.count[bin[l]]++;
    }
  });
}

// The entries of a bin that are kept so far.
int64_t gather_bin(const Row& row, int wanted, Entry* out) {
  int64_t n = 0;
  each_vector(0, row.vocab, [&](int64_t i, auto count) {
    vf x = load_logits(row.x, row.suppress, i, count), d = (x - row.largest) * row.inv_t;
    vi here = bin_of(d) == wanted;
    if (!any(here)) return;
    vf e = vexp(d);
    for (int l = 0; l < count; l++) {
      if (!here[l] || !(e[l] > 0)) continue;
      int32_t index = (int32_t)(i + l);
      if (x[l] > row.least_x || (x[l] == row.least_x && index <= row.last_index)) out[n++] = {x[l], e[l], index};
    }
  });
  return n;
}

// Length of the shortest prefix, in order, whose sum reaches `target`; all of it if none does. Reorders the entries; the prefix comes
// first.
int64_t shortest_prefix(Entry* entries, int64_t n, double target) {
  int64_t begin = 0, end = n;  // the prefix ends within [begin, end]
  while (end - begin > 32) {
    int64_t middle = begin + (end - begin) / 2;
    std::nth_element(entries + begin, entries + middle, entries + end, before);
    double sum = 0;
    for (int64_t i = begin; i < middle; i++) sum += entries[i].e;
    if (sum >= target) {
      end = middle;
    } else {
      target -= sum;
      begin = middle;
    }
  }
  std::sort(entries + begin, entries + end, before);
  for (int64_t i = begin; i < end; i++) {
    target -= entries[i].e;
    if (target <= 0) return i + 1;
  }
  return end;
}

// Sets the threshold for top-k and top-p. Only the entries near the top are looked at where the threshold is among them; total: the sum of
// all e.
void find_threshold(Row& row, int64_t top_k, double top_p, double total, Histogram& h, Entry* entries) {
  int64_t count = 0;
  double mass = 0;
  int last = 0;  // the last bin of which anything is kept
  bool cut = false;
  for (float span : {kNearSpan, INFINITY}) {
    fill_histogram(row, span, h);
    count = last = 0;
    mass = 0;
    for (int b = 0; b < kBins && !cut; b++) {
      if (h.count[b] == 0) continue;
      last = b;
      cut = top_k > 0 && count + h.count[b] >= top_k;
      if (cut) continue;
      count += h.count[b];
      mass += h.mass[b];
    }
    if (cut || (top_k == 0 && mass >= top_p * total)) break;
  }
  if (cut) {
    int64_t n = gather_bin(row, last, entries), keep = top_k - count;
    std::nth_element(entries, entries + keep - 1, entries + n, before);
    row.least_x = entries[keep - 1].x;
    row.last_index = entries[keep - 1].index;
    for (int64_t i = 0; i < keep; i++) mass += entries[i].e;
    total = mass;
  }
  if (!(top_p < 1)) return;
  double target = top_p * total;
  for (int b = 0; b <= last; b++) {
    if (h.count[b] == 0) continue;
    if (b < last && h.mass[b] < target) {
      target -= h.mass[b];
      continue;
    }
    int64_t n = gather_bin(row, b, entries), keep = shortest_prefix(entries, n, target);
    const Entry* least = std::max_element(entries, entries + keep, before);
    row.least_x = least->x;
    row.last_index = least->index;
    return;
  }
}

inline vi iota() {
  vi v;
  for (int l = 0; l < kLanes; l++) v[l] = l;
  return v;
}

// e of the entries that are kept, 0 for the others.
template <class Count>
inline vf kept(const Row& row, int64_t i, Count count) {
  vf x, d, e;
  exponents(row, i, count, x, d, e);
  vi index = iota() + (int32_t)i;
  vi keep = ((x > row.least_x) | ((x == row.least_x) & (index <= row.last_index))) & (e >= row.least_e);
  return select(keep, e, vf{});
}

double kept_sum(const Row& row, int64_t begin, int64_t end) {
  Doubles s{};
  each_vector(begin, end, [&](int64_t i, auto count) { s += widen(kept(row, i, count)); });
  return hsum(s);
}

// The first entry of the chunk at which the sum of what is kept reaches `target`; the last kept one if rounding leaves it short; -1 if
// none is kept.
int64_t walk_chunk(const Row& row, int64_t begin, int64_t end, double target) {
  double sum = 0;
  int64_t found = -1;
  for (int64_t i = begin; i < end; i += kLanes) {
    int count = (int)std::min<int64_t>(kLanes, end - i);
    vf e = kept(row, i, count);
    for (int l = 0; l < count; l++) {
      if (!(e[l] > 0)) continue;
      found = i + l;
      sum += e[l];
      if (sum >= target) return found;
    }
  }
  return found;
}

// Where the sum of what is kept, in index order, reaches u of its whole. sums: of each chunk.
int64_t draw(const Plan& plan, const double* sums, int64_t chunks, double u) {
  double target = u * plan.kept;
  int64_t found = -1;
  for (int64_t c = 0; c < chunks; c++) {
    if (sums[c] == 0) continue;
    found = c;
    if (target <= sums[c]) break;
    target -= sums[c];
    if (c + 1 == chunks) target = INFINITY;
  }
  if (found < 0) return -1;
  int64_t begin = found * kVocabChunk;
  return walk_chunk(plan.row, begin, std::min(plan.row.vocab, begin + kVocabChunk), target);
}

int64_t argmax(const Plan& plan, const SoftmaxPart* parts) {
  const Row& row = plan.row;
  int64_t i = 0;
  while (parts[i].largest != plan.all.largest) i++;
  for (i *= kVocabChunk; row.x[i] != row.largest || (row.suppress && row.suppress[i]);) i++;
  return i;
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_sample(const kedge_context* ctx, int32_t dtype, int32_t* token, float* logprob, float* filtered_logprob,
                               float* entropy, const void* logits_, int64_t logits_stride, const float* temperature, const int32_t* top_k,
                               const float* top_p, const float* min_p, const uint32_t* keys, const int32_t* position,
                               const uint8_t* suppress, int64_t n, int64_t vocab, kedge_status* status) {
  KEDGE_REQUIRE_F32("sample");
  KEDGE_REQUIRE(vocab <= INT32_MAX, "vocab is %lld", (long long)vocab);
  KEDGE_TRY(check_logits(n, vocab, 1, {{"logits", logits_, logits_stride}}, status));
  if (n == 0) return ok(status);
  KEDGE_TRY(check_given({{"token", token}, {"logprob", logprob}, {"temperature", temperature}, {"top_k", top_k}, {"top_p", top_p},
                         {"min_p", min_p}, {"keys", keys}, {"position", position}}, status));
  bool any_filter = false;
  for (int64_t i = 0; i < n; i++) {
    KEDGE_REQUIRE(temperature[i] >= 0 && std::isfinite(temperature[i]), "temperature[%lld] is %g", (long long)i, temperature[i]);
    KEDGE_REQUIRE(top_k[i] >= 0, "top_k[%lld] is %d", (long long)i, top_k[i]);
    KEDGE_REQUIRE(top_p[i] > 0 && top_p[i] <= 1, "top_p[%lld] is %g, outside (0, 1]", (long long)i, top_p[i]);
    KEDGE_REQUIRE(min_p[i] >= 0 && min_p[i] < 1, "min_p[%lld] is %g, outside [0, 1)", (long long)i, min_p[i]);
    any_filter |= temperature[i] > 0 && ((top_k[i] > 0 && top_k[i] < vocab) || top_p[i] < 1);
  }
  const float* logits = (const float*)logits_;
  int64_t chunks = vocab_chunks(vocab), tasks = n * chunks, slots = any_filter ? std::min<int64_t>(std::max(1, ctx->threads), n) : 0;
  int64_t slot_bytes = ((int64_t)sizeof(Histogram) + vocab * (int64_t)sizeof(Entry) + 63) / 64 * 64;
  KEDGE_REQUIRE_WORKSPACE(tasks * (int64_t)(sizeof(SoftmaxPart) + sizeof(double)) + n * (int64_t)(sizeof(Plan) + sizeof(double)) +
                          slots * slot_bytes);
  SoftmaxPart* parts = (SoftmaxPart*)ctx->workspace;
  double* sums = (double*)(parts + tasks);
  Plan* plans = (Plan*)(sums + tasks);
  float* inv_t = (float*)(plans + n);
  char* scratch = (char*)(plans + n) + n * sizeof(double);

  for (int64_t i = 0; i < n; i++) inv_t[i] = temperature[i] > 0 ? inverse_temperature(temperature[i]) : 1.f;
  softmax_parts(ctx, parts, logits, logits_stride, suppress, n, vocab, inv_t);
  parallel(ctx, n, any_filter ? 8 * n * vocab : 0, [=](int64_t i) {
    Plan& plan = plans[i];
    plan.all = merge(parts + i * chunks, chunks, inv_t[i]);
    plan.row = {logits + i * logits_stride, suppress, vocab, (float)plan.all.largest, inv_t[i], -INFINITY, INT32_MAX, min_p[i]};
    plan.valid = plan.all.sum > 0;
    bool sorted = (top_k[i] > 0 && top_k[i] < vocab) || top_p[i] < 1;
    plan.filtered = plan.valid && temperature[i] > 0 && (sorted || min_p[i] > 0);
    if (plan.filtered && sorted) {
      char* slot = scratch + Threads::index() * slot_bytes;
      find_threshold(plan.row, top_k[i], top_p[i], plan.all.sum, *(Histogram*)slot, (Entry*)(slot + sizeof(Histogram)));
    }
  });
  parallel_range(ctx, tasks, tasks_per_chunk(vocab), 2 * std::min(vocab, kVocabChunk), [=](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const Plan& plan = plans[t / chunks];
      int64_t first = t % chunks * kVocabChunk;
      if (plan.filtered) sums[t] = kept_sum(plan.row, first, std::min(vocab, first + kVocabChunk));
      else if (plan.valid && parts[t].sum > 0) sums[t] = parts[t].sum * std::exp((parts[t].largest - plan.all.largest) * plan.row.inv_t);
      else sums[t] = 0;
    }
  });
  parallel(ctx, n, n * std::min(vocab, kVocabChunk), [=](int64_t i) {
    Plan& plan = plans[i];
    plan.kept = 0;
    for (int64_t c = 0; c < chunks; c++) plan.kept += sums[i * chunks + c];
    int64_t found = -1;
    if (plan.valid && temperature[i] > 0) {
      const uint32_t* k = keys + 4 * i;
      found = draw(plan, sums + i * chunks, chunks, philox_unit(philox(k[0], k[1], (uint32_t)position[i], k[2], k[3], 0).x[0]));
    } else if (plan.valid) {
      found = argmax(plan, parts + i * chunks);
    }
    double d = found < 0 ? NAN : ((double)plan.row.x[found] - plan.all.largest) * inv_t[i], log_sum = std::log(plan.all.sum);
    token[i] = (int32_t)found;
    logprob[i] = (float)(d - log_sum);
    if (filtered_logprob) filtered_logprob[i] = temperature[i] > 0 || found < 0 ? (float)(d - std::log(plan.kept)) : 0.f;
    if (entropy) entropy[i] = found < 0 ? NAN : (float)(log_sum - plan.all.weighted / plan.all.sum);
  });
  return ok(status);
}
