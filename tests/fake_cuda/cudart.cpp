// The calls of libcudart that ffi/cudart.ts uses, for two devices; see fake_cuda.h.
#include <stdlib.h>
#include <string.h>

#include "machine.h"

using namespace fake;

namespace {

constexpr int kDevices = 2;
thread_local int current = 0;
thread_local int last_error = 0;

// Keeps an error for cudaGetLastError, as the runtime does.
int answer(int code) {
  if (code) last_error = code;
  return code;
}
int current_broken() { return machine().devices[current].broken; }

#define ENTER() std::lock_guard<std::recursive_mutex> guard(lock())

uintptr_t take(size_t bytes) {
  void* p = nullptr;
  if (posix_memalign(&p, 256, bytes ? bytes : 1) != 0) return 0;
  memset(p, 0xcd, bytes);
  return (uintptr_t)p;
}
void give(uintptr_t address, size_t bytes) {
  memset((void*)address, 0xee, bytes);
  free((void*)address);
}

}  // namespace

FAKE_API int cudaRuntimeGetVersion(int* version) { return *version = 13000, 0; }
FAKE_API int cudaDriverGetVersion(int* version) { return *version = 13020, 0; }
FAKE_API int cudaGetDeviceCount(int* count) { return *count = kDevices, 0; }
FAKE_API int cudaGetDeviceProperties(void* properties, int device) {
  if (device < 0 || device >= kDevices) return answer(kInvalidDevice);
  strcpy((char*)properties, "Fake GPU");
  return 0;
}
FAKE_API int cudaDeviceGetAttribute(int* value, int attribute, int device) {
  if (device < 0 || device >= kDevices) return answer(kInvalidDevice);
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 115 ? 1 : attribute == 16 ? 2 : 0;
  return 0;
}
FAKE_API int cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return answer(kInvalidDevice);
  current = device;
  return 0;
}
FAKE_API int cudaGetLastError(void) {
  int code = last_error;
  last_error = 0;
  return code;
}
FAKE_API const char* cudaGetErrorName(int code) {
  switch (code) {
    case kSuccess: return "cudaSuccess";
    case kInvalidValue: return "cudaErrorInvalidValue";
    case kMemory: return "cudaErrorMemoryAllocation";
    case kInvalidDevice: return "cudaErrorInvalidDevice";
    case kInvalidHandle: return "cudaErrorInvalidResourceHandle";
    case kIllegalAddress: return "cudaErrorIllegalAddress";
    case kCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case kCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    default: return "cudaErrorUnknown";
  }
}
FAKE_API const char* cudaGetErrorString(int code) {
  switch (code) {
    case kSuccess: return "no error";
    case kInvalidValue: return "invalid argument";
    case kMemory: return "out of memory";
    case kInvalidDevice: return "invalid device ordinal";
    case kInvalidHandle: return "invalid resource handle";
    case kIllegalAddress: return "an illegal memory access was encountered";
    case kCaptureUnsupported: return "operation not permitted when stream is capturing";
    case kCaptureInvalidated: return "operation failed due to a previous error during capture";
    default: return "unknown error";
  }
}

// ---- streams and events ----

