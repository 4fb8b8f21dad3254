// Philox 4x32-10: a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A draw is a function
// of (key, counter) alone, so that it does not depend on the order or the number of draws. Runs on the host and on CUDA.
#pragma once
#include <stdint.h>

#include "both.h"

namespace kedge {
struct Philox4 {
  uint32_t x[4];
};

KEDGE_BOTH inline void philox_round(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3, uint32_t key0, uint32_t key1) {
  uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
  c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
  c1 = (uint32_t)p1;
  c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
  c3 = (uint32_t)p0;
}

KEDGE_BOTH inline Philox4 philox(uint32_t key0, uint32_t key1, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  for (int round = 0; round < 10; round++) {
    philox_round(c0, c1, c2, c3, key0, key1);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return Philox4{{c0, c1, c2, c3}};
}

// (0, 1), never either end.
KEDGE_BOTH inline double philox_unit(uint32_t x) { return ((double)x + 0.5) * (1.0 / 4294967296.0); }
}  // namespace kedge
