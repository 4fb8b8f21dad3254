// GEMM: C = alpha op(A) op(B) + beta C in f32, row-major, any leading dimensions and transposes; and the same with B packed beforehand, in f32
// or in bf16.
// Packed panels, a register-blocked micro-kernel and cache blocks after Goto & van de Geijn, "Anatomy of High-Performance Matrix
// Multiplication" (ACM TOMS 34, 2008) and BLIS (Van Zee & van de Geijn, ACM TOMS 41, 2015).
//
// Order of sums: k is cut into blocks of kDepth. A block's sum is one chain of fused multiply-adds over k in order, starting at 0. The
// first block gives C = alpha sum where beta is 0; every other one C = fma(alpha, sum, C), after C = beta C where beta is neither 0 nor 1.
// Every path below keeps to it, so that an element's bits depend on its row of A, its column of B and k alone; tiles may follow shape and
// threads.
#include "bf16_panels.h"

namespace kedge {
namespace {

constexpr int64_t kBlockRows = 24 * kRows;              // a block of A [kBlockRows, kDepth] stays in L2
constexpr int64_t kSharedCols = 64 * kCols;             // columns of B packed at a time
constexpr int64_t kSharedB = kSharedCols * 4 * kDepth;  // floats of B packed at a time (4 MB where kCols is 16), in L3
constexpr int64_t kSharedA = 256 * 1024;                // floats of A packed at a time where m is small

// B into panels: a panel holds kCols columns of kDepth rows side by side, as the micro-kernel reads them. Each task owns some panels of one
// block of k. cut(dst, panel, j, cols, p, depth) writes panels, `panel` floats apart, of columns [j, j + cols) and rows [p, p + depth).
template <class Cut>
void pack_b(const kedge_context* ctx, float* dst, int64_t n, int64_t k, Cut&& cut) {
  Panels panels{dst, round_up(n, kCols), k};
  const int64_t group = kMaxGroup * kCols, groups = ceil_div(n, group);
  parallel(ctx, groups * ceil_div(k, kDepth), n * k, [&](int64_t chunk) {
    int64_t p = chunk / groups * kDepth, j = chunk % groups * group, depth = std::min(kDepth, k - p);
    cut(dst + panels.offset(p, j), depth * kCols, j, std::min(group, n - j), p, depth);
  });
}

// ---- few rows: A packed once for all threads, which share the columns ----

// kM rows of C by the columns [0, cols) of packed or plain panels. With few rows several panels at a time hide the latency of the chains.
template <int kM, class T>
void strip(int64_t depth, const float* a, const T* b, int64_t row, int64_t panel, float* c, int64_t ldc, int64_t cols, Update update) {
  constexpr int kGroup = std::min(kMaxGroup, kRows / kM);
  int64_t j = 0;
  for (; j + kGroup * kCols <= cols; j += kGroup * kCols)
    kernel<kM, kGroup>(depth, a, b + j / kCols * panel, row, panel, c + j, ldc, update);
  for (; j < cols; j += kCols) {
    const T* right = b + j / kCols * panel;
    if (cols - j >= kCols) kernel<kM, 1>(depth, a, right, row, panel, c + j, ldc, update);
    else kernel_edge<kM>(depth, a, right, row, c + j, ldc, kM, (int)(cols - j), update);
  }
}

template <class T>
using Strip = void (*)(int64_t, const float*, const T*, int64_t, int64_t, float*, int64_t, int64_t, Update);
using PackRows = void (*)(float*, const Source&, int, int64_t);
template <int... I>
struct ByRows {
  static constexpr Strip<float> strips[] = {strip<I + 1, float>...};
  static constexpr Strip<bf16> bf16_strips[] = {strip<I + 1, bf16>...};
  static constexpr PackRows packs[] = {pack_panel<I + 1>...};
};
template <int... I>
ByRows<I...> by_rows(std::integer_sequence<int, I...>);
using Rows = decltype(by_rows(std::make_integer_sequence<int, kRows>()));  // [rows - 1]

// B [k, n], in one of its forms.
struct Right {
  Source plain{};
  const float* packed = nullptr;
  Bf16Panels half{};    // of W: B is W^T, or W if `turned`
  bool turned = false;

