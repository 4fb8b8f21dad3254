// Streams, clocks, memory and the pool of the fake devices; see fake_cuda.h.
#include "machine.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace fake {

Machine& machine() {
  static Machine* it = new Machine;  // outlives every thread
  return *it;
}

std::recursive_mutex& lock() { return machine().mutex; }
int live_cublas = 0;

void violation(const char* format, ...) {
  char text[400];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  machine().violations.emplace_back(text);
}

void join(Clock& into, const Clock& other) {
  for (const auto& [stream, seq] : other) into[stream] = std::max(into[stream], seq);
}

Stream* Machine::stream(uint64_t handle) {
  auto it = streams.find(handle);
  return it == streams.end() || it->second.destroyed ? nullptr : &it->second;
}

bool Machine::refuses(int device) {
  bool any = false;
  for (auto& [handle, s] : streams)
    if (s.device == device && s.capturing && !s.destroyed) any = s.invalid = true;
  return any;
}

Allocation* Machine::find(const void* address) {
  auto it = memory.upper_bound((uintptr_t)address);
  if (it == memory.begin()) return nullptr;
  --it;
  return (uintptr_t)address <= it->first + it->second.bytes ? &it->second : nullptr;
}

// Orders the accesses of the stream's newest task after those that they must follow, or notes that they are not.
void Machine::witness(const char* what, Stream& s, const Access& access) {
  if (access.address == nullptr) return;
  Allocation* a = find(access.address);
  if (!a) return violation("%s uses %p, which is no device memory", what, access.address);
  if (a->freed) return violation("%s uses %p after it was freed", what, access.address);
  if (access.bytes > 0 && (uintptr_t)access.address + access.bytes > a->address + a->bytes)
    violation("%s reaches behind the end of %p", what, (void*)a->address);
  if (a->device >= 0 && a->device != s.device) violation("%s on device %d uses %p of device %d", what, s.device, access.address, a->device);
  auto ordered = [&](uint64_t stream, uint64_t seq) { return stream == s.handle || s.clock[stream] >= seq; };
  if (!ordered(a->write_stream, a->write_seq))
    violation("%s %s %p without waiting for the stream that wrote it", what, access.write ? "writes" : "reads", access.address);
  if (access.write) {
    for (const auto& [stream, seq] : a->reads)
      if (!ordered(stream, seq)) violation("%s writes %p, which another stream may still read", what, access.address);
    a->reads.clear();
    a->write_stream = s.handle, a->write_seq = s.issued;
  } else {
    a->reads[s.handle] = s.issued;
  }
}

uint64_t Machine::push(Stream& s, std::function<void()> work, uint64_t on, uint64_t until) {
  join(s.clock, host);
  s.clock[s.handle] = ++s.issued;
  s.queue.push_back({s.issued, std::move(work), on, until});
  return s.issued;
}

void Machine::run(Stream& s, uint64_t until) {
  while (s.done < until && !s.queue.empty()) {
    Task task = std::move(s.queue.front());
    s.queue.pop_front();
    if (task.on) run(streams.at(task.on), task.until);
    if (task.work && !devices[s.device].broken) task.work();
    s.done = task.seq;
  }
}

void Machine::host_waits(Stream& s) {
  run(s, s.issued);
  join(host, s.clock);
}

int enqueue(const char* what, uint64_t stream, const std::vector<Access>& accesses, std::function<void()> work) {
  Machine& m = machine();
  Stream* s = m.stream(stream);
  if (!s) {
    violation("%s on a stream that does not exist", what);
    return kInvalidHandle;
  }
  if (m.devices[s->device].broken) return m.devices[s->device].broken;
  if (s->capturing) {
    s->recorded.push_back({what, accesses, std::move(work)});
    return kSuccess;
  }
  m.push(*s, std::move(work), 0, 0);
  for (const Access& access : accesses) m.witness(what, *s, access);
  return kSuccess;
}
int enqueue(const char* what, uint64_t stream, std::initializer_list<Access> accesses, std::function<void()> work) {
  return enqueue(what, stream, std::vector<Access>(accesses), std::move(work));
}

int synchronize(uint64_t stream) {
  Machine& m = machine();
  Stream* s = m.stream(stream);
  if (!s) return kInvalidHandle;
  if (s->capturing) return m.refuses(s->device), kCaptureUnsupported;
  m.host_waits(*s);
  return m.devices[s->device].broken;
}

int device_of(uint64_t stream) {
  Stream* s = machine().stream(stream);
  return s ? s->device : -1;
}
int broken(int device) { return machine().devices[device].broken; }
void break_device(int device, int error) { machine().devices[device].broken = error; }
bool capturing(uint64_t stream) {
  Stream* s = machine().stream(stream);
  return s && s->capturing;
}
bool deferring() { return machine().defer; }
bool launch_fails() { return machine().fail_launch > 0 && --machine().fail_launch == 0; }
void* kernel(const char* name) { return machine().kernels ? dlsym(machine().kernels, name) : nullptr; }

