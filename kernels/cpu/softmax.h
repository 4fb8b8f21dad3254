// Softmax statistics of a row of logits in fixed chunks, so that a row can be shared between threads with the same bits. z = x * inv_t;
// suppressed entries do not exist. Used by logprob.cpp and sample.cpp.
#pragma once
#include "../common/softmax.h"

#include "vectors.h"

namespace kedge {

constexpr int64_t kVocabChunk = 8192;
inline int64_t vocab_chunks(int64_t vocab) { return (vocab + kVocabChunk - 1) / kVocabChunk; }
// Tasks that one chunk of `parallel` takes, so that short rows are not handed out one by one.
inline int64_t tasks_per_chunk(int64_t vocab) { return std::max<int64_t>(1, kVocabChunk / std::max<int64_t>(1, vocab)); }

// Of some entries: the largest x, and sum e, sum e * d with d = (x - largest) / temperature, e = exp(d). NaN among the entries makes the
// sums NaN.
struct SoftmaxPart {
  double largest;
  double sum;
  double weighted;
};

// x[i], and -inf where suppressed.
template <class Count>
inline vf load_logits(const float* x, const uint8_t* suppress, int64_t i, Count count) {
  vf v = load(x + i, count);
  if (count < kLanes) {
    for (int l = count; l < kLanes; l++) v[l] = -INFINITY;
  }
  if (!suppress) return v;
  uint8_t bytes[kLanes] = {};
  memcpy(bytes, suppress + i, count);
  return select(load_mask(bytes), splat(-INFINITY), v);
}

inline SoftmaxPart softmax_part(const float* x, const uint8_t* suppress, int64_t begin, int64_t end, float inv_t) {
  vf top0 = splat(-INFINITY), top1 = top0;
  vi nan{};
  each_vector(begin, end, [&](int64_t i, auto count) {
    vf v = load_logits(x, suppress, i, count);
    nan |= v != v;
    vf higher = vmax(v, top0);  // a NaN loses
    top0 = top1;
    top1 = higher;
  });
  float largest = hmax(vmax(top0, top1));
  for (int l = 0; l < kLanes; l++)
    if (nan[l]) return {NAN, NAN, NAN};
  if (largest == -INFINITY) return {-INFINITY, 0, 0};
  if (largest == INFINITY) return {INFINITY, NAN, NAN};
  double sum = 0, weighted = 0;
  for (int64_t block = begin; block < end; block += 32 * kLanes) {  // f32 within a block, f64 across
    vf s{}, w{};
    each_vector(block, std::min(end, block + 32 * kLanes), [&](int64_t i, auto count) {
      vf d = (load_logits(x, suppress, i, count) - largest) * inv_t;
      vf e = vexp(d);
      s += e;
      w += e * vmax(d, splat(-200.f));  // e is 0 there: no 0 * inf
    });
    sum += hsum(s);
    weighted += hsum(w);
  }
  return {largest, sum, weighted};
}

// The whole row from its parts, in order.
inline SoftmaxPart merge(const SoftmaxPart* parts, int64_t count, double inv_t) {
  double largest = -INFINITY;
  for (int64_t c = 0; c < count; c++) {
    if (std::isnan(parts[c].largest)) return {NAN, NAN, NAN};
    largest = std::max(largest, parts[c].largest);
  }
  if (std::isinf(largest)) return {largest, largest < 0 ? 0. : NAN, largest < 0 ? 0. : NAN};
  SoftmaxPart all{largest, 0, 0};
  for (int64_t c = 0; c < count; c++) {
    if (parts[c].sum == 0) continue;
    double d = (parts[c].largest - largest) * inv_t, e = std::exp(d);
    if (e == 0) continue;
    all.sum += e * parts[c].sum;
    all.weighted += e * (parts[c].weighted + d * parts[c].sum);
  }
  return all;
}

// Parts of n rows: parts[row * chunks + chunk].
inline void softmax_parts(const kedge_context* ctx, SoftmaxPart* parts, const float* logits, int64_t stride, const uint8_t* suppress,
                          int64_t n, int64_t vocab, const float* inv_t /* of each row; NaN skips it */) {
  int64_t chunks = vocab_chunks(vocab);
  parallel_range(ctx, n * chunks, tasks_per_chunk(vocab), 4 * std::min(vocab, kVocabChunk), [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      int64_t r = task / chunks, first = task % chunks * kVocabChunk;
      if (inv_t[r] == inv_t[r])
        parts[task] = softmax_part(logits + r * stride, suppress, first, std::min(vocab, first + kVocabChunk), inv_t[r]);
    }
  });
}

}  // namespace kedge
