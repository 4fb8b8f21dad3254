import type { Address } from "../../ffi/address.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DTYPES } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { parseHeader } from "../../tensor/safetensors_header.ts";
import { assertDeterministic } from "./determinism.ts";
import { type OpRun, opTest, type Random } from "./harness.ts";

// Qwen2-VL's (CLIP's) normalisation.
const MEAN = new Float32Array([0.48145466, 0.4578275, 0.40821073]), STD = new Float32Array([0.26862954, 0.26130258, 0.27577711]);

interface Picture {
  height: number;
  width: number;
  channels: number;
  bytes: Uint8Array<ArrayBuffer>;
}

function bicubic(x: number): number {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

/** The taps of each output of an axis, as of Pillow's Resample.c, in float64 and then in units of 2^-22. */
function taps(from: number, to: number): { first: number; weights: number[] }[] {
  const scale = from / to, wide = Math.max(1, scale), support = 2 * wide;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5)), last = Math.min(from, Math.trunc(center + support + 0.5));
    const raw = Array.from({ length: last - first }, (_, j) => bicubic((j + first - center + 0.5) * (1 / wide)));
    const sum = raw.reduce((a, b) => a + b, 0);
    return { first, weights: raw.map((w) => Math.trunc(w / sum * 2 ** 22 + (w / sum < 0 ? -0.5 : 0.5))) };
  });
}

function clip(sum: number): number {
  return Math.min(255, Math.max(0, sum >> 22));
}

/** PIL.Image.resize(BICUBIC), horizontal pass first. */
function resize(picture: Picture, height: number, width: number): Picture {
  const { channels } = picture;
  let { bytes } = picture;
  if (width !== picture.width) {
    const out = new Uint8Array(picture.height * width * channels), columns = taps(picture.width, width);
    for (let y = 0; y < picture.height; y++) {
      columns.forEach(({ first, weights }, x) => {
        for (let c = 0; c < channels; c++) {
          let sum = 2 ** 21;
          weights.forEach((w, j) => sum += w * bytes[(y * picture.width + first + j) * channels + c]!);
          out[(y * width + x) * channels + c] = clip(sum);
        }
      });
    }
    bytes = out;
  }
  if (height !== picture.height) {
    const line = width * channels, out = new Uint8Array(height * line);
    taps(picture.height, height).forEach(({ first, weights }, y) => {
      for (let i = 0; i < line; i++) {
        let sum = 2 ** 21;
        weights.forEach((w, j) => sum += w * bytes[(first + j) * line + i]!);
        out[y * line + i] = clip(sum);
      }
    });
    bytes = out;
  }
  return { height, width, channels, bytes };
}

function noise(random: Random, height: number, width: number, channels: number): Picture {
  // Black and white drive the filter's overshoot into both clips; grey noise does not.
  const hard = random.next() < 0.5;
  const bytes = Uint8Array.from({ length: height * width * channels }, () => hard ? 255 * random.integer(0, 2) : random.integer(0, 256));
  return { height, width, channels, bytes };
}

function runResize(run: OpRun, picture: Picture, height: number, width: number, misalign = 0): Uint8Array<ArrayBuffer> {
  const { channels, bytes } = picture;
  const image = run.buffer(bytes.length, misalign), out = run.buffer(height * width * channels, misalign);
  run.device.write(image, bytes);
  run.device.ops.imageResize(out, height, width, image, picture.height, picture.width, channels);
  return run.bytes(out, height * width * channels) as Uint8Array<ArrayBuffer>;
}

opTest("imageResize equals Pillow's bicubic to the bit", (run) => {
  const { random } = run;
  for (
    const [h, w, oh, ow] of [[1, 1, 1, 1], [1, 1, 5, 7], [7, 5, 1, 1], [3, 31, 3, 17], [31, 3, 17, 3], [2, 2, 2, 2], [
      67,
      211,
      28,
      56,
    ]] as const
  ) {
    for (const channels of [1, 2, 3, 4]) {
      const picture = noise(random, h, w, channels);
      assertEquals(runResize(run, picture, oh, ow), resize(picture, oh, ow).bytes, `${h}x${w} to ${oh}x${ow}, ${channels} channels`);
    }
  }
  const most = run.small ? 24 : 130;
  for (let i = 0; i < (run.small ? 6 : 40); i++) {
    const [h, w, oh, ow] = Array.from({ length: 4 }, () => random.integer(1, most)) as [number, number, number, number];
    const picture = noise(random, h, w, random.integer(1, 5));
    assertEquals(runResize(run, picture, oh, ow, random.integer(0, 9)), resize(picture, oh, ow).bytes, `${h}x${w} to ${oh}x${ow}`);
  }
}, { dtypes: ["f32"] });

