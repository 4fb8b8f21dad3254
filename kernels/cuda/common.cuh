// What the CUDA kernels share: launching, conversions of dtypes, 16-byte accesses, reductions in a fixed order.
// The same files also compile with g++ against tests/cuda_emu/cuda_emu.h (KEDGE_CUDA_EMU), which supplies the CUDA names, KEDGE_LAUNCH and
// KEDGE_DYNAMIC_SHARED, and runs a block's threads as fibers: so no inline PTX without a plain branch, and no <<<>>>.
#pragma once
#if !defined(KEDGE_CUDA_EMU)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

#include "../common/arguments.h"

#if !defined(KEDGE_CUDA_EMU)
// KEDGE_LAUNCH((kernel<T, 4>), grid, block, shared_bytes, stream, arguments...)
#define KEDGE_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
// Declares `type* name`, the block's dynamic shared memory, 16-byte aligned.
#define KEDGE_DYNAMIC_SHARED(type, name)                        \
  extern __shared__ __align__(16) unsigned char kedge_shared[]; \
  type* name = reinterpret_cast<type*>(kedge_shared)
#endif

namespace kedge {

// ---- host side ----

// Sets the context's device: calls may hop threads, and the current device belongs to a thread. Also drops an error that an earlier call of
// this thread left behind (a refused allocation, say), so that it is not taken for this op's; errors that broke the device come back by
// themselves.
inline int32_t set_device(const kedge_context* ctx, kedge_status* status) {
  cudaError_t error = cudaSetDevice(ctx->device);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return fail(status, KEDGE_DEVICE, "cannot use device %d: %s (%s)", ctx->device, cudaGetErrorString(error), cudaGetErrorName(error));
  }
  cudaGetLastError();
  return KEDGE_OK;
}

inline cudaStream_t stream_of(const kedge_context* ctx) { return static_cast<cudaStream_t>(ctx->stream); }

// The end of every launcher.
inline int32_t finish(const char* op, kedge_status* status) {
  cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) return ok(status);
  return fail(status, KEDGE_DEVICE, "%s: %s (%s)", op, cudaGetErrorString(error), cudaGetErrorName(error));
}

// As finish, for a call that returns its own error (a copy, an attribute).
inline int32_t finish(const char* op, cudaError_t error, kedge_status* status) {
  if (error == cudaSuccess) return ok(status);
  cudaGetLastError();
  return fail(status, KEDGE_DEVICE, "%s: %s (%s)", op, cudaGetErrorString(error), cudaGetErrorName(error));
}

// f(Tag<T>{}) for the T of a dtype that the caller has checked to be F32 or BF16: `using T = typename decltype(tag)::type`.
template <class T>
struct Tag {
  using type = T;
};
template <class F>
inline auto with_dtype(int32_t dtype, F&& f) {
  return dtype == KEDGE_BF16 ? f(Tag<__nv_bfloat16>{}) : f(Tag<float>{});
}
// f(std::true_type-like tag) for a run-time flag: `constexpr bool kFlag = decltype(flag)::value`.
template <bool B>
struct Flag {
  static constexpr bool value = B;
};
template <class F>
inline auto with_flag(bool flag, F&& f) {
  return flag ? f(Flag<true>{}) : f(Flag<false>{});
}

template <class I>
__host__ __device__ constexpr I ceil_div(I a, I b) {
  return (a + b - 1) / b;
}

// Blocks of a grid-stride kernel: enough to fill any device several times over, and the same on each.
constexpr int kBlock = 256;  // threads, where nothing speaks for another number
constexpr int64_t kGridCap = 16384;
inline unsigned grid_for(int64_t work, int64_t per_block) {
  int64_t blocks = ceil_div(work, per_block);
  return (unsigned)(blocks < 1 ? 1 : blocks > kGridCap ? kGridCap : blocks);
}

// Blocks of a kernel with one block (or warp) a row; such kernels loop over rows from blockIdx.x in steps of gridDim.x.
constexpr int64_t kRowCap = int64_t(1) << 30;
inline unsigned grid_rows(int64_t blocks) { return (unsigned)(blocks < 1 ? 1 : blocks > kRowCap ? kRowCap : blocks); }

inline bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }
// Whether every row of a strided matrix of T starts on 16 bytes and `dim` fills whole 16-byte vectors. NULL counts as aligned.
template <class T>
inline bool vector_rows(const void* p, int64_t stride) {
  return aligned16(p) && (stride * (int64_t)sizeof(T)) % 16 == 0;
}

// ---- conversions ----

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}
__device__ __forceinline__ float bits_to_float(uint32_t u) {
  float x;
  memcpy(&x, &u, 4);
  return x;
}
__device__ __forceinline__ uint32_t float_to_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u;
}
// Two bf16 in a word, the first in the low half.
__device__ __forceinline__ uint32_t pack_bf16(float lo, float hi) {
#if defined(__CUDA_ARCH__)
  uint32_t u;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(u) : "f"(hi), "f"(lo));
  return u;