  bool is_half() const { return half.data != nullptr; }
  // Whether panels of f32 are made while the product runs.
  bool cut_once() const { return !packed && (!is_half() || turned); }
  // Panels of f32, `panel` floats apart, of columns [j, j + cols) and rows [p, p + depth) of one block.
  void cut(float* dst, int64_t panel, int64_t j, int64_t cols, int64_t p, int64_t depth) const {
    if (!is_half()) return pack_panels(dst, panel, plain.at(j, p), cols, depth);
    for (int64_t q = 0; q < cols; q += kCols, dst += panel) {
      if (turned) turn_panel(dst, half, j + q, std::min<int64_t>(kCols, cols - q), p, depth);
      else expand_panel(dst, half, j + q, p, depth);
    }
  }
};

struct Problem {
  float* c;
  int64_t ldc;
  Source a;
  Right b;
  int64_t m, n, k;
  float alpha, beta;
};

// Cuts m into as few slivers of at most kRows as there must be, of nearly equal height: body(first row, rows).
template <class Body>
void each_sliver(int64_t m, Body&& body) {
  const int64_t slivers = ceil_div(m, kRows), height = m / slivers, higher = m % slivers;
  for (int64_t s = 0, i = 0; s < slivers; s++) {
    int64_t rows = height + (s < higher);
    body(i, rows);
    i += rows;
  }
}

// How many terms of the sums are packed at a time: what fits into kSharedA, in whole blocks of kDepth.
int64_t few_depth(int64_t m, int64_t k) { return std::min(k, kSharedA / m / kDepth * kDepth); }

// Two steps for each span of k: all threads pack A, then each takes chunks of columns and runs through the blocks of k in order. So an
// element of C is one task's within a span, and `parallel` stands between the spans.
void few_rows(const kedge_context* ctx, const Problem& g, float* shared) {
  const int64_t span = few_depth(g.m, g.k), panels = ceil_div(g.n, kCols);
  int64_t share = ceil_div(panels, (int64_t)ctx->threads * 4);
  const int64_t chunk = (share > 2 ? round_up(share, kMaxGroup) : share) * kCols;
  // Used once, B's rows are read where they are; but only while that is not a page for each few numbers.
  const Source& plain = g.b.plain;
  const bool half = g.b.is_half();
  const bool direct = !g.b.packed && !half && plain.along && g.m <= (plain.ld <= 2048 ? kRows : kRows / 2);
  // Of bf16 the micro-kernel makes floats itself where it reads each number once.
  const bool expands = half && !g.b.turned && g.m <= kRows;
  const Panels given{g.b.packed, panels * kCols, g.k};
  for (int64_t start = 0; start < g.k; start += span) {
    const int64_t end = std::min(g.k, start + span);
    const float* left = shared;
    if (g.m == 1 && (!g.a.along || g.a.ld == 1)) {
      left = g.a.data + start;  // packed as it is
    } else {
      parallel(ctx, ceil_div(end - start, kDepth), g.m * (end - start), [&](int64_t block) {
        int64_t p = start + block * kDepth, depth = std::min(kDepth, end - p);
        each_sliver(g.m, [&](int64_t i, int64_t rows) {
          Rows::packs[rows - 1](shared + (p - start) * g.m + i * depth, g.a.at(i, p), (int)rows, depth);
        });
      });
    }
    parallel_range(ctx, g.n, chunk, g.m * (end - start) / 8, [&](int64_t from, int64_t to) {
      alignas(64) float buffer[kMaxGroup * kCols * kDepth];
      for (int64_t p = start; p < end; p += kDepth) {
        const int64_t depth = std::min(kDepth, end - p);
        const Update update{g.alpha, p == 0 && g.beta == 0.f};
        auto run = [&](const float* right, int64_t row, int64_t panel, int64_t j, int64_t cols) {
          each_sliver(g.m, [&](int64_t i, int64_t rows) {
            const float* a = left + (p - start) * g.m + i * depth;
            Rows::strips[rows - 1](depth, a, right, row, panel, g.c + i * g.ldc + j, g.ldc, cols, update);
          });
        };
        if (g.b.packed) {
          run(g.b.packed + given.offset(p, from), kCols, depth * kCols, from, to - from);
          continue;
        }
        if (expands) {
          Rows::bf16_strips[g.m - 1](depth, left + (p - start) * g.m, g.b.half.row(from, p), kCols, depth * kCols, g.c + from, g.ldc,
                                     to - from, update);
          continue;
        }
        int64_t j = from;
        if (direct && to - from >= kCols) {
          j = from + (to - from) / kCols * kCols;
          run(plain.at(from, p).data, plain.ld, kCols, from, j - from);
        }
        // Packed right before use: into L1, or L2 where several panels at a time gain more.
        const int64_t group = (!half && plain.along) || g.m <= kRows / 2 ? kMaxGroup * kCols : kCols;
        for (; j < to; j += group) {
          const int64_t cols = std::min(group, to - j);
          g.b.cut(buffer, depth * kCols, j, cols, p, depth);
          run(buffer, kCols, depth * kCols, j, cols);
        }
      }
    });
  }
}

// ---- many rows: B packed once for all threads, which share the rows ----

struct Wide {
  int64_t cols, depth;  // of B packed at a time
  Wide(int64_t n, int64_t k) : cols(std::min(round_up(n, kCols), kSharedCols)), depth(std::min(k, kSharedB / cols / kDepth * kDepth)) {}
};

// C is cut into tiles of `rows` x `width`, a task each. A task packs its rows of A for one block of k at a time, then goes through its
// panels of B, so that what it reads again lies in the caches: the block of A in L2, a panel of B in L1. C += alpha A B for the columns
// [column, column + n) of C and the terms [start, start + panels.k) of the sum. Without data, a task makes its panels of the given bf16.
void many_rows(const kedge_context* ctx, const Problem& g, const Panels& panels, int64_t column, int64_t n, int64_t start, float* scratch) {
  const int64_t threads = ctx->threads, slivers = ceil_div(g.m, kRows);
  const int64_t blocks = std::min(ceil_div(slivers, 8), round_up(ceil_div(g.m, kBlockRows), 4 * threads));
  const int64_t rows = ceil_div(slivers, blocks) * kRows, down = ceil_div(g.m, rows);
  const int64_t across = std::min(ceil_div(n, 8 * kCols), down >= 2 * threads ? 1 : ceil_div(2 * threads, down));
  const int64_t width = round_up(ceil_div(n, across), kCols);
  parallel(ctx, down * across, g.m * n * panels.k / 8, [&](int64_t chunk) {
    const int64_t i0 = chunk / across * rows, i1 = std::min(g.m, i0 + rows), j0 = chunk % across * width, j1 = std::min(n, j0 + width);
    float* left = scratch + (int64_t)Threads::index() * kBlockRows * kDepth;
    alignas(64) float expanded[kCols * kDepth];
    for (int64_t p = 0; p < panels.k; p += kDepth) {
      const int64_t depth = std::min(kDepth, panels.k - p);
      const Update update{g.alpha, start + p == 0 && g.beta == 0.f};
      for (int64_t i = i0; i < i1; i += kRows)
        pack_panel<kRows>(left + (i - i0) * depth, g.a.at(i, start + p), (int)std::min<int64_t>(kRows, i1 - i), depth);
      for (int64_t j = j0; j < j1; j += kCols) {
        const float* right = panels.data ? panels.data + panels.offset(p, j) : expanded;
        if (!panels.data) expand_panel(expanded, g.b.half, j, p, depth);
        const int cols = (int)std::min<int64_t>(kCols, j1 - j);
        for (int64_t i = i0; i < i1; i += kRows) {
          const int tall = (int)std::min<int64_t>(kRows, i1 - i);
          float* c = g.c + i * g.ldc + column + j;
          if (tall == kRows && cols == kCols) kernel<kRows, 1>(depth, left + (i - i0) * depth, right, kCols, 0, c, g.ldc, update);
          else kernel_edge<kRows>(depth, left + (i - i0) * depth, right, kCols, c, g.ldc, tall, cols, update);
        }
      }
    }
  });
}

// ---- the whole ----

void scale_c(const kedge_context* ctx, const Problem& g) {
  parallel_range(ctx, g.m, std::max<int64_t>(1, 16384 / g.n), g.n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      for (int64_t j = 0; j < g.n; j++) g.c[i * g.ldc + j] = g.beta == 0.f ? 0.f : g.beta * g.c[i * g.ldc + j];
  });
}

int32_t run(const kedge_context* ctx, const Problem& g, kedge_status* status) {
  if (g.m == 0 || g.n == 0) return ok(status);
  const bool few = g.m <= kBlockRows;
  const Wide wide(g.n, g.k);
  const int64_t ours = g.k == 0 || few || !g.b.cut_once() ? 0 : wide.cols * wide.depth;
  int64_t floats = ours + (g.k == 0 ? 0 : few ? g.m * few_depth(g.m, g.k) : (int64_t)ctx->threads * kBlockRows * kDepth);
  KEDGE_REQUIRE_WORKSPACE(floats * (int64_t)sizeof(float));
  if (g.k == 0 || (g.beta != 0.f && g.beta != 1.f)) scale_c(ctx, g);
  if (g.k == 0) return ok(status);
  float* scratch = (float*)ctx->workspace;
  if (few) {
    few_rows(ctx, g, scratch);
  } else if (!g.b.cut_once()) {
    many_rows(ctx, g, {g.b.packed, round_up(g.n, kCols), g.k}, 0, g.n, 0, scratch);
  } else {
    for (int64_t j = 0; j < g.n; j += wide.cols)
      for (int64_t p = 0; p < g.k; p += wide.depth) {
        const int64_t n = std::min(wide.cols, g.n - j), k = std::min(wide.depth, g.k - p);
        pack_b(ctx, scratch, n, k, [&](float* dst, int64_t panel, int64_t column, int64_t cols, int64_t row, int64_t depth) {
          g.b.cut(dst, panel, j + column, cols, p + row, depth);
        });
        many_rows(ctx, g, {scratch, round_up(n, kCols), k}, j, n, p, scratch + ours);
      }
  }
  return ok(status);
}

}  // namespace
}  // namespace kedge