opTest("imageResize takes the thinnest and the widest pictures", (run) => {
  const long = run.small ? 700 : 65_535;
  for (const [h, w, oh, ow] of [[1, long, 1, 3], [long, 1, 2, 2], [2, 3, 1, long]] as const) {
    const picture = noise(run.random, h, w, 1);
    assertEquals(runResize(run, picture, oh, ow), resize(picture, oh, ow).bytes, `${h}x${w} to ${oh}x${ow}`);
  }
}, { dtypes: ["f32"] });

opTest("imageResize does not depend on threads or repeats", (run) => {
  const picture = noise(run.random, run.small ? 20 : 97, run.small ? 30 : 141, 3);
  assertDeterministic(run, () => runResize(run, picture, 56, 84));
}, { dtypes: ["f32"] });

opTest("imageResize refuses sizes and channels out of range", (run) => {
  const image = run.integers(new Uint8Array(64)), out = run.buffer(64);
  const call = (oh: number, ow: number, h: number, w: number, c: number) => () => run.device.ops.imageResize(out, oh, ow, image, h, w, c);
  for (
    const [oh, ow, h, w, c] of [[0, 2, 2, 2, 3], [2, 65_536, 2, 2, 3], [2, 2, 0, 2, 3], [2, 2, 2, -1, 3], [2, 2, 2, 2, 0], [
      2,
      2,
      2,
      2,
      5,
    ]] as const
  ) {
    assertThrows(call(oh, ow, h, w, c), RangeError);
  }
  assertThrows(() => run.device.ops.imageResize(0, 2, 2, image, 2, 2, 3), RangeError);
}, { dtypes: ["f32"] });

interface Cut {
  frames: number;
  height: number;
  width: number;
  patch: number;
  merge: number;
  temporal: number;
}

/** The patches, by the definition: for each output element, the pixel that it shows. */
function patches(bytes: Uint8Array, cut: Cut): Float64Array {
  const { frames, height, width, patch, merge, temporal } = cut;
  const out: number[] = [];
  for (let group = 0; group < Math.ceil(frames / temporal); group++) {
    for (let blockRow = 0; blockRow < height / patch / merge; blockRow++) {
      for (let blockColumn = 0; blockColumn < width / patch / merge; blockColumn++) {
        for (let inner = 0; inner < merge * merge; inner++) {
          const top = (blockRow * merge + Math.floor(inner / merge)) * patch, left = (blockColumn * merge + inner % merge) * patch;
          for (let c = 0; c < 3; c++) {
            for (let t = 0; t < temporal; t++) {
              const frame = Math.min(frames - 1, group * temporal + t);
              for (let y = 0; y < patch; y++) {
                for (let x = 0; x < patch; x++) {
                  out.push((bytes[((frame * height + top + y) * width + left + x) * 3 + c]! / 255 - MEAN[c]!) / STD[c]!);
                }
              }
            }
          }
        }
      }
    }
  }
  return Float64Array.from(out);
}

function runPatches(run: OpRun, bytes: Uint8Array<ArrayBuffer>, cut: Cut): { address: Address; n: number } {
  const { frames, height, width, patch, merge, temporal } = cut;
  const n = Math.ceil(frames / temporal) * temporal * height * width * 3;
  const image = run.buffer(bytes.length, 1), address = run.output(n);
  run.device.write(image, bytes);
  run.device.ops.imagePatches(run.dtypeCode, address, image, frames, height, width, patch, merge, temporal, MEAN, STD);
  return { address, n };
}

