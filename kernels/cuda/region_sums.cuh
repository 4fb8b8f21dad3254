// Sums of attention probabilities over the regions of the keys (docs/method.md section 1), a thread per row: no two threads add to the same
// number, and each adds in the order of the keys.
#pragma once
#include "attention.cuh"

namespace kedge {

constexpr int kRegionsShared = 128;  // up to so many regions, a tile's profiles lie in shared memory

struct RegionSums {
  float m, n;      // mass on regions; on all keys but sinks
  float* profile;  // the row's [regions]; NULL: not wanted
  int regions;

  __device__ __forceinline__ void clear() {
    m = n = 0.f;
    if (profile)
      for (int r = 0; r < regions; r++) profile[r] = 0.f;
  }
  __device__ __forceinline__ void scale(float factor) {
    if (factor == 1.f) return;
    m *= factor, n *= factor;
    if (profile)
      for (int r = 0; r < regions; r++) profile[r] *= factor;
  }
  // Adds keys [0, count) of a tile, in their order. A region that is none (below -2, or not below `regions`) makes the sums NaN.
  // Neighbouring keys are mostly of one region: they are summed before they are added.
  __device__ __forceinline__ void add(const float* prob, const int32_t* region, int count) {
    float tile_m = 0.f, tile_n = 0.f, run = 0.f;
    int current = -1;
    for (int c = 0; c < count; c++) {
      const float p = prob[c];
      const int r = region[c];
      if (r < -2 || r >= regions) tile_m = tile_n = NAN;
      if (r >= -1) tile_n += p;
      if (r != current) {
        if (profile && current >= 0 && current < regions) profile[current] += run;
        run = 0.f, current = r;
      }
      if (r >= 0) tile_m += p, run += p;
    }
    if (profile && current >= 0 && current < regions) profile[current] += run;
    m += tile_m, n += tile_n;
  }
};

}  // namespace kedge
