import "sharp"; // a library that a test loads counts as its leak
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { gunzipSync } from "node:zlib";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { ImageProcessor, smartResize } from "../../model/processor/image_processor.ts";
import type { Visual } from "../../model/prompt.ts";
import { SafetensorsFile } from "../../tensor/safetensors.ts";
import { ROOT } from "../root.ts";

const device = CpuDevice.open(); // here, since a library that a test loads counts as its leak

interface Case {
  readonly file: string;
  readonly bounds: { readonly minPixels: number; readonly maxPixels: number; readonly name: string };
  readonly grid: readonly number[];
}

const processor = new ImageProcessor();

function casesOf(folder: string): Case[] {
  const cases = JSON.parse(Deno.readTextFileSync(`${folder}/cases.json`)) as Record<string, unknown>[];
  return cases.map((json) => {
    const name = json["file"] as string,
      bounds = { minPixels: json["min_pixels"] as number, maxPixels: json["max_pixels"] as number, name };
    return { file: name, bounds, grid: json["grid_thw"] as number[] };
  });
}

function framesOf({ pixels }: Visual): Uint8Array<ArrayBuffer> {
  if (!("frames" in pixels)) throw new Error("the processor gives frames");
  return pixels.frames;
}

/** The patches that the model's device will cut. */
function patchesOf(visual: Visual): Float32Array<ArrayBuffer> {
  const { pixels, grid } = visual;
  if (!("frames" in pixels)) throw new Error("the processor gives frames");
  const out = new Float32Array(grid.t * grid.h * grid.w * 3 * 2 * 14 * 14);
  const [frames, patches] = [device.alloc(pixels.frames.length), device.alloc(out.byteLength)];
  device.write(frames, pixels.frames);
  const [mean, std] = [new Float32Array(pixels.mean), new Float32Array(pixels.std)];
  device.ops.imagePatches(0, patches, frames, pixels.count, grid.h * 14, grid.w * 14, 14, 2, 2, mean, std);
  device.read(out, patches);
  for (const address of [frames, patches]) device.free(address);
  return out;
}

// `resized.u8.gz`: the golden pixel values as bytes again, round((x std + mean) 255), [height, width, 3] of each case in turn.
const COPIES = `${ROOT}/tests/golden/image_processor_synthetic`;
const resized = gunzipSync(Deno.readFileSync(`${COPIES}/resized.u8.gz`));
let at = 0;
for (const c of casesOf(COPIES)) {
  const [t, h, w] = c.grid as [number, number, number], expected = resized.subarray(at, at += h * w * 14 * 14 * 3);
  Deno.test(`a picture has Pillow's resized pixels: ${c.file}`, async () => {
    const visual = await processor.image(Deno.readFileSync(`${COPIES}/${c.file}`), c.bounds);
    assertEquals([visual.kind, visual.grid], ["image", { t, h, w }]);
    const frames = framesOf(visual);
    assertEquals(frames.length, expected.length);
    const difference = frames.reduce((sum, value, i) => sum + Math.abs(value - expected[i]!), 0);
    if (!c.file.endsWith(".jpg")) assertEquals(difference, 0);
    assert(difference / frames.length <= 2e-3 * 0.26 * 255, `mean difference ${difference / frames.length}`);
  });
}
Deno.test("the golden pictures are all compared", () => assertEquals([at, casesOf(COPIES).length], [resized.length, 9]));

