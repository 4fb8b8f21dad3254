// The processes of a run that computes on several ranks, over any MPI. The machine's own mpicxx compiles this file, so that MPI's handles,
// constants and types are the compiler's business, and TypeScript sees plain integers and addresses.
//
// Every operation has two phases. First each rank tells every other one that it is here, and which operation it is about to make. A rank
// waits for all of these short messages with long naps, so that its core is free for others; where one does not come within the limit, its
// rank is named. Then the data move, with short naps.
//
// All functions may be called from any thread. One lock guards MPI, which is started for serialized calls.
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

// Results of operations, besides the classes of MPI's errors, which are above 0.
constexpr int32_t OK = 0, LATE = -1, STOPPED = -2, MISMATCH = -3;
constexpr int CHANNELS = 8;
constexpr int64_t PIECE = int64_t(1) << 26; // bytes of one message: MPI's counts have 32 bits

// What a rank says when it comes to an operation.
struct Call {
  int64_t number;
  int64_t kind; // 1: exchange, 2: broadcast
  int64_t detail; // of a broadcast: its bytes
};

struct Channel {
  MPI_Comm calls = MPI_COMM_NULL, data = MPI_COMM_NULL;
  int64_t number = 0;
};

std::mutex lock;
std::atomic<bool> stopping{false};
Channel channels[CHANNELS];
int rank = 0, size = 1;

void say(char* words, int32_t capacity, const std::string& text) {
  if (capacity <= 0) return;
  const size_t n = text.size() < size_t(capacity - 1) ? text.size() : size_t(capacity - 1);
  memcpy(words, text.data(), n);
  words[n] = 0;
}

int32_t report(int code, char* words, int32_t capacity) {
  if (code == MPI_SUCCESS) return OK;
  char text[MPI_MAX_ERROR_STRING + 1];
  int n = 0, kind = 0;
  MPI_Error_string(code, text, &n);
  MPI_Error_class(code, &kind);
  say(words, capacity, std::string(text, size_t(n)));
  return kind > 0 ? kind : 1;
}

int64_t now_us() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t(t.tv_sec) * 1000000 + t.tv_nsec / 1000;
}

void nap(int64_t us) {
  timespec t = {time_t(us / 1000000), long(us % 1000000) * 1000};
  nanosleep(&t, nullptr);
}

// Requests with the rank that each waits for.
struct Requests {
  std::vector<MPI_Request> all;
  std::vector<int> from;

  MPI_Request* add(int other) {
    all.push_back(MPI_REQUEST_NULL);
    from.push_back(other);
    return &all.back();
  }
};

// The ranks whose requests are not done, as "rank 1, rank 3".
std::string missing(const Requests& requests) {
  std::vector<bool> late(size_t(size), false);
  for (size_t i = 0; i < requests.all.size(); i++) {
    if (requests.all[i] != MPI_REQUEST_NULL && requests.from[i] >= 0) late[size_t(requests.from[i])] = true;
  }
  std::string text;
  for (int k = 0; k < size; k++) {
    if (late[size_t(k)]) text += (text.empty() ? "rank " : ", rank ") + std::to_string(k);
  }
  return text;
}

// Waits until all requests are done. A wait begins with short naps; `longest` is what they grow to, in microseconds.
int32_t wait(Requests& requests, int64_t longest, int64_t limit_ms, char* words, int32_t capacity) {
  const int64_t start = now_us();
  for (int64_t turn = 0;; turn++) {
    {
      std::lock_guard<std::mutex> guard(lock);
      bool done = true;
      for (MPI_Request& request : requests.all) {
        if (request == MPI_REQUEST_NULL) continue;
        int flag = 0;
        const int code = MPI_Test(&request, &flag, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) return report(code, words, capacity);
        if (!flag) done = false;
      }
      if (done) return OK;
    }
    if (stopping.load()) {
      say(words, capacity, "this rank is ending");
      return STOPPED;
    }
    const int64_t waited = now_us() - start;
    if (limit_ms > 0 && waited > limit_ms * 1000) {
      say(words, capacity, missing(requests));
      return LATE;
    }
    if (turn < 50) continue;
    const int64_t us = waited / 50;
    nap(us < 20 ? 20 : us > longest ? longest : us);
  }
}

// The first phase. @returns OK when every rank has come to the same operation.
int32_t meet(Channel& channel, int64_t kind, int64_t detail, int64_t limit_ms, char* words, int32_t capacity) {
  // MPI may still write into this memory after a wait that was given up, so it is freed only after one that was not.
  struct Meeting {
    Call own;
    std::vector<Call> calls;
    Requests requests;
  };
  auto* meeting = new Meeting{{++channel.number, kind, detail}, std::vector<Call>(static_cast<size_t>(size)), {}};
  Call& own = meeting->own;
  std::vector<Call>& calls = meeting->calls;
  Requests& requests = meeting->requests;
  {
    std::lock_guard<std::mutex> guard(lock);
    for (int k = 0; k < size; k++) {
      if (k == rank) continue;
      int code = MPI_Irecv(&calls[size_t(k)], sizeof(Call), MPI_BYTE, k, 0, channel.calls, requests.add(k));
      if (code == MPI_SUCCESS) code = MPI_Isend(&own, sizeof(Call), MPI_BYTE, k, 0, channel.calls, requests.add(-1));
      if (code != MPI_SUCCESS) return report(code, words, capacity);
    }
  }
  const int32_t result = wait(requests, 1000, limit_ms, words, capacity);
  if (result != OK) return result;
  for (int k = 0; k < size; k++) {
    const Call& other = calls[size_t(k)];
    if (k == rank || (other.number == own.number && other.kind == kind && other.detail == detail)) continue;
    char text[200];
    snprintf(text, sizeof text, "rank %d makes operation %lld (kind %lld, %lld) while rank %d makes %lld (kind %lld, %lld)", k,
             (long long)other.number, (long long)other.kind, (long long)other.detail, rank, (long long)own.number, (long long)kind,
             (long long)detail);
    say(words, capacity, text);
    delete meeting;
    return MISMATCH;
  }
  delete meeting;
  return OK;
}

} // namespace

