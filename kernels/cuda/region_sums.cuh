// Sums of attention probabilities over the regions of the keys (docs/method.md section 1), of a tile of rows against tiles of keys.
//   Masses: on all regions, and on all keys but sinks. A thread adds up its own elements of the product, as it does for the softmax; one reduction at the
//     end puts them together.
//   Profile: by region. Some threads, a power of two, share a row. Region r belongs to thread r % lanes of them, which adds in the order of
//     the keys: no two threads add to the same number, and its bits do not depend on how many share the row.
#pragma once
#include "attention.cuh"

namespace kedge {

constexpr int kRegionsShared = 128;  // up to so many regions, a tile's profiles lie in shared memory

template <class E>
struct Masses {
  float regions[E::kScoreRows], all[E::kScoreRows];  // the thread's part

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < E::kScoreRows; i++) regions[i] = all[i] = 0.f;
  }
  __device__ __forceinline__ void scale(const float (&factor)[E::kScoreRows]) {
#pragma unroll
    for (int i = 0; i < E::kScoreRows; i++) regions[i] *= factor[i], all[i] *= factor[i];
  }
  // Adds a tile's probabilities, prob(i, j) of the thread's row i and column j; region: of the tile's keys. A region that is none (below -2, or
  // not below n_regions) makes the sums NaN.
  template <class Prob>
  __device__ __forceinline__ void add(Prob&& prob, const int32_t* region, int count, int n_regions) {
#pragma unroll
    for (int j = 0; j < E::kScoreCols; j++) {
      if (E::col(j) >= count) continue;
      const int r = region[E::col(j)];
      const float bad = r < -2 || r >= n_regions ? NAN : 0.f;
#pragma unroll
      for (int i = 0; i < E::kScoreRows; i++) {
        const float x = prob(i, j);
        regions[i] += (r >= 0 ? x : 0.f) + bad;
        all[i] += (r >= -1 ? x : 0.f) + bad;
      }
    }
  }
};

// A bit for each key of a tile at which a run of keys of one region begins. Whole warps call it. Neighbouring keys are mostly of one region.
__device__ __forceinline__ uint64_t runs_of(const int32_t* region, int count) {
  auto begins = [&](int c) { return c < count && (c == 0 || region[c] != region[c - 1]); };
  const int lane = threadIdx.x % 32;
  const unsigned low = __ballot_sync(kFullWarp, begins(lane)), high = __ballot_sync(kFullWarp, begins(lane + 32));
  return (uint64_t)high << 32 | low;
}

__device__ __forceinline__ int lowest(uint64_t bits) { return (unsigned)bits ? __ffs((int)bits) - 1 : 31 + __ffs((int)(bits >> 32)); }

struct Profile {
  float* sums;      // the row's [width]
  int width;        // 0: no profile is wanted
  int lane, lanes;  // the thread among those that share the row

  __device__ __forceinline__ void clear() const {
    for (int r = lane; r < width; r += lanes) sums[r] = 0.f;
  }
  __device__ __forceinline__ void scale(float factor) const {
    if (factor == 1.f) return;
    for (int r = lane; r < width; r += lanes) sums[r] *= factor;
  }
  // Adds the row's probabilities of a tile. A run is summed before it is added. The threads look for their next runs first, so that they add up at the
  // same time.
  __device__ __forceinline__ void add(const float* prob, const int32_t* region, int count, uint64_t runs) const {
    for (;;) {
      int begin = 0, mine = -1;
      while (runs && mine < 0) {
        begin = lowest(runs);
        runs &= runs - 1;
        const int r = region[begin];
        if (r >= 0 && r < width && (r & (lanes - 1)) == lane) mine = r;
      }
      if (mine < 0) return;
      const int end = runs ? lowest(runs) : count;
      float run = 0.f;
      for (int c = begin; c < end; c++) run += prob[c];
      sums[mine] += run;
    }
  }
};

}  // namespace kedge
