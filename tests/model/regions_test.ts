import type { ModelConfig } from "../../model/config/config.ts";
import type { Prompt, Visual } from "../../model/prompt.ts";
import { chosenLayers, regionMap, visualSinks } from "../../model/regions.ts";
import { Random } from "../../tensor/random.ts";
import { assertEquals, assertThrows } from "@std/assert";

const [IMAGE, VIDEO] = [90, 91];
const config = { modelType: "qwen2_5_vl", tokens: { image: IMAGE, video: VIDEO }, vision: { mergeSize: 2 } } as ModelConfig;

/** One text token, then each visual [time, rows, columns of merged tokens] with a text token behind it. */
function prompt(...sizes: [number, number, number][]): Prompt {
  const visuals = sizes.map(([t, h, w]): Visual => ({
    kind: t === 1 ? "image" : "video",
    grid: { t, h: 2 * h, w: 2 * w },
    pixels: { patches: new Float32Array() },
  }));
  const tokens = sizes.flatMap(([t, h, w]) => [...Array<number>(t * h * w).fill(t === 1 ? IMAGE : VIDEO), 1]);
  return { tokens: Int32Array.from([1, ...tokens]), visuals };
}

Deno.test("regions are the smallest squares that are few enough, over all images and frames", () => {
  // f = 1: 8 + 12 + 12; f = 2: 2 + 4 + 4, with ragged edges.
  const given = prompt([1, 2, 4], [2, 3, 4]);
  assertEquals(regionMap(given, config, { profileRegions: 32 }).regions, 32);
  const { regions, region, boxes } = regionMap(given, config, { profileRegions: 31, sinkTokens: 0 });
  assertEquals(regions, 10);
  // deno-fmt-ignore
  assertEquals([...region], [
    -1, 0, 0, 1, 1, 0, 0, 1, 1, -1, 2, 2, 3, 3, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 6, 6, 7, 7, 8, 8, 9, 9, -1,
  ]);
  assertEquals(boxes.length, 10);
  assertEquals(boxes[9], { region: 9, visual: 1, frames: [1, 2], rows: [2, 3], cols: [2, 4] });
});

Deno.test("if one region per frame is too many, consecutive frames are joined; if one per visual is too many, visuals are", () => {
  const joined = regionMap(prompt([5, 1, 2], [1, 2, 1]), config, { profileRegions: 4 });
  assertEquals(joined.regions, 4);
  assertEquals([...joined.region], [-2, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, -1, 3, 3, -1]);
  assertEquals(joined.boxes.map(({ frames }) => frames), [[0, 2], [2, 4], [4, 5], [0, 1]]);
  const shared = regionMap(prompt([2, 1, 1], [1, 1, 2], [1, 1, 1]), config, { profileRegions: 2 });
  assertEquals([shared.regions, ...shared.region], [2, -2, 0, 0, -1, 0, 0, -1, 1, -1]);
  assertEquals(shared.boxes.map(({ region, visual }) => [region, visual]), [[0, 0], [0, 1], [1, 2]]);
});

Deno.test("every visual token lies in the box of its region, and there are at most as many regions as asked for", () => {
  const seed = Math.floor(Math.random() * 2 ** 31), random = new Random(seed);
  for (let i = 0; i < 40; i++) {
    const size = (): [number, number, number] => [random.integer(1, 6), random.integer(1, 12), random.integer(1, 12)];
    const given = prompt(...Array.from({ length: random.integer(1, 5) }, size)), limit = random.integer(1, 70);
    const { regions, region, boxes } = regionMap(given, config, { profileRegions: limit, sinkTokens: 0 });
    assertEquals(regions <= limit && new Set(region).size === regions + 1, true, `seed ${seed}, prompt ${i}`);
    const expected: number[] = [-1];
    for (const [visual, { grid }] of given.visuals.entries()) {
      for (let token = 0; token < grid.t * grid.h * grid.w / 4; token++) {
        const [h, w] = [grid.h / 2, grid.w / 2];
        const place = [Math.floor(token / (h * w)), Math.floor(token / w) % h, token % w];
        const holding = boxes.filter((box) =>
          box.visual === visual &&
          [box.frames, box.rows, box.cols].every(([first, end], axis) => first <= place[axis]! && place[axis]! < end)
        );
        assertEquals(holding.length, 1, `seed ${seed}, prompt ${i}`);
        expected.push(holding[0]!.region);
      }
      expected.push(-1);
    }
    assertEquals([...region], expected, `seed ${seed}, prompt ${i}`);
  }
});

Deno.test("sinks are the first tokens, visual ones too, and the given visual tokens", () => {
  const given = { tokens: Int32Array.of(IMAGE, IMAGE, IMAGE, 1), visuals: prompt([1, 1, 3]).visuals };
  assertEquals([...regionMap(given, config, { visualSinks: [2] }).region], [-2, 1, -2, -1]);
  assertEquals([...regionMap(given, config, { sinkTokens: 9 }).region], [-2, -2, -2, -2]);
  assertEquals([...regionMap({ tokens: Int32Array.of(1, 2), visuals: [] }, config).region], [-2, -1]);
  assertThrows(() => regionMap(given, config, { visualSinks: [3] }), RangeError, "visual token 3");
  assertThrows(() => regionMap(given, config, { profileRegions: 0 }), RangeError, "0 regions");
  assertThrows(() => regionMap(given, config, { sinkTokens: -1 }), RangeError, "-1 tokens");
});

Deno.test("visual sinks are tokens that nearly all rows attend to, not those that a single row does", () => {
  const [rows, tokens] = [10, 64];
  const attention = new Float64Array(rows * tokens).fill(0.001);
  for (let row = 0; row < rows; row++) attention[row * tokens + 7] = 0.02; // all rows
  for (let row = 1; row < rows; row++) attention[row * tokens + 8] = 0.02; // all but one: the 10th percentile is 0.1 of the way
  attention[3 * tokens + 9] = 0.9; // one row
  const sinks = (factor: number) => [...visualSinks({ attention, rows, tokens, factor })];
  assertEquals(sinks(0), []);
  assertEquals(sinks(2), [7, 8]);
  assertEquals(sinks(18), [7, 8]);
  assertEquals(sinks(18.2), [7]);
  assertEquals(sinks(20.5), []);
});

Deno.test("there are no visual sinks below 8 rows or 64 visual tokens", () => {
  const count = (rows: number, tokens: number) => {
    const attention = Float64Array.from({ length: rows * tokens }, (_, i) => i % tokens === 0 ? 0.5 : 0.001);
    return visualSinks({ attention, rows, tokens, factor: 3 }).length;
  };
  assertEquals([count(8, 64), count(7, 64), count(8, 63)], [1, 0, 0]);
});

Deno.test("layers are all, the last half, or a list", () => {
  assertEquals(chosenLayers("all", 2), [true, true]);
  assertEquals(chosenLayers("last-half", 5), [false, false, true, true, true]);
  assertEquals(chosenLayers([2, 0], 3), [true, false, true]);
  assertThrows(() => chosenLayers([3], 3), RangeError, "layers 0 to 2");
  assertThrows(() => chosenLayers([-1], 3), RangeError);
  assertThrows(() => chosenLayers([], 3), RangeError, "one at least");
});