// Starts MPI in this process. Every rank calls it once. out: the rank, the number of ranks, and both among the ranks of this machine.
EXPORT int32_t kw_init(int32_t* out, char* words, int32_t capacity) {
  std::lock_guard<std::mutex> guard(lock);
  int level = 0, started = 0, code = MPI_Initialized(&started);
  if (code == MPI_SUCCESS && !started) code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
  if (code != MPI_SUCCESS) return report(code, words, capacity);
  if (!started && level < MPI_THREAD_SERIALIZED) {
    say(words, capacity, "this MPI was built without support for threads");
    return 1;
  }
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  for (Channel& channel : channels) {
    for (MPI_Comm* comm : {&channel.calls, &channel.data}) {
      if (*comm != MPI_COMM_NULL) continue;
      if ((code = MPI_Comm_dup(MPI_COMM_WORLD, comm)) != MPI_SUCCESS) return report(code, words, capacity);
      MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN);
    }
  }
  MPI_Comm near = MPI_COMM_NULL;
  if ((code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &near)) != MPI_SUCCESS) {
    return report(code, words, capacity);
  }
  out[0] = rank;
  out[1] = size;
  MPI_Comm_rank(near, &out[2]);
  MPI_Comm_size(near, &out[3]);
  MPI_Comm_free(&near);
  return OK;
}

// The library's name and version, such as "Open MPI v4.1.4". It may be called before kw_init.
EXPORT void kw_version(char* words, int32_t capacity) {
  char text[MPI_MAX_LIBRARY_VERSION_STRING + 1];
  int n = 0;
  MPI_Get_library_version(text, &n);
  say(words, capacity, std::string(text, size_t(n)));
}

// Sends out_bytes[k] bytes from the address out[k] to each rank k, and receives in_bytes[k] bytes from it at in[k]. The entries of the rank
// itself are not read. Bytes that one rank sends another must be as many as that one expects.
EXPORT int32_t kw_exchange(int32_t number, const uint64_t* out, const int64_t* out_bytes, const uint64_t* in, const int64_t* in_bytes,
                           int64_t limit_ms, char* words, int32_t capacity) {
  Channel& channel = channels[number];
  const int32_t met = meet(channel, 1, 0, limit_ms, words, capacity);
  if (met != OK) return met;
  Requests requests;
  {
    std::lock_guard<std::mutex> guard(lock);
    for (int step = 1; step < size; step++) { // every rank begins with another one
      const int to = (rank + step) % size, from = (rank + size - step) % size;
      for (int64_t at = 0; at < in_bytes[from]; at += PIECE) {
        const int n = int(in_bytes[from] - at < PIECE ? in_bytes[from] - at : PIECE);
        const int code = MPI_Irecv((char*)(uintptr_t)in[from] + at, n, MPI_BYTE, from, 0, channel.data, requests.add(from));
        if (code != MPI_SUCCESS) return report(code, words, capacity);
      }
      for (int64_t at = 0; at < out_bytes[to]; at += PIECE) {
        const int n = int(out_bytes[to] - at < PIECE ? out_bytes[to] - at : PIECE);
        const int code = MPI_Isend((const char*)(uintptr_t)out[to] + at, n, MPI_BYTE, to, 0, channel.data, requests.add(to));
        if (code != MPI_SUCCESS) return report(code, words, capacity);
      }
    }
  }
  return wait(requests, 100, limit_ms, words, capacity);
}

// Copies bytes from a rank's memory to that of all others.
EXPORT int32_t kw_broadcast(int32_t number, uint64_t address, int64_t bytes, int32_t root, int64_t limit_ms, char* words,
                            int32_t capacity) {
  Channel& channel = channels[number];
  const int32_t met = meet(channel, 2, bytes, limit_ms, words, capacity);
  if (met != OK) return met;
  for (int64_t at = 0; at < bytes; at += PIECE) {
    Requests requests;
    {
      std::lock_guard<std::mutex> guard(lock);
      const int n = int(bytes - at < PIECE ? bytes - at : PIECE);
      const int code = MPI_Ibcast((char*)(uintptr_t)address + at, n, MPI_BYTE, root, channel.data, requests.add(root));
      if (code != MPI_SUCCESS) return report(code, words, capacity);
    }
    const int32_t result = wait(requests, 100, limit_ms, words, capacity);
    if (result != OK) return result;
  }
  return OK;
}

// Makes every wait of this process return, now and from now on.
EXPORT void kw_stop(void) { stopping.store(true); }

// Ends the processes of all ranks, with an exit code. It does not take the lock: a thread that hangs in MPI may hold it.
EXPORT void kw_abort(int32_t code) { MPI_Abort(MPI_COMM_WORLD, code); }

// Ends MPI in this process. A process that ends without it counts as one that died.
EXPORT int32_t kw_finalize(void) {
  std::lock_guard<std::mutex> guard(lock);
  return MPI_Finalize();
}
