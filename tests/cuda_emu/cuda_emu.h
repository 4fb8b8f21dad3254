// Runs .cu files without CUDA: a launch loops over the grid's blocks on the calling host thread and runs a block's threads as fibers, which
// switch only at barriers and warp operations. Memory is host memory, streams are immediate. Build all kernels into one library that
// exports kedge_*:
//
//   g++ -O2 -march=native -std=c++17 -fPIC -shared -ffp-contract=off -DKEDGE_CUDA_EMU -include tests/cuda_emu/cuda_emu.h
//       -x c++ kernels/cuda/*.cu tests/cuda_emu/cuda_emu.cpp -o libkedge_emu.so
//
// (or file by file with -c, then linked). Additional exports: kedge_emu_excluded(), the number of kernels that cannot run here (0), and
// kedge_emu_launches(), how many launches ran.
//
// KEDGE_LAUNCH and KEDGE_DYNAMIC_SHARED stand for those that kernels/cuda/common.cuh defines under nvcc.
// What is checked: see cuda_emu.cpp. Shared memory is poisoned with NaN before every block; the order in which a block's threads (and the
// grid's blocks) run alternates from launch to launch, so that a missing barrier shows as a wrong or unstable result.
#pragma once
#ifndef KEDGE_CUDA_EMU
#error "cuda_emu.h is for builds with -DKEDGE_CUDA_EMU"
#endif

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>
#include <utility>

#include "race.h"

// ---- the language ----
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
// Thread-local storage of this library, which the emulator finds and poisons as a whole: unlike a section of its own it takes the variables of templates and of
// inline functions too. A launch runs on one host thread.
#define __shared__ static thread_local __attribute__((aligned(16)))
#define KEDGE_DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(kedge_emu::dynamic_shared)
#define KEDGE_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kedge_emu::launch(#kernel, kedge_emu::address(kernel), grid, block, shared_bytes, stream, [&] { kernel(__VA_ARGS__); })

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
#define KEDGE_EMU_VECTORS(T, name, align2, align4) \
  struct __attribute__((aligned(align2))) name##2 { T x, y; }; \
  struct name##3 { T x, y, z; }; \
  struct __attribute__((aligned(align4))) name##4 { T x, y, z, w; }; \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
KEDGE_EMU_VECTORS(float, float, 8, 16)
KEDGE_EMU_VECTORS(int, int, 8, 16)
KEDGE_EMU_VECTORS(short, short, 4, 8)
KEDGE_EMU_VECTORS(unsigned short, ushort, 4, 8)
KEDGE_EMU_VECTORS(unsigned char, uchar, 2, 4)
KEDGE_EMU_VECTORS(double, double, 16, 16)
KEDGE_EMU_VECTORS(long long, longlong, 16, 16)
#undef KEDGE_EMU_VECTORS
struct __attribute__((aligned(8))) uint2 {
  unsigned x, y;
};
struct __attribute__((aligned(16))) uint4 {
  unsigned x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// ---- the runtime ----
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevice = 101,
  cudaErrorLaunchFailure = 719
};
typedef cudaError_t cudaError;
typedef struct kedge_emu_stream* cudaStream_t;
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8, cudaFuncAttributePreferredSharedMemoryCarveout = 9 };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream = nullptr);
cudaError_t cudaMemcpy2DAsync(void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream = nullptr);
cudaError_t cudaMemsetAsync(void* dst, int value, size_t bytes, cudaStream_t stream = nullptr);
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

