// The machine behind cuda_emu.h: fibers, blocks, barriers, and the checks.
//
// A launch fails with cudaErrorLaunchFailure (the words: cudaGetErrorString) where
//   - a barrier is not reached by all live threads of the block, or threads meet at different barriers;
//   - a warp operation is not reached by all live lanes that its mask names, lanes meet in different operations, or a caller is not in its
//   own mask;
//   - bytes behind the dynamic shared memory were written;
// and with cudaErrorInvalidConfiguration where the grid, the block or the shared memory is beyond the limits, or where more than 48 KB of
// dynamic shared memory were not asked for by cudaFuncSetAttribute. Threads that have returned count as arrived, as on the hardware. A
// stack overflow hits a guard page. Launches of several host threads run one after another.
#include "cuda_emu.h"

#include <link.h>
#include <stdio.h>
#include <sys/mman.h>

#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#if !(defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__)))
#include <ucontext.h>
#define KEDGE_EMU_UCONTEXT 1
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// ---- fibers: a context is a stack pointer; what a call preserves lies on the stack ----
#ifdef KEDGE_EMU_UCONTEXT
namespace {
struct Context {
  ucontext_t ucontext;
};
void switch_to(Context* from, Context* to) { swapcontext(&from->ucontext, &to->ucontext); }
void start(Context* context, unsigned char* low, unsigned char* high, void (*entry)()) {
  getcontext(&context->ucontext);
  context->ucontext.uc_stack.ss_sp = low;
  context->ucontext.uc_stack.ss_size = high - low;
  context->ucontext.uc_link = nullptr;
  makecontext(&context->ucontext, entry, 0);
}
}  // namespace
#else
extern "C" __attribute__((visibility("hidden"))) void kedge_emu_switch(void** from, void* to);
#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
.globl kedge_emu_switch
.hidden kedge_emu_switch
.type kedge_emu_switch, @function
kedge_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size kedge_emu_switch, .-kedge_emu_switch
)");
#else
asm(R"(
.text
.p2align 4
.globl kedge_emu_switch
.hidden kedge_emu_switch
.type kedge_emu_switch, %function
kedge_emu_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size kedge_emu_switch, .-kedge_emu_switch
)");
#endif
namespace {
struct Context {
  void* sp;
};
inline void switch_to(Context* from, Context* to) { kedge_emu_switch(&from->sp, to->sp); }
inline void start(Context* context, unsigned char*, unsigned char* high, void (*entry)()) {
  void** sp = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(high) & ~uintptr_t{15});
#if defined(__x86_64__)
  *--sp = nullptr;  // where a return address would be: `entry` starts with the stack as after a call
  *--sp = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--sp = nullptr;
#else
  sp -= 20;
  for (int i = 0; i < 20; i++) sp[i] = nullptr;
  sp[11] = reinterpret_cast<void*>(entry);
#endif
  context->sp = sp;
}
}  // namespace
#endif

namespace kedge_emu {
unsigned char* dynamic_shared;

namespace {
constexpr size_t kStackBytes = 256 * 1024, kPage = 64 * 1024, kCanary = 1024;
constexpr int kMaxShared = 227 * 1024;  // of a block on sm_90
constexpr unsigned char kPoison = 0xff;  // a NaN as bf16, f16, f32 and f64, -1 as an integer
constexpr int kMaxThreads = 1024;

enum State : unsigned char { kFresh, kReady, kAtBarrier, kAtWarp, kDone };
struct Copy {
  void* to;
  const void* from;  // null: the end of a group
};
struct Fiber {
  Context context;
  std::vector<Copy> copies;
  unsigned char* stack;
  uint3 index;
  State state;
  unsigned mask;
  void (*block_combine)(void* const*, int);
  void (*warp_combine)(void* const*);
  void* arg;
  const char* file;
  int line;
};

std::mutex mutex;
Fiber fibers[kMaxThreads];
std::vector<unsigned char*> stacks;  // free ones
Context scheduler;
Fiber* running;
Body body;
int threads;
int64_t launches;
bool failed;
struct Errors {
  char message[512];
  cudaError_t last;
};
thread_local Errors errors;  // as in CUDA, errors belong to the host thread
std::map<const void*, int>* shared_limits;
int max_shared = kMaxShared;  // of the emulated device

template <class... A>
void launch_fails(cudaError_t error, const char* format, A... args) {
  if (errors.last == cudaSuccess) {
    snprintf(errors.message, sizeof errors.message, format, args...);
    errors.last = error;
  }
  failed = true;
}

// The calling thread's static __shared__ variables: all thread-local storage of this library.
struct Statics {
  unsigned char* data;
  size_t bytes;
};
int find_statics(dl_phdr_info* info, size_t, void* out) {
  const uintptr_t here = (uintptr_t)&find_statics;
  bool ours = false;
  size_t bytes = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const auto& header = info->dlpi_phdr[i];
    const uintptr_t start = info->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_LOAD && here >= start && here < start + header.p_memsz) ours = true;
    if (header.p_type == PT_TLS) bytes = header.p_memsz;
  }
  if (!ours) return 0;
  *(Statics*)out = {(unsigned char*)info->dlpi_tls_data, bytes};
  return 1;
}

