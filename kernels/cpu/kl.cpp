// KL(softmax(logits / t) || softmax(ref_logits / t)) by rows of [n, vocab], and its gradient by the logits.
#include "softmax.h"

namespace kedge {
namespace {

// sum e^{(x - largest x) / t} * ((x - largest x) - (y - largest y)) over [begin, end): f32 in blocks, f64 across. Differences from the
// largest, so that a shift of either row costs no digits.
double weighted_difference(const float* x, const float* y, const uint8_t* suppress, int64_t begin, int64_t end, float mx, float my,
                           float inv_t) {
  double total = 0;
  for (int64_t block = begin; block < end; block += 32 * kLanes) {
    vf s{};
    each_vector(block, std::min(end, block + 32 * kLanes), [&](int64_t i, auto count) {
      vf a = load_logits(x, suppress, i, count) - mx, b = load_logits(y, suppress, i, count) - my, e = vexp(a * inv_t);
      s += select(e == 0, vf{}, e * (a - b));
    });
    total += hsum(s);
  }
  return total;
}

// g_v = dkl p_v ((x - y) / t + shift) / t.
void backward_chunk(float* dlogits, const float* x, const float* y, const uint8_t* suppress, int64_t begin, int64_t end, double lse,
                    float shift, float dkl, double temperature) {
  const auto [high, low] = split_lse(lse, temperature);
  float inv_t = inverse_temperature(temperature), by_p = dkl * inv_t;
  each_vector(begin, end, [=, high = high, low = low](int64_t i, auto count) {
    vf a = load_logits(x, suppress, i, count), b = load_logits(y, suppress, i, count);
    vf p = vexp(((a - high) - low) * inv_t);
    store(dlogits + i, select(p == 0, vf{}, by_p * p * ((a - b) * inv_t + shift)), count);
  });
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_kl_fwd(const kedge_context* ctx, int32_t dtype, float* kl, float* lse, float* shift, const void* logits_,
                               int64_t logits_stride, const void* ref_logits_, int64_t ref_stride, const int32_t* target,
                               const uint8_t* suppress, int64_t n, int64_t vocab, double temperature, kedge_status* status) {
  KEDGE_REQUIRE_F32("kl");
  KEDGE_TRY(check_logits(n, vocab, temperature, {{"logits", logits_, logits_stride}, {"ref", ref_logits_, ref_stride}}, status));
  if (n == 0) return ok(status);
  KEDGE_TRY(check_given({{"kl", kl}, {"lse", lse}, {"shift", shift}}, status));
  const float *x = (const float*)logits_, *y = (const float*)ref_logits_;
  const int64_t chunks = vocab_chunks(vocab), tasks = n * chunks;
  KEDGE_REQUIRE_WORKSPACE((2 * (tasks + n)) * (int64_t)sizeof(SoftmaxPart) + tasks * (int64_t)sizeof(double) + n * (int64_t)sizeof(float));
  SoftmaxPart *px = (SoftmaxPart*)ctx->workspace, *py = px + tasks, *rx = py + tasks, *ry = rx + n;
  double* sums = (double*)(ry + n);
  float *inv_t = (float*)(sums + tasks), one = inverse_temperature(temperature);
  for (int64_t i = 0; i < n; i++) inv_t[i] = target && target[i] < 0 ? NAN : one;
  softmax_parts(ctx, px, x, logits_stride, suppress, n, vocab, inv_t);
  softmax_parts(ctx, py, y, ref_stride, suppress, n, vocab, inv_t);
  for (int64_t i = 0; i < n; i++) {
    if (inv_t[i] != inv_t[i]) continue;
    rx[i] = merge(px + i * chunks, chunks, 1 / temperature);
    ry[i] = merge(py + i * chunks, chunks, 1 / temperature);
  }
  parallel_range(ctx, tasks, tasks_per_chunk(vocab), 4 * std::min(vocab, kVocabChunk), [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      int64_t r = task / chunks, first = task % chunks * kVocabChunk;
      if (inv_t[r] == inv_t[r])
        sums[task] = weighted_difference(x + r * logits_stride, y + r * ref_stride, suppress, first, std::min(vocab, first + kVocabChunk),
                                         (float)rx[r].largest, (float)ry[r].largest, one);
    }
  });
  for (int64_t i = 0; i < n; i++) {
    kl[i] = lse[i] = shift[i] = 0;
    if (inv_t[i] != inv_t[i]) continue;
    double sum = 0;
    for (int64_t c = 0; c < chunks; c++) sum += sums[i * chunks + c];
    const KlRow row = kl_row(rx[i].largest, rx[i].sum, ry[i].largest, ry[i].sum, sum, temperature);
    kl[i] = row.kl, lse[i] = row.lse, shift[i] = row.shift;
  }
  return ok(status);
}

KEDGE_API int32_t kedge_kl_bwd(const kedge_context* ctx, int32_t dtype, void* dlogits_, int64_t dlogits_stride, const void* logits_,
                               int64_t logits_stride, const void* ref_logits_, int64_t ref_stride, const float* lse, const float* shift,
                               const float* dkl, const int32_t* target, const uint8_t* suppress, int64_t n, int64_t vocab,
                               double temperature, kedge_status* status) {
  KEDGE_REQUIRE_F32("kl");
  KEDGE_TRY(check_logits(n, vocab, temperature, {{"dlogits", dlogits_, dlogits_stride}, {"logits", logits_, logits_stride},
                                                 {"ref", ref_logits_, ref_stride}}, status));
  if (n == 0 || vocab == 0) return ok(status);
  KEDGE_TRY(check_given({{"lse", lse}, {"shift", shift}, {"dkl", dkl}}, status));
  float* dlogits = (float*)dlogits_;
  const float *x = (const float*)logits_, *y = (const float*)ref_logits_;
  const int64_t chunks = vocab_chunks(vocab);
  parallel_range(ctx, n * chunks, tasks_per_chunk(vocab), 4 * std::min(vocab, kVocabChunk), [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      int64_t r = task / chunks, first = task % chunks * kVocabChunk, last = std::min(vocab, first + kVocabChunk);
      float* out = dlogits + r * dlogits_stride;
      if (target && target[r] < 0) std::fill(out + first, out + last, 0.f);
      else
        backward_chunk(out, x + r * logits_stride, y + r * ref_stride, suppress, first, last, lse[r], shift[r], dkl[r], temperature);
    }
  });
  return ok(status);
}
