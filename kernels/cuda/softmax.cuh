// A row of logits read by a whole block, and its softmax statistics in one pass. z = x * inv_t; suppressed entries do not exist (they read
// as -inf). Used by logprob.cu and sample.cu.
#pragma once
#include "../common/softmax.h"
#include "common.cuh"

namespace kedge {
namespace {

constexpr int kRowThreads = 512;  // threads of a block that reads a row
constexpr int64_t kMaxVocab = int64_t(1) << 30;

template <int W>
__device__ __forceinline__ void load_bytes(uint32_t (&out)[W], const uint8_t* p) {
  if constexpr (W == 1) {
    out[0] = *p;
  } else {
#pragma unroll
    for (int word = 0; word < W / 4; word++) {
      const uint32_t four = reinterpret_cast<const uint32_t*>(p)[word];
#pragma unroll
      for (int j = 0; j < 4; j++) out[4 * word + j] = four >> (8 * j) & 255u;
    }
  }
}

// W logits at a time, from multiples of W; what is suppressed or beyond the row reads as -inf.
template <class T, int W>
struct Logits {
  static constexpr int kWidth = W;
  const T* x;
  const uint8_t* suppress;  // nullable
  int vocab;

  // Nonzero where suppressed; suppress is not NULL.
  __device__ __forceinline__ void load_mask(uint32_t (&mask)[W], int i) const {
    if (i + W <= vocab) {
      load_bytes(mask, suppress + i);
    } else {
#pragma unroll
      for (int j = 0; j < W; j++) mask[j] = i + j < vocab ? suppress[i + j] : 0;
    }
  }
  __device__ __forceinline__ void load(float (&v)[W], int i) const {
    if (i + W <= vocab) {
      load_vec(v, x + i);
      if (suppress) {
        uint32_t mask[W];
        load_bytes(mask, suppress + i);
#pragma unroll
        for (int j = 0; j < W; j++) v[j] = mask[j] ? -INFINITY : v[j];
      }
    } else {
#pragma unroll
      for (int j = 0; j < W; j++) v[j] = i + j < vocab && !(suppress && suppress[i + j]) ? to_float(x[i + j]) : -INFINITY;
    }
  }
  // f(i, v) for the vectors first, first + step, ... below end, kAhead of them in flight.
  template <int kAhead = 4, class F>
  __device__ __forceinline__ void each(int first, int end, int step, F&& f) const {
    for (int base = first; base < end; base += step * kAhead) {
      float v[kAhead][W];
#pragma unroll
      for (int k = 0; k < kAhead; k++)
        if (base + k * step < end) load(v[k], base + k * step);
#pragma unroll
      for (int k = 0; k < kAhead; k++)
        if (base + k * step < end) f(base + k * step, v[k]);
    }
  }
};
// A block a row; places in a row are counted in 32 bits.
inline int32_t check_row_grid(int64_t n, int64_t vocab, kedge_status* status) {
  KEDGE_REQUIRE(n <= kRowCap && vocab <= kMaxVocab, "n is %lld, vocab %lld", (long long)n, (long long)vocab);
  return KEDGE_OK;
}
// Whether rows can be read in vectors of T.
template <class T>
inline bool wide_logits(const void* logits, int64_t stride, const uint8_t* suppress) {
  return vector_rows<T>(logits, stride) && reinterpret_cast<uintptr_t>(suppress) % 8 == 0;
}

// The softmax of a row in one pass (online softmax): the sums are relative to the largest entry so far and are rescaled when a larger one
// comes. Of some entries: the largest x and where it is first; sum e and sum e * d with d = (x - largest) * inv_t, e = exp(d). A NaN or an
// infinity among them makes the sums NaN.
struct Stats {
  float largest = -INFINITY, sum = 0.f, weighted = 0.f;
  int where = INT_MAX;

  __device__ __forceinline__ void rescale(float larger, float inv_t) {
    if (largest > -INFINITY) {
      const float d = (largest - larger) * inv_t, e = expf(d);
      weighted = e > 0.f ? e * (weighted + d * sum) : 0.f * sum;
      sum *= e;
    }
    largest = larger;
  }
  template <int W>
  __device__ __forceinline__ void add(const float (&x)[W], int i, float inv_t) {
    float top = x[0];
#pragma unroll
    for (int j = 1; j < W; j++) top = fmaxf(top, x[j]);
    if (top > largest) {
      rescale(top, inv_t);
#pragma unroll
      for (int j = W - 1; j >= 0; j--)
        if (x[j] == top) where = i + j;
    }
    const float from = largest == -INFINITY ? 0.f : largest;
#pragma unroll
    for (int j = 0; j < W; j++) {
      const float d = (x[j] - from) * inv_t, e = expf(d);
      sum += e;
      weighted += e * fmaxf(d, -200.f);  // e is 0 there: no 0 * inf
    }
  }
  // Over the block; the result in every thread. Each thread has seen its entries in rising order, so that its `where` is the first of its
  // largest; the block's is the least of those whose entry is the largest of all.
  __device__ __forceinline__ void merge(float inv_t, float* shared) {
    const float top = block_max<kRowThreads>(largest, shared);
    if (largest < top) where = INT_MAX;
    if (top > -INFINITY && top < INFINITY) rescale(top, inv_t);
    largest = top;
    sum = block_sum<kRowThreads>(sum, shared);
    weighted = block_sum<kRowThreads>(weighted, shared);
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      const int other = __shfl_xor_sync(kFullWarp, where, offset);
      where = other < where ? other : where;
    }
    int* places = reinterpret_cast<int*>(shared);
    if (threadIdx.x % 32 == 0) places[threadIdx.x / 32] = where;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < kRowThreads / 32; w++) where = places[w] < where ? places[w] : where;
    __syncthreads();
  }
};

}  // namespace
}  // namespace kedge