// Poisons the static shared memory of a kernel's blocks. All of it is a megabyte: of a large grid, only the pages that the kernel has written are poisoned before
// each block. Which these are is found after the first block and after each launch.
class StaticShared {
 public:
  StaticShared(const void* kernel, uint64_t blocks) : whole_(blocks <= 64), pages_((*pages_of())[kernel]) {
    errors.last = errors.last;  // makes the runtime allocate this thread's storage
    dl_iterate_phdr(find_statics, &at_);
    poison(0, at_.bytes);
  }
  ~StaticShared() { learn(); }
  const void* data() const { return at_.data; }
  size_t bytes() const { return at_.bytes; }
  void before_block() {
    if (whole_) return poison(0, at_.bytes);
    if (first_) return void(first_ = false);
    if (!learned_) learn();
    learned_ = true;
    for (size_t page : pages_) poison(page * kPiece, kPiece);
  }

 private:
  static constexpr size_t kPiece = 4096;
  using Pages = std::map<const void*, std::set<size_t>>;
  static Pages* pages_of() {
    static Pages* it = new Pages;  // outlives every thread
    return it;
  }
  void poison(size_t from, size_t bytes) {
    const Errors kept = errors;
    memset(at_.data + from, kPoison, from + bytes < at_.bytes ? bytes : at_.bytes - from);
    errors = kept;
  }
  void learn() {
    for (size_t i = 0; i < at_.bytes; i++)
      if (at_.data[i] != kPoison && !(at_.data + i >= (unsigned char*)&errors && at_.data + i < (unsigned char*)(&errors + 1))) {
        pages_.insert(i / kPiece);
        i = (i / kPiece + 1) * kPiece - 1;
      }
  }
  Statics at_ = {};
  bool whole_, first_ = true, learned_ = false;
  std::set<size_t>& pages_;
};

unsigned char* take_stack() {
  if (!stacks.empty()) {
    unsigned char* s = stacks.back();
    stacks.pop_back();
    return s;
  }
  void* p = mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  mprotect(p, kPage, PROT_NONE);
  return static_cast<unsigned char*>(p) + kPage;
}

void fiber_main() {
  for (;;) {
    body.call(body.self);
    running->state = kDone;
    switch_to(&running->context, &scheduler);
  }
}

void to_scheduler() {
  Fiber* self = running;
  switch_to(&self->context, &scheduler);
}

// Runs a thread until it waits or returns.
void run(Fiber* f) {
  if (f->state == kFresh) {
    f->copies.clear();
    f->stack = take_stack();
    if (!f->stack) return launch_fails(cudaErrorLaunchFailure, "no memory for the emulated threads' stacks");
    // Stacks are staggered: at equal offsets they would share a few sets of the cache.
    start(&f->context, f->stack, f->stack + kStackBytes - (f - fibers) % 32 * 192, fiber_main);
  }
  f->state = kReady;
  running = f;
  threadIdx = f->index;
  race::run((int)(f - fibers), f->stack, kStackBytes);
  switch_to(&scheduler, &f->context);
  race::run(-1, nullptr, 0);
  if (f->state == kDone) stacks.push_back(f->stack);
}

