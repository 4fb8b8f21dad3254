import type { WindowedVision } from "../../model/qwen2_5_vl/config_file.ts";
import { visionLayout } from "../../model/qwen2_5_vl/vision_layout.ts";
import { Random } from "../../tensor/random.ts";
import { assertEquals, assertThrows } from "@std/assert";

const config = (windowSize: number) => ({ patchSize: 14, mergeSize: 2, windowSize }) as WindowedVision;

Deno.test("the order, windows, frames and places are those of transformers, for ragged windows, a picture below one and several frames", () => {
  // transformers 5.17, vision_utils: get_vision_window_index, get_vision_attention_seqlens, get_vision_position_ids permuted.
  const layout = visionLayout([{ t: 2, h: 6, w: 10 }, { t: 1, h: 2, w: 4 }], config(56));
  // deno-fmt-ignore
  assertEquals([...layout.order], [
    0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14, 15, 16, 20, 21, 17, 18, 22, 23, 19, 24, 25, 26, 27, 28, 29, 30, 31,
  ]);
  assertEquals(layout.windows, [16, 16, 8, 8, 8, 4, 16, 16, 8, 8, 8, 4, 8]);
  assertEquals(layout.frames, [60, 60, 8]);
  // deno-fmt-ignore
  const [rows, cols] = [
    [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 4, 4, 5, 5, 4, 4, 5, 5,
      4, 4, 5, 5, 4, 4, 5, 5],
    [0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7, 4, 5, 4, 5, 6, 7, 6, 7, 8, 9, 8, 9, 8, 9, 8, 9, 0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5,
      6, 7, 6, 7, 8, 9, 8, 9],
  ];
  assertEquals([...layout.rows], [...rows!, ...rows!, 0, 0, 1, 1, 0, 0, 1, 1]);
  assertEquals([...layout.cols], [...cols!, ...cols!, 0, 1, 0, 1, 2, 3, 2, 3]);
});

Deno.test("windows wider than a picture, and such that fit exactly, are those of transformers", () => {
  const layout = visionLayout([{ t: 2, h: 6, w: 10 }, { t: 1, h: 2, w: 4 }, { t: 1, h: 12, w: 12 }], config(112));
  assertEquals(layout.windows, [48, 12, 48, 12, 8, 64, 32, 32, 16]);
  assertEquals([...layout.order.subarray(0, 18)], [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 4, 9, 14, 15, 16, 17]);
});

Deno.test("order and inverse undo one another, and windows and frames cover all patches", () => {
  const seed = Math.floor(Math.random() * 2 ** 31), random = new Random(seed);
  const size = () => 2 * random.integer(1, 12);
  const grids = Array.from({ length: 5 }, () => ({ t: random.integer(1, 4), h: size(), w: size() }));
  const { order, inverse, windows, frames, rows } = visionLayout(grids, config(28 * random.integer(1, 6)));
  const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
  assertEquals([...order].map((raster) => inverse[raster]!), [...order.keys()], `seed ${seed}`);
  assertEquals([sum(windows), sum(frames)], [rows.length, rows.length], `seed ${seed}`);
});

Deno.test("an impossible grid is refused by name", () => {
  assertThrows(() => visionLayout([{ t: 1, h: 2, w: 2 }, { t: 1, h: 3, w: 2 }], config(112)), RangeError, "1 x 3 x 2 of picture 1");
  assertThrows(() => visionLayout([{ t: 0, h: 2, w: 2 }], config(112)), RangeError, "picture 0");
  assertThrows(() => visionLayout([{ t: 1, h: 2, w: NaN }], config(112)), RangeError, "picture 0");
  assertThrows(() => visionLayout([], config(14)), RangeError, "windows of 14 pixels");
});
