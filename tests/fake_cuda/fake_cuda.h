// The machine behind the fake libcudart and libcublas: devices on host memory whose streams defer their work, and a witness of every access.
//
// A task runs when something must have its result (a synchronisation, a copy to ordinary memory, a kernel in immediate mode), and with it only what it
// is ordered after: work of other streams stays undone as long as it may, so that a missing wait reads stale data. Beside that, vector clocks decide
// for every access whether it is ordered after the accesses it must follow, whatever order the tasks ran in. The grain is one allocation.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <initializer_list>
#include <mutex>
#include <string>
#include <vector>

#include "../../kernels/common/status.h"

namespace fake {

enum Error { kSuccess = 0, kInvalidValue = 1, kMemory = 2, kInvalidDevice = 101, kInvalidHandle = 400, kIllegalAddress = 700, kCaptureUnsupported = 900, kCaptureInvalidated = 901 };

// A range that a task reads or writes. bytes 0: from the address on, as far as is unknown.
struct Access {
  const void* address;
  size_t bytes;
  bool write;
};

std::recursive_mutex& lock();
// Notes a misuse; the tests ask for the list.
__attribute__((format(printf, 1, 2))) void violation(const char* format, ...);
// Queues work that makes these accesses. The device's own error (0: none), kInvalidHandle for no stream.
int enqueue(const char* what, uint64_t stream, std::initializer_list<Access> accesses, std::function<void()> work);
int enqueue(const char* what, uint64_t stream, const std::vector<Access>& accesses, std::function<void()> work);
// Runs the stream's work; the device's error.
int synchronize(uint64_t stream);
// The device of a stream; -1 for none.
int device_of(uint64_t stream);
// The error that broke the device, 0 for none.
int broken(int device);
void break_device(int device, int error);
// Counts a kernel launch: true if this is the one that shall fail.
bool launch_fails();
// Whether a stream records its work instead of running it.
bool capturing(uint64_t stream);
// Whether kernels wait in their stream too, instead of running at their launch.
bool deferring();
// A function of the CPU library (fake_cuda_kernels).
void* kernel(const char* name);
extern int live_cublas;

// The launch of an op by the CPU library's op of the same name, in its stream's order.
int32_t launch(const char* name, const kedge_context* ctx, kedge_status* status, const std::vector<Access>& accesses, bool host_arrays,
               std::function<int32_t(const kedge_context*, kedge_status*)> op);

}  // namespace fake

#define FAKE_API extern "C" __attribute__((visibility("default")))
