// The calls of libcublas that ffi/cublas.ts uses: GEMM by three loops, in the stream's order; see fake_cuda.h.
#include <map>
#include <math.h>
#include <string.h>

#include "fake_cuda.h"

using namespace fake;

namespace {

enum { kOk = 0, kNotInitialized = 1, kInvalid = 7, kExecution = 13, kNotSupported = 15 };
enum { kF32 = 0, kF16 = 2, kBf16 = 14 };

struct Handle {
  uint64_t stream = 0, workspace = 0, workspace_bytes = 0;
};
std::map<uint64_t, Handle> handles;
uint64_t next_handle = 0x900000;

float get(const void* p, int type, int64_t i) {
  if (type == kF32) return ((const float*)p)[i];
  uint32_t u = (uint32_t)((const uint16_t*)p)[i] << 16;
  float x;
  memcpy(&x, &u, 4);
  return x;
}
void put(void* p, int type, int64_t i, float x) {
  if (type == kF32) {
    ((float*)p)[i] = x;
    return;
  }
  uint32_t u;
  memcpy(&u, &x, 4);
  if (isnan(x)) u |= 0x400000;
  else u += 0x7fff + (u >> 16 & 1);
  ((uint16_t*)p)[i] = (uint16_t)(u >> 16);
}
int64_t bytes_of(int type, int64_t rows, int64_t columns, int64_t ld) { return (type == kF32 ? 4 : 2) * (ld * (columns - 1) + rows); }

}  // namespace

FAKE_API int cublasGetProperty(int property, int* value) { return *value = property == 0 ? 13 : 0, kOk; }
FAKE_API const char* cublasGetStatusString(int status) {
  return status == kOk ? "CUBLAS_STATUS_SUCCESS" : status == kInvalid ? "CUBLAS_STATUS_INVALID_VALUE" : status == kExecution ? "CUBLAS_STATUS_EXECUTION_FAILED" : "CUBLAS_STATUS_NOT_SUPPORTED";
}
FAKE_API int cublasCreate_v2(uint64_t* out) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  *out = next_handle += 16;
  handles[*out] = {};
  live_cublas++;
  return kOk;
}
FAKE_API int cublasDestroy_v2(uint64_t handle) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  if (!handles.erase(handle)) return violation("a cuBLAS handle is destroyed twice, or never was"), kNotInitialized;
  live_cublas--;
  return kOk;
}
FAKE_API int cublasSetStream_v2(uint64_t handle, uint64_t stream) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  if (!handles.count(handle)) return kNotInitialized;
  handles[handle] = {stream, 0, 0};  // the real one also goes back to its own workspace here
  return kOk;
}
FAKE_API int cublasSetWorkspace_v2(uint64_t handle, uint64_t workspace, uint64_t bytes) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  if (!handles.count(handle)) return kNotInitialized;
  if (workspace % 256) return kInvalid;
  handles[handle].workspace = workspace, handles[handle].workspace_bytes = bytes;
  return kOk;
}
FAKE_API int cublasSetMathMode(uint64_t handle, int mode) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  if (!handles.count(handle)) return kNotInitialized;
  return mode == 0 || mode == 1 || mode == 3 || mode == 16 ? kOk : kInvalid;
}
FAKE_API int cublasGemmEx(uint64_t handle, int trans_a, int trans_b, int m, int n, int k, const float* alpha, const void* a, int a_type, int lda,
                          const void* b, int b_type, int ldb, const float* beta, void* c, int c_type, int ldc, int compute, int) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  auto it = handles.find(handle);
  if (it == handles.end()) return kNotInitialized;
  const Handle h = it->second;
  if (!h.workspace) violation("a product without a workspace of its own: its bits may differ between runs");
  if (a_type != b_type || (a_type != kF32 && a_type != kBf16) || (c_type != a_type && c_type != kF32)) return kNotSupported;
  if (compute != 68 && !(compute == 77 && a_type == kF32)) return kNotSupported;
  if (m < 0 || n < 0 || k < 0 || lda < (trans_a ? k : m) || ldb < (trans_b ? n : k) || ldc < m) return kInvalid;
  const float x = *alpha, y = *beta;
  const Access accesses[] = {
      {a, (size_t)bytes_of(a_type, trans_a ? k : m, trans_a ? m : k, lda), false},
      {b, (size_t)bytes_of(b_type, trans_b ? n : k, trans_b ? k : n, ldb), false},
      {c, (size_t)bytes_of(c_type, m, n, ldc), true},
      {(void*)h.workspace, (size_t)h.workspace_bytes, true},
  };
  const bool fails = launch_fails();
  auto work = [=] {
    if (fails) return break_device(device_of(h.stream), kIllegalAddress);
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = 0; i < m; i++) {
        double sum = 0;
        for (int64_t l = 0; l < k; l++)
          sum += (double)get(a, a_type, trans_a ? l + i * lda : i + l * lda) * get(b, b_type, trans_b ? j + l * ldb : l + j * ldb);
        put(c, c_type, i + j * ldc, (float)(x * sum + (y == 0 ? 0.0 : (double)y * get(c, c_type, i + j * ldc))));
      }
  };
  return enqueue("a product", h.stream, std::vector<Access>(accesses, accesses + (h.workspace ? 4 : 3)), work) ? kExecution : kOk;
}