namespace kedge_emu {
extern unsigned char* dynamic_shared;

struct Body {
  void (*call)(const void*);
  const void* self;
};
void launch_body(const char* name, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, Body body);
template <class F>
void launch(const char* name, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t, const F& f) {
  launch_body(name, kernel, grid, block, shared_bytes, {[](const void* self) { (*static_cast<const F*>(self))(); }, &f});
}
template <class R, class... A>
const void* address(R (*f)(A...)) {
  return reinterpret_cast<const void*>(f);
}
cudaError_t set_shared_limit(const void* kernel, int bytes);

// Waits until every live thread of the block is here; combine is run once then, over their arguments.
void block_barrier(void (*combine)(void* const* args, int n), void* arg, const char* file, int line);
// Waits until every live lane named in mask is here; then combine is run once: args[lane] is null for lanes that are not part.
void warp_barrier(unsigned mask, void (*combine)(void* const* args), void* arg, const char* file, int line);
int lane_id();

#define KEDGE_EMU_AT const char *file = __builtin_FILE(), int line = __builtin_LINE()

struct Shuffle {
  uint64_t in, out;
  int source;
};
void shuffle(void* const* args);
template <class T>
inline T shuffle_from(unsigned mask, T value, int source, const char* file, int line) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "shuffles move up to 8 bytes");
  Shuffle s{0, 0, source};
  memcpy(&s.in, &value, sizeof(T));
  warp_barrier(mask, shuffle, &s, file, line);
  memcpy(&value, &s.out, sizeof(T));
  return value;
}
struct Vote {
  unsigned in, out;
};
void ballot(void* const* args);
void reduce_add(void* const* args);
void reduce_min(void* const* args);
void reduce_max(void* const* args);
void reduce_min_signed(void* const* args);
void reduce_max_signed(void* const* args);
void reduce_or(void* const* args);
inline unsigned vote(unsigned mask, unsigned value, void (*combine)(void* const*), const char* file, int line) {
  Vote v{value, 0};
  warp_barrier(mask, combine, &v, file, line);
  return v.out;
}
void sync_count(void* const* args, int n);

// cp.async: the bytes arrive at the wait, so that a missing one shows.
void copy_async16(void* shared, const void* global);
void copy_async_commit();
void copy_async_wait(int groups_left);

// Tensor cores, in the register layouts of the PTX ISA. d = a b + c: a 16x16 row-major, b 16x8 column-major, bf16 pairs; c, d 16x8 f32.
struct Mma {
  float* d;
  const uint32_t *a, *b;
};
void mma_m16n8k16(void* const* args);  // d += a b
struct LoadMatrix {
  uint32_t* out;
  const void* row;
};
void load_matrix_x4(void* const* args);
void load_matrix_x4_trans(void* const* args);
void load_matrix_x2(void* const* args);
void load_matrix_x2_trans(void* const* args);
}  // namespace kedge_emu

template <class F>
inline cudaError_t cudaFuncSetAttribute(F* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  return kedge_emu::set_shared_limit(reinterpret_cast<const void*>(kernel), value);
}
struct cudaFuncAttributes {
  size_t sharedSizeBytes;
};
// Static shared memory is not counted here.
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  attributes->sharedSizeBytes = 0;
  return cudaSuccess;
}
template <class F>
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, F*, int, size_t) {
  *blocks = 2;
  return cudaSuccess;
}