FAKE_API int cudaStreamCreateWithFlags(uint64_t* out, unsigned) {
  ENTER();
  if (int code = current_broken()) return answer(code);
  Machine& m = machine();
  *out = m.next_handle += 16;
  m.streams[*out].handle = *out;
  m.streams[*out].device = current;
  return 0;
}
FAKE_API int cudaStreamDestroy(uint64_t stream) {
  ENTER();
  Stream* s = machine().stream(stream);
  if (!s) return violation("a stream is destroyed twice, or never was"), answer(kInvalidHandle);
  machine().run(*s, UINT64_MAX);
  s->destroyed = true;
  return 0;
}
FAKE_API int cudaStreamSynchronize(uint64_t stream) {
  ENTER();
  return answer(synchronize(stream));
}
FAKE_API int cudaDeviceSynchronize(void) {
  ENTER();
  if (machine().refuses(current)) return answer(kCaptureUnsupported);
  for (auto& [handle, stream] : machine().streams)
    if (stream.device == current) machine().host_waits(stream);
  return answer(current_broken());
}
FAKE_API int cudaStreamWaitEvent(uint64_t stream, uint64_t event, unsigned) {
  ENTER();
  Machine& m = machine();
  Stream* s = m.stream(stream);
  auto it = m.events.find(event);
  if (!s || it == m.events.end()) return violation("a wait for an event or on a stream that does not exist"), answer(kInvalidHandle);
  if (m.devices[s->device].broken) return answer(m.devices[s->device].broken);
  if (s->capturing) return m.refuses(s->device), answer(kCaptureUnsupported);
  if (!it->second.stream) violation("a wait for an event that was never recorded");
  if (!it->second.stream) return 0;
  m.push(*s, nullptr, it->second.stream, it->second.seq);
  join(s->clock, it->second.clock);
  return 0;
}
FAKE_API int cudaEventCreateWithFlags(uint64_t* out, unsigned flags) {
  ENTER();
  if (int code = current_broken()) return answer(code);
  Machine& m = machine();
  *out = m.next_handle += 16;
  m.events[*out].device = current, m.events[*out].timed = !(flags & 2);
  return 0;
}
FAKE_API int cudaEventRecord(uint64_t event, uint64_t stream) {
  ENTER();
  Machine& m = machine();
  Stream* s = m.stream(stream);
  auto it = m.events.find(event);
  if (!s || it == m.events.end()) return violation("a record of an event or on a stream that does not exist"), answer(kInvalidHandle);
  if (it->second.device != s->device) return violation("an event of device %d on a stream of device %d", it->second.device, s->device), answer(kInvalidHandle);
  if (m.devices[s->device].broken) return answer(m.devices[s->device].broken);
  if (s->capturing) return m.refuses(s->device), answer(kCaptureUnsupported);
  it->second.stream = stream, it->second.seq = s->issued, it->second.clock = s->clock;
  it->second.at = std::chrono::steady_clock::now();
  return 0;
}
// The time between the calls that recorded the events: what a stream does later costs nothing here.
FAKE_API int cudaEventElapsedTime(float* out, uint64_t start, uint64_t end) {
  ENTER();
  Machine& m = machine();
  auto a = m.events.find(start), b = m.events.find(end);
  if (a == m.events.end() || b == m.events.end()) return violation("the time between events that do not exist"), answer(kInvalidHandle);
  if (!a->second.timed || !b->second.timed) return violation("the time of an event that takes none"), answer(kInvalidHandle);
  for (const Event* event : {&a->second, &b->second})
    if (!event->stream || m.streams.at(event->stream).done < event->seq) return violation("the time of an event that its stream has not passed"), answer(kInvalidHandle);
  *out = std::chrono::duration<float, std::milli>(b->second.at - a->second.at).count();
  return 0;
}
FAKE_API int cudaEventSynchronize(uint64_t event) {
  ENTER();
  Machine& m = machine();
  auto it = m.events.find(event);
  if (it == m.events.end()) return violation("a wait of the host for an event that does not exist"), answer(kInvalidHandle);
  if (m.refuses(it->second.device)) return answer(kCaptureUnsupported);
  if (!it->second.stream) return 0;
  m.run(m.streams.at(it->second.stream), it->second.seq);
  join(m.host, it->second.clock);
  return answer(m.devices[it->second.device].broken);
}
FAKE_API int cudaEventDestroy(uint64_t event) {
  ENTER();
  if (machine().events.erase(event)) return 0;
  violation("an event is ended twice, or never was");
  return answer(kInvalidHandle);
}

// ---- captures ----

