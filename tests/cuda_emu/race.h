// Finds races between the threads of a launch, for builds with -DKEDGE_EMU_RACE: the kernels are compiled with -fsanitize=thread, whose calls for each access to
// memory race.cpp answers itself, without ThreadSanitizer's runtime.
//
// Two accesses race where one of them writes, not both are atomic, and nothing orders them. What orders: __syncthreads all threads of a block; __syncwarp the
// lanes of its mask; the end of a launch. Warp operations (shuffles, votes, ldmatrix, mma) order nothing, nor do atomics: the CUDA programming model promises no
// more (CUDA C++ Programming Guide, "Memory Fence Functions", "Warp Shuffle Functions"). cp.async writes at any time between its issue and its wait, so
// it counts as a write at both. The grain is a byte. An access is remembered until another takes its place: the last write, and the last two reads of
// different threads.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace kedge_emu {
namespace race {

struct Range {
  const void* start;
  size_t bytes;
};

#ifdef KEDGE_EMU_RACE
// Each block has shared memory of its own, at the same addresses as the others.
void launch(const char* kernel, Range dynamic_shared, Range static_shared);
// The next block of the launch, of so many threads.
void block(int threads);
// The thread that runs, with its stack, whose memory no other thread uses; -1: the host.
void run(int thread, const void* stack, size_t stack_bytes);
void barrier();
// __syncwarp of the lanes of `mask` in the warp that starts at `thread`.
void warp(int first, unsigned mask);
void access(const void* p, size_t bytes, bool write, bool atomic, const void* pc);
// As access, for another thread than the one that runs.
void access_of(int thread, const void* p, size_t bytes, bool write, const void* pc);
// A number below n.
unsigned random(unsigned n);
#else
inline void launch(const char*, Range, Range) {}
inline void block(int) {}
inline void run(int, const void*, size_t) {}
inline void barrier() {}
inline void warp(int, unsigned) {}
inline void access(const void*, size_t, bool, bool, const void*) {}
inline void access_of(int, const void*, size_t, bool, const void*) {}
inline unsigned random(unsigned) { return 0; }
#endif

}  // namespace race
}  // namespace kedge_emu