opTest("imagePatches cuts, orders, repeats the last frame and normalises by the definition", (run) => {
  const cuts: Cut[] = [
    { frames: 1, height: 28, width: 56, patch: 14, merge: 2, temporal: 2 },
    { frames: 3, height: 56, width: 28, patch: 14, merge: 2, temporal: 2 },
    { frames: 4, height: 6, width: 12, patch: 3, merge: 1, temporal: 2 },
    { frames: 5, height: 12, width: 18, patch: 2, merge: 3, temporal: 3 },
    { frames: 2, height: 5, width: 7, patch: 1, merge: 1, temporal: 1 },
    { frames: 0, height: 28, width: 28, patch: 14, merge: 2, temporal: 2 },
  ];
  for (const cut of cuts) {
    const bytes = Uint8Array.from({ length: cut.frames * cut.height * cut.width * 3 }, () => run.random.integer(0, 256));
    const { address, n } = runPatches(run, bytes, cut);
    run.close(run.read(address, n), patches(bytes, cut), { what: JSON.stringify(cut), scale: 1 });
  }
});

opTest("imagePatches does not depend on threads or repeats", (run) => {
  const cut = { frames: 3, height: 56, width: 84, patch: 14, merge: 2, temporal: 2 };
  const bytes = noise(run.random, 3 * 56, 84, 3).bytes;
  assertDeterministic(run, () => {
    const { address, n } = runPatches(run, bytes, cut);
    return run.bytes(address, 4 * n);
  });
}, { dtypes: ["f32"] });

opTest("imagePatches refuses sizes that are not whole blocks, and impossible constants", (run) => {
  const image = run.integers(new Uint8Array(28 * 28 * 3)), out = run.output(2 * 28 * 28 * 3);
  const call = (h: number, w: number, patch: number, merge: number, temporal: number, std = STD) => () =>
    run.device.ops.imagePatches(run.dtypeCode, out, image, 1, h, w, patch, merge, temporal, MEAN, std);
  for (
    const [h, w, p, m, t] of [[27, 28, 14, 2, 2], [28, 14, 14, 2, 2], [28, 28, 0, 2, 2], [28, 28, 14, 0, 2], [28, 28, 14, 2, 0]] as const
  ) {
    assertThrows(call(h, w, p, m, t), RangeError);
  }
  assertThrows(call(28, 28, 14, 2, 2, new Float32Array([1, 0, 1])), RangeError);
  assertThrows(call(28, 28, 14, 2, 2, new Float32Array([1, NaN, 1])), RangeError);
  call(28, 28, 14, 2, 2)();
});

opTest("imagePatches of the CPU library answers what it lacks", (run) => {
  const call = () => run.device.ops.imagePatches(DTYPES.f16, run.output(8), run.output(8), 1, 28, 28, 14, 2, 2, MEAN, STD);
  assertEquals(assertThrows(call, KedgeError).code, "Unsupported");
}, { dtypes: ["f32"], except: { emu: "its own dtypes", cuda: "its own dtypes", fake: "the same library" } });

/** `NAME rgb` and `NAME patches` of pictures, from transformers' Qwen2VLImageProcessor on Pillow. */
async function golden() {
  const packed = await Deno.readFile(new URL("../golden/image_processor_synthetic.safetensors.gz", import.meta.url));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const file = new Uint8Array(await new Response(stream).arrayBuffer());
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const { tensors, metadata } = parseHeader(file.subarray(8, 8 + length), file.length - 8 - length);
  return { data: file.subarray(8 + length), tensors, metadata };
}
const { data, tensors, metadata } = await golden();

opTest("resize and patches together give the pixel values of transformers' processor: to the bit on the CPU", (run) => {
  let compared = 0;
  for (const [name, grid] of metadata) {
    const picture = tensors.get(`${name} rgb`)!, expected = tensors.get(`${name} patches`)!;
    const [height, width] = picture.shape as [number, number], [, rows, columns] = JSON.parse(grid) as [number, number, number];
    const bytes = data.slice(picture.offset, picture.offset + picture.bytes);
    const resized = runResize(run, { height, width, channels: 3, bytes }, rows * 14, columns * 14);
    const { address, n } = runPatches(run, resized, {
      frames: 1,
      height: rows * 14,
      width: columns * 14,
      patch: 14,
      merge: 2,
      temporal: 2,
    });
    assertEquals(n * 4, expected.bytes);
    const values = data.slice(expected.offset, expected.offset + expected.bytes);
    if (run.backend.tier === "cpu") assert(run.bytes(address, values.length).every((byte, i) => byte === values[i]), `${name} differs`);
    else run.close(run.read(address, n), new Float32Array(values.buffer), { what: name, scale: 1 });
    compared++;
  }
  assertEquals(compared, 5);
}, { dtypes: ["f32"], except: { emu: "large pictures; the CPU's bits are compared above" } });
