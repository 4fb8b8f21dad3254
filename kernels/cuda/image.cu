// Images: resize as Pillow does it, and Qwen2-VL patches; common/image.h has the arithmetic.
//
// kedge_image_resize: u8[height, width, channels] -> u8[out_height, out_width, channels]. Neighbouring threads take neighbouring pixels of
// an output row, or bytes of it, so that what a warp reads and writes lies together. kedge_image_patches: a table of the 3 x 256 values
// that a byte can become, and the rearrangement.
#include "../common/image.h"

#include "common.cuh"

namespace kedge {
namespace {

// The taps of one axis: output i is the sum over j < count[i] of input[first[i] + j] * weight[j * out + i].
struct Taps {
  int32_t *first, *count, *weight;
};

inline int64_t padded(int64_t bytes) { return (bytes + 255) / 256 * 256; }
inline int64_t taps_bytes(int64_t in, int64_t out) { return padded(out * (2 + tap_size(in, out)) * 4); }
inline Taps taps_at(void* memory, int64_t out) {
  int32_t* p = static_cast<int32_t*>(memory);
  return {p, p + out, p + 2 * out};
}

// A thread for each output; wide: the filter's scale.
__global__ void __launch_bounds__(kBlock) taps_kernel(Taps taps, int in, int out, double scale, double wide) {
  const int i = blockIdx.x * kBlock + threadIdx.x;
  if (i >= out) return;
  const TapRange range(i, in, scale, wide);
  double sum = 0;
  for (int j = range.first; j < range.last; j++) sum += range.weight(j);
  for (int j = range.first; j < range.last; j++) taps.weight[(int64_t)(j - range.first) * out + i] = fixed_point(range.weight(j), sum);
  taps.first[i] = range.first;
  taps.count[i] = range.last - range.first;
}

// A thread for each pixel of the result; blockIdx.y: the row.
template <int kChannels>
__global__ void __launch_bounds__(kBlock) across_kernel(uint8_t* out, const uint8_t* image, int out_width, int width, Taps taps) {
  const int x = blockIdx.x * kBlock + threadIdx.x;
  if (x >= out_width) return;
  const uint8_t* pixel = image + ((int64_t)blockIdx.y * width + taps.first[x]) * kChannels;
  int32_t sum[kChannels];
#pragma unroll
  for (int c = 0; c < kChannels; c++) sum[c] = kHalf;
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
  for (int b = 0; b < W; b++) sum[b] = kHalf;
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
    for (int x = threadIdx.x; x < 256; x += kBlock) table[c * 256 + x] = normalised(x, s.mean[c], s.std[c]);
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
  KEDGE_TRY(check_image_resize(out, out_height, out_width, image, height, width, channels, status));
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
  KEDGE_TRY(check_image_patches(out, frames, n_frames, height, width, patch, merge, temporal, mean, std, status));
  KEDGE_REQUIRE_DTYPE(3 * temporal * patch * patch <= INT32_MAX, "a patch of %lld x %lld x %lld has more than 2^31 values",
                      (long long)temporal, (long long)patch, (long long)patch);
  KEDGE_REQUIRE_DTYPE((height / patch) * (width / patch) <= INT32_MAX, "%lld x %lld pixels have more than 2^31 patches", (long long)width,
                      (long long)height);
  if (n_frames == 0 || height == 0 || width == 0) return ok(status);
  PatchShape shape;
  for (int c = 0; c < 3; c++) shape.mean[c] = mean[c], shape.std[c] = std[c];
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