FAKE_API int cudaStreamBeginCapture(uint64_t stream, int mode) {
  ENTER();
  Stream* s = machine().stream(stream);
  if (!s) return answer(kInvalidHandle);
  if (mode != 1) violation("a capture that other threads' calls can break");
  if (s->capturing) return answer(kCaptureUnsupported);
  s->capturing = true, s->invalid = false;
  s->recorded.clear();
  return 0;
}
FAKE_API int cudaStreamEndCapture(uint64_t stream, uint64_t* graph) {
  ENTER();
  Machine& m = machine();
  Stream* s = m.stream(stream);
  if (!s || !s->capturing) return answer(kInvalidValue);
  s->capturing = false;
  *graph = 0;
  if (s->invalid) return answer(kCaptureInvalidated);
  *graph = m.next_handle += 16;
  m.graphs[*graph] = {s->device, false, std::move(s->recorded)};
  s->recorded.clear();
  return 0;
}
FAKE_API int cudaGraphInstantiate(uint64_t* out, uint64_t graph, uint64_t) {
  ENTER();
  Machine& m = machine();
  auto it = m.graphs.find(graph);
  if (it == m.graphs.end() || it->second.executable) return violation("a graph that does not exist is made ready"), answer(kInvalidValue);
  const Graph copy = it->second;
  *out = m.next_handle += 16;
  m.graphs[*out] = {copy.device, true, copy.tasks};
  return 0;
}
FAKE_API int cudaGraphLaunch(uint64_t graph, uint64_t stream) {
  ENTER();
  Machine& m = machine();
  auto it = m.graphs.find(graph);
  Stream* s = m.stream(stream);
  if (!s || it == m.graphs.end() || !it->second.executable) return violation("a graph that does not exist is launched"), answer(kInvalidValue);
  if (s->capturing) return m.refuses(s->device), answer(kCaptureUnsupported);
  for (const Recorded& task : it->second.tasks)
    if (int error = enqueue(task.what.c_str(), stream, task.accesses, task.work)) return answer(error);
  m.replays++;
  return 0;
}
FAKE_API int cudaGraphDestroy(uint64_t graph) {
  ENTER();
  if (machine().graphs.erase(graph)) return 0;
  violation("a graph is destroyed twice, or never was");
  return answer(kInvalidValue);
}
FAKE_API int cudaGraphExecDestroy(uint64_t graph) { return cudaGraphDestroy(graph); }

// ---- memory ----