using namespace kedge;
int32_t kedge_gemm(const kedge_context* ctx, int32_t dtype, void* c, int32_t c_dtype, int64_t ldc, const void* a, int64_t lda,
                   int32_t trans_a, const void* b, int64_t ldb, int32_t trans_b, int64_t m, int64_t n, int64_t k, double alpha, double beta,
                   kedge_status* status) {
  KEDGE_REQUIRE_DTYPE(dtype == KEDGE_F32 && c_dtype == KEDGE_F32, "dtype %d into %d; the CPU takes f32 alone", dtype, c_dtype);
  KEDGE_TRY(check_gemm(c, ldc, a, lda, trans_a != 0, b, ldb, trans_b != 0, m, n, k, status));
  Right right{};
  right.plain = {(const float*)b, ldb, trans_b == 0};
  return run(ctx, {(float*)c, ldc, {(const float*)a, lda, trans_a != 0}, right, m, n, k, (float)alpha, (float)beta}, status);
}

int64_t kedge_gemm_packed_bytes(int64_t n, int64_t k) {
  if (n <= 0 || k <= 0) return 0;
  int64_t bytes;
  const bool too_large =
      n > INT64_MAX - kCols || __builtin_mul_overflow(round_up(n, kCols), k, &bytes) || __builtin_mul_overflow(bytes, 4, &bytes);
  return too_large ? INT64_MAX : bytes;
}

