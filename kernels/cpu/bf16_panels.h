// A weight W [n, k] in bf16, packed once in the order in which the GEMM reads it. It is laid out as the f32 panels of gemm_kernel.h (blocks of
// kDepth along k, each a row of panels [depth, kCols]; columns past n are 0), at half the size.
#pragma once
#include "gemm_kernel.h"

namespace kedge {
namespace {

// Where column c lies in a row of its panel.
inline int place(int c) { return kPaired ? c % kLanes * 2 + c / kLanes : c; }

struct Bf16Panels {
  const bf16* data;
  int64_t n, k;
  // Row p of the panel that begins at column j.
  const bf16* row(int64_t j, int64_t p) const {
    const int64_t block = p / kDepth * kDepth;
    return data + Panels{nullptr, round_up(n, kCols), k}.offset(block, j) + (p - block) * kCols;
  }
};

// dst[p * kCols + i] = W[j + i][p0 + p], p < depth, all of one block: a panel of f32.
inline void expand_panel(float* dst, const Bf16Panels& w, int64_t j, int64_t p0, int64_t depth) {
  const bf16* from = w.row(j, p0);
  for (int64_t p = 0; p < depth; p++) {
    vf row[kVecs];
    load_row(from + p * kCols, row);
    for (int v = 0; v < kVecs; v++) store(dst + p * kCols + v * kLanes, row[v]);
  }
}

// dst[p * kCols + i] = W[p0 + p][i0 + i] for i < cols, 0 for the others; p < depth: a panel of f32 for a product with W itself. Tiles of W are
// expanded as they lie and turned.
inline void turn_panel(float* dst, const Bf16Panels& w, int64_t i0, int64_t cols, int64_t p0, int64_t depth) {
  alignas(64) float tile[kCols * kCols];
  for (int64_t p = 0; p < depth;) {
    const int64_t panel = (p0 + p) / kCols * kCols, skip = p0 + p - panel, wide = std::min(kCols - skip, depth - p);
    for (int64_t i = 0; i < kCols; i++) {
      vf row[kVecs] = {};
      if (i < cols) load_row(w.row(panel, i0 + i), row);
      for (int v = 0; v < kVecs; v++) store(tile + i * kCols + v * kLanes, row[v]);
    }
    pack_panel<kCols>(dst + p * kCols, {tile + skip, kCols, false}, kCols, wide);
    p += wide;
  }
}

}  // namespace
}  // namespace kedge
