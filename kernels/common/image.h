// Images: what both libraries share of the resize that Pillow does, and of Qwen2-VL's patches.
//
// Resize (Pillow's Resample.c): each output column and row is a weighted sum of input pixels, the taps of a bicubic kernel (a = -0.5).
// Where the picture shrinks, the kernel is widened by the scale, so that every input pixel counts. Weights are normalised in f64 and
// rounded to 22 bits of fraction; the sums are of int32 and thus exact in any order. A pass whose size does not change is skipped. The
// horizontal pass goes first. (Pillow 12.3 resizes pictures over 100 times as tall as wide vertically first; here, as in all Pillows
// before, it never does.)
#pragma once
#include "arguments.h"
#include "both.h"

namespace kedge {

constexpr int kFraction = 22;  // 32 bits less 8 of the pixel less 2 for sums beyond 1 in magnitude

// A product that is rounded before anything is added to it, also where the machine has fused multiply-add: Pillow's builds have none.
// Products with powers of two are exact as they are.
KEDGE_BOTH inline double rounded_product(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __dmul_rn(a, b);
#else
  volatile double y = a * b;
  return y;
#endif
}

KEDGE_BOTH inline double bicubic(double x) {
  x = fabs(x);
  if (x < 1.0) return rounded_product(rounded_product(rounded_product(1.5, x) - 2.5, x), x) + 1.0;
  if (x < 2.0) return (rounded_product(rounded_product(x - 5.0, x) + 8.0, x) - 4.0) * -0.5;
  return 0.0;
}

// How far the kernel is widened, and the most taps that an output has.
inline double filter_scale(int64_t in, int64_t out) { return in > out ? (double)in / (double)out : 1.0; }
inline int64_t tap_size(int64_t in, int64_t out) { return (int64_t)ceil(2.0 * filter_scale(in, out)) * 2 + 1; }

// The taps of output i: input pixels [first, last). scale: input pixels for one of output; wide: filter_scale.
struct TapRange {
  double center, inverse;
  int first, last;

  KEDGE_BOTH TapRange(int i, int in, double scale, double wide) {
    const double support = 2.0 * wide;
    inverse = 1.0 / wide, center = rounded_product((double)i + 0.5, scale);
    const int low = (int)(center - support + 0.5), high = (int)(center + support + 0.5);
    first = low > 0 ? low : 0, last = high < in ? high : in;
  }
  // The weight of input pixel j, before it is divided by the sum of them all.
  KEDGE_BOTH double weight(int j) const { return bicubic(rounded_product((double)j - center + 0.5, inverse)); }
};
// The integer that stands for a weight.
KEDGE_BOTH inline int32_t fixed_point(double weight, double sum) {
  const double w = (sum != 0.0 ? weight / sum : weight) * (double)(1 << kFraction);
  return (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
}
// A sum of pixels times such integers begins at one half, so that cutting the fraction off rounds.
constexpr int32_t kHalf = 1 << (kFraction - 1);
KEDGE_BOTH inline uint32_t clipped(int32_t sum) {
  sum >>= kFraction;
  return (uint32_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

// A channel's value 0 to 255, rescaled and normalised, with the two roundings to f32 (after the rescale, which is in f64, and in the
// normalisation) of transformers' Qwen2VLImageProcessor.
KEDGE_BOTH inline float normalised(int value, float mean, float std) { return ((float)(value * (1.0 / 255.0)) - mean) / std; }

inline int32_t check_side(const char* what, int64_t height, int64_t width, kedge_status* status) {
  KEDGE_REQUIRE(height >= 1 && height <= 65535 && width >= 1 && width <= 65535, "%s is %lld x %lld pixels, sides go from 1 to 65535", what,
                (long long)width, (long long)height);
  return KEDGE_OK;
}
inline int32_t check_image_resize(const void* out, int64_t out_height, int64_t out_width, const void* image, int64_t height, int64_t width,
                                  int64_t channels, kedge_status* status) {
  KEDGE_TRY(check_given({{"out", out}, {"image", image}}, status));
  KEDGE_TRY(check_side("image", height, width, status));
  KEDGE_TRY(check_side("out", out_height, out_width, status));
  KEDGE_REQUIRE(channels >= 1 && channels <= 4, "channels is %lld, not 1 to 4", (long long)channels);
  return KEDGE_OK;
}
inline int32_t check_image_patches(const void* out, const void* frames, int64_t n_frames, int64_t height, int64_t width, int64_t patch,
                                   int64_t merge, int64_t temporal, const float* mean, const float* std, kedge_status* status) {
  constexpr int64_t kMost = 1 << 24;
  KEDGE_TRY(check_given({{"mean", mean}, {"std", std}}, status));
  KEDGE_REQUIRE(n_frames >= 0 && height >= 0 && width >= 0 && n_frames <= kMost && height <= kMost && width <= kMost,
                "frames are %lld x %lld x %lld", (long long)n_frames, (long long)height, (long long)width);
  KEDGE_REQUIRE(patch >= 1 && merge >= 1 && temporal >= 1 && patch <= 4096 && merge <= 4096 && temporal <= 4096,
                "patch %lld, merge %lld, temporal %lld: each goes from 1 to 4096", (long long)patch, (long long)merge, (long long)temporal);
  KEDGE_REQUIRE(height % (patch * merge) == 0 && width % (patch * merge) == 0, "%lld x %lld pixels are not made of blocks of %lld",
                (long long)width, (long long)height, (long long)(patch * merge));
  for (int c = 0; c < 3; c++)
    KEDGE_REQUIRE(is_finite(mean[c]) && is_finite(std[c]) && std[c] != 0, "mean, std of channel %d are %g, %g", c, mean[c], std[c]);
  return n_frames == 0 || height == 0 || width == 0 ? KEDGE_OK : check_given({{"out", out}, {"frames", frames}}, status);
}

}  // namespace kedge
