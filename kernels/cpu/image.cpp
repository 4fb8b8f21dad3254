// Images: resize as Pillow does it, and Qwen2-VL patches; common/image.h has the arithmetic.
//
// kedge_image_resize: u8[height, width, channels] -> u8[out_height, out_width, channels]. The horizontal pass takes kGroup rows at once,
// turned so that a vector holds one pixel's channel of many rows; the vertical pass takes kGroup neighbouring bytes of a row.
// kedge_image_patches: a table of the 3 x 256 values that a byte can become, and the rearrangement.
#include "../common/image.h"

#include "common.h"

namespace kedge {
namespace {

constexpr int64_t kGroup = 4 * kLanes;  // bytes that go through the sums together

typedef int32_t words __attribute__((vector_size(kLanes * 4), aligned(1), may_alias));  // at any byte

// Sums of kGroup bytes: lane l of sum[b] belongs to byte b of the l-th 32-bit word, so that widening and narrowing are shifts within a
// lane.
struct Sums {
  vi sum[4];
  Sums() {
    for (vi& s : sum) s = vi{} + kHalf;
  }
  void add(const uint8_t* p, int32_t weight) {
    const vi word = *(const words*)p;
    sum[0] += (word & 255) * weight;
    sum[1] += ((word >> 8) & 255) * weight;
    sum[2] += ((word >> 16) & 255) * weight;
    sum[3] += ((word >> 24) & 255) * weight;
  }
  void store(uint8_t* p) const {
    vi word{};
    for (int b = 0; b < 4; b++) {
      vi v = sum[b] >> kFraction;
      v &= ~(v < 0);
      v |= v > 255;  // all ones, of which the mask leaves 255
      word |= (v & 255) << (8 * b);
    }
    *(words*)p = word;
  }
};
// The taps of one axis: output i is the sum over j < count[i] of input[first[i] + j] * weight[i * size + j].
struct Taps {
  int64_t size;
  int32_t *first, *count, *weight;
};

int64_t taps_bytes(int64_t in, int64_t out) { return out * (2 + tap_size(in, out)) * 4; }

Taps make_taps(int64_t in, int64_t out, void* memory, double* scratch) {
  Taps taps{tap_size(in, out), (int32_t*)memory, (int32_t*)memory + out, (int32_t*)memory + 2 * out};
  const double scale = (double)in / (double)out, wide = filter_scale(in, out);
  for (int64_t i = 0; i < out; i++) {
    const TapRange range((int)i, (int)in, scale, wide);
    double sum = 0;
    for (int j = range.first; j < range.last; j++) sum += scratch[j - range.first] = range.weight(j);
    int32_t* weight = taps.weight + i * taps.size;
    for (int j = 0; j < range.last - range.first; j++) weight[j] = fixed_point(scratch[j], sum);
    taps.first[i] = range.first;
    taps.count[i] = range.last - range.first;
  }
  return taps;
}

// Horizontal pass over `rows` <= kGroup rows at once: in the tile, a pixel's channel is kGroup bytes, one per row. tile: kGroup * (width +
// out_width) * channels bytes.
void resize_rows(uint8_t* out, const uint8_t* image, int64_t rows, int64_t out_width, int64_t width, int64_t channels, const Taps& taps,
                 uint8_t* tile) {
  const int64_t line = width * channels, out_line = out_width * channels;
  uint8_t* result = tile + kGroup * line;
  const uint8_t* source[kGroup];
  for (int64_t r = 0; r < kGroup; r++) source[r] = image + std::min(r, rows - 1) * line;
  for (int64_t i = 0; i < line; i++)
    for (int64_t r = 0; r < kGroup; r++) tile[i * kGroup + r] = source[r][i];
  for (int64_t x = 0; x < out_width; x++) {
    const int32_t* weight = taps.weight + x * taps.size;
    const int64_t count = taps.count[x];
    for (int64_t c = 0; c < channels; c++) {
      const uint8_t* first = tile + (taps.first[x] * channels + c) * kGroup;
      Sums sums;
      for (int64_t j = 0; j < count; j++) sums.add(first + j * channels * kGroup, weight[j]);
      sums.store(result + (x * channels + c) * kGroup);
    }
  }
  for (int64_t i = 0; i < out_line; i++)
    for (int64_t r = 0; r < rows; r++) out[r * out_line + i] = result[i * kGroup + r];
}

// Vertical pass of one output row; line: its bytes.
void resize_column(uint8_t* out, const uint8_t* image, int64_t line, int64_t y, const Taps& taps) {
  const int32_t* weight = taps.weight + y * taps.size;
  const int64_t count = taps.count[y];
  const uint8_t* source = image + taps.first[y] * line;
  int64_t i = 0;
  for (; i + kGroup <= line; i += kGroup) {
    Sums sums;
    for (int64_t j = 0; j < count; j++) sums.add(source + j * line + i, weight[j]);
    sums.store(out + i);
  }
  for (; i < line; i++) {
    int32_t sum = kHalf;
    for (int64_t j = 0; j < count; j++) sum += source[j * line + i] * weight[j];
    out[i] = (uint8_t)clipped(sum);
  }
}

int64_t padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace
}  // namespace kedge

using namespace kedge;

int32_t kedge_image_resize(const kedge_context* ctx, uint8_t* out, int64_t out_height, int64_t out_width, const uint8_t* image,
                           int64_t height, int64_t width, int64_t channels, kedge_status* status) {
  KEDGE_TRY(check_image_resize(out, out_height, out_width, image, height, width, channels, status));
  const bool across = out_width != width, down = out_height != height;
  const int64_t line = width * channels, out_line = out_width * channels;
  const int threads = std::max(1, ctx->threads);
  const int64_t tile = padded(kGroup * (line + out_line));
  const int64_t scratch_bytes = padded(8 * std::max(tap_size(width, out_width), tap_size(height, out_height)));
  const int64_t across_bytes = across ? padded(taps_bytes(width, out_width)) : 0;
  const int64_t down_bytes = down ? padded(taps_bytes(height, out_height)) : 0;
  const int64_t between_bytes = across && down ? padded(height * out_line) : 0, tiles_bytes = across ? threads * tile : 0;
  if (!across && !down) {
    parallel_range(ctx, height, 64, line / 16,
                   [&](int64_t b, int64_t e) { memcpy(out + b * line, image + b * line, (size_t)((e - b) * line)); });
    return ok(status);
  }
  KEDGE_REQUIRE_WORKSPACE(scratch_bytes + across_bytes + down_bytes + between_bytes + tiles_bytes);
  char* memory = (char*)ctx->workspace;
  double* scratch = (double*)memory;
  char *across_memory = memory + scratch_bytes, *down_memory = across_memory + across_bytes;
  uint8_t *between = (uint8_t*)down_memory + down_bytes, *tiles = between + between_bytes;
  Taps down_taps{0, nullptr, nullptr, nullptr};
  int64_t first = 0, last = height;  // the rows that the vertical pass reads
  if (down) {
    down_taps = make_taps(height, out_height, down_memory, scratch);
    first = down_taps.first[0];
    last = down_taps.first[out_height - 1] + down_taps.count[out_height - 1];
  }
  const uint8_t* source = image;
  if (across) {
    Taps taps = make_taps(width, out_width, across_memory, scratch);
    uint8_t* target = down ? between : out;
    parallel_range(ctx, last - first, kGroup, out_line * taps.size / 8, [&](int64_t b, int64_t e) {
      resize_rows(target + (first + b) * out_line, image + (first + b) * line, e - b, out_width, width, channels, taps,
                  tiles + tile * Threads::index());
    });
    source = target;
  }
  if (down)
    parallel_range(ctx, out_height, 4, out_line * down_taps.size / 8, [&](int64_t b, int64_t e) {
      for (int64_t y = b; y < e; y++) resize_column(out + y * out_line, source, out_line, y, down_taps);
    });
  return ok(status);
}

int32_t kedge_image_patches(const kedge_context* ctx, int32_t dtype, void* out, const uint8_t* frames, int64_t n_frames, int64_t height,
                            int64_t width, int64_t patch, int64_t merge, int64_t temporal, const float* mean, const float* std,
                            kedge_status* status) {
  KEDGE_REQUIRE_F32("image_patches");
  KEDGE_TRY(check_image_patches(out, frames, n_frames, height, width, patch, merge, temporal, mean, std, status));
  if (n_frames == 0 || height == 0 || width == 0) return ok(status);
  float table[3][256];
  for (int c = 0; c < 3; c++)
    for (int x = 0; x < 256; x++) table[c][x] = normalised(x, mean[c], std[c]);
  const int64_t groups = (n_frames + temporal - 1) / temporal, side = patch * merge;
  const int64_t grid_height = height / patch, grid_width = width / patch;
  const int64_t block_rows = grid_height / merge, row_floats = 3 * temporal * patch * patch, frame_bytes = height * width * 3;
  // A chunk is a row of blocks: merge * grid_width patches.
  parallel(ctx, groups * block_rows, groups * grid_height * grid_width * row_floats / 2, [&](int64_t chunk) {
    const int64_t group = chunk / block_rows, block_row = chunk % block_rows;
    float* row = (float*)out + (group * grid_height + block_row * merge) * grid_width * row_floats;
    for (int64_t p = 0; p < merge * grid_width; p++, row += row_floats) {
      const int64_t block = p / (merge * merge), inner = p % (merge * merge);
      const int64_t top = block_row * side + inner / merge * patch, left = block * side + inner % merge * patch;
      for (int64_t t = 0; t < temporal; t++) {
        const int64_t frame = std::min(group * temporal + t, n_frames - 1);
        for (int64_t y = 0; y < patch; y++) {
          const uint8_t* pixel = frames + frame * frame_bytes + ((top + y) * width + left) * 3;
          float* to = row + (t * patch + y) * patch;
          for (int64_t x = 0; x < patch; x++)
            for (int64_t c = 0; c < 3; c++) to[c * temporal * patch * patch + x] = table[c][pixel[x * 3 + c]];
        }
      }
    }
  });
  return ok(status);
}