int32_t kedge_gemm_pack(const kedge_context* ctx, float* packed, const float* b, int64_t ldb, int32_t trans_b, int64_t n, int64_t k,
                        kedge_status* status) {
  KEDGE_REQUIRE(n >= 0 && k >= 0, "n, k are %lld, %lld", (long long)n, (long long)k);
  KEDGE_TRY(check_stored("b", ldb, trans_b ? k : n, status));
  if (n == 0 || k == 0) return ok(status);
  KEDGE_TRY(check_given({{"b", b}}, status));
  KEDGE_REQUIRE(packed && (uintptr_t)packed % 64 == 0, "packed is NULL or not aligned to 64 bytes");
  const Source plain{b, ldb, trans_b == 0};
  pack_b(ctx, packed, n, k, [&](float* dst, int64_t panel, int64_t column, int64_t cols, int64_t row, int64_t depth) {
    pack_panels(dst, panel, plain.at(column, row), cols, depth);
  });
  return ok(status);
}

int32_t kedge_gemm_packed(const kedge_context* ctx, float* c, int64_t ldc, const float* a, int64_t lda, int32_t trans_a,
                          const float* packed, int64_t m, int64_t n, int64_t k, double alpha, double beta, kedge_status* status) {
  KEDGE_TRY(check_gemm(c, ldc, a, lda, trans_a != 0, packed, n, false, m, n, k, status));
  KEDGE_REQUIRE((packed && (uintptr_t)packed % 64 == 0) || n == 0 || k == 0, "packed is NULL or not aligned to 64 bytes");
  Right right{};
  right.packed = packed;
  return run(ctx, {(float*)c, ldc, {a, lda, trans_a != 0}, right, m, n, k, (float)alpha, (float)beta}, status);
}

int32_t kedge_bf16_gemm(const kedge_context* ctx, float* c, int64_t ldc, const float* a, int64_t lda, const void* packed, int32_t turned,
                        int64_t m, int64_t n, int64_t k, double alpha, double beta, kedge_status* status) {
  const int64_t columns = turned ? k : n, terms = turned ? n : k;  // of the product
  KEDGE_TRY(check_gemm(c, ldc, a, lda, false, packed, columns, false, m, columns, terms, status));
  KEDGE_REQUIRE((packed && (uintptr_t)packed % 64 == 0) || n == 0 || k == 0, "packed is NULL or not aligned to 64 bytes");
  Right right{};
  right.half = {(const bf16*)packed, n, k};
  right.turned = turned != 0;
  return run(ctx, {c, ldc, {a, lda, false}, right, m, columns, terms, (float)alpha, (float)beta}, status);
}
