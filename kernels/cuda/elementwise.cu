// Memory and elementwise ops: fill, copy, copy_rows, cast, scale_add, add, mul, dot. All are bound by memory: 16 bytes a thread where every
// array is 16-byte aligned, else an element a thread.
#include "elements.cuh"

namespace kedge {
namespace {

// An f16 in memory; arithmetic is never done in it.
struct F16 {
  uint16_t bits;
};
__device__ __forceinline__ float f16_float(uint32_t bits) { return __half2float(__ushort_as_half((unsigned short)bits)); }
__device__ __forceinline__ uint32_t float_f16(float x) { return __half_as_ushort(__float2half_rn(x)); }
template <int W, class T>
__device__ __forceinline__ void load_any(float (&out)[W], const T* p) {
  load_vec(out, p);
}
template <int W, class T>
__device__ __forceinline__ void store_any(T* p, const float (&v)[W]) {
  store_vec(p, v);
}
template <int W>
__device__ __forceinline__ void load_any(float (&out)[W], const F16* p) {
  if constexpr (W == 1) {
    out[0] = f16_float(p->bits);
  } else {
    uint4 v = *reinterpret_cast<const uint4*>(p);
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int j = 0; j < W; j++) out[j] = f16_float(words[j / 2] >> (j % 2 * 16) & 0xffffu);
  }
}
template <int W>
__device__ __forceinline__ void store_any(F16* p, const float (&v)[W]) {
  if constexpr (W == 1) {
    p->bits = (uint16_t)float_f16(v[0]);
  } else {
    uint32_t words[4];
#pragma unroll
    for (int j = 0; j < 4; j++) words[j] = float_f16(v[2 * j]) | float_f16(v[2 * j + 1]) << 16;
    *reinterpret_cast<uint4*>(p) = make_uint4(words[0], words[1], words[2], words[3]);
  }
}

// One pattern of 2 or 4 bytes everywhere.
template <class Word>
struct Fill {
  Word* x;
  Word value;
  template <int W>
  __device__ __forceinline__ void at(int64_t i) const {
    if constexpr (W == 1) {
      x[i] = value;
    } else {
      uint32_t word = sizeof(Word) == 2 ? (uint32_t)value | (uint32_t)value << 16 : (uint32_t)value;
      *reinterpret_cast<uint4*>(x + i) = make_uint4(word, word, word, word);
    }
  }
};

template <class Unit>
struct CopyRows {
  unsigned char* dst;
  const unsigned char* src;
  int64_t dst_stride, src_stride;  // bytes
  template <int W>
  __device__ __forceinline__ void at(int64_t row, int64_t unit) const {
    reinterpret_cast<Unit*>(dst + row * dst_stride)[unit] = reinterpret_cast<const Unit*>(src + row * src_stride)[unit];
  }
};

template <class Dst, class Src>
struct Cast {
  Dst* dst;
  const Src* src;
  template <int W>
  __device__ __forceinline__ void at(int64_t i) const {
    float v[W];
    load_any(v, src + i);
    store_any(dst + i, v);
  }
};

template <class T>
struct ScaleAdd {
  T* y;
  const T* x;
  const float* factor;
  double alpha;
  float beta;
  template <int W>
  __device__ __forceinline__ void at(int64_t i) const {
    const float scale = (float)(factor ? alpha * (double)*factor : alpha);
    float v[W];
    load_vec(v, x + i);
    if (beta != 0.f) {
      float old[W];
      load_vec(old, y + i);
#pragma unroll
      for (int j = 0; j < W; j++) v[j] = v[j] * scale + old[j] * beta;
    } else {
#pragma unroll
      for (int j = 0; j < W; j++) v[j] *= scale;
    }
    store_vec(y + i, v);
  }
};

template <class T>
struct Add {
  T* out;
  const T *a, *b;
  template <int W>
  __device__ __forceinline__ void at(int64_t i) const {
    float x[W], y[W];
    load_vec(x, a + i);
    load_vec(y, b + i);
#pragma unroll
    for (int j = 0; j < W; j++) x[j] += y[j];
    store_vec(out + i, x);
  }
};

template <class T, bool kAccumulate>
struct Mul {
  T* out;
  const T *a, *b;
  template <int W>
  __device__ __forceinline__ void at(int64_t i) const {
    float x[W], y[W], old[W] = {};
    load_vec(x, a + i);
    load_vec(y, b + i);
    if constexpr (kAccumulate) load_vec(old, out + i);
#pragma unroll
    for (int j = 0; j < W; j++) x[j] = kAccumulate ? x[j] * y[j] + old[j] : x[j] * y[j];
    store_vec(out + i, x);
  }
};

template <class T>
struct Products {
  const T *a, *b;  // b nullable
  template <int W>
  __device__ __forceinline__ double at(int64_t i) const {
    float x[W], y[W];
    load_vec(x, a + i);
#pragma unroll
    for (int j = 0; j < W; j++) y[j] = 1.f;
    if (b) load_vec(y, b + i);
    double sum = 0;
#pragma unroll
    for (int j = 0; j < W; j++) sum += (double)x[j] * (double)y[j];
    return sum;
  }
};

template <class Word>
void fill(const kedge_context* ctx, void* x, int64_t n, Word value) {
  for_each<16 / (int)sizeof(Word)>(ctx, n, aligned16(x), Fill<Word>{static_cast<Word*>(x), value});
}

template <class Unit>
void copy_rows(const kedge_context* ctx, void* dst, int64_t dst_stride, const void* src, int64_t src_stride, int64_t rows,
               int64_t row_bytes) {
  for_rows<1>(ctx, rows, row_bytes / (int64_t)sizeof(Unit), false,
              CopyRows<Unit>{static_cast<unsigned char*>(dst), static_cast<const unsigned char*>(src), dst_stride, src_stride});
}

template <class Dst, class Src>
void cast(const kedge_context* ctx, void* dst, const void* src, int64_t n) {
  for_each<8>(ctx, n, aligned16(dst) && aligned16(src), Cast<Dst, Src>{static_cast<Dst*>(dst), static_cast<const Src*>(src)});
}
template <class Dst>
void cast_from(const kedge_context* ctx, void* dst, const void* src, int32_t src_dtype, int64_t n) {
  if (src_dtype == KEDGE_F32) cast<Dst, float>(ctx, dst, src, n);
  if (src_dtype == KEDGE_BF16) cast<Dst, __nv_bfloat16>(ctx, dst, src, n);
  if (src_dtype == KEDGE_F16) cast<Dst, F16>(ctx, dst, src, n);
}

// To nearest even, on the host; NaN stays NaN.
uint16_t host_bf16(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
  return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_abi_version(void) { return KEDGE_ABI_VERSION; }

KEDGE_API int32_t kedge_noop(const kedge_context*, kedge_status* status) { return ok(status); }

KEDGE_API int32_t kedge_fill(const kedge_context* ctx, int32_t dtype, void* x, int64_t n, double value, kedge_status* status) {
  int32_t whole;
  KEDGE_TRY(check_fill(dtype, x, n, value, whole, status));
  if (n == 0) return ok(status);
  KEDGE_SET_DEVICE();
  if (dtype == KEDGE_BF16) {
    fill(ctx, x, n, host_bf16((float)value));
  } else {
    const float number = (float)value;
    uint32_t word;
    memcpy(&word, dtype == KEDGE_F32 ? (const void*)&number : &whole, 4);
    fill(ctx, x, n, word);
  }
  return finish("fill", status);
}

KEDGE_API int32_t kedge_copy(const kedge_context* ctx, void* dst, const void* src, int64_t bytes, kedge_status* status) {
  KEDGE_TRY(check_arrays(bytes, {{"dst", dst}, {"src", src}}, status));
  if (bytes == 0) return ok(status);
  KEDGE_SET_DEVICE();
  return finish("copy", cudaMemcpyAsync(dst, src, (size_t)bytes, cudaMemcpyDefault, stream_of(ctx)), status);
}

// Not cudaMemcpy2DAsync: it refuses a pitch of 2 GiB and more.
KEDGE_API int32_t kedge_copy_rows(const kedge_context* ctx, void* dst, int64_t dst_stride, const void* src, int64_t src_stride,
                                  int64_t rows, int64_t row_bytes, kedge_status* status) {
  KEDGE_TRY(check_copy_rows(dst, dst_stride, src, src_stride, rows, row_bytes, status));
  if (rows == 0 || row_bytes == 0) return ok(status);
  KEDGE_SET_DEVICE();
  const uint64_t bits = reinterpret_cast<uintptr_t>(dst) | reinterpret_cast<uintptr_t>(src) | (uint64_t)row_bytes |
                        (rows > 1 ? (uint64_t)dst_stride | (uint64_t)src_stride : 0);
  if (bits % 16 == 0) {
    copy_rows<uint4>(ctx, dst, dst_stride, src, src_stride, rows, row_bytes);
  } else if (bits % 4 == 0) {
    copy_rows<uint32_t>(ctx, dst, dst_stride, src, src_stride, rows, row_bytes);
  } else if (bits % 2 == 0) {
    copy_rows<uint16_t>(ctx, dst, dst_stride, src, src_stride, rows, row_bytes);
  } else {
    copy_rows<uint8_t>(ctx, dst, dst_stride, src, src_stride, rows, row_bytes);
  }
  return finish("copy_rows", status);
}

KEDGE_API int32_t kedge_cast(const kedge_context* ctx, void* dst, int32_t dst_dtype, const void* src, int32_t src_dtype, int64_t n,
                             kedge_status* status) {
  KEDGE_TRY(check_cast(dst, dst_dtype, src, src_dtype, n, status));
  if (n == 0) return ok(status);
  if (dst_dtype == src_dtype) return kedge_copy(ctx, dst, src, n * dtype_bytes(dst_dtype), status);
  KEDGE_SET_DEVICE();
  if (dst_dtype == KEDGE_F32) cast_from<float>(ctx, dst, src, src_dtype, n);
  if (dst_dtype == KEDGE_BF16) cast_from<__nv_bfloat16>(ctx, dst, src, src_dtype, n);
  if (dst_dtype == KEDGE_F16) cast_from<F16>(ctx, dst, src, src_dtype, n);
  return finish("cast", status);
}

KEDGE_API int32_t kedge_scale_add(const kedge_context* ctx, int32_t dtype, void* y, const void* x, int64_t n, double alpha,
                                  const float* factor, double beta, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_arrays(n, {{"y", y}, {"x", x}}, status));
  if (n == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_each<kVec<T>>(ctx, n, aligned16(y) && aligned16(x),
                      ScaleAdd<T>{static_cast<T*>(y), static_cast<const T*>(x), factor, alpha, (float)beta});
  });
  return finish("scale_add", status);
}

