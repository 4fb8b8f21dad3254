// A block as a team (common/team.h): element i of a loop is thread i % kTeamThreads's. Reductions go over the lanes of a warp by shuffles,
// then over the warps through shared memory; their second barrier lets the memory be used again at once.
#pragma once
#include "../common/team.h"
#include "common.cuh"

namespace kedge {
namespace {  // the emulation needs internal linkage of kernels with __shared__

constexpr int kTeamThreads = 128;

// Shared memory of a team's reductions.
struct TeamShared {
  int64_t value[kTeamThreads / 32];
  int32_t index[kTeamThreads / 32];
};

// Sorts keys with their values by a heap, in place.
template <class V>
__device__ inline void sort_by_token(int32_t* key, V* value, int32_t n) {
  // Lets the last of `size` sink from place i, or from the root once the largest has left for its place.
  for (int32_t build = n / 2, size = n; size > 1;) {
    int32_t i = 0;
    int32_t k;
    V v;
    if (build > 0) {
      i = --build;
      k = key[i], v = value[i];
    } else {
      size--;
      k = key[size], v = value[size];
      key[size] = key[0], value[size] = value[0];
    }
    for (int32_t child; (child = 2 * i + 1) < size; i = child) {
      if (child + 1 < size && key[child + 1] > key[child]) child++;
      if (key[child] <= k) break;
      key[i] = key[child], value[i] = value[child];
    }
    key[i] = k, value[i] = v;
  }
}

struct BlockTeam {
  static constexpr bool kSerial = false;
  TeamShared* shared;

  struct Queue {
    int64_t* key;
    int32_t* winner;  // not used
    __device__ __forceinline__ void build(int32_t) const {}
    __device__ __forceinline__ void set(int32_t i, int64_t value) const { key[i] = value; }
  };

  __device__ __forceinline__ void sync() const { __syncthreads(); }
  template <class F>
  __device__ __forceinline__ void each(int32_t n, F&& f) const {
    for (int32_t i = (int32_t)threadIdx.x; i < n; i += kTeamThreads) f(i);
    __syncthreads();
  }
  template <class F>
  __device__ __forceinline__ void one(F&& f) const {
    if (threadIdx.x == 0) f();
    __syncthreads();
  }
  template <class V, class F>
  __device__ __forceinline__ V add_up(int32_t n, F&& f) const {
    static_assert(sizeof(V) == sizeof(int64_t), "shares the memory of the other reductions");
    V sum = 0;
    for (int32_t i = (int32_t)threadIdx.x; i < n; i += kTeamThreads) sum += f(i);
    return block_sum<kTeamThreads>(sum, reinterpret_cast<V*>(shared->value));
  }
  template <class F>
  __device__ __forceinline__ int64_t sum(int32_t n, F&& f) const {
    return (int64_t)add_up<long long>(n, f);
  }
  template <class F>
  __device__ __forceinline__ double total(int32_t n, F&& f) const {
    return add_up<double>(n, f);
  }
  template <class F>
  __device__ __forceinline__ Best argmax(int32_t n, F&& f) const {
    Best best = {kNever, -1};
    for (int32_t i = (int32_t)threadIdx.x; i < n; i += kTeamThreads) {
      const int64_t value = f(i);
      if (value > best.value) best = {value, i};
    }
    best = warp_best(best);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    if (lane == 0) shared->value[warp] = best.value, shared->index[warp] = best.index;
    __syncthreads();
    best = {kNever, -1};
    if (lane < kTeamThreads / 32) best = {shared->value[lane], shared->index[lane]};
    best = warp_best(best);
    __syncthreads();
    return best;
  }
  __device__ __forceinline__ Best top(const Queue& queue, int32_t n) const {
    return argmax(n, [&](int32_t i) { return queue.key[i]; });
  }
  // Each thread owns a run of neighbouring elements and sums it. The sums of the threads before, by shuffles within the warp and through
  // shared memory across warps, say where its run begins; then it writes its run. The last barrier lets all see the result.
  __device__ __forceinline__ int32_t scan(int32_t* x, int32_t n) const {
    const int32_t run = ceil_div(n, kTeamThreads), begin = min((int32_t)threadIdx.x * run, n), end = min(begin + run, n);
    int32_t sum = 0;
    for (int32_t i = begin; i < end; i++) sum += x[i];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int32_t up = sum;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const int32_t other = __shfl_up_sync(kFullWarp, up, offset);
      if (lane >= offset) up += other;
    }
    if (lane == 31) shared->index[warp] = up;
    __syncthreads();
    int32_t before = up - sum, all = 0;
    for (int w = 0; w < kTeamThreads / 32; w++) {
      if (w < warp) before += shared->index[w];
      all += shared->index[w];
    }
    for (int32_t i = begin; i < end; i++) {
      const int32_t value = x[i];
      x[i] = before;
      before += value;
    }
    __syncthreads();
    return all;
  }

  __device__ __forceinline__ void sort(int32_t* key, int64_t* value, int32_t n) const { sort_by_token(key, value, n); }

 private:
  // Indices of none, -1, lose: their value is the lowest, and an index that has it is none too.
  __device__ __forceinline__ static Best warp_best(Best best) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      const Best other = {(int64_t)__shfl_xor_sync(kFullWarp, (long long)best.value, offset), __shfl_xor_sync(kFullWarp, best.index, offset)};
      if (better(other, best)) best = other;
    }
    return best;
  }
};

}  // namespace
}  // namespace kedge
