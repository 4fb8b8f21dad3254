// See race.h. One launch runs at a time (the emulator's lock), and within it one thread.
#include "race.h"

#ifdef KEDGE_EMU_RACE
#undef __noinline__  // CUDA's word; the C++ library has it within an attribute
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace kedge_emu {
namespace race {
namespace {

constexpr int kMaxThreads = 1024;
constexpr size_t kPageCells = 1024, kMaxPages = 8192;

struct Access {
  uint32_t block;  // 0: none. Blocks are numbered over all launches
  uint32_t epoch;  // barriers of the block before it
  uint32_t clock;  // of its lane
  uint32_t pc;     // from the start of the library
  uint16_t thread;
  bool atomic;
};
struct Cell {
  Access write, read[2];
};
struct Page {
  Cell cells[kPageCells];
};

struct State {
  const char* kernel = "";
  Range shared[2] = {};
  uint32_t first_block = 1, block = 0, epoch = 0;
  int thread = -1;
  uintptr_t stack = 0, stack_end = 0;
  uint32_t clocks[kMaxThreads][32];  // what each thread knows of the lanes of its warp
  std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
  uintptr_t last_page = ~uintptr_t{0};
  Page* last = nullptr;
  std::set<std::pair<uint32_t, uint32_t>> seen;
  std::vector<std::string> reports;
  uint64_t seed = 88172645463325252u;
  uintptr_t base = 0;
};
State& state() {
  static State* it = [] {
    State* made = new State;  // outlives every thread
    Dl_info info;
    if (dladdr((const void*)&state, &info)) made->base = (uintptr_t)info.dli_fbase;
    return made;
  }();
  return *it;
}

Cell& cell(State& s, uintptr_t at) {
  const uintptr_t page = at / kPageCells;
  if (page != s.last_page) {
    auto& found = s.pages[page];
    if (!found) found.reset(new Page());
    s.last_page = page, s.last = found.get();
  }
  return s.last->cells[at % kPageCells];
}

bool shared(const State& s, uintptr_t address) {
  for (const Range& range : s.shared)
    if (address >= (uintptr_t)range.start && address < (uintptr_t)range.start + range.bytes) return true;
  return false;
}

bool ordered(const State& s, uintptr_t address, const Access& before, const Access& now) {
  if (before.block < s.first_block) return true;
  if (before.block != now.block) return shared(s, address);
  if (before.thread == now.thread || before.epoch < now.epoch) return true;
  return before.thread / 32 == now.thread / 32 && s.clocks[now.thread][before.thread % 32] >= before.clock;
}

void report(State& s, const char* what, uintptr_t address, const Access& before, const Access& now) {
  if (!s.seen.insert({before.pc, now.pc}).second) return;
  char text[400];
  snprintf(text, sizeof text, "%s: %s at %p: thread %d of block %u (+0x%x) and thread %d of block %u (+0x%x)", s.kernel, what, (void*)address, before.thread,
           before.block - s.first_block, before.pc, now.thread, now.block - s.first_block, now.pc);
  s.reports.emplace_back(text);
}

void note(State& s, int thread, const void* p, size_t bytes, bool write, bool atomic, const void* pc) {
  const uintptr_t address = (uintptr_t)p;
  if (thread == s.thread && address >= s.stack && address < s.stack_end) return;
  const Access now{s.block, s.epoch, s.clocks[thread][thread % 32], (uint32_t)((uintptr_t)pc - s.base), (uint16_t)thread, atomic};
  for (uintptr_t at = address; at < address + bytes; at++) {
    Cell& c = cell(s, at);
    auto races = [&](const Access& before) { return !ordered(s, at, before, now) && !(before.atomic && atomic); };
    if (races(c.write)) report(s, write ? "two writes" : "a write and a read", at, c.write, now);
    if (write) {
      for (const Access& read : c.read)
        if (races(read)) report(s, "a read and a write", at, read, now);
      c.write = now;
    }
    // An atomic reads, too; but a write that races with it races with its write.
    if (!write) {
      if (c.read[0].block == now.block && c.read[0].thread == now.thread) c.read[0] = now;
      else c.read[1] = c.read[0], c.read[0] = now;
    }
  }
}

}  // namespace

void launch(const char* kernel, Range dynamic_shared, Range static_shared) {
  State& s = state();
  s.shared[0] = dynamic_shared, s.shared[1] = static_shared;
  s.kernel = kernel, s.first_block = s.block + 1;
  if (s.pages.size() > kMaxPages) s.pages.clear();  // nothing of an earlier launch counts
  s.last_page = ~uintptr_t{0};
}
void block(int threads) {
  State& s = state();
  s.block++, s.epoch = 0;
  memset(s.clocks, 0, (size_t)threads * sizeof s.clocks[0]);
  for (int t = 0; t < threads; t++) s.clocks[t][t % 32] = 1;
}
void run(int thread, const void* stack, size_t stack_bytes) {
  State& s = state();
  s.thread = thread, s.stack = (uintptr_t)stack, s.stack_end = s.stack + stack_bytes;
}
void barrier() { state().epoch++; }
void warp(int first, unsigned mask) {
  State& s = state();
  uint32_t joined[32] = {};
  for (int i = 0; i < 32; i++)
    if (mask >> i & 1)
      for (int j = 0; j < 32; j++)
        if (s.clocks[first + i][j] > joined[j]) joined[j] = s.clocks[first + i][j];
  for (int i = 0; i < 32; i++)
    if (mask >> i & 1) {
      memcpy(s.clocks[first + i], joined, sizeof joined);
      s.clocks[first + i][i]++;
    }
}
void access(const void* p, size_t bytes, bool write, bool atomic, const void* pc) {
  State& s = state();
  if (s.thread >= 0 && bytes > 0) note(s, s.thread, p, bytes, write, atomic, pc);
}
void access_of(int thread, const void* p, size_t bytes, bool write, const void* pc) { note(state(), thread, p, bytes, write, false, pc); }
unsigned random(unsigned n) {
  uint64_t& x = state().seed;  // xorshift64 (Marsaglia 2003)
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  return (unsigned)(x >> 33) % n;
}

}  // namespace race
}  // namespace kedge_emu