int32_t launch(const char* name, const kedge_context* ctx, kedge_status* status, const std::vector<Access>& accesses, bool host_arrays,
               std::function<int32_t(const kedge_context*, kedge_status*)> op) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  const uint64_t stream = (uint64_t)ctx->stream;
  const int device = device_of(stream);
  if (device < 0 || device != ctx->device) {
    violation("%s: the context names device %d, its stream is of device %d", name, ctx->device, device);
    return kedge::fail(status, KEDGE_DEVICE, "%s: invalid resource handle", name);
  }
  std::vector<Access> all = accesses;
  if (ctx->workspace_bytes > 0) all.push_back({ctx->workspace, (size_t)ctx->workspace_bytes, true});
  kedge_context here = *ctx;
  here.stream = nullptr, here.device = -1, here.threads = 1;
  const bool recording = capturing(stream), fails = !recording && launch_fails();
  if (recording && host_arrays) violation("%s reads arrays of the host in a capture", name);
  if (fails || recording || (deferring() && !host_arrays)) {
    auto work = [=] {
      if (fails) return break_device(device, kIllegalAddress);
      kedge_status own = {};
      if (op(&here, &own) != KEDGE_OK) violation("%s failed when its turn came: %s", name, own.message);
    };
    if (int error = enqueue(name, stream, all, work)) return kedge::fail(status, KEDGE_DEVICE, "%s: the device failed before (%d)", name, error);
    return kedge::ok(status);
  }
  Machine& m = machine();
  Stream& s = *m.stream(stream);
  m.run(s, s.issued);  // the host does not wait for this: nothing else becomes ordered by it
  if (int error = broken(device)) return kedge::fail(status, KEDGE_DEVICE, "%s: the device failed before (%d)", name, error);
  // A kernel that refuses its arguments (or wants a workspace) has not run, and has touched nothing.
  const int32_t code = op(&here, status);
  if (code == KEDGE_OK) {
    enqueue(name, stream, all, [] {});
    m.run(s, s.issued);
  }
  return code;
}

}  // namespace fake

using namespace fake;

// ---- what the tests use ----

// Names the CPU library whose ops stand behind the kernels; 0 if it loads.
FAKE_API int32_t fake_cuda_kernels(const char* path) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  machine().kernels = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  return machine().kernels ? 0 : 1;
}
// Everything as new, but for streams, events and memory that are alive: they are forgotten, so that one test's leaks are not the next one's.
FAKE_API void fake_cuda_reset(void) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  Machine& m = machine();
  for (auto& [address, allocation] : m.memory) free((void*)address);
  m.memory.clear(), m.streams.clear(), m.events.clear(), m.graphs.clear(), m.violations.clear(), m.host.clear();
  for (Device& device : m.devices) device = Device();
  m.fail_alloc = m.fail_alloc_times = m.fail_launch = m.replays = 0, m.defer = false, live_cublas = 0;
}
// The n-th allocation from now (1: the next) and the times - 1 after it find no memory.
FAKE_API void fake_cuda_fail_alloc(int64_t n, int64_t times) { machine().fail_alloc = n, machine().fail_alloc_times = times; }
// The n-th kernel from now breaks its device when it runs.
FAKE_API void fake_cuda_fail_launch(int64_t n) { machine().fail_launch = n; }
// Whether kernels wait in their streams too. Such a kernel must need no workspace and accept its arguments.
FAKE_API void fake_cuda_defer(int32_t defer) { machine().defer = defer != 0; }
// Bytes of every device.
FAKE_API void fake_cuda_set_memory(int64_t bytes) {
  for (Device& device : machine().devices) device.total = bytes;
}
// out: i64[6]: live device allocations, page-locked ones, events, streams, cuBLAS handles, graphs.
FAKE_API void fake_cuda_live(int64_t* out) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  Machine& m = machine();
  memset(out, 0, 6 * sizeof *out);
  for (auto& [address, allocation] : m.memory)
    if (!allocation.freed) out[allocation.device < 0 ? 1 : 0]++;
  out[2] = (int64_t)m.events.size(), out[4] = live_cublas, out[5] = (int64_t)m.graphs.size();
  for (auto& [handle, stream] : m.streams) out[3] += !stream.destroyed;
}
// Launches of graphs since the last reset.
FAKE_API int64_t fake_cuda_replays(void) { return machine().replays; }
// The misuses since the last reset, a line each, as much as fits; returns their number.
FAKE_API int64_t fake_cuda_violations(char* out, int64_t capacity) {
  std::lock_guard<std::recursive_mutex> guard(lock());
  std::string text;
  for (const std::string& line : machine().violations) text += line + "\n";
  snprintf(out, (size_t)capacity, "%s", text.c_str());
  return (int64_t)machine().violations.size();
}