KEDGE_API int32_t kedge_add(const kedge_context* ctx, int32_t dtype, void* out, const void* a, const void* b, int64_t n,
                            kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_arrays(n, {{"out", out}, {"a", a}, {"b", b}}, status));
  if (n == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_each<kVec<T>>(ctx, n, aligned16(out) && aligned16(a) && aligned16(b),
                      Add<T>{static_cast<T*>(out), static_cast<const T*>(a), static_cast<const T*>(b)});
  });
  return finish("add", status);
}

KEDGE_API int32_t kedge_mul(const kedge_context* ctx, int32_t dtype, void* out, const void* a, const void* b, int64_t n, int32_t accumulate,
                            kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_arrays(n, {{"out", out}, {"a", a}, {"b", b}}, status));
  if (n == 0) return ok(status);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_flag(accumulate != 0, [&](auto flag) {
      for_each<kVec<T>>(ctx, n, aligned16(out) && aligned16(a) && aligned16(b),
                        Mul<T, decltype(flag)::value>{static_cast<T*>(out), static_cast<const T*>(a), static_cast<const T*>(b)});
    });
  });
  return finish("mul", status);
}

KEDGE_API int32_t kedge_dot(const kedge_context* ctx, int32_t dtype, float* out, const void* a, const void* b, int64_t n,
                            int32_t accumulate, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_dot(out, a, n, status));
  KEDGE_REQUIRE_WORKSPACE(sum_chunks(n) * 8);
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    sum_all<kVec<T>>(ctx, out, n, aligned16(a) && aligned16(b), accumulate != 0,
                     Products<T>{static_cast<const T*>(a), static_cast<const T*>(b)});
  });
  return finish("dot", status);
}
