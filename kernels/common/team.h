// What algorithms that are written once for the CPU and for CUDA ask of a `Team`, the threads that share a task: one on the CPU, a block on
// CUDA. All threads of a team run the same code and meet in each of these calls, so a branch around one must go the same way for all. Each
// call but sort and Queue::set ends with a barrier: what it wrote is seen by all behind it. Sums of integers, and the Best of a reduction,
// do not depend on how work is shared.
//
//   kSerial                  a team of one
//   each(n, f)               f(i) for i in [0, n), in any order; all is seen by all behind it
//   one(f)                   f() once; seen by all behind it
//   sync()                   a barrier
//   sum(n, f), total(n, f)   sum of f(i), int64_t and double; the latter in an order that depends on n alone
//   argmax(n, f)             the Best of f(i), an int64_t
//   scan(x, n)               x[i] = x[0] + ... + x[i - 1]; the sum of all
//   sort(key, value, n)      sorts a list that belongs to the calling thread, key rising; a team of one has none
//   Queue                    finds the largest of n int64_t: `key`, `winner` (scratch); build(n); set(i, key) for an i that no other thread
//                            sets meanwhile; team.top(queue, n): the Best
#pragma once
#include <stdint.h>

#include "both.h"

// Marks what calls a team: device code alone where nvcc compiles it.
#if defined(__CUDACC__)
#define KEDGE_TEAM __device__ __forceinline__
#else
#define KEDGE_TEAM
#endif

namespace kedge {

constexpr int64_t kNever = INT64_MIN;  // a value that never wins: no candidate

// The best of a reduction: the largest value, ties to the lower index; index -1: there was none.
struct Best {
  int64_t value;
  int32_t index;
};
KEDGE_BOTH inline bool better(const Best& a, const Best& b) { return a.value > b.value || (a.value == b.value && a.index < b.index); }

}  // namespace kedge
