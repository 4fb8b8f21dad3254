// Threads of the CPU kernels: a pool of the process, and chunks of work that whoever has time takes.
#pragma once
#include <dlfcn.h>
#include <sched.h>
#include <stdint.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace kedge {

// One job at a time. The caller works too, and waits only for chunks that a worker has taken, never for a worker that the system has not
// run: beside one busy process, an OpenMP barrier made a rollout of 0.7 s last 4 s, since now and then it waits for a time slice of
// somebody else.
class Threads {
 public:
  static Threads& pool() {
    static Threads* const threads = new Threads;  // never destroyed: its threads outlive main
    return *threads;
  }
  // Of the thread that runs a chunk: 0 for a caller, else below the `threads` of the job. It names a thread's part of a workspace.
  static int index() { return index_; }

  // body(argument, chunk) for chunk in [0, chunks) on at most `threads` threads. A second caller meanwhile does all of its chunks itself.
  void run(int threads, int64_t chunks, void (*body)(void*, int64_t), void* argument) {
    if (busy_.test_and_set(std::memory_order_acquire)) {
      for (int64_t c = 0; c < chunks; c++) body(argument, c);
      return;
    }
    grow(threads - 1);
    Job job{ body, argument, chunks, threads - 1, {} };
    job_.store(&job);
    epoch_.fetch_add(1);
    if (sleeping_.load() > 0) {
      std::lock_guard<std::mutex> lock(sleep_);
      wake_.notify_all();
    }
    job.work();
    // A worker enters before it looks for the job: one that comes from here on finds none.
    job_.store(nullptr);
    for (int spins = 0; inside_.load() > 0; spins++) relax(spins);
    busy_.clear(std::memory_order_release);
  }

 private:
  static constexpr int kSpins = 2000;  // about 50 microseconds: the pause between two ops of a step
  struct Job {
    void (*body)(void*, int64_t);
    void* argument;
    int64_t chunks;
    int workers;  // those with an index up to this take part
    std::atomic<int64_t> next;
    void work() {
      for (int64_t c; (c = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) body(argument, c);
    }
  };
  static inline thread_local int index_ = 0;
  alignas(64) std::atomic<Job*> job_{ nullptr };
  alignas(64) std::atomic<uint32_t> epoch_{ 0 };
  alignas(64) std::atomic<int> inside_{ 0 };
  alignas(64) std::atomic<int> sleeping_{ 0 };
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
  std::mutex sleep_;
  std::condition_variable wake_;
  int count_ = 0;

  // The library must stay mapped as long as its threads live, whoever closes it.
  Threads() {
    Dl_info here;
    if (dladdr((void*)&Threads::pool, &here)) dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  }
  static void relax(int spins) {
    if (spins % 64 == 63) sched_yield();
#if defined(__x86_64__)
    else __builtin_ia32_pause();
#endif
  }
  // Where the system gives no more threads, fewer do the work.
  void grow(int count) {
    try {
      for (; count_ < count; count_++) std::thread([this, i = count_ + 1] { live(i); }).detach();
    } catch (...) {
    }
  }
  void live(int i) {
    index_ = i;
    uint32_t seen = 0;
    for (;;) {
      for (int spins = 0; epoch_.load() == seen; spins++) {
        if (spins < kSpins) {
          relax(spins);
          continue;
        }
        std::unique_lock<std::mutex> lock(sleep_);
        sleeping_.fetch_add(1);
        wake_.wait(lock, [&] { return epoch_.load() != seen; });
        sleeping_.fetch_sub(1);
      }
      seen = epoch_.load();
      inside_.fetch_add(1);
      if (Job* job = job_.load(); job && i <= job->workers) job->work();
      inside_.fetch_sub(1);
    }
  }
};

}  // namespace kedge