// If all live lanes of f's mask wait in f's operation, completes it.
bool complete_warp(Fiber* f) {
  Fiber* warp = fibers + (f - fibers) / 32 * 32;
  int lanes = threads - (int)(warp - fibers) < 32 ? threads - (int)(warp - fibers) : 32;
  void* args[32] = {};
  for (int i = 0; i < lanes; i++) {
    if (!(f->mask >> i & 1) || warp[i].state == kDone) continue;
    if (warp[i].state != kAtWarp) return false;
    if (warp[i].mask != f->mask || warp[i].warp_combine != f->warp_combine || warp[i].line != f->line ||
        strcmp(warp[i].file, f->file) != 0) {
      launch_fails(cudaErrorLaunchFailure, "lanes of a warp meet in different operations: %s:%d (mask %08x) and %s:%d (mask %08x)", f->file,
                   f->line, f->mask, warp[i].file, warp[i].line, warp[i].mask);
      return false;
    }
    args[i] = warp[i].arg;
  }
  if (f->warp_combine) f->warp_combine(args);
  else race::warp((int)(warp - fibers), f->mask);
  for (int i = 0; i < lanes; i++)
    if ((f->mask >> i & 1) && warp[i].state == kAtWarp) warp[i].state = kReady;
  return true;
}

// Runs a warp until no lane of it can go on. True if any ran.
bool run_warp(int begin, int end, bool reverse) {
  bool any = false;
  for (bool again = true; again && !failed;) {
    again = false;
    const int from = (int)race::random((unsigned)(end - begin));
    for (int n = 0; n < end - begin && !failed; n++) {
      const int i = begin + (n + from) % (end - begin);
      Fiber* f = fibers + (reverse ? begin + end - 1 - i : i);
      if (f->state > kReady) continue;
      again = any = true;
      run(f);
      if (f->state == kDone && !failed)  // others may have waited for this lane alone
        for (int j = begin; j < end; j++)
          if (fibers[j].state == kAtWarp && (fibers[j].mask >> (f - fibers - begin) & 1) && complete_warp(fibers + j)) break;
    }
  }
  return any;
}

void release_barrier(const char* kernel) {
  void* args[kMaxThreads];
  int n = 0;
  Fiber* first = nullptr;
  for (int i = 0; i < threads; i++) {
    Fiber* f = fibers + i;
    if (f->state == kDone) continue;
    if (f->state != kAtBarrier) {
      const Fiber* waits = nullptr;
      for (int j = 0; j < threads; j++)
        if (fibers[j].state == kAtBarrier) waits = fibers + j;
      if (waits)
        return launch_fails(cudaErrorLaunchFailure,
                            "%s: thread %d waits at the barrier %s:%d, which thread %d never reaches: it waits at %s:%d", kernel,
                            (int)(waits - fibers), waits->file, waits->line, i, f->file, f->line);
      return launch_fails(cudaErrorLaunchFailure,
                          "%s: thread %d waits in a warp operation at %s:%d (mask %08x) that not all lanes of the mask reach", kernel, i,
                          f->file, f->line, f->mask);
    }
    if (first && (first->line != f->line || first->block_combine != f->block_combine || strcmp(first->file, f->file) != 0))
      return launch_fails(cudaErrorLaunchFailure, "%s: threads %d and %d meet at different barriers, %s:%d and %s:%d", kernel,
                          (int)(first - fibers), i, first->file, first->line, f->file, f->line);
    if (!first) first = f;
    args[n++] = f->arg;
  }
  if (first && first->block_combine) first->block_combine(args, n);
  race::barrier();
  for (int i = 0; i < threads; i++)
    if (fibers[i].state == kAtBarrier) fibers[i].state = kReady;
}

void run_block(const char* kernel, bool reverse) {
  race::block(threads);
  int i = 0;
  for (unsigned z = 0; z < blockDim.z; z++)
    for (unsigned y = 0; y < blockDim.y; y++)
      for (unsigned x = 0; x < blockDim.x; x++, i++) {
        fibers[i].state = kFresh;
        fibers[i].index = {x, y, z};
      }
  int warps = (threads + 31) / 32;
  while (!failed) {
    const int from = (int)race::random((unsigned)warps);
    for (int n = 0; n < warps && !failed; n++) {
      const int w = (n + from) % warps;
      int begin = (reverse ? warps - 1 - w : w) * 32;
      run_warp(begin, begin + 32 < threads ? begin + 32 : threads, reverse);
    }
    if (failed) break;
    bool done = true;
    for (int t = 0; t < threads; t++) done &= fibers[t].state == kDone;
    if (done) return;
    release_barrier(kernel);
  }
  for (int t = 0; t < threads; t++)  // given up
    if (fibers[t].state != kFresh && fibers[t].state != kDone && fibers[t].stack) stacks.push_back(fibers[t].stack);
}
}  // namespace

