// Images: resize as Pillow does it, and Qwen2-VL patches.
//
// kedge_image_resize: u8[height, width, channels] -> u8[out_height, out_width, channels]. The algorithm of Pillow's Resample.c: per output
// column and row the taps of a bicubic kernel (a = -0.5) widened by the scale where it shrinks, normalised in f64, rounded to 22 bits of
// fraction; the sums are of int32 and thus exact in any order. A pass whose size does not change is skipped; the horizontal one goes first.
// kedge_image_patches: the rearrangement and the two roundings to f32 (after the rescale, which is in f64, and in the normalisation) of
// transformers' Qwen2VLImageProcessor.
#include "common.cuh"

namespace kedge {
namespace {

constexpr int kFraction = 22;  // 32 bits less 8 of the pixel less 2 for sums beyond 1 in magnitude

// The taps of one axis: output i is the sum over j < count[i] of input[first[i] + j] * weight[j * out + i].
struct Taps {
  int32_t *first, *count, *weight;
};

inline double filter_scale(int64_t in, int64_t out) { return in > out ? (double)in / (double)out : 1.0; }
inline int64_t tap_size(int64_t in, int64_t out) { return (int64_t)ceil(2.0 * filter_scale(in, out)) * 2 + 1; }
inline int64_t padded(int64_t bytes) { return (bytes + 255) / 256 * 256; }
inline int64_t taps_bytes(int64_t in, int64_t out) { return padded(out * (2 + tap_size(in, out)) * 4); }
inline Taps taps_at(void* memory, int64_t out) {
  int32_t* p = static_cast<int32_t*>(memory);
  return {p, p + out, p + 2 * out};
}

// __dmul_rn: a product must be rounded before it is added to. Pillow's builds do not fuse the two.
__device__ __forceinline__ double bicubic(double x) {
  x = fabs(x);
  if (x < 1.0) return __dmul_rn(__dmul_rn(__dmul_rn(1.5, x) - 2.5, x), x) + 1.0;
  if (x < 2.0) return __dmul_rn(__dmul_rn(__dmul_rn(x - 5.0, x) + 8.0, x) - 4.0, -0.5);
  return 0.0;
}

// A thread for each output; wide: the filter's scale.
__global__ void __launch_bounds__(kBlock) taps_kernel(Taps taps, int in, int out, double scale, double wide) {
  const int i = blockIdx.x * kBlock + threadIdx.x;
  if (i >= out) return;
  const double support = __dmul_rn(2.0, wide), inverse = 1.0 / wide, center = __dmul_rn((double)i + 0.5, scale);
  const int low = (int)(center - support + 0.5), high = (int)(center + support + 0.5);
  const int first = low > 0 ? low : 0, last = high < in ? high : in;
  double sum = 0;
  for (int j = first; j < last; j++) sum += bicubic(__dmul_rn((double)j - center + 0.5, inverse));
  for (int j = first; j < last; j++) {
    double w = bicubic(__dmul_rn((double)j - center + 0.5, inverse));
    if (sum != 0.0) w = w / sum;
    w = __dmul_rn(w, (double)(1 << kFraction));
    taps.weight[(int64_t)(j - first) * out + i] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
  }
  taps.first[i] = first;
  taps.count[i] = last - first;
}

__device__ __forceinline__ uint32_t clipped(int32_t sum) {
  sum >>= kFraction;
  return (uint32_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

// A thread for each pixel of the result; blockIdx.y: the row.
template <int kChannels>
__global__ void __launch_bounds__(kBlock) across_kernel(uint8_t* out, const uint8_t* image, int out_width, int width, Taps taps) {
  const int x = blockIdx.x * kBlock + threadIdx.x;
  if (x >= out_width) return;
  const uint8_t* pixel = image + ((int64_t)blockIdx.y * width + taps.first[x]) * kChannels;
  int32_t sum[kChannels];
#pragma unroll
  for (int c = 0; c < kChannels; c++) sum[c] = 1 << (kFraction - 1);
  const int count = taps.count[x];
  for (int j = 0; j < count; j++, pixel += kChannels) {
    const int32_t weight = taps.weight[(int64_t)j * out_width + x];
#pragma unroll
    for (int c = 0; c < kChannels; c++) sum[c] += pixel[c] * weight;
  }
  uint8_t* to = out + ((int64_t)blockIdx.y * out_width + x) * kChannels;
#pragma unroll
  for (int c = 0; c < kChannels; c++) to[c] = (uint8_t)clipped(sum[c]);
}

// A thread for each W bytes (1 or 4) of a line of the result; blockIdx.y: the line.
template <int W>
__global__ void __launch_bounds__(kBlock) down_kernel(uint8_t* out, const uint8_t* image, int64_t line, int out_height, Taps taps) {
  const int64_t i = ((int64_t)blockIdx.x * kBlock + threadIdx.x) * W;
  if (i >= line) return;
  const int y = blockIdx.y, count = taps.count[y];
  const uint8_t* source = image + taps.first[y] * line + i;
  int32_t sum[W];
#pragma unroll
  for (int b = 0; b < W; b++) sum[b] = 1 << (kFraction - 1);
  for (int j = 0; j < count; j++, source += line) {
    const int32_t weight = taps.weight[(int64_t)j * out_height + y];
    if constexpr (W == 4) {
      const uint32_t word = *reinterpret_cast<const uint32_t*>(source);
#pragma unroll
      for (int b = 0; b < 4; b++) sum[b] += (int32_t)(word >> (8 * b) & 255u) * weight;
    } else {
      sum[0] += *source * weight;
    }
  }
  uint8_t* to = out + y * line + i;
  if constexpr (W == 4) {
    *reinterpret_cast<uint32_t*>(to) = clipped(sum[0]) | clipped(sum[1]) << 8 | clipped(sum[2]) << 16 | clipped(sum[3]) << 24;
  } else {
    *to = (uint8_t)clipped(sum[0]);
  }
}

void make_taps(const kedge_context* ctx, const Taps& taps, int64_t in, int64_t out) {
  KEDGE_LAUNCH(taps_kernel, (unsigned)ceil_div(out, (int64_t)kBlock), kBlock, 0, stream_of(ctx), taps, (int)in, (int)out,
               (double)in / (double)out, filter_scale(in, out));
}

void resize_across(const kedge_context* ctx, uint8_t* out, const uint8_t* image, int64_t rows, int64_t out_width, int64_t width,
                   int64_t channels, const Taps& taps) {
  const dim3 grid((unsigned)ceil_div(out_width, (int64_t)kBlock), (unsigned)rows);
  const int to = (int)out_width, from = (int)width;
  if (channels == 1) KEDGE_LAUNCH((across_kernel<1>), grid, kBlock, 0, stream_of(ctx), out, image, to, from, taps);
  if (channels == 2) KEDGE_LAUNCH((across_kernel<2>), grid, kBlock, 0, stream_of(ctx), out, image, to, from, taps);
  if (channels == 3) KEDGE_LAUNCH((across_kernel<3>), grid, kBlock, 0, stream_of(ctx), out, image, to, from, taps);
  if (channels == 4) KEDGE_LAUNCH((across_kernel<4>), grid, kBlock, 0, stream_of(ctx), out, image, to, from, taps);
}

void resize_down(const kedge_context* ctx, uint8_t* out, const uint8_t* image, int64_t out_height, int64_t line, const Taps& taps) {
  const uintptr_t bits = reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(image) | (uintptr_t)line;
  if (bits % 4 == 0) {
    const dim3 grid((unsigned)ceil_div(line, (int64_t)kBlock * 4), (unsigned)out_height);
    KEDGE_LAUNCH((down_kernel<4>), grid, kBlock, 0, stream_of(ctx), out, image, line, (int)out_height, taps);
  } else {
    const dim3 grid((unsigned)ceil_div(line, (int64_t)kBlock), (unsigned)out_height);
    KEDGE_LAUNCH((down_kernel<1>), grid, kBlock, 0, stream_of(ctx), out, image, line, (int)out_height, taps);
  }
}

struct PatchShape {
  int64_t patches;
  unsigned n_frames, height, width, patch, merge, temporal;
  float mean[3], std[3];
};

// A block takes one patch after another; blockDim.x threads run over its pixels in output order.
template <class T>
__global__ void __launch_bounds__(kBlock) patches_kernel(T* out, const uint8_t* frames, PatchShape s) {
  __shared__ float table[3 * 256];
#pragma unroll
  for (int c = 0; c < 3; c++)
    for (int x = threadIdx.x; x < 256; x += kBlock) table[c * 256 + x] = ((float)(x * (1.0 / 255.0)) - s.mean[c]) / s.std[c];
  __syncthreads();
  const unsigned area = s.patch * s.patch, grid_width = s.width / s.patch, grid_height = s.height / s.patch, merged = s.merge * s.merge;
  const unsigned blocks_across = grid_width / s.merge, per_time = grid_width * grid_height, columns = 3 * s.temporal * area;
  const int64_t frame_bytes = (int64_t)s.height * s.width * 3;
  for (int64_t p = blockIdx.x; p < s.patches; p += gridDim.x) {
    const unsigned time = (unsigned)(p / per_time), rest = (unsigned)(p % per_time), block = rest / merged, inner = rest % merged;
    const unsigned top = (block / blocks_across * s.merge + inner / s.merge) * s.patch;
    const unsigned left = (block % blocks_across * s.merge + inner % s.merge) * s.patch;
    T* row = out + p * columns;
    for (unsigned e = threadIdx.x; e < columns; e += kBlock) {
      const unsigned plane = e / area, c = plane / s.temporal, t = plane % s.temporal, inside = e % area, y = inside / s.patch,
                     x = inside % s.patch;
      const unsigned wanted = time * s.temporal + t, frame = wanted < s.n_frames ? wanted : s.n_frames - 1;
      const uint8_t pixel = frames[frame * frame_bytes + ((int64_t)(top + y) * s.width + left + x) * 3 + c];
      row[e] = from_float<T>(table[c * 256 + pixel]);
    }
  }
}

}  // namespace
}  // namespace kedge

using namespace kedge;

KEDGE_API int32_t kedge_image_resize(const kedge_context* ctx, uint8_t* out, int64_t out_height, int64_t out_width, const uint8_t* image,
                                     int64_t height, int64_t width, int64_t channels, kedge_status* status) {
  KEDGE_REQUIRE(out && image, "out or image is NULL");
  KEDGE_REQUIRE(height >= 1 && height <= 65535 && width >= 1 && width <= 65535, "image is %lld x %lld pixels, sides go from 1 to 65535",
                (long long)width, (long long)height);
  KEDGE_REQUIRE(out_height >= 1 && out_height <= 65535 && out_width >= 1 && out_width <= 65535,
                "out is %lld x %lld pixels, sides go from 1 to 65535", (long long)out_width, (long long)out_height);
  KEDGE_REQUIRE(channels >= 1 && channels <= 4, "channels is %lld, not 1 to 4", (long long)channels);
  const bool across = out_width != width, down = out_height != height;
  const int64_t out_line = out_width * channels;
  if (!across && !down) return kedge_copy(ctx, out, image, height * out_line, status);
  const int64_t across_bytes = across ? taps_bytes(width, out_width) : 0, down_bytes = down ? taps_bytes(height, out_height) : 0;
  KEDGE_REQUIRE_WORKSPACE(across_bytes + down_bytes + (across && down ? padded(height * out_line) : 0));
  KEDGE_SET_DEVICE();
  char* memory = static_cast<char*>(ctx->workspace);
  uint8_t* between = reinterpret_cast<uint8_t*>(memory + across_bytes + down_bytes);
  const uint8_t* source = image;
  if (across) {
    const Taps taps = taps_at(memory, out_width);
    uint8_t* target = down ? between : out;
    make_taps(ctx, taps, width, out_width);
    resize_across(ctx, target, image, height, out_width, width, channels, taps);
    source = target;
  }
  if (down) {
    const Taps taps = taps_at(memory + across_bytes, out_height);
    make_taps(ctx, taps, height, out_height);
    resize_down(ctx, out, source, out_height, out_line, taps);
  }
  return finish("image_resize", status);
}

KEDGE_API int32_t kedge_image_patches(const kedge_context* ctx, int32_t dtype, void* out, const uint8_t* frames, int64_t n_frames,
                                      int64_t height, int64_t width, int64_t patch, int64_t merge, int64_t temporal,
                                      KEDGE_IN const float* mean, KEDGE_IN const float* std, kedge_status* status) {
  KEDGE_REQUIRE_FLOAT(dtype);
  KEDGE_REQUIRE(mean && std, "mean or std is NULL");
  KEDGE_REQUIRE(n_frames >= 0 && height >= 0 && width >= 0, "frames are %lld x %lld x %lld", (long long)n_frames, (long long)height,
                (long long)width);
  KEDGE_REQUIRE(patch >= 1 && merge >= 1 && temporal >= 1 && patch <= 4096 && merge <= 4096 && temporal <= 4096,
                "patch %lld, merge %lld, temporal %lld: each goes from 1 to 4096", (long long)patch, (long long)merge, (long long)temporal);
  KEDGE_REQUIRE_DTYPE(3 * temporal * patch * patch <= INT32_MAX, "a patch of %lld x %lld x %lld has more than 2^31 values",
                      (long long)temporal, (long long)patch, (long long)patch);
  KEDGE_REQUIRE(height % (patch * merge) == 0 && width % (patch * merge) == 0, "%lld x %lld pixels are not made of blocks of %lld",
                (long long)width, (long long)height, (long long)(patch * merge));
  KEDGE_REQUIRE(height <= 1 << 24 && width <= 1 << 24 && n_frames <= 1 << 24, "frames are %lld x %lld x %lld", (long long)n_frames,
                (long long)height, (long long)width);
  KEDGE_REQUIRE_DTYPE((height / patch) * (width / patch) <= INT32_MAX, "%lld x %lld pixels have more than 2^31 patches", (long long)width,
                      (long long)height);
  PatchShape shape;
  for (int c = 0; c < 3; c++) {
    KEDGE_REQUIRE(fabsf(mean[c]) <= FLT_MAX && fabsf(std[c]) <= FLT_MAX && std[c] != 0, "mean, std of channel %d are %g, %g", c, mean[c],
                  std[c]);
    shape.mean[c] = mean[c];
    shape.std[c] = std[c];
  }
  if (n_frames == 0 || height == 0 || width == 0) return ok(status);
  KEDGE_REQUIRE(out && frames, "out or frames is NULL");
  shape.patches = ceil_div(n_frames, temporal) * (height / patch) * (width / patch);
  shape.n_frames = (unsigned)n_frames, shape.height = (unsigned)height, shape.width = (unsigned)width;
  shape.patch = (unsigned)patch, shape.merge = (unsigned)merge, shape.temporal = (unsigned)temporal;
  KEDGE_SET_DEVICE();
  with_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const unsigned blocks = (unsigned)(shape.patches < 4096 ? shape.patches : 4096);
    KEDGE_LAUNCH((patches_kernel<T>), blocks, kBlock, 0, stream_of(ctx), static_cast<T*>(out), frames, shape);
  });
  return finish("image_patches", status);
}
