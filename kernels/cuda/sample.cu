// Draws a token per row of logits: temperature, top-k, top-p, min-p, greedy (kedge.h says in what order). A block a row.
//
// What a filter keeps is "every key above a threshold, and the first `ties` entries, by index, of those at it", where a key is the bits of
// a logit mapped so that unsigned order is the order of the numbers. The threshold is found bit by bit, by counts or masses of the keys at
// or above a trial. A histogram of the keys' upper bits, taken with the softmax statistics, lets the largest few thousand keys be set aside
// in registers, and a search reads the whole row again only where its threshold is not among them. Masses are integers, exp(d) *
// 2^scale_bits truncated: their sums are exact in any order, so neither the shape of the block nor the order of the threads can change a
// draw.
//
// The draw inverts the CDF in index order. It finds the place in three steps, each over a 16th of what the one before left: the block's
// warps add up the pieces of the row, then the pieces of the piece in which the sum is reached; one warp walks through the last.
#include "../common/philox.h"
#include "threshold.cuh"

namespace kedge {
namespace {

constexpr int kWarps = kRowThreads / 32;

// What the filters leave. Entries above the threshold are kept; of those at it, the first `ties` of the row.
struct Kept {
  Threshold threshold;
  float least;  // min-p: exp(d) of the least that stays
  Mass each;    // mass of an entry at the threshold
};
// Of a few entries of the row: the mass above the threshold, and how many are at it. How many of the latter are kept depends on those
// before them, so the two are counted apart and put together by a Walk.
struct Part {
  Mass above;
  uint32_t ties;
};
template <class T, int W>
__device__ __forceinline__ Part part_of(const float (&x)[W], const Kept& kept, const Scale& scale) {
  Part part{0, 0};
#pragma unroll
  for (int j = 0; j < W; j++) {
    const uint32_t key = key_of<T>(x[j]);
    const float e = scale.exponential(x[j]);
    if (e >= kept.least) {
      if (key > kept.threshold.key) part.above += (Mass)(e * scale.unit);
      part.ties += key == kept.threshold.key;
    }
  }
  return part;
}

// Each warp adds up one of kWarps equal pieces of [begin, end). All threads see the sums: a barrier ends it. The caller needs another
// before it calls again, so that no warp overwrites what another still reads.
template <class T, int W>
__device__ __forceinline__ void add_pieces(Mass* masses, uint32_t* ties, const Logits<T, W>& in, int begin, int end, int piece,
                                           const Kept& kept, const Scale& scale) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, first = begin + warp * piece,
            last = first + piece < end ? first + piece : end;
  Part sum{0, 0};
  in.each(first + lane * W, last, 32 * W, [&](int, const float (&x)[W]) {
    const Part part = part_of<T>(x, kept, scale);
    sum.above += part.above;
    sum.ties += part.ties;
  });
  sum.above = warp_sum(sum.above);
  sum.ties = warp_sum(sum.ties);
  if (lane == 0) masses[warp] = sum.above, ties[warp] = sum.ties;
  __syncthreads();
}

// Where a walk through the row in index order stands.
struct Walk {
  Mass mass;
  uint32_t ties_left;
  __device__ __forceinline__ Mass of(Mass above, uint32_t ties, const Kept& kept) const {
    return above + (ties < ties_left ? ties : ties_left) * kept.each;
  }
  __device__ __forceinline__ void pass(Mass above, uint32_t ties, const Kept& kept) {
    mass += of(above, ties, kept);
    ties_left -= ties < ties_left ? ties : ties_left;
  }
};

// The piece in which the walk reaches `wanted`; the walk then stands before it.
__device__ __forceinline__ int find_piece(Walk& walk, const Mass* masses, const uint32_t* ties, Mass wanted, const Kept& kept) {
  int piece = 0;
  while (piece < kWarps - 1 && walk.mass + walk.of(masses[piece], ties[piece], kept) < wanted) {
    walk.pass(masses[piece], ties[piece], kept);
    piece++;
  }
  return piece;
}

template <class T, int W>
__global__ void __launch_bounds__(kRowThreads, 1)
    sample_kernel(int32_t* token, float* logprob, float* filtered_logprob, float* entropy, const T* logits, int64_t stride,
                  const float* temperatures, const int32_t* top_ks, const float* top_ps, const float* min_ps, const uint32_t* keys,
                  const int32_t* positions, const uint8_t* suppress, int vocab, int scale_bits) {
  __shared__ Mass masses[32];
  __shared__ uint32_t counts[32];
  __shared__ uint32_t bins[kBins];
  __shared__ uint32_t aside[kCapacity];
  __shared__ uint32_t n_aside;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t row = blockIdx.x;
  const Logits<T, W> in{logits + row * stride, suppress, vocab};
  const float temperature = temperatures[row], top_p = top_ps[row];
  const int top_k = top_ks[row];
  const bool greedy = temperature == 0.f, by_count = top_k > 0 && top_k < vocab, by_mass = top_p < 1.f,
             sorted = !greedy && (by_count || by_mass);
  const float inv_t = greedy ? 1.f : inverse_temperature((double)temperature);

  // Statistics, and where a search will follow the histogram of keys. -inf is in neither.
  if (sorted) {
    for (int i = threadIdx.x; i < kBins; i += kRowThreads) bins[i] = 0;
    if (threadIdx.x == 0) n_aside = 0;
    __syncthreads();
  }
  Stats stats;
  in.each((int)threadIdx.x * W, vocab, kRowThreads * W, [&](int i, const float (&x)[W]) {
    stats.add(x, i, inv_t);
    if (sorted) {
#pragma unroll
      for (int j = 0; j < W; j++)
        if (x[j] > -INFINITY) atomicAdd(&bins[key_of<T>(x[j]) >> (kKeyBits<T> - kDigit)], 1u);
    }
  });
  stats.merge(inv_t, reinterpret_cast<float*>(masses));
  const float log_sum = logf(stats.sum);
  const bool valid = temperature >= 0.f && temperature <= FLT_MAX && stats.sum > 0.f;  // false for NaN
  if (!valid || greedy) {
    if (threadIdx.x == 0) {
      token[row] = valid ? stats.where : -1;
      logprob[row] = valid ? -log_sum : NAN;
      if (filtered_logprob) filtered_logprob[row] = valid ? 0.f : NAN;
      if (entropy) entropy[row] = valid ? log_sum - stats.weighted / stats.sum : NAN;
    }
    return;
  }
  const Scale scale{stats.largest, inv_t, exp2f((float)scale_bits)};
  Threshold threshold{0, 0};  // all

  if (sorted) {
    // Bins from the top while their keys fit. Each thread has kEach neighbouring bins, thread 0 the highest. A sum over the threads before
    // (within the warp by shuffles, across warps by `counts`) gives each bin the number of keys down to it.
    constexpr int kEach = kBins / kRowThreads;
    uint32_t n[kEach], sum = 0;
#pragma unroll
    for (int j = 0; j < kEach; j++) sum += n[j] = bins[kBins - 1 - (threadIdx.x * kEach + j)];
    uint32_t before = sum;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const uint32_t other = __shfl_up_sync(kFullWarp, before, offset);
      if (lane >= offset) before += other;
    }
    if (lane == 31) counts[warp] = before;
    __syncthreads();
    before -= sum;
    uint32_t total = 0;
    for (int w = 0; w < kWarps; w++) {
      if (w < warp) before += counts[w];
      total += counts[w];
    }
    __syncthreads();
    uint32_t fit = 0;
#pragma unroll
    for (int j = 0; j < kEach; j++) {
      before += n[j];
      fit += before <= kCapacity;
    }
    fit = block_sum<kRowThreads>(fit, counts);
    const uint32_t least = (uint32_t)(kBins - (int)fit) << (kKeyBits<T> - kDigit);

    // Set them aside, in whatever order the threads come: only counts and sums are taken of them. The mass of the whole row is needed for
    // top-p alone.
    Mass mass = 0;
    const bool whole_mass = by_mass && !by_count;
    in.each((int)threadIdx.x * W, vocab, kRowThreads * W, [&](int, const float (&x)[W]) {
#pragma unroll
      for (int j = 0; j < W; j++) {
        const uint32_t key = key_of<T>(x[j]);
        if (fit > 0 && key >= least && x[j] > -INFINITY) aside[atomicAdd(&n_aside, 1u)] = key;
        if (whole_mass) mass += scale.mass(x[j]);
      }
    });
    __syncthreads();
    const uint32_t found = n_aside;
    Owned owned;
#pragma unroll
    for (int j = 0; j < kOwned; j++) {
      const uint32_t i = j * kRowThreads + threadIdx.x;
      owned.key[j] = i < found ? aside[i] : 0;
      owned.mass[j] = i < found ? scale.mass(of_key<T>(owned.key[j])) : 0;
    }
    const Whole<T, W> whole{in, scale};

    bool near = false;  // everything kept so far is among the owned keys
    if (by_count && (uint32_t)top_k < total) {
      near = (uint32_t)top_k <= found;
      threshold = near ? nth_key<T>(owned, (uint32_t)top_k, counts) : nth_key<T>(whole, (uint32_t)top_k, counts);
    }
    if (by_mass) {
      Mass all = 0;
      if (threshold.key > 0) {
        all = block_sum<kRowThreads>(near ? owned.mass_from(threshold.key + 1) : whole.mass_from(threshold.key + 1), masses) +
              (Mass)threshold.ties * scale.mass(of_key<T>(threshold.key));
      } else {
        all = block_sum<kRowThreads>(whole_mass ? mass : whole.mass_from(0), masses);
      }
      Mass wanted = (Mass)ceil((double)top_p * (double)all);
      wanted = wanted < 1 ? 1 : wanted > all ? all : wanted;
      near = near || block_sum<kRowThreads>(owned.mass_from(1), masses) >= wanted;
      threshold =
          near ? mass_key<T>(owned, threshold, all, wanted, scale, masses) : mass_key<T>(whole, threshold, all, wanted, scale, masses);
    }
  }