using namespace kedge_emu;

// The races since the last call, a line each, as much as fits; returns their number. A place is +0x... in the library, for addr2line.
extern "C" __attribute__((visibility("default"))) int64_t kedge_emu_races(char* out, int64_t capacity) {
  std::string text;
  for (const std::string& line : race::state().reports) text += line + "\n";
  snprintf(out, (size_t)capacity, "%s", text.c_str());
  const int64_t count = (int64_t)race::state().reports.size();
  race::state().reports.clear();
  race::state().seen.clear();
  return count;
}

// ---- what -fsanitize=thread calls ----
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit(void) {}
void __tsan_vptr_update(void**, void*) {}
#define KEDGE_TSAN(name, bytes, write) \
  void name(void* p) { race::access(p, bytes, write, false, __builtin_return_address(0)); }
#define KEDGE_TSAN_SIZE(bytes)                           \
  KEDGE_TSAN(__tsan_read##bytes, bytes, false)           \
  KEDGE_TSAN(__tsan_write##bytes, bytes, true)           \
  KEDGE_TSAN(__tsan_unaligned_read##bytes, bytes, false) \
  KEDGE_TSAN(__tsan_unaligned_write##bytes, bytes, true) \
  KEDGE_TSAN(__tsan_volatile_read##bytes, bytes, false)  \
  KEDGE_TSAN(__tsan_volatile_write##bytes, bytes, true)
KEDGE_TSAN_SIZE(1)
KEDGE_TSAN_SIZE(2)
KEDGE_TSAN_SIZE(4)
KEDGE_TSAN_SIZE(8)
KEDGE_TSAN_SIZE(16)
void __tsan_read_range(void* p, size_t bytes) { race::access(p, bytes, false, false, __builtin_return_address(0)); }
void __tsan_write_range(void* p, size_t bytes) { race::access(p, bytes, true, false, __builtin_return_address(0)); }
// std::atomic and the guards of static variables, on the host.
#define KEDGE_TSAN_ATOMIC(bits, T)                                                                                       \
  T __tsan_atomic##bits##_load(const volatile T* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }                  \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }                  \
  T __tsan_atomic##bits##_fetch_or(volatile T* p, T v, int) { return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST); }          \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
KEDGE_TSAN_ATOMIC(8, char)
KEDGE_TSAN_ATOMIC(32, int)
KEDGE_TSAN_ATOMIC(64, long)
}
#endif
