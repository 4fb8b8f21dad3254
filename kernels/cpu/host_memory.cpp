// Host memory of the whole process: a budget, a peak, and freed blocks kept for reuse, since the page faults of fresh memory cost more than
// most ops that fill it and training asks for the same sizes at each step.
//
// Blocks under 1 MB come from the C library in classes of eight to an octave, larger ones from mmap in steps of 64 KB (those of 4 MB and
// more on 2 MB boundaries, as huge pages where the system lends them). A kept block serves a request that it exceeds by at most an eighth.
// `used` counts bytes asked for, so that a peak does not depend on what was kept; `held` counts whole blocks, live and kept. A request
// fails where used would pass the budget; kept blocks go back to the system, oldest first, where held would, or would pass one and a half
// times the highest use so far: lengths that differ from step to step must not fill the machine with blocks that fit nothing any more.
#include <stdlib.h>
#include <sys/mman.h>

#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

#include "common.h"
#include "machine.h"

namespace kedge {
namespace {

constexpr int64_t kLarge = 1 << 20, kLargeStep = 64 << 10, kHuge = 4 << 20, kHugePage = 2 << 20, kAlwaysKept = 64 << 20;

struct Live {
  int64_t asked, block;
};
struct Kept {
  void* address;
  int64_t freed_at;
};

struct Memory {
  std::mutex mutex;
  std::unordered_map<uint64_t, Live> live;
  std::map<int64_t, std::deque<Kept>> kept;  // by block size; oldest in front
  int64_t used = 0, peak = 0, highest = 0, held = 0, cached = 0, ever = 0, clock = 0;  // highest: a peak that is never reset
  int64_t budget = -1;  // -1: not asked for yet
};

// Never destroyed: workers may still free while the process ends.
Memory& memory() {
  static Memory* instance = new Memory;
  return *instance;
}

int64_t round_up(int64_t bytes, int64_t step) { return (bytes + step - 1) / step * step; }

int64_t block_size(int64_t bytes) {
  if (bytes <= 512) return std::max<int64_t>(64, round_up(bytes, 64));
  if (bytes >= kLarge) return round_up(bytes, kLargeStep);
  int log = 63 - __builtin_clzll((uint64_t)(bytes - 1));
  return round_up(bytes, int64_t{1} << (log - 3));
}

void* system_alloc(int64_t block) {
  if (block < kLarge) {
    void* p = nullptr;
    return posix_memalign(&p, 64, (size_t)block) == 0 ? p : nullptr;
  }
  int64_t extra = block >= kHuge ? kHugePage : 0;
  void* p = mmap(nullptr, (size_t)(block + extra), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  if (!extra) return p;
  char* start = (char*)round_up((int64_t)(intptr_t)p, kHugePage);
  int64_t before = start - (char*)p, after = extra - before;
  if (before) munmap(p, (size_t)before);
  if (after) munmap(start + block, (size_t)after);
#if defined(MADV_HUGEPAGE)
  madvise(start, (size_t)block, MADV_HUGEPAGE);
#endif
  return start;
}

void system_free(void* address, int64_t block) {
  if (block < kLarge)
    free(address);
  else
    munmap(address, (size_t)block);
}

// Returns kept blocks to the system, oldest first, until at most `limit` bytes are held or none is kept.
void trim(Memory& m, int64_t limit) {
  while (m.held > limit && !m.kept.empty()) {
    auto oldest = m.kept.begin();
    for (auto bin = m.kept.begin(); bin != m.kept.end(); ++bin)
      if (bin->second.front().freed_at < oldest->second.front().freed_at) oldest = bin;
    int64_t block = oldest->first;
    system_free(oldest->second.front().address, block);
    m.held -= block;
    m.cached -= block;
    oldest->second.pop_front();
    if (oldest->second.empty()) m.kept.erase(oldest);
  }
}

int64_t default_budget() { return (int64_t)((double)free_memory() * 0.8); }

int32_t out_of_memory(const Memory& m, int64_t bytes, const char* why, kedge_status* status) {
  fail(status, KEDGE_OUT_OF_MEMORY, "%lld bytes asked, %lld of %lld used, %lld free%s", (long long)bytes, (long long)m.used,
       (long long)m.budget, (long long)std::max<int64_t>(0, m.budget - m.used), why);
  if (status) status->needed = bytes;
  return KEDGE_OUT_OF_MEMORY;
}

// A kept block for a request of `bytes` whose own block would be `wanted`; the newest of the best-fitting size. NULL where none fits.
void* take_kept(Memory& m, int64_t bytes, int64_t wanted, int64_t* block) {
  auto bin = m.kept.lower_bound(wanted);
  if (bin == m.kept.end() || bin->first > std::max(wanted, bytes + bytes / 8)) return nullptr;
  void* address = bin->second.back().address;
  *block = bin->first;
  bin->second.pop_back();
  if (bin->second.empty()) m.kept.erase(bin);
  m.cached -= *block;
  return address;
}

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_host_alloc(int64_t bytes, uint64_t* out, kedge_status* status) {
  KEDGE_REQUIRE(out, "out is NULL");
  KEDGE_REQUIRE(bytes >= 0, "bytes is %lld", (long long)bytes);
  Memory& m = memory();
  std::lock_guard<std::mutex> lock(m.mutex);
  uint64_t address = 0;
  try {
    if (m.budget < 0) m.budget = default_budget();
    if (bytes > m.budget - m.used) return out_of_memory(m, bytes, "", status);
    int64_t block = block_size(bytes);
    void* p = take_kept(m, bytes, block, &block);
    if (!p) {
      trim(m, m.budget - block);
      p = system_alloc(block);
      if (!p && m.cached > 0) {
        trim(m, 0);
        p = system_alloc(block);
      }
      if (!p) return out_of_memory(m, bytes, ", but the system gives no more", status);
      m.held += block;
    }
    try {
      m.live.emplace((uint64_t)(uintptr_t)p, Live{bytes, block});
    } catch (const std::bad_alloc&) {
      system_free(p, block);
      m.held -= block;
      throw;
    }
    address = (uint64_t)(uintptr_t)p;
  } catch (const std::bad_alloc&) {
    return out_of_memory(m, bytes, ", but the system gives no more", status);
  }
  m.used += bytes;
  m.peak = std::max(m.peak, m.used);
  m.highest = std::max(m.highest, m.used);
  m.ever++;
  *out = address;
  return ok(status);
}

int32_t kedge_host_free(uint64_t address, kedge_status* status) {
  Memory& m = memory();
  std::lock_guard<std::mutex> lock(m.mutex);
  auto entry = m.live.find(address);
  KEDGE_REQUIRE(entry != m.live.end(), "address 0x%llx is not of a live allocation: freed already, or never given",
                (unsigned long long)address);
  Live block = entry->second;
  m.live.erase(entry);
  m.used -= block.asked;
  bool kept = false;
  if (m.held <= m.budget) {
    try {
      m.kept[block.block].push_back(Kept{(void*)(uintptr_t)address, m.clock++});
      kept = true;
    } catch (const std::bad_alloc&) {
      auto bin = m.kept.find(block.block);
      if (bin != m.kept.end() && bin->second.empty()) m.kept.erase(bin);
    }
  }
  if (kept) {
    m.cached += block.block;
    trim(m, std::max(kAlwaysKept, m.highest + m.highest / 2));
  } else {
    system_free((void*)(uintptr_t)address, block.block);
    m.held -= block.block;
  }
  return ok(status);
}

int32_t kedge_host_memory(int64_t* out, kedge_status* status) {
  KEDGE_REQUIRE(out, "out is NULL");
  Memory& m = memory();
  std::lock_guard<std::mutex> lock(m.mutex);
  try {
    if (m.budget < 0) m.budget = default_budget();
  } catch (const std::bad_alloc&) {
    return out_of_memory(m, 0, ", and the system gives no more", status);
  }
  const int64_t facts[6] = {m.used, m.peak, m.cached, m.budget, (int64_t)m.live.size(), m.ever};
  memcpy(out, facts, sizeof facts);
  return ok(status);
}

int32_t kedge_host_budget(int64_t bytes, int32_t reset_peak, kedge_status* status) {
  Memory& m = memory();
  std::lock_guard<std::mutex> lock(m.mutex);
  try {
    if (bytes <= 0) {
      trim(m, 0);  // what is kept is free
      bytes = m.used + default_budget();
    }
  } catch (const std::bad_alloc&) {
    return out_of_memory(m, 0, ", and the system gives no more", status);
  }
  m.budget = bytes;
  trim(m, bytes);
  if (reset_peak) m.peak = m.used;
  return ok(status);
}

int32_t kedge_host_trim(kedge_status* status) {
  Memory& m = memory();
  std::lock_guard<std::mutex> lock(m.mutex);
  trim(m, 0);
  return ok(status);
}

int32_t kedge_host_read(void* out, uint64_t address, int64_t bytes, kedge_status* status) {
  KEDGE_REQUIRE(bytes >= 0, "bytes is %lld", (long long)bytes);
  KEDGE_REQUIRE(bytes == 0 || (out && address), "out or address is NULL");
  if (bytes) memcpy(out, (const void*)(uintptr_t)address, (size_t)bytes);
  return ok(status);
}

int32_t kedge_host_write(uint64_t address, const void* data, int64_t bytes, kedge_status* status) {
  KEDGE_REQUIRE(bytes >= 0, "bytes is %lld", (long long)bytes);
  KEDGE_REQUIRE(bytes == 0 || (data && address), "data or address is NULL");
  if (bytes) memcpy((void*)(uintptr_t)address, data, (size_t)bytes);
  return ok(status);
}

int32_t kedge_host_info(int32_t* out, kedge_status* status) {
  KEDGE_REQUIRE(out, "out is NULL");
  int32_t cores = 1;
  try {
    cores = usable_cores();
  } catch (const std::bad_alloc&) {  // one core is always there
  }
  const int32_t facts[4] = {cores, 0, kLanes * 4, 0};
  memcpy(out, facts, sizeof facts);
  return ok(status);
}
