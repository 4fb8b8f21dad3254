// Kernels that use the machine well and badly, for the emulator's own test: try_kernel launches one on
// x = 0, 1, 2, ..., gives CUDA's error and its words, and x in out.
#include <stdio.h>

#include "../../kernels/cuda/mma.cuh"

namespace kedge {
namespace {

__global__ void reverse(float* x) {  // through shared memory and a shuffle; the threads behind the block's end are gone
  __shared__ float s[96];
  if (threadIdx.x >= 80) return;
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = s[79 - threadIdx.x] + __shfl_xor_sync(kFullWarp, (float)threadIdx.x, 1) - (float)(threadIdx.x ^ 1);
}
__global__ void no_barrier(float* x) {
  KEDGE_DYNAMIC_SHARED(float, s);
  s[threadIdx.x] = 1.f;
  x[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}
template <int kThreads>
__global__ void no_barrier_in_template(float* x) {
  __shared__ float s[kThreads];
  s[threadIdx.x] = 1.f;
  x[threadIdx.x] = s[kThreads - 1 - threadIdx.x];
}
__global__ void no_wait(float* x) {
  KEDGE_DYNAMIC_SHARED(float, s);
  copy_async16(s + threadIdx.x * 4, x + threadIdx.x * 4);
  copy_async_commit();
  __syncthreads();
  x[threadIdx.x * 4] = s[threadIdx.x * 4];
}
// Races that the order of the emulated threads need not show; each is well in its other form.
template <bool kBarrier>
__global__ void two_warps(float* x) {  // the second block has shared memory of its own
  __shared__ float s[64];
  s[threadIdx.x] = x[threadIdx.x];
  if (kBarrier) __syncthreads();
  if (blockIdx.x == 0 && threadIdx.x < 32) x[threadIdx.x + 64] = s[threadIdx.x + 32];
}
template <bool kBarrier>
__global__ void one_warp(float* x) {  // a shuffle orders no memory
  __shared__ float s[32];
  s[threadIdx.x] = x[threadIdx.x];
  const float sum = warp_sum(1.f);
  if (kBarrier) __syncwarp();
  x[threadIdx.x] = s[(threadIdx.x + 1) % 32] + sum;
}
template <bool kBarrier>
__global__ void overwritten(float* x) {  // the copy of the next round may arrive while others still read
  KEDGE_DYNAMIC_SHARED(float, s);
  for (int round = 0; round < 2; round++) {
    copy_async16(s + threadIdx.x * 4, x + threadIdx.x * 4);
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    x[threadIdx.x * 4] += s[(threadIdx.x * 4 + 4) % 32 + 1] * 0.f;
    if (kBarrier) __syncthreads();
  }
}
template <bool kAtomic>
__global__ void blocks(float* x) {
  if (threadIdx.x > 0) return;
  if (kAtomic) atomicAdd(x, 1.f);
  else x[0] += 1.f;
}
__global__ void half_at_barrier(float* x) {
  if (threadIdx.x < 32) __syncthreads();
  else x[threadIdx.x] = warp_sum(threadIdx.x < 40 ? 1.f : __shfl_sync(kFullWarp, 1.f, 0));
}
__global__ void two_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void half_warp(float* x) {
  if (threadIdx.x % 2 == 0) x[threadIdx.x] = __shfl_xor_sync(kFullWarp, 1.f, 2);
  else __syncthreads();
}
__global__ void not_in_mask(float* x) { x[threadIdx.x] = __shfl_sync(0xfffffffeu, 1.f, 1); }
__global__ void behind_shared() {
  KEDGE_DYNAMIC_SHARED(float, s);
  s[64] = 0.f;
}
__global__ void nothing() {}

}  // namespace
}  // namespace kedge

extern "C" __attribute__((visibility("default"))) int try_kernel(int which, float* out, char* words, int size) {
  using namespace kedge;
  alignas(16) float buffer[96], *x = buffer;
  for (int i = 0; i < 96; i++) x[i] = (float)i;
  cudaGetLastError();
  switch (which) {
    case 0: KEDGE_LAUNCH(reverse, 1, 96, 0, nullptr, x); break;
    case 1: KEDGE_LAUNCH(no_barrier, 1, 64, 256, nullptr, x); break;
    case 2: KEDGE_LAUNCH(no_wait, 1, 8, 128, nullptr, x); break;
    case 3: KEDGE_LAUNCH(half_at_barrier, 1, 64, 0, nullptr, x); break;
    case 4: KEDGE_LAUNCH(two_barriers, 1, 64, 0, nullptr); break;
    case 5: KEDGE_LAUNCH(half_warp, 1, 32, 0, nullptr, x); break;
    case 6: KEDGE_LAUNCH(not_in_mask, 1, 32, 0, nullptr, x); break;
    case 7: KEDGE_LAUNCH(behind_shared, 1, 1, 256, nullptr); break;
    case 8: KEDGE_LAUNCH(nothing, 1, dim3(64, 17), 0, nullptr); break;
    case 9: KEDGE_LAUNCH(nothing, dim3(1, 65536), 1, 0, nullptr); break;
    case 10: KEDGE_LAUNCH(nothing, 1, 1, 49153, nullptr); break;
    case 11: cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 232449); break;
    case 12:
      cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 232448);
      KEDGE_LAUNCH(nothing, 1, 1, 232448, nullptr);
      break;
    case 13: KEDGE_LAUNCH((no_barrier_in_template<64>), 1, 64, 0, nullptr, x); break;
    case 14: KEDGE_LAUNCH((no_barrier_in_template<32>), 300, 32, 0, nullptr, x); break;
    case 20: KEDGE_LAUNCH((two_warps<true>), 2, 64, 0, nullptr, x); break;
    case 21: KEDGE_LAUNCH((two_warps<false>), 2, 64, 0, nullptr, x); break;
    case 22: KEDGE_LAUNCH((one_warp<true>), 1, 32, 0, nullptr, x); break;
    case 23: KEDGE_LAUNCH((one_warp<false>), 1, 32, 0, nullptr, x); break;
    case 24: KEDGE_LAUNCH((overwritten<true>), 1, 8, 128, nullptr, x); break;
    case 25: KEDGE_LAUNCH((overwritten<false>), 1, 8, 128, nullptr, x); break;
    case 26: KEDGE_LAUNCH((blocks<true>), 4, 32, 0, nullptr, x); break;
    case 27: KEDGE_LAUNCH((blocks<false>), 4, 32, 0, nullptr, x); break;
  }
  cudaError_t error = cudaGetLastError();
  memcpy(out, x, sizeof buffer);
  snprintf(words, size, "%s", cudaGetErrorString(error));
  return error;
}
