// Handles of tensors that may cross threads: register, resolve, move, lend, return, release.
#include "handle_table.h"

using namespace kedge;
using namespace kedge::handles;

int32_t kedge_handle_register(uint32_t owner, uint64_t address, int64_t bytes, int32_t device, uint32_t* out, kedge_status* status) {
  KEDGE_REQUIRE(out, "out is NULL");
  KEDGE_REQUIRE(address, "address is NULL");
  KEDGE_REQUIRE(bytes >= 0, "bytes is %lld", (long long)bytes);
  KEDGE_REQUIRE(device >= -1, "device is %d", device);
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  KEDGE_LIVING(account, owner);
  uint32_t slot = t.free_slot;
  if (slot == kNone) {
    if (t.slots.size() >= kNone) return fail(status, KEDGE_HANDLE, "every slot is used");
    try {
      t.slots.emplace_back();
    } catch (const std::bad_alloc&) {
      return no_memory(status);
    }
    slot = (uint32_t)t.slots.size() - 1;
  } else {
    t.free_slot = t.slots[slot].next;
  }
  Slot& s = t.slots[slot];
  s.address = address;
  s.bytes = bytes;
  s.device = device;
  s.event = 0;
  link(t, *account, owner, slot);
  out[0] = slot;
  out[1] = s.generation;
  return ok(status);
}

int32_t kedge_handle_resolve(uint32_t user, uint32_t slot, uint32_t generation, uint64_t* out, kedge_status* status) {
  KEDGE_REQUIRE(out, "out is NULL");
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  Owner* account = find_owner(t, user);
  Slot* s = nullptr;
  if (account && account->alive && account->borrowed.count(slot)) s = find_slot(t, slot, generation, status);
  else s = find_own(t, user, slot, generation, true, status);
  if (!s) return KEDGE_HANDLE;
  out[0] = s->address;
  out[1] = (uint64_t)s->bytes;
  out[2] = s->event;
  out[3] = s->owner;
  return ok(status);
}

int32_t kedge_handle_move(uint32_t from, uint32_t to, uint32_t slot, uint32_t generation, uint64_t event, uint32_t* generation_out,
                          kedge_status* status) {
  KEDGE_REQUIRE(generation_out, "generation_out is NULL");
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  Slot* s = find_own(t, from, slot, generation, false, status);
  if (!s) return KEDGE_HANDLE;
  KEDGE_LIVING(receiver, to);
  if (s->generation == UINT32_MAX) return fail(status, KEDGE_HANDLE, "tensor %u/%u: it was moved too often; move a copy", slot, generation);
  unlink(t, slot);
  end_generation(*s, End::moved, to);
  s->event = event;
  link(t, *receiver, to, slot);
  *generation_out = s->generation;
  return ok(status);
}

int32_t kedge_handle_lend(uint32_t from, uint32_t to, uint32_t slot, uint32_t generation, kedge_status* status) {
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  KEDGE_REQUIRE(from != to, "owner %u would lend to itself", from);
  Slot* s = find_own(t, from, slot, generation, true, status);
  if (!s) return KEDGE_HANDLE;
  KEDGE_LIVING(receiver, to);
  Lend* lend = nullptr;
  for (Lend& l : s->lends)
    if (l.borrower == to) lend = &l;
  try {
    if (!lend) s->lends.reserve(s->lends.size() + 1);
    receiver->borrowed[slot]++;
  } catch (const std::bad_alloc&) {
    return no_memory(status);
  }
  if (s->lends.empty()) t.owners[from - 1].lent++;
  if (lend)
    lend->count++;
  else
    s->lends.push_back(Lend{to, 1});
  return ok(status);
}

int32_t kedge_handle_return(uint32_t borrower, uint32_t slot, uint32_t generation, uint64_t event, uint64_t* out, kedge_status* status) {
  KEDGE_REQUIRE(out, "out is NULL");
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  KEDGE_LIVING(account, borrower);
  Slot* s = find_slot(t, slot, generation, status);
  if (!s) return KEDGE_HANDLE;
  auto borrowed = account->borrowed.find(slot);
  if (borrowed == account->borrowed.end())
    return fail(status, KEDGE_HANDLE, "tensor %u/%u: it is not lent to owner %u", slot, generation, borrower);
  if (--borrowed->second == 0) account->borrowed.erase(borrowed);
  if (event) s->event = event;
  out[0] = out[1] = out[2] = out[3] = 0;
  if (end_lends(t, *s, borrower, 1) && !t.owners[s->owner - 1].alive) take_out(t, slot, End::owner_died, out);
  return ok(status);
}

int32_t kedge_handle_written(uint32_t owner, uint32_t slot, uint32_t generation, uint64_t event, kedge_status* status) {
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  Slot* s = find_own(t, owner, slot, generation, false, status);
  if (!s) return KEDGE_HANDLE;
  s->event = event;
  return ok(status);
}

int32_t kedge_handle_release(uint32_t owner, uint32_t slot, uint32_t generation, uint64_t* out, kedge_status* status) {
  KEDGE_REQUIRE(out, "out is NULL");
  Table& t = table();
  std::lock_guard<std::mutex> lock(t.mutex);
  Slot* s = find_own(t, owner, slot, generation, false, status);
  if (!s) return KEDGE_HANDLE;
  take_out(t, slot, End::freed, out);
  return ok(status);
}
