// Thresholds of a row of logits, for sample.cu: the k-th largest, and where the sum of the largest probabilities reaches a bound. Both are
// found by a binary search over the bits of a key, the highest bit first: a bit is set if enough entries, or enough mass, lie at or above
// the key with it. A step costs one sum over the block, of keys in registers (Owned) or of the whole row (Whole).
#pragma once
#include "softmax.cuh"

namespace kedge {
namespace {

typedef unsigned long long Mass;  // a probability as an integer, so that sums do not depend on their order

constexpr int kDigit = 11, kBins = 1 << kDigit;              // of the histogram
constexpr int kOwned = 8, kCapacity = kOwned * kRowThreads;  // keys set aside: in a thread, in the block

// Order-preserving keys, never 0: bf16 has 16 bits of them, f32 has 32.
template <class T>
constexpr int kKeyBits = 8 * (int)sizeof(T);
template <class T>
__device__ __forceinline__ uint32_t key_of(float x) {
  const uint32_t bits = float_to_bits(x + 0.f);  // -0 is 0
  return (bits >> 31 ? ~bits : bits | 0x80000000u) >> (32 - kKeyBits<T>);
}
template <class T>
__device__ __forceinline__ float of_key(uint32_t key) {
  const uint32_t bits = key << (32 - kKeyBits<T>);
  return bits_to_float(bits >> 31 ? bits & 0x7fffffffu : ~bits & (kKeyBits<T> == 16 ? 0xffff0000u : 0xffffffffu));
}

// From a logit to its mass.
struct Scale {
  float largest, inv_t, unit;  // unit: 2^bits
  __device__ __forceinline__ float exponential(float x) const { return expf((x - largest) * inv_t); }
  __device__ __forceinline__ Mass mass(float x) const { return (Mass)(exponential(x) * unit); }
};

// The keys set aside, kOwned in a thread; 0 where there are fewer.
struct Owned {
  uint32_t key[kOwned];
  Mass mass[kOwned];
  __device__ __forceinline__ uint32_t count_from(uint32_t trial) const {
    uint32_t n = 0;
#pragma unroll
    for (int j = 0; j < kOwned; j++) n += key[j] >= trial;
    return n;
  }
  __device__ __forceinline__ Mass mass_from(uint32_t trial) const {
    Mass sum = 0;
#pragma unroll
    for (int j = 0; j < kOwned; j++) sum += key[j] >= trial ? mass[j] : 0;
    return sum;
  }
};
// All keys of the row, read again.
template <class T, int W>
struct Whole {
  Logits<T, W> in;
  Scale scale;
  __device__ __forceinline__ uint32_t count_from(uint32_t trial) const {
    uint32_t n = 0;
    in.each((int)threadIdx.x * W, in.vocab, kRowThreads * W, [&](int, const float (&x)[W]) {
#pragma unroll
      for (int j = 0; j < W; j++) n += x[j] > -INFINITY && key_of<T>(x[j]) >= trial;
    });
    return n;
  }
  __device__ __forceinline__ Mass mass_from(uint32_t trial) const {
    Mass sum = 0;
    in.each((int)threadIdx.x * W, in.vocab, kRowThreads * W, [&](int, const float (&x)[W]) {
#pragma unroll
      for (int j = 0; j < W; j++) sum += key_of<T>(x[j]) >= trial ? scale.mass(x[j]) : 0;
    });
    return sum;
  }
};

// All entries above `key` are in, and of those at it the first `ties` by index.
struct Threshold {
  uint32_t key;
  int ties;
};

// The largest key of which `wanted` entries are at or above it, and how many of those at it belong to the first `wanted`.
template <class T, class Source>
__device__ __forceinline__ Threshold nth_key(const Source& source, uint32_t wanted, uint32_t* shared) {
  uint32_t key = 0, above = 0;
  for (int bit = kKeyBits<T> - 1; bit >= 0; bit--) {
    const uint32_t trial = key | 1u << bit, n = block_sum<kRowThreads>(source.count_from(trial), shared);
    if (n >= wanted) {
      key = trial;
    } else {
      above = n;  // the last refused trial is the next key above, or a bound with nothing in between
    }
  }
  return {key, (int)(wanted - above)};
}

// The shortest prefix, by falling key, whose mass reaches `wanted`, of what `kept` left over; all_mass: the mass of that.
template <class T, class Source>
__device__ __forceinline__ Threshold mass_key(const Source& source, Threshold kept, Mass all_mass, Mass wanted, const Scale& scale,
                                              Mass* shared) {
  uint32_t key = 0;
  Mass above = 0;
  for (int bit = kKeyBits<T> - 1; bit >= 0; bit--) {
    const uint32_t trial = key | 1u << bit;
    const Mass mass = trial <= kept.key ? all_mass : block_sum<kRowThreads>(source.mass_from(trial), shared);
    if (mass >= wanted) {
      key = trial;
    } else {
      above = mass;
    }
  }
  const Mass each = scale.mass(of_key<T>(key));
  Mass ties = each > 0 ? (wanted - above + each - 1) / each : 1;
  if (key == kept.key && ties > (Mass)kept.ties) ties = (Mass)kept.ties;
  return {key, ties > (Mass)INT_MAX ? INT_MAX : (int)ties};
}

}  // namespace
}  // namespace kedge