#else
  __nv_bfloat16 a = __float2bfloat16_rn(lo), b = __float2bfloat16_rn(hi);
  uint16_t l, h;
  memcpy(&l, &a, 2);
  memcpy(&h, &b, 2);
  return (uint32_t)l | (uint32_t)h << 16;
#endif
}
__device__ __forceinline__ float bf16_low(uint32_t u) { return bits_to_float(u << 16); }
__device__ __forceinline__ float bf16_high(uint32_t u) { return bits_to_float(u & 0xffff0000u); }

// ---- 16-byte accesses: kVec<T> elements of T as floats; the address must be 16-byte aligned ----

template <class T>
constexpr int kVec = 16 / (int)sizeof(T);

__device__ __forceinline__ void load_vec(float (&out)[4], const float* p) {
  float4 v = *reinterpret_cast<const float4*>(p);
  out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
}
__device__ __forceinline__ void load_vec(float (&out)[8], const __nv_bfloat16* p) {
  uint4 v = *reinterpret_cast<const uint4*>(p);
  out[0] = bf16_low(v.x), out[1] = bf16_high(v.x), out[2] = bf16_low(v.y), out[3] = bf16_high(v.y);
  out[4] = bf16_low(v.z), out[5] = bf16_high(v.z), out[6] = bf16_low(v.w), out[7] = bf16_high(v.w);
}
// Eight floats, two accesses: an f32 array beside a bf16 one.
__device__ __forceinline__ void load_vec(float (&out)[8], const float* p) {
  float4 a = *reinterpret_cast<const float4*>(p), b = *reinterpret_cast<const float4*>(p + 4);
  out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
  out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}
// Four bf16 (8 bytes), beside four floats.
__device__ __forceinline__ void load_vec(float (&out)[4], const __nv_bfloat16* p) {
  uint2 v = *reinterpret_cast<const uint2*>(p);
  out[0] = bf16_low(v.x), out[1] = bf16_high(v.x), out[2] = bf16_low(v.y), out[3] = bf16_high(v.y);
}
__device__ __forceinline__ void store_vec(float* p, const float (&v)[4]) {
  *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]);
}
__device__ __forceinline__ void store_vec(__nv_bfloat16* p, const float (&v)[8]) {
  *reinterpret_cast<uint4*>(p) = make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7]));
}
__device__ __forceinline__ void store_vec(float* p, const float (&v)[8]) {
  *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]);
  *reinterpret_cast<float4*>(p + 4) = make_float4(v[4], v[5], v[6], v[7]);
}
__device__ __forceinline__ void store_vec(__nv_bfloat16* p, const float (&v)[4]) {
  *reinterpret_cast<uint2*>(p) = make_uint2(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
}
// One element: the same code then serves the unaligned case and the tail.
template <class T>
__device__ __forceinline__ void load_vec(float (&out)[1], const T* p) {
  out[0] = to_float(*p);
}
template <class T>
__device__ __forceinline__ void store_vec(T* p, const float (&v)[1]) {
  *p = from_float<T>(v[0]);
}
// The first `count` of N elements.
template <int N, class T>
__device__ __forceinline__ void store_some(T* p, const float (&v)[N], int64_t count) {
#pragma unroll
  for (int j = 0; j < N; j++)
    if (j < count) p[j] = from_float<T>(v[j]);
}

// ---- reductions: always the same tree, the result in every thread ----

constexpr unsigned kFullWarp = 0xffffffffu;

template <class V>
__device__ __forceinline__ V warp_sum(V v) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(kFullWarp, v, offset);
  return v;
}
__device__ __forceinline__ float warp_max(float v) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) v = fmaxf(v, __shfl_xor_sync(kFullWarp, v, offset));
  return v;
}

// Sum over a block of kThreads threads (whole warps, at most 1024). `shared`: kThreads / 32 values; may be used again right after.
template <int kThreads, class V>
__device__ __forceinline__ V block_sum(V v, V* shared) {
  v = warp_sum(v);
  if constexpr (kThreads == 32) return v;
  const int lane = threadIdx.x % 32;
  if (lane == 0) shared[threadIdx.x / 32] = v;
  __syncthreads();
  v = warp_sum(lane < kThreads / 32 ? shared[lane] : V(0));
  __syncthreads();
  return v;
}
template <int kThreads>
__device__ __forceinline__ float block_max(float v, float* shared) {
  v = warp_max(v);
  if constexpr (kThreads == 32) return v;
  const int lane = threadIdx.x % 32;
  if (lane == 0) shared[threadIdx.x / 32] = v;
  __syncthreads();
  v = warp_max(lane < kThreads / 32 ? shared[lane] : -INFINITY);
  __syncthreads();
  return v;
}

}  // namespace kedge

// At the start of every exported function, after the checks that need no device.
#define KEDGE_SET_DEVICE()                                            \
  do {                                                                \
    if (int32_t code_ = kedge::set_device(ctx, status)) return code_; \
  } while (0)
#define KEDGE_REQUIRE_FLOAT(dtype) KEDGE_REQUIRE_DTYPE(kedge::float_dtype(dtype), "dtype %d is neither F32 nor BF16", (int)(dtype))