int lane_id() { return (int)((running - fibers) % 32); }

void block_barrier(void (*combine)(void* const*, int), void* arg, const char* file, int line) {
  Fiber* f = running;
  f->block_combine = combine, f->arg = arg, f->file = file, f->line = line;
  f->state = kAtBarrier;
  to_scheduler();
}

void warp_barrier(unsigned mask, void (*combine)(void* const*), void* arg, const char* file, int line) {
  Fiber* f = running;
  f->mask = mask, f->warp_combine = combine, f->arg = arg, f->file = file, f->line = line;
  f->state = kAtWarp;
  if (!(mask >> lane_id() & 1))
    launch_fails(cudaErrorLaunchFailure, "lane %d is not in its own mask %08x at %s:%d", lane_id(), mask, file, line);
  if (failed || !complete_warp(f)) to_scheduler();
  threadIdx = f->index;
}

void copy_async16(void* shared, const void* global) {
  if ((reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % 16)
    launch_fails(cudaErrorLaunchFailure, "an asynchronous copy of 16 bytes is not aligned to them");
  race::access(global, 16, false, false, __builtin_return_address(0));
  race::access(shared, 16, true, false, __builtin_return_address(0));
  running->copies.push_back({shared, global});
}
void copy_async_commit() { running->copies.push_back({nullptr, nullptr}); }
void copy_async_wait(int groups_left) {
  std::vector<Copy>& copies = running->copies;
  size_t end = copies.size();
  while (end > 0 && copies[end - 1].from) end--;  // what was not committed is not waited for
  for (; groups_left > 0 && end > 0; groups_left--)
    for (end--; end > 0 && copies[end - 1].from;) end--;
  for (size_t i = 0; i < end; i++)
    if (copies[i].from) {
      race::access(copies[i].to, 16, true, false, __builtin_return_address(0));
      memcpy(copies[i].to, copies[i].from, 16);
    }
  copies.erase(copies.begin(), copies.begin() + end);
}

void launch_body(const char* name, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, Body launched) {
  std::lock_guard<std::mutex> lock(mutex);
  failed = false;
  int64_t block_threads = (int64_t)block.x * block.y * block.z;
  if (block_threads < 1 || block_threads > kMaxThreads || block.z > 64)
    return launch_fails(cudaErrorInvalidConfiguration, "%s: a block of %u x %u x %u threads", name, block.x, block.y, block.z);
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    return launch_fails(cudaErrorInvalidConfiguration, "%s: a grid of %u x %u x %u blocks", name, grid.x, grid.y, grid.z);
  int limit = 48 * 1024;
  if (shared_limits && shared_limits->count(kernel) && (*shared_limits)[kernel] > limit) limit = (*shared_limits)[kernel];
  if (shared_bytes > (size_t)limit)
    return launch_fails(cudaErrorInvalidConfiguration, "%s: %zu bytes of dynamic shared memory, allowed are %d", name, shared_bytes, limit);
  if (!dynamic_shared) {
    void* p = mmap(nullptr, (size_t)kMaxShared + kCanary, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return launch_fails(cudaErrorLaunchFailure, "no memory for the emulated shared memory");
    dynamic_shared = static_cast<unsigned char*>(p);
  }
  body = launched;
  threads = (int)block_threads;
  blockDim = block, gridDim = grid;
  bool odd = launches++ & 1;
  uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
  StaticShared statics(kernel, blocks);
  race::launch(name, {dynamic_shared, kMaxShared}, {statics.data(), statics.bytes()});
  for (uint64_t b = 0; b < blocks && !failed; b++) {
    uint64_t at = odd ? blocks - 1 - b : b;
    blockIdx = {(unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y), (unsigned)(at / grid.x / grid.y)};
    memset(dynamic_shared, kPoison, shared_bytes + kCanary);
    statics.before_block();
    run_block(name, odd);
    for (size_t i = 0; i < kCanary && !failed; i++)
      if (dynamic_shared[shared_bytes + i] != kPoison)
        launch_fails(cudaErrorLaunchFailure, "%s: wrote byte %zu behind its %zu bytes of dynamic shared memory", name, i, shared_bytes);
  }
}

// Takes a moment behind the change, so that threads that change one kernel's limit for launches of their own meet.
cudaError_t set_shared_limit(const void* kernel, int bytes) {
  struct Pause {
    ~Pause() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }
  } pause;
  std::lock_guard<std::mutex> lock(mutex);
  if (bytes < 0 || bytes > max_shared) {
    launch_fails(cudaErrorInvalidValue, "%d bytes of dynamic shared memory asked for, a block may have %d", bytes, max_shared);
    return cudaErrorInvalidValue;
  }
  if (!shared_limits) shared_limits = new std::map<const void*, int>;
  (*shared_limits)[kernel] = bytes;
  return cudaSuccess;
}

// ---- warp operations ----
void shuffle(void* const* args) {
  for (int i = 0; i < 32; i++) {
    if (!args[i]) continue;
    Shuffle* s = static_cast<Shuffle*>(args[i]);
    const Shuffle* from = s->source >= 0 && s->source < 32 ? static_cast<const Shuffle*>(args[s->source]) : nullptr;
    if (from) s->out = from->in;
    else memset(&s->out, kPoison, sizeof s->out);  // undefined on the hardware
  }
}
namespace {
template <class F>
void fold(void* const* args, unsigned first, F f) {
  for (int i = 0; i < 32; i++)
    if (args[i]) first = f(first, static_cast<const Vote*>(args[i])->in, i);
  for (int i = 0; i < 32; i++)
    if (args[i]) static_cast<Vote*>(args[i])->out = first;
}
}  // namespace
void ballot(void* const* args) {
  fold(args, 0, [](unsigned r, unsigned v, int lane) { return r | v << lane; });
}
void reduce_add(void* const* args) {
  fold(args, 0, [](unsigned r, unsigned v, int) { return r + v; });
}
void reduce_min(void* const* args) {
  fold(args, ~0u, [](unsigned r, unsigned v, int) { return v < r ? v : r; });
}
void reduce_max(void* const* args) {
  fold(args, 0, [](unsigned r, unsigned v, int) { return v > r ? v : r; });
}
void reduce_min_signed(void* const* args) {
  fold(args, 0x7fffffffu, [](unsigned r, unsigned v, int) { return (int)v < (int)r ? v : r; });
}
void reduce_max_signed(void* const* args) {
  fold(args, 0x80000000u, [](unsigned r, unsigned v, int) { return (int)v > (int)r ? v : r; });
}
void reduce_or(void* const* args) {
  fold(args, 0, [](unsigned r, unsigned v, int) { return r | v; });
}
void sync_count(void* const* args, int n) {
  unsigned count = 0;
  for (int i = 0; i < n; i++) count += static_cast<const Vote*>(args[i])->in;
  for (int i = 0; i < n; i++) static_cast<Vote*>(args[i])->out = count;
}

// ---- tensor cores: lane = 4 group + in; A: row group (+8 for registers 1, 3), columns 2 in, +1 (+8 for registers 2, 3); B: column group,
// rows 2 in, +1
// (+8 for register 1); C: row group (+8 for 2, 3), columns 2 in, +1. PTX ISA, "Matrix Fragments for mma.m16n8k16". ----
void mma_m16n8k16(void* const* args) {
  float a[16][16], b[8][16];
  for (int lane = 0; lane < 32; lane++) {
    if (!args[lane]) {
      launch_fails(cudaErrorLaunchFailure, "mma without lane %d of the warp", lane);
      return;
    }
    const Mma* m = static_cast<const Mma*>(args[lane]);
    int group = lane >> 2, in = lane & 3;
    for (int r = 0; r < 4; r++)
      for (int h = 0; h < 2; h++)
        a[group + (r & 1) * 8][in * 2 + (r >> 1) * 8 + h] = __uint_as_float(h ? m->a[r] & 0xffff0000u : m->a[r] << 16);
    for (int r = 0; r < 2; r++)
      for (int h = 0; h < 2; h++) b[group][in * 2 + r * 8 + h] = __uint_as_float(h ? m->b[r] & 0xffff0000u : m->b[r] << 16);
  }
  for (int lane = 0; lane < 32; lane++) {
    float* d = static_cast<const Mma*>(args[lane])->d;
    for (int e = 0; e < 4; e++) {
      const float *x = a[(lane >> 2) + (e >> 1) * 8], *y = b[(lane & 3) * 2 + (e & 1)];
      float sum = 0;
      for (int k = 0; k < 16; k++) sum += x[k] * y[k];
      d[e] += sum;
    }
  }
}
namespace {
// Lane i gives the address of row i % 8 of matrix i / 8; lane i gets columns 2 (i % 4), +1 of row i / 4 (or rows and columns exchanged) of
// each.
void load_matrices(void* const* args, int count, bool transposed) {
  for (int lane = 0; lane < 32; lane++)
    if (!args[lane]) {
      launch_fails(cudaErrorLaunchFailure, "ldmatrix without lane %d of the warp", lane);
      return;
    }
  for (int i = 0; i < count * 8; i++)
    if (reinterpret_cast<uintptr_t>(static_cast<const LoadMatrix*>(args[i])->row) % 16) {
      launch_fails(cudaErrorLaunchFailure, "ldmatrix: the row of lane %d is not aligned to 16 bytes", i);
      return;
    }
  for (int lane = 0; lane < 32; lane++)
    for (int m = 0; m < count; m++) {
      int row = lane >> 2, column = (lane & 3) * 2;
      unsigned short v[2];
      for (int h = 0; h < 2; h++) {
        int r = transposed ? column + h : row, c = transposed ? row : column + h;
        const auto* from = static_cast<const unsigned short*>(static_cast<const LoadMatrix*>(args[m * 8 + r])->row) + c;
        race::access_of((int)(running - fibers) / 32 * 32 + lane, from, 2, false, __builtin_return_address(0));
        v[h] = *from;
      }
      static_cast<LoadMatrix*>(args[lane])->out[m] = v[0] | (uint32_t)v[1] << 16;
    }
}
}  // namespace
void load_matrix_x4(void* const* args) { load_matrices(args, 4, false); }
void load_matrix_x4_trans(void* const* args) { load_matrices(args, 4, true); }
void load_matrix_x2(void* const* args) { load_matrices(args, 2, false); }
void load_matrix_x2_trans(void* const* args) { load_matrices(args, 2, true); }
}  // namespace kedge_emu

