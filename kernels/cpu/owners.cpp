// Owners of the handle table: an actor's account, what it holds, and what becomes of that when the actor dies.
#include "handle_table.h"

using namespace kedge;
using namespace kedge::handles;

int32_t kedge_owner_open(uint32_t* owner, kedge_status* status) {
  KEDGE_REQUIRE(owner, "owner is NULL");
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  if (t.owners.size() >= kNone) return fail(status, KEDGE_HANDLE, "every owner id is used");
  try {
    t.owners.emplace_back();
  } catch (const std::bad_alloc&) {
    return no_memory(status);
  }
  *owner = (uint32_t)t.owners.size();
  return ok(status);
}

int32_t kedge_owner_close(uint32_t owner, kedge_status* status) {
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  KEDGE_OWNER(account, owner);
  if (!account->alive) return ok(status);
  try {
    account->orphans.reserve(account->borrowed.size());
  } catch (const std::bad_alloc&) {
    return no_memory(status);
  }
  account->alive = false;
  for (auto [slot, count] : account->borrowed) {
    Slot& s = t.slots[slot];
    if (end_lends(t, s, owner, count) && !t.owners[s.owner - 1].alive) account->orphans.emplace_back(slot, s.generation);
  }
  account->borrowed.clear();
  return ok(status);
}

// Besides the owner's own handles: those of other dead owners whose last lend ended when this owner died, since nobody may look there
// again.
int32_t kedge_owner_reclaim(uint32_t owner, uint64_t* out, int64_t capacity, int64_t* count, kedge_status* status) {
  KEDGE_REQUIRE(count && (out || capacity == 0), "out or count is NULL");
  KEDGE_REQUIRE(capacity >= 0, "capacity is %lld", (long long)capacity);
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  KEDGE_OWNER(account, owner);
  if (account->alive) return fail(status, KEDGE_HANDLE, "owner %u is alive", owner);
  int64_t taken = 0;
  for (uint32_t slot = account->first; slot != kNone && taken < capacity;) {
    uint32_t next = t.slots[slot].next;
    if (t.slots[slot].lends.empty()) take_out(t, slot, End::owner_died, out + 4 * taken++);
    slot = next;
  }
  while (!account->orphans.empty() && taken < capacity) {
    auto [slot, generation] = account->orphans.back();
    account->orphans.pop_back();
    if (t.slots[slot].generation == generation) take_out(t, slot, End::owner_died, out + 4 * taken++);
  }
  *count = taken;
  return ok(status);
}

int32_t kedge_owner_account(uint32_t owner, int64_t* out, kedge_status* status) {
  KEDGE_REQUIRE(out, "out is NULL");
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  KEDGE_OWNER(account, owner);
  out[0] = account->bytes;
  out[1] = account->handles;
  out[2] = (int64_t)account->borrowed.size();
  out[3] = account->lent;
  return ok(status);
}
