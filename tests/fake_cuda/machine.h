// The state of the fake devices, for machine.cpp and cudart.cpp.
#pragma once
#include <chrono>
#include <deque>
#include <map>

#include "fake_cuda.h"

namespace fake {

using Clock = std::map<uint64_t, uint64_t>;  // by stream: how many of its tasks come before

struct Task {
  uint64_t seq;
  std::function<void()> work;
  uint64_t on, until;  // waits for this stream to have done so much; 0: for nothing
};
// What a stream recorded while it was captured: work with its accesses, which each launch queues again.
struct Recorded {
  std::string what;
  std::vector<Access> accesses;
  std::function<void()> work;
};
struct Graph {
  int device;
  bool executable;
  std::vector<Recorded> tasks;
};
struct Stream {
  uint64_t handle;
  int device;
  bool capturing = false, invalid = false;  // invalid: something was refused in the capture
  std::vector<Recorded> recorded;
  bool destroyed = false;
  std::deque<Task> queue;
  uint64_t issued = 0, done = 0;
  Clock clock;
};
struct Event {
  int device;
  uint64_t stream = 0, seq = 0;  // stream 0: never recorded
  Clock clock;
  bool timed = false;
  std::chrono::steady_clock::time_point at;
};
struct Allocation {
  uintptr_t address;
  size_t bytes;
  int device;  // -1: page-locked host memory
  bool freed = false;
  uint64_t write_stream, write_seq;
  std::map<uint64_t, uint64_t> reads;
};
struct Device {
  size_t total = size_t(1) << 30, used = 0, used_high = 0, reserved = 0;
  uint64_t release_threshold = 0;
  int broken = 0;
};

struct Machine {
  std::recursive_mutex mutex;
  Device devices[2];
  std::map<uint64_t, Stream> streams;
  std::map<uint64_t, Event> events;
  std::map<uint64_t, Graph> graphs;
  std::map<uintptr_t, Allocation> memory;
  std::vector<std::string> violations;
  Clock host;  // what the host has waited for
  uint64_t next_handle = 0x1000;
  int64_t fail_alloc = 0, fail_alloc_times = 0, fail_launch = 0;
  bool defer = false;
  int64_t replays = 0;  // launches of graphs
  void* kernels = nullptr;

  Stream* stream(uint64_t handle);
  // Whether a call is refused, since a stream of the device is captured; the capture is then invalid.
  bool refuses(int device);
  Allocation* find(const void* address);
  void witness(const char* what, Stream& s, const Access& access);
  uint64_t push(Stream& s, std::function<void()> work, uint64_t on, uint64_t until);
  void run(Stream& s, uint64_t until);
  void host_waits(Stream& s);
};
Machine& machine();
void join(Clock& into, const Clock& other);

}  // namespace fake