// ---- the runtime ----
using namespace kedge_emu;
cudaError_t cudaPeekAtLastError() { return errors.last; }
cudaError_t cudaGetLastError() {
  cudaError_t error = errors.last;
  errors.last = cudaSuccess;
  return error;
}
const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : errors.message[0] ? errors.message : "an emulated error"; }
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaSuccess                     ? "cudaSuccess"
         : error == cudaErrorInvalidConfiguration ? "cudaErrorInvalidConfiguration"
                                                  : "cudaErrorLaunchFailure";
}
cudaError_t cudaSetDevice(int device) { return device == 0 || device == -1 ? cudaSuccess : cudaErrorInvalidDevice; }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount            ? 4
           : attribute == cudaDevAttrComputeCapabilityMajor       ? 9
           : attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin ? max_shared
                                                                  : 0;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  memmove(dst, src, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height, cudaMemcpyKind,
                              cudaStream_t) {
  if (width > dst_pitch || width > src_pitch) return cudaErrorInvalidValue;
  for (size_t r = 0; r < height; r++) memcpy((char*)dst + r * dst_pitch, (const char*)src + r * src_pitch, width);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* dst, int value, size_t bytes, cudaStream_t) {
  memset(dst, value, bytes);
  return cudaSuccess;
}

// Kernels that cannot run here.
extern "C" __attribute__((visibility("default"))) int kedge_emu_excluded(void) { return 0; }
// Sets the most dynamic shared memory of a block, as cards of other architectures have it: at most 227 KB, before the first launch.
extern "C" __attribute__((visibility("default"))) void kedge_emu_set_max_shared(int bytes) { max_shared = bytes; }
extern "C" __attribute__((visibility("default"))) int64_t kedge_emu_launches(void) { return launches; }
