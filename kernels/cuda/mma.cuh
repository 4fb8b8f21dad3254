// Instructions of sm_80: asynchronous copies into shared memory, and the tensor cores for bf16 with f32 accumulators, in the register
// layouts of the PTX ISA (mma.m16n8k16, ldmatrix). With lane = 4 * group + in: A's registers hold rows group (0, 2) and group + 8 (1, 3),
// columns 2 in, 2 in + 1 (0, 1) and those + 8 (2, 3); B's registers hold column group, rows 2 in, 2 in + 1 (0) and those + 8 (1); the
// accumulator holds row group (0, 1) and group + 8 (2, 3), columns 2 in and 2 in + 1.
#pragma once
#include "common.cuh"

namespace kedge {

// 16 bytes, both addresses aligned to them; a thread's copies up to a commit are a group, and wait<n> waits until at most n groups are
// under way. What has arrived is seen by other threads after the next barrier.
__device__ __forceinline__ void copy_async16(void* shared, const void* global) {
#if defined(KEDGE_CUDA_EMU)
  kedge_emu::copy_async16(shared, global);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((uint32_t)__cvta_generic_to_shared(shared)), "l"(global) : "memory");
#endif
}
__device__ __forceinline__ void copy_async_commit() {
#if defined(KEDGE_CUDA_EMU)
  kedge_emu::copy_async_commit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int kGroupsLeft>
__device__ __forceinline__ void copy_async_wait() {
#if defined(KEDGE_CUDA_EMU)
  kedge_emu::copy_async_wait(kGroupsLeft);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
#endif
}

// d += a b. The whole warp must take part in each of these.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if defined(KEDGE_CUDA_EMU)
  uint32_t b[2] = {b0, b1};
  kedge_emu::Mma m{d, a, b};
  kedge_emu::warp_barrier(~0u, kedge_emu::mma_m16n8k16, &m, __FILE__, __LINE__);
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// Four 8 x 8 matrices of bf16 from shared memory: lane i gives the address of row i % 8 of matrix i / 8 (16-byte aligned) and gets, of each
// matrix, elements 2 in and 2 in + 1 of row group; transposed: of column group.
template <bool kTransposed>
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row) {
#if defined(KEDGE_CUDA_EMU)
  kedge_emu::LoadMatrix l{r, row};
  kedge_emu::warp_barrier(~0u, kTransposed ? kedge_emu::load_matrix_x4_trans : kedge_emu::load_matrix_x4, &l, __FILE__, __LINE__);
#else
  const uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
#endif
}

// The 16 x 16 fragment of A with its corner at p: p[row * stride + column], or p[column * stride + row] where kTransposed. The stride is in
// elements; 16-byte rows that differ by an odd number of 16-byte units are free of bank conflicts.
template <bool kTransposed>
__device__ __forceinline__ void load_a(uint32_t (&a)[4], const __nv_bfloat16* p, int stride) {
  const int lane = threadIdx.x % 32, r = lane % 8, j = lane / 8;
  if constexpr (kTransposed) {
    load_matrices<true>(a, p + ((j / 2) * 8 + r) * stride + (j % 2) * 8);
  } else {
    load_matrices<false>(a, p + ((j % 2) * 8 + r) * stride + (j / 2) * 8);
  }
}
// Two neighbouring 16 x 8 fragments of B (registers b[0], b[1]: columns 0..7; b[2], b[3]: columns 8..15): p[column * stride + row], or
// p[row * stride + column] where kTransposed.
template <bool kTransposed>
__device__ __forceinline__ void load_b(uint32_t (&b)[4], const __nv_bfloat16* p, int stride) {
  const int lane = threadIdx.x % 32, r = lane % 8, j = lane / 8;
  if constexpr (kTransposed) {
    load_matrices<true>(b, p + ((j % 2) * 8 + r) * stride + (j / 2) * 8);
  } else {
    load_matrices<false>(b, p + ((j / 2) * 8 + r) * stride + (j % 2) * 8);
  }
}

}  // namespace kedge