for (const name of ["image_processor", "image_processor_synthetic"]) {
  const folder = `${ROOT}/../shared/golden/${name}`;
  const there = (() => {
    try {
      return Deno.statSync(folder).isDirectory;
    } catch {
      return false;
    }
  })();
  Deno.test({
    name: `patches and grids equal the public processor's: ../shared/golden/${name}${there ? "" : " (skipped: it is not there)"}`,
    ignore: !there,
    fn: async () => {
      using golden = SafetensorsFile.open(`${folder}/pixel_values.safetensors`);
      const all = await Promise.all(
        casesOf(folder).map(async (c) => ({
          ...c,
          visual: await processor.image(await Deno.readFile(`${folder}/${c.file}`), c.bounds),
        })),
      );
      assert(all.length >= 8);
      for (const { visual, file, grid } of all) {
        const { t, h, w } = visual.grid;
        assertEquals([t, h, w], grid, file);
        const patches = patchesOf(visual), expected = new Float32Array(golden.read(file).slice().buffer as ArrayBuffer);
        assertEquals(patches.length, expected.length, file);
        let sum = 0, most = 0;
        for (let i = 0; i < patches.length; i++) {
          const difference = Math.abs(patches[i]! - expected[i]!);
          sum += difference;
          most = Math.max(most, difference);
        }
        const lossy = file.endsWith(".jpg");
        assert(lossy ? sum / patches.length <= 2e-3 : most <= 1e-6, `${file}: most ${most}, mean ${sum / patches.length}`);
      }
    },
  });
}

Deno.test("smartResize gives the public function's sizes", () => {
  const sizes: [height: number, width: number, minPixels: number, maxPixels: number, expected: [number, number]][] = [
    [693, 1550, 12544, 50176, [140, 308]],
    [28, 28, 3136, 1_003_520, [56, 56]],
    [1, 1, 3136, 1_003_520, [56, 56]],
    [1, 200, 3136, 1_003_520, [28, 812]],
    [70, 98, 1, 1e6, [56, 112]], // 2.5 and 3.5 factors: halves to the even one
    [42, 126, 1, 1e6, [56, 112]],
    [10_000, 50, 3136, 100_352, [4480, 28]], // one side stays a factor: more than maxPixels
    [300, 300, 3136, 12_544, [84, 84]], // rounding below 112
    [4000, 6000, 3136, 1_003_520, [812, 1204]],
    [28, 56, 1568, 1568, [28, 56]],
  ];
  for (const [height, width, minPixels, maxPixels, expected] of sizes) {
    const size = smartResize(height, width, { factor: 28, minPixels, maxPixels });
    assertEquals([size.height, size.width], expected, `${height} x ${width}`);
  }
});

Deno.test("smartResize refuses a side more than 200 times the other, and takes one of 200 times", () => {
  const bounds = { factor: 28, minPixels: 3136, maxPixels: 1_003_520 };
  smartResize(3, 600, bounds);
  const error = assertThrows(() => smartResize(601, 3, { ...bounds, name: "a.png" }), KedgeError);
  assertEquals(error.code, "BadData");
  assertStringIncludes(error.message, "Cannot resize a.png: of its 3 x 601 pixels");
  for (
    const [h, w, wrong] of [[0, 5, {}], [5, 1.5, {}], [5, 5, { minPixels: 0 }], [5, 5, { minPixels: 10, maxPixels: 9 }], [5, 5, {
      maxPixels: NaN,
    }]] as const
  ) {
    assertThrows(() => smartResize(h, w, { ...bounds, ...wrong }), RangeError);
  }
});

const raw = (width: number, height: number, value = 7) => ({ width, height, data: new Uint8Array(3 * width * height).fill(value) });

Deno.test("a picture that has its size already keeps its pixels, as a copy", async () => {
  const image = raw(56, 56);
  image.data.forEach((_, i) => image.data[i] = i % 251);
  const frames = framesOf(await processor.image(image));
  assertEquals(frames, image.data);
  assert(frames.buffer !== image.data.buffer);
});

Deno.test("a picture's own bounds take precedence over the processor's", async () => {
  const { grid } = await processor.image(raw(310, 310), { maxPixels: 112 * 113 });
  assertEquals(grid, { t: 1, h: 8, w: 8 });
  assertEquals((await processor.image(raw(10, 10), { minPixels: 112 * 112 })).grid, { t: 1, h: 8, w: 8 });
});

