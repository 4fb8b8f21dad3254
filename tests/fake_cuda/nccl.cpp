// Stands for libnccl on the fake devices: sends and receives of ranks that are processes of one machine, over files in a folder that the id names.
// A group's work goes through the stream like any other, and is done when the group ends, as a GPU would do it on its own.
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "fake_cuda.h"

namespace {

enum Result { kOk = 0, kSystem = 2, kInternal = 3, kArgument = 4, kUsage = 5 };
constexpr int kTypes = 10;
constexpr size_t kBytes[kTypes] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
constexpr uint64_t kLive = 0x4e43434c;

struct Id {
  char internal[128];
};
struct Comm {
  uint64_t live;
  std::string folder;
  int rank, size, device;  // -1: that of the first stream
  std::vector<long> sent, received;
};
struct Move {
  bool sends;
  void* address;
  size_t bytes;
  int peer;
  Comm* comm;
  uint64_t stream;
};

thread_local int depth = 0;
thread_local std::vector<Move> group;

std::string name(const Comm& comm, int from, int to, long number) {
  return comm.folder + "/" + std::to_string(from) + "-" + std::to_string(to) + "-" + std::to_string(number);
}

bool give(const std::string& path, const void* data, size_t bytes) {
  const std::string part = path + ".part";
  FILE* file = fopen(part.c_str(), "wb");
  if (!file) return false;
  const bool whole = fwrite(data, 1, bytes, file) == bytes;
  return fclose(file) == 0 && whole && rename(part.c_str(), path.c_str()) == 0;
}

// What the other rank sent; as many bytes as are expected.
int take(const std::string& path, void* into, size_t bytes) {
  struct stat about;
  for (int i = 0; stat(path.c_str(), &about) != 0; i++) {
    if (i == 20000) {
      fake::violation("nccl: nothing came for a receive of %zu bytes", bytes);
      return kInternal;
    }
    usleep(1000);
  }
  if (size_t(about.st_size) != bytes) {
    fake::violation("nccl: a receive of %zu bytes meets a send of %lld", bytes, (long long)about.st_size);
    return kArgument;
  }
  FILE* file = fopen(path.c_str(), "rb");
  const bool whole = file && fread(into, 1, bytes, file) == bytes;
  if (file) fclose(file);
  unlink(path.c_str());
  return whole ? kOk : kSystem;
}

int add(bool sends, void* address, size_t count, int type, int peer, Comm* comm, uint64_t stream) {
  if (!comm || comm->live != kLive) {
    fake::violation("nccl: a connection is used that was ended");
    return kArgument;
  }
  if (type < 0 || type >= kTypes || peer < 0 || peer >= comm->size || peer == comm->rank) {
    fake::violation("nccl: type %d, peer %d", type, peer);
    return kArgument;
  }
  if (comm->device < 0) comm->device = fake::device_of(stream);
  if (fake::device_of(stream) != comm->device) {
    fake::violation("nccl: the stream is not one of the connection's device");
    return kArgument;
  }
  if (depth == 0) {
    fake::violation("nccl: a send or receive outside of a group would wait for its other side");
    return kUsage;
  }
  group.push_back({sends, address, count * kBytes[type], peer, comm, stream});
  return kOk;
}

int run(const std::vector<Move>& moves) {
  if (moves.empty()) return kOk;
  std::vector<fake::Access> accesses;
  for (const Move& move : moves) accesses.push_back({move.address, move.bytes, !move.sends});
  int result = kOk;
  const uint64_t stream = moves[0].stream;
  const int error = fake::enqueue("nccl group", stream, accesses, [&] {
    for (const Move& m : moves) {
      if (m.sends && !give(name(*m.comm, m.comm->rank, m.peer, m.comm->sent[size_t(m.peer)]++), m.address, m.bytes)) result = kSystem;
    }
    for (const Move& m : moves) {
      if (m.sends || result != kOk) continue;
      result = take(name(*m.comm, m.peer, m.comm->rank, m.comm->received[size_t(m.peer)]++), m.address, m.bytes);
    }
  });
  if (error != fake::kSuccess || fake::synchronize(stream) != fake::kSuccess) return kSystem;
  return result;
}

}  // namespace

FAKE_API int ncclGetVersion(int* version) {
  *version = 22803;
  return kOk;
}
FAKE_API const char* ncclGetErrorString(int result) {
  switch (result) {
    case kOk: return "no error";
    case kSystem: return "unhandled system error";
    case kArgument: return "invalid argument";
    case kUsage: return "invalid usage";
    default: return "internal error";
  }
}
FAKE_API int ncclGetUniqueId(Id* id) {
  memset(id, 0, sizeof *id);
  strcpy(id->internal, "/tmp/kedge-nccl-XXXXXX");
  return mkdtemp(id->internal) ? kOk : kSystem;
}
FAKE_API int ncclCommInitRank(Comm** out, int size, Id id, int rank) {
  struct stat about;
  if (rank < 0 || rank >= size || stat(id.internal, &about) != 0) return kArgument;
  *out = new Comm{kLive, id.internal, rank, size, -1, std::vector<long>(size_t(size)), std::vector<long>(size_t(size))};
  return kOk;
}
FAKE_API int ncclCommDestroy(Comm* comm) {
  if (!comm || comm->live != kLive) {
    fake::violation("nccl: a connection is ended twice");
    return kArgument;
  }
  comm->live = 0; // the memory stays, so that a use after this is noticed
  rmdir(comm->folder.c_str()); // the last one to end it finds it empty
  return kOk;
}
FAKE_API int ncclGroupStart() {
  depth++;
  return kOk;
}
FAKE_API int ncclGroupEnd() {
  if (depth == 0) {
    fake::violation("nccl: a group ends that did not begin");
    return kUsage;
  }
  if (--depth > 0) return kOk;
  std::vector<Move> moves;
  moves.swap(group);
  return run(moves);
}
FAKE_API int ncclSend(const void* address, size_t count, int type, int peer, Comm* comm, uint64_t stream) {
  return add(true, const_cast<void*>(address), count, type, peer, comm, stream);
}
FAKE_API int ncclRecv(void* address, size_t count, int type, int peer, Comm* comm, uint64_t stream) {
  return add(false, address, count, type, peer, comm, stream);
}
