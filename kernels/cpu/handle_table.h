// What owners.cpp and handles.cpp share: the handle table, process-wide, behind one mutex; an operation is some dozens of nanoseconds. See
// kedge.h for the rules. The table holds addresses and never touches what lies there. Everything here runs with the mutex held.
//
// A slot's generation grows with every move and release, so that { slot, generation } names one holding of one tensor. A slot remembers
// what became of its last few generations, for the words of an error. Generations do not wrap: a slot that has used half of them is not
// given out again.
#pragma once
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "common.h"

namespace kedge::handles {
constexpr uint32_t kNone = UINT32_MAX;  // no slot
constexpr uint32_t kRetire = 1u << 31;  // a slot released at this generation or above is not reused
constexpr int kFates = 4;               // generations remembered per slot

enum class End : uint8_t { unknown, freed, moved, owner_died };
struct Fate {
  uint32_t generation = 0, owner = 0;  // owner: the new one (moved) or the dead one (owner_died)
  End end = End::unknown;
};
struct Lend {
  uint32_t borrower, count;
};

struct Slot {
  uint32_t generation = 1;
  uint32_t owner = 0;                      // 0: free
  uint32_t previous = kNone, next = kNone;  // the owner's list; `next` also chains free slots
  int32_t device = 0;
  uint64_t address = 0, event = 0;
  int64_t bytes = 0;
  std::vector<Lend> lends;
  Fate fates[kFates];
};

struct Owner {
  bool alive = true;
  uint32_t first = kNone;
  int64_t bytes = 0, handles = 0, lent = 0;  // lent: handles with at least one lend
  std::unordered_map<uint32_t, uint32_t> borrowed;  // slot -> lends
  std::vector<std::pair<uint32_t, uint32_t>> orphans;  // { slot, generation } of dead owners whose last lend ended with this owner's death
};

struct Table {
  std::mutex mutex;
  std::vector<Owner> owners;  // id - 1
  std::vector<Slot> slots;
  uint32_t free_slot = kNone;
};

// Never destroyed: workers may still use it while the process ends.
inline Table& table() {
  static Table* instance = new Table;
  return *instance;
}

inline Owner* find_owner(Table& t, uint32_t id) { return id >= 1 && id <= t.owners.size() ? &t.owners[id - 1] : nullptr; }

#define KEDGE_OWNER(name, id) \
  Owner* name = find_owner(t, id); \
  if (!name) return fail(status, KEDGE_HANDLE, "owner %u was never opened", id)
#define KEDGE_LIVING(name, id) \
  KEDGE_OWNER(name, id); \
  if (!name->alive) return fail(status, KEDGE_HANDLE, "owner %u died", id)

// The slot of a live handle; otherwise NULL, and the status says what became of it.
inline Slot* find_slot(Table& t, uint32_t slot, uint32_t generation, kedge_status* status) {
  if (slot >= t.slots.size() || generation == 0 || generation > t.slots[slot].generation) {
    fail(status, KEDGE_HANDLE, "tensor %u/%u was never registered", slot, generation);
    return nullptr;
  }
  Slot& s = t.slots[slot];
  if (generation == s.generation && s.owner) return &s;
  Fate fate;
  for (const Fate& f : s.fates)
    if (f.generation == generation) fate = f;
  switch (fate.end) {
    case End::freed: fail(status, KEDGE_HANDLE, "tensor %u/%u: it was freed", slot, generation); break;
    case End::moved: fail(status, KEDGE_HANDLE, "tensor %u/%u: it was moved to owner %u", slot, generation, fate.owner); break;
    case End::owner_died: fail(status, KEDGE_HANDLE, "tensor %u/%u: its owner %u died", slot, generation, fate.owner); break;
    default:
      if (generation == s.generation)
        fail(status, KEDGE_HANDLE, "tensor %u/%u was never registered", slot, generation);
      else
        fail(status, KEDGE_HANDLE, "tensor %u/%u: it was freed or moved long ago", slot, generation);
  }
  return nullptr;
}

// The slot of a live handle that `owner` may change: owned by it, and not lent. NULL with the reason otherwise.
inline Slot* find_own(Table& t, uint32_t owner, uint32_t slot, uint32_t generation, bool lent_allowed, kedge_status* status) {
  Owner* account = find_owner(t, owner);
  if (!account || !account->alive) {
    const char* words = account ? "tensor %u/%u: owner %u died" : "tensor %u/%u: owner %u was never opened";
    fail(status, KEDGE_HANDLE, words, slot, generation, owner);
    return nullptr;
  }
  Slot* s = find_slot(t, slot, generation, status);
  if (!s) return nullptr;
  if (s->owner != owner) {
    const char* words = find_owner(t, s->owner)->alive ? "tensor %u/%u: it belongs to owner %u" : "tensor %u/%u: its owner %u died";
    fail(status, KEDGE_HANDLE, words, slot, generation, s->owner);
    return nullptr;
  }
  if (!s->lends.empty() && !lent_allowed) {
    fail(status, KEDGE_HANDLE, "tensor %u/%u: it is lent to owner %u", slot, generation, s->lends.front().borrower);
    return nullptr;
  }
  return s;
}

inline void link(Table& t, Owner& owner, uint32_t id, uint32_t slot) {
  Slot& s = t.slots[slot];
  s.owner = id;
  s.previous = kNone;
  s.next = owner.first;
  if (owner.first != kNone) t.slots[owner.first].previous = slot;
  owner.first = slot;
  owner.bytes += s.bytes;
  owner.handles++;
}

inline void unlink(Table& t, uint32_t slot) {
  Slot& s = t.slots[slot];
  Owner& owner = t.owners[s.owner - 1];
  if (s.previous != kNone) t.slots[s.previous].next = s.next;
  if (s.next != kNone) t.slots[s.next].previous = s.previous;
  if (owner.first == slot) owner.first = s.next;
  owner.bytes -= s.bytes;
  owner.handles--;
}

inline void end_generation(Slot& s, End end, uint32_t owner) {
  for (int i = kFates - 1; i > 0; i--) s.fates[i] = s.fates[i - 1];
  s.fates[0] = Fate{s.generation, owner, end};
  s.generation++;
}

// Takes a handle out of the table; out as of owner_reclaim.
inline void take_out(Table& t, uint32_t slot, End end, uint64_t* out) {
  Slot& s = t.slots[slot];
  out[0] = s.address;
  out[1] = (uint64_t)s.bytes;
  out[2] = (uint64_t)(int64_t)s.device;
  out[3] = s.event;
  unlink(t, slot);
  end_generation(s, end, s.owner);
  s.owner = 0;
  if (s.generation >= kRetire) return;
  s.next = t.free_slot;
  t.free_slot = slot;
}

// Ends `count` lends of a slot to a borrower; the borrower's own record is the caller's. True where no lend is left.
inline bool end_lends(Table& t, Slot& s, uint32_t borrower, uint32_t count) {
  for (size_t i = 0; i < s.lends.size(); i++) {
    if (s.lends[i].borrower != borrower) continue;
    s.lends[i].count -= count;
    if (s.lends[i].count == 0) s.lends.erase(s.lends.begin() + (ptrdiff_t)i);
    break;
  }
  if (!s.lends.empty()) return false;
  t.owners[s.owner - 1].lent--;
  return true;
}

inline int32_t no_memory(kedge_status* status) {
  return fail(status, KEDGE_OUT_OF_MEMORY, "the system gives no memory for the handle table");
}

}  // namespace kedge::handles