Deno.test("pixels that are not [height, width, 3], and pictures too long to resize, are refused", async () => {
  await assertRejects(
    () => processor.image({ width: 2, height: 2, data: new Uint8Array(16) }),
    RangeError,
    "16 bytes are not 2 x 2 x 3 pixels",
  );
  await assertRejects(() => processor.image({ width: 0, height: 2, data: new Uint8Array() }), RangeError);
  const error = await assertRejects(() => processor.image(raw(65_536, 400)), KedgeError);
  assertEquals(error.code, "BadData");
});

Deno.test("pictures leave no memory behind, also those that fail", async () => {
  const before = device.memory().allocations;
  await Promise.allSettled(Array.from({ length: 8 }, (_, i) => processor.image(i % 2 ? raw(100 + i, 90) : raw(1000, 3))));
  assertEquals(device.memory().allocations, before);
});

Deno.test("results do not depend on the threads that resize", async () => {
  const image = raw(331, 217);
  image.data.forEach((_, i) => image.data[i] = i * i % 253);
  const one = framesOf(await new ImageProcessor({ threads: 1 }).image(image)),
    three = framesOf(await new ImageProcessor({ threads: 3 }).image(image));
  assertEquals(one.toHex(), three.toHex());
});

function inFolder<T>(files: Record<string, unknown>, body: (folder: string) => T): T {
  const folder = Deno.makeTempDirSync({ dir: "/tmp" });
  try {
    for (const [name, json] of Object.entries(files)) {
      Deno.writeTextFileSync(`${folder}/${name}`, typeof json === "string" ? json : JSON.stringify(json));
    }
    return body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}
const fromFiles = (files: Record<string, unknown>) => inFolder(files, (folder) => ImageProcessor.fromFolder(folder));

// As Qwen's folders on the hub have it.
const HUB = JSON.parse(`{
  "min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
  "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
  "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor"
}`);

Deno.test("fromFolder reads preprocessor_config.json, whose bounds hold for videos too", () => {
  const images = fromFiles({ "preprocessor_config.json": HUB });
  assertEquals([images.minPixels, images.maxPixels, images.patchSize, images.mergeSize, images.temporalPatchSize], [
    3136,
    12845056,
    14,
    2,
    2,
  ]);
  assertEquals([images.mean, images.std], [processor.mean, processor.std]);
  assertEquals([images.videoSettings.minPixels, images.videoSettings.maxPixels, images.videoSettings.fps], [3136, 12845056, 2]);
});

Deno.test("fromFolder reads size with both spellings, and min_pixels and max_pixels before it", () => {
  const size = { ["shortest_edge"]: 4000, ["longest_edge"]: 9000 };
  const { minPixels, maxPixels } = fromFiles({ "preprocessor_config.json": { size, ["max_pixels"]: 8000, ["min_pixels"]: null } });
  assertEquals([minPixels, maxPixels], [4000, 8000]);
  const old = fromFiles({ "preprocessor_config.json": { size: { ["min_pixels"]: 4001, ["max_pixels"]: 9001 } } });
  assertEquals([old.minPixels, old.maxPixels], [4001, 9001]);
});

Deno.test("fromFolder reads video_preprocessor_config.json", () => {
  const video = {
    size: { ["shortest_edge"]: 5000, ["longest_edge"]: 6000 },
    ["max_frames"]: 32,
    ["min_frames"]: 8,
    fps: 1,
    ["cap_pixels_per_frame"]: true,
  };
  const { videoSettings, maxPixels } = fromFiles({ "preprocessor_config.json": HUB, "video_preprocessor_config.json": video });
  assertEquals(maxPixels, 12845056);
  const { minPixels, maxPixels: most, maxFrames, minFrames, fps, capPixelsPerFrame } = videoSettings;
  assertEquals([minPixels, most, maxFrames, minFrames, fps, capPixelsPerFrame], [5000, 6000, 32, 8, 1, true]);
});

Deno.test("fromFolder reads a processor_config.json that holds both, before any other file", () => {
  const nested = {
    ["image_processor"]: { ...HUB, ["max_pixels"]: 50_000 },
    ["video_processor"]: { size: { ["shortest_edge"]: 1, ["longest_edge"]: 2 } },
  };
  const images = fromFiles({ "processor_config.json": nested, "preprocessor_config.json": HUB });
  assertEquals([images.maxPixels, images.videoSettings.maxPixels], [50_000, 2]);
  assertEquals(fromFiles({ "processor_config.json": { ["processor_class"]: "x" }, "preprocessor_config.json": HUB }).maxPixels, 12845056);
});

Deno.test("fromFolder names the file and the key of unknown values", () => {
  const refused: [Record<string, unknown>, string][] = [
    [{}, "it has neither preprocessor_config.json nor"],
    [{ "preprocessor_config.json": "{" }, "it is not JSON"],
    [{ "preprocessor_config.json": "[]" }, "it is not an object"],
    [{ "preprocessor_config.json": "null" }, "it is not an object"],
    [{ "preprocessor_config.json": { ["image_processor_type"]: "CLIPImageProcessor" } }, 'image_processor_type is "CLIPImageProcessor"'],
    [{ "preprocessor_config.json": { ["patch_size"]: 0 } }, "patch_size is 0, not a positive integer"],
    [{ "preprocessor_config.json": { ["patch_size"]: 1e9 } }, "patch_size is 1000000000, not a positive integer up to 256"],
    [{ "preprocessor_config.json": '{"merge_size": 1e18}' }, "merge_size is 1000000000000000000, not a positive integer up to 64"],
    [{ "preprocessor_config.json": { ["max_pixels"]: 1e18 } }, "max_pixels is 1000000000000000000, not a positive number up to 67108864"],
    [{ "preprocessor_config.json": { ["min_pixels"]: -1 } }, "min_pixels is -1, not a positive number"],
    [{ "preprocessor_config.json": '{"max_pixels": 1e999}' }, "max_pixels is null, not a positive number"],
    [{ "preprocessor_config.json": '{"max_pixels": NaN}' }, "it is not JSON"],
    [
      { "preprocessor_config.json": HUB, "video_preprocessor_config.json": { ["max_frames"]: 1e9 } },
      "max_frames is 1000000000, not a positive",
    ],
    [
      { "preprocessor_config.json": HUB, "video_preprocessor_config.json": { fps: 1e9 } },
      "fps is 1000000000, not a positive number up to 1000",
    ],
    [{ "preprocessor_config.json": { ["image_mean"]: [1e30, 0, 0] } }, "not three numbers between -1000 and 1000"],
    [{ "preprocessor_config.json": { ["image_std"]: [1, 0, 1] } }, "std [1,0,1] is out of range"],
    [{ "preprocessor_config.json": { ["min_pixels"]: 100, ["max_pixels"]: 99 } }, "in this order"],
    [{ "preprocessor_config.json": HUB, "video_preprocessor_config.json": { ["merge_size"]: 4 } }, "mergeSize is 4 for videos"],
  ];
  const always: [string, unknown][] = [["do_resize", false], ["do_rescale", false], ["do_normalize", false], ["do_convert_rgb", false]];
  always.push(["do_center_crop", true], ["do_pad", true], ["resample", 2], ["rescale_factor", 1]);
  for (const [key, value] of always) refused.push([{ "preprocessor_config.json": { ...HUB, [key]: value } }, `${key} is ${value}`]);
  for (const [files, words] of refused) {
    const error = assertThrows(() => fromFiles(files), KedgeError);
    assertEquals(error.code, "BadCheckpoint", words);
    assertStringIncludes(error.message, words);
  }
});

Deno.test("the constructor refuses invalid sizes, bounds and constants", () => {
  const wrong = [
    { patchSize: 0 },
    { mergeSize: 1.5 },
    { temporalPatchSize: -1 },
    { minPixels: 0 },
    { minPixels: 2e6 },
    { std: [1, 1, 0] },
    { mean: [NaN, 0, 0] },
    {
      video: { minPixels: 9, maxPixels: 8 },
    },
  ] as const;
  for (const options of wrong) assertThrows(() => new ImageProcessor(options), RangeError);
});