  // The draw: pieces of the row, then pieces of the piece, then entry by entry.
  const Kept kept{threshold, min_ps[row], threshold.key > 0 ? scale.mass(of_key<T>(threshold.key)) : 0};
  int piece = ceil_div(ceil_div(vocab, kWarps), 32 * W) * 32 * W, begin = 0, end = vocab;
  add_pieces<T>(masses, counts, in, begin, end, piece, kept, scale);
  Walk walk{0, (uint32_t)threshold.ties};
  for (int w = 0; w < kWarps; w++) walk.pass(masses[w], counts[w], kept);
  const Mass all = walk.mass;
  const uint32_t* k = keys + 4 * row;
  const double u = philox_unit(philox(k[0], k[1], (uint32_t)positions[row], k[2], k[3], 0).x[0]);
  Mass wanted = (Mass)ceil(u * (double)all);
  wanted = wanted < 1 ? 1 : wanted > all ? all : wanted;

  walk = {0, (uint32_t)threshold.ties};
  int at = find_piece(walk, masses, counts, wanted, kept);
  begin += at * piece;
  end = begin + piece < end ? begin + piece : end;
  piece = ceil_div(ceil_div(piece, kWarps), 32 * W) * 32 * W;
  __syncthreads();
  add_pieces<T>(masses, counts, in, begin, end, piece, kept, scale);
  at = find_piece(walk, masses, counts, wanted, kept);
  begin += at * piece;
  end = begin + piece < end ? begin + piece : end;
  if (warp > 0) return;
  // Every lane has W entries; sums over the lanes before tell each where the walk stands at its first. The first lane at which the wanted
  // mass is reached has the token among its entries.
  for (int base = begin; base < end; base += 32 * W) {
    float x[W];
    const int i = base + lane * W;
    if (i < end) {
      in.load(x, i);
    } else {
#pragma unroll
      for (int j = 0; j < W; j++) x[j] = -INFINITY;
    }
    const Part part = part_of<T>(x, kept, scale);
    uint32_t ties = part.ties;  // up to and with this lane
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const uint32_t other = __shfl_up_sync(kFullWarp, ties, offset);
      if (lane >= offset) ties += other;
    }
    Walk mine = walk;
    mine.pass(0, ties - part.ties, kept);
    mine.mass = walk.mass;
    Mass sum = mine.of(part.above, part.ties, kept);
    const Mass own = sum;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const Mass other = __shfl_up_sync(kFullWarp, sum, offset);
      if (lane >= offset) sum += other;
    }
    const unsigned reached = __ballot_sync(kFullWarp, walk.mass + sum >= wanted);
    if (reached) {
      if (lane == __ffs((int)reached) - 1) {
        mine.mass += sum - own;
        int chosen = -1;
        float value = 0.f;
#pragma unroll
        for (int j = 0; j < W; j++) {
          const float one[1] = {x[j]};
          const Part entry = part_of<T>(one, kept, scale);
          mine.pass(entry.above, entry.ties, kept);
          if (chosen < 0 && mine.mass >= wanted) {
            chosen = i + j;
            value = x[j];
          }
        }
        const float d = (value - scale.largest) * inv_t;
        const bool filtered = sorted || kept.least > 0.f;
        token[row] = chosen;
        logprob[row] = d - log_sum;
        if (filtered_logprob) filtered_logprob[row] = d - (filtered ? logf((float)all / scale.unit) : log_sum);
        if (entropy) entropy[row] = log_sum - stats.weighted / stats.sum;
      }
      return;
    }
    walk.mass += __shfl_sync(kFullWarp, sum, 31);
    ties = __shfl_sync(kFullWarp, ties, 31);
    walk.ties_left -= ties < walk.ties_left ? ties : walk.ties_left;
  }
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_sample(const kedge_context* ctx, int32_t dtype, int32_t* token, float* logprob, float* filtered_logprob,
                               float* entropy, const void* logits, int64_t logits_stride, const float* temperature, const int32_t* top_k,
                               const float* top_p, const float* min_p, const uint32_t* keys, const int32_t* position,
                               const uint8_t* suppress, int64_t n, int64_t vocab, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_TRY(check_logits(n, vocab, 1, {{"logits", logits, logits_stride}}, status));
  KEDGE_TRY(check_row_grid(n, vocab, status));
  if (n == 0) return ok(status);
  KEDGE_TRY(check_given({{"token", token}, {"logprob", logprob}, {"temperature", temperature}, {"top_k", top_k}, {"top_p", top_p},
                         {"min_p", min_p}, {"keys", keys}, {"position", position}}, status));
  KEDGE_SET_DEVICE();
  int vocab_bits = 0;
  while ((int64_t(1) << vocab_bits) < vocab) vocab_bits++;
  const int scale_bits = 62 - vocab_bits < 48 ? 62 - vocab_bits : 48;  // the masses of a row add up to less than 2^63
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_flag(wide_logits<T>(logits, logits_stride, suppress), [&](auto flag) {
      constexpr int W = decltype(flag)::value ? kVec<T> : 1;
      KEDGE_LAUNCH((sample_kernel<T, W>), (unsigned)n, kRowThreads, 0, stream_of(ctx), token, logprob, filtered_logprob, entropy,
                   static_cast<const T*>(logits), logits_stride, temperature, top_k, top_p, min_p, keys, position, suppress, (int)vocab,
                   scale_bits);
    });
  });
  return finish("sample", status);
}