// ---- barriers, warps ----
inline void __syncthreads(KEDGE_EMU_AT) { kedge_emu::block_barrier(nullptr, nullptr, file, line); }
inline int __syncthreads_count(int predicate, KEDGE_EMU_AT) {
  kedge_emu::Vote v{predicate != 0, 0};
  kedge_emu::block_barrier(kedge_emu::sync_count, &v, file, line);
  return (int)v.out;
}
inline int __syncthreads_or(int predicate, KEDGE_EMU_AT) { return __syncthreads_count(predicate, file, line) > 0; }
inline int __syncthreads_and(int predicate, KEDGE_EMU_AT) { return __syncthreads_count(!predicate, file, line) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu, KEDGE_EMU_AT) { kedge_emu::warp_barrier(mask, nullptr, nullptr, file, line); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, KEDGE_EMU_AT) {
  int lane = kedge_emu::lane_id();
  return kedge_emu::shuffle_from(mask, value, (lane & ~(width - 1)) | (source & (width - 1)), file, line);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32, KEDGE_EMU_AT) {
  int lane = kedge_emu::lane_id(), source = lane ^ flip;
  return kedge_emu::shuffle_from(mask, value, source > (lane | (width - 1)) ? lane : source, file, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, KEDGE_EMU_AT) {
  int lane = kedge_emu::lane_id();
  return kedge_emu::shuffle_from(mask, value, (lane & (width - 1)) + (int)delta < width ? lane + (int)delta : lane, file, line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, KEDGE_EMU_AT) {
  int lane = kedge_emu::lane_id();
  return kedge_emu::shuffle_from(mask, value, (lane & (width - 1)) >= (int)delta ? lane - (int)delta : lane, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, KEDGE_EMU_AT) {
  return kedge_emu::vote(mask, predicate != 0, kedge_emu::ballot, file, line);
}
inline int __any_sync(unsigned mask, int predicate, KEDGE_EMU_AT) { return __ballot_sync(mask, predicate, file, line) != 0; }
inline int __all_sync(unsigned mask, int predicate, KEDGE_EMU_AT) { return __ballot_sync(mask, !predicate, file, line) == 0; }
inline unsigned __reduce_add_sync(unsigned mask, unsigned v, KEDGE_EMU_AT) {
  return kedge_emu::vote(mask, v, kedge_emu::reduce_add, file, line);
}
inline int __reduce_add_sync(unsigned mask, int v, KEDGE_EMU_AT) {
  return (int)kedge_emu::vote(mask, (unsigned)v, kedge_emu::reduce_add, file, line);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned v, KEDGE_EMU_AT) {
  return kedge_emu::vote(mask, v, kedge_emu::reduce_min, file, line);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned v, KEDGE_EMU_AT) {
  return kedge_emu::vote(mask, v, kedge_emu::reduce_max, file, line);
}
inline int __reduce_min_sync(unsigned mask, int v, KEDGE_EMU_AT) {
  return (int)kedge_emu::vote(mask, (unsigned)v, kedge_emu::reduce_min_signed, file, line);
}
inline int __reduce_max_sync(unsigned mask, int v, KEDGE_EMU_AT) {
  return (int)kedge_emu::vote(mask, (unsigned)v, kedge_emu::reduce_max_signed, file, line);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned v, KEDGE_EMU_AT) {
  return kedge_emu::vote(mask, v, kedge_emu::reduce_or, file, line);
}

// ---- atomics: one fiber runs at a time ----
#define KEDGE_EMU_ATOMIC __attribute__((no_sanitize("thread"))) inline
namespace kedge_emu {
template <class T>
KEDGE_EMU_ATOMIC void note_atomic(T* p) {
  race::access(p, sizeof(T), true, true, __builtin_return_address(0));
}
}  // namespace kedge_emu
template <class T, class V>
KEDGE_EMU_ATOMIC T atomicAdd(T* p, V v) {
  kedge_emu::note_atomic(p);
  T old = *p;
  *p = old + (T)v;
  return old;
}
template <class T, class V>
KEDGE_EMU_ATOMIC T atomicSub(T* p, V v) {
  kedge_emu::note_atomic(p);
  T old = *p;
  *p = old - (T)v;
  return old;
}
template <class T, class V>
KEDGE_EMU_ATOMIC T atomicMax(T* p, V v) {
  kedge_emu::note_atomic(p);
  T old = *p;
  if ((T)v > old) *p = (T)v;
  return old;
}
template <class T, class V>
KEDGE_EMU_ATOMIC T atomicMin(T* p, V v) {
  kedge_emu::note_atomic(p);
  T old = *p;
  if ((T)v < old) *p = (T)v;
  return old;
}
template <class T, class V>
KEDGE_EMU_ATOMIC T atomicExch(T* p, V v) {
  kedge_emu::note_atomic(p);
  T old = *p;
  *p = (T)v;
  return old;
}
template <class T, class V>
KEDGE_EMU_ATOMIC T atomicOr(T* p, V v) {
  kedge_emu::note_atomic(p);
  T old = *p;
  *p = old | (T)v;
  return old;
}
template <class T, class V>
KEDGE_EMU_ATOMIC T atomicAnd(T* p, V v) {
  kedge_emu::note_atomic(p);
  T old = *p;
  *p = old & (T)v;
  return old;
}
template <class T, class V>
KEDGE_EMU_ATOMIC T atomicXor(T* p, V v) {
  kedge_emu::note_atomic(p);
  T old = *p;
  *p = old ^ (T)v;
  return old;
}
template <class T, class C, class V>
KEDGE_EMU_ATOMIC T atomicCAS(T* p, C compare, V v) {
  kedge_emu::note_atomic(p);
  T old = *p;
  if (old == (T)compare) *p = (T)v;
  return old;
}

// ---- numbers ----
template <class To, class From>
inline To kedge_emu_bits(From x) {
  static_assert(sizeof(To) == sizeof(From), "sizes differ");
  To y;
  memcpy(&y, &x, sizeof y);
  return y;
}
inline int __float_as_int(float x) { return kedge_emu_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return kedge_emu_bits<unsigned>(x); }
inline float __int_as_float(int x) { return kedge_emu_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return kedge_emu_bits<float>(x); }
inline long long __double_as_longlong(double x) { return kedge_emu_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return kedge_emu_bits<double>(x); }

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long min(long a, long b) { return a < b ? a : b; }
inline long max(long a, long b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline unsigned long min(unsigned long a, unsigned long b) { return a < b ? a : b; }
inline unsigned long max(unsigned long a, unsigned long b) { return a > b ? a : b; }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline float rsqrtf(float x) { return (float)(1.0 / sqrt((double)x)); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
inline float __expf(float x) { return expf(x); }
inline float __exp2f(float x) { return exp2f(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline int __float2int_rn(float x) { return (int)lrintf(x); }
inline int __float2int_rz(float x) { return (int)x; }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }
inline int __double2int_rn(double x) { return (int)lrint(x); }
inline float __double2float_rn(double x) { return (float)x; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T>
inline T __ldg(const T* p) {
  return *p;
}
template <class T>
inline T __ldcs(const T* p) {
  return *p;
}
template <class T>
inline void __stcs(T* p, T v) {
  *p = v;
}

// ---- bf16 and f16, round to nearest even ----
struct __nv_bfloat16 {
  unsigned short __x;
  __nv_bfloat16() = default;
  __nv_bfloat16(float x) {
    unsigned bits = __float_as_uint(x);
    __x = (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fff : (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
  }
  operator float() const { return __uint_as_float((unsigned)__x << 16); }
};
struct __attribute__((aligned(4))) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;
inline float __bfloat162float(__nv_bfloat16 x) { return (float)x; }
inline __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.__x; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return kedge_emu_bits<__nv_bfloat16>(bits); }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__nv_bfloat16(x), __nv_bfloat16(y)}; }
inline __nv_bfloat162 __float22bfloat162_rn(float2 v) { return {__nv_bfloat16(v.x), __nv_bfloat16(v.y)}; }
inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {(float)v.x, (float)v.y}; }
inline float __low2float(__nv_bfloat162 v) { return (float)v.x; }
inline float __high2float(__nv_bfloat162 v) { return (float)v.y; }

struct __half {
  unsigned short __x;
  __half() = default;
  __half(float x) : __x(kedge_emu_bits<unsigned short>((_Float16)x)) {}
  operator float() const { return (float)kedge_emu_bits<_Float16>(__x); }
};
struct __attribute__((aligned(4))) __half2 {
  __half x, y;
};
typedef __half half;
typedef __half2 half2;
inline float __half2float(__half x) { return (float)x; }
inline __half __float2half(float x) { return __half(x); }
inline __half __float2half_rn(float x) { return __half(x); }
inline unsigned short __half_as_ushort(__half x) { return x.__x; }
inline __half __ushort_as_half(unsigned short bits) { return kedge_emu_bits<__half>(bits); }
inline float2 __half22float2(__half2 v) { return {(float)v.x, (float)v.y}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