FAKE_API int cudaMallocAsync(uint64_t* out, uint64_t bytes, uint64_t stream) {
  ENTER();
  Machine& m = machine();
  Stream* s = m.stream(stream);
  if (!s) return answer(kInvalidHandle);
  Device& d = m.devices[s->device];
  if (d.broken) return answer(d.broken);
  if (m.refuses(s->device)) return answer(kCaptureUnsupported);
  if (m.fail_alloc > 1) {
    m.fail_alloc--;
  } else if (m.fail_alloc == 1) {
    if (--m.fail_alloc_times <= 0) m.fail_alloc = 0;
    return answer(kMemory);
  }
  if (d.used + bytes > d.total) return answer(kMemory);
  uintptr_t address = take(bytes);
  if (!address) return answer(kMemory);
  d.used += bytes;
  d.used_high = std::max(d.used_high, d.used), d.reserved = std::max(d.reserved, d.used);
  Allocation a{address, (size_t)bytes, s->device, false, stream, m.push(*s, nullptr, 0, 0), {}};
  m.memory[address] = a;
  *out = address;
  return 0;
}
FAKE_API int cudaFreeAsync(uint64_t address, uint64_t stream) {
  ENTER();
  Machine& m = machine();
  Stream* s = m.stream(stream);
  if (!s) return answer(kInvalidHandle);
  auto it = m.memory.find(address);
  if (it == m.memory.end() || it->second.freed || it->second.device < 0) return answer(kInvalidValue);
  Device& d = m.devices[s->device];
  if (d.broken) return answer(d.broken);
  if (m.refuses(s->device)) return answer(kCaptureUnsupported);
  // Its turn gives the bytes back to the pool; until then they count.
  m.push(*s, [&m, &d, address] {
    auto dead = m.memory.find(address);
    d.used -= dead->second.bytes;
    give(address, dead->second.bytes);
    m.memory.erase(dead);
  }, 0, 0);
  m.witness("a free", *s, {(void*)address, 0, true});
  it->second.freed = true;
  return 0;
}
FAKE_API int cudaDeviceGetDefaultMemPool(uint64_t* pool, int device) {
  if (device < 0 || device >= kDevices) return answer(kInvalidDevice);
  return *pool = 0x100 + (uint64_t)device, 0;
}
FAKE_API int cudaMemPoolSetAttribute(uint64_t pool, int attribute, uint64_t* value) {
  ENTER();
  if (pool < 0x100 || pool >= 0x100 + kDevices) return answer(kInvalidValue);
  Device& d = machine().devices[pool - 0x100];
  if (attribute == 4) return d.release_threshold = *value, 0;
  if (attribute == 8 && *value == 0) return d.used_high = d.used, 0;
  return answer(kInvalidValue);
}
FAKE_API int cudaMemPoolGetAttribute(uint64_t pool, int attribute, uint64_t* value) {
  ENTER();
  if (pool < 0x100 || pool >= 0x100 + kDevices) return answer(kInvalidValue);
  Device& d = machine().devices[pool - 0x100];
  if (attribute != 4 && attribute != 5 && attribute != 7 && attribute != 8) return answer(kInvalidValue);
  *value = attribute == 4 ? d.release_threshold : attribute == 5 ? d.reserved : attribute == 7 ? d.used : d.used_high;
  return 0;
}
FAKE_API int cudaMemPoolTrimTo(uint64_t pool, uint64_t keep) {
  ENTER();
  if (pool < 0x100 || pool >= 0x100 + kDevices) return answer(kInvalidValue);
  Device& d = machine().devices[pool - 0x100];
  d.reserved = std::max((size_t)keep, d.used);
  return 0;
}
FAKE_API int cudaMemGetInfo(uint64_t* available, uint64_t* total) {
  ENTER();
  Device& d = machine().devices[current];
  *available = d.total - d.reserved, *total = d.total;
  return 0;
}
FAKE_API int cudaHostAlloc(uint64_t* out, uint64_t bytes, unsigned) {
  ENTER();
  if (int code = current_broken()) return answer(code);
  if (machine().refuses(current)) return answer(kCaptureUnsupported);
  uintptr_t address = take(bytes);
  if (!address) return answer(kMemory);
  machine().memory[address] = {address, (size_t)bytes, -1, false, 0, 0, {}};
  *out = address;
  return 0;
}
FAKE_API int cudaFreeHost(uint64_t address) {
  ENTER();
  Machine& m = machine();
  auto it = m.memory.find(address);
  if (it == m.memory.end() || it->second.device >= 0) return answer(kInvalidValue);
  for (const auto& [stream, seq] : it->second.reads)
    if (m.host[stream] < seq) violation("page-locked memory is freed while a stream may read it");
  if (it->second.write_stream && m.host[it->second.write_stream] < it->second.write_seq) violation("page-locked memory is freed while a stream may write it");
  give(address, it->second.bytes);
  m.memory.erase(it);
  return 0;
}

// The source is read when the copy's turn comes, in ordinary memory too: the runtime promises no more (CUDA Runtime API, "API synchronization behavior"). Ordinary
// memory is filled before the call returns.
FAKE_API int cudaMemcpyAsync(void* dst, const void* src, uint64_t bytes, int kind, uint64_t stream) {
  ENTER();
  Machine& m = machine();
  if (kind != 4) violation("a copy whose direction is stated");
  auto known = [&](const void* p) {
    Allocation* a = m.find(p);
    return a && (uintptr_t)p < a->address + a->bytes ? a : nullptr;
  };
  Allocation *to = known(dst), *from = known(src);
  if ((to && (uintptr_t)dst + bytes > to->address + to->bytes) || (from && (uintptr_t)src + bytes > from->address + from->bytes)) return answer(kInvalidValue);
  if ((!to || !from) && capturing(stream)) return m.refuses(device_of(stream)), answer(kCaptureUnsupported);
  if (!to && !from) return violation("a copy between two places that are no device memory"), answer(kInvalidValue);
  if (!from) return answer(enqueue("a copy", stream, {{dst, bytes, true}}, [=] { memcpy(dst, src, bytes); }));
  if (!to) {
    if (int code = enqueue("a copy", stream, {{src, bytes, false}}, [=] { memcpy(dst, src, bytes); })) return answer(code);
    return answer(synchronize(stream));
  }
  return answer(enqueue("a copy", stream, {{src, bytes, false}, {dst, bytes, true}}, [=] { memmove(dst, src, bytes); }));
}
