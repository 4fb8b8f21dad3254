/**
 * Qwen3-VL's pictures, videos and prompts against transformers 5.17: its PIL image processor, the functions of its video processor (frames resized by PIL), and the
 * replacement text of its processor. `qwen3_processor.json.gz` holds what they give.
 *
 * @module
 */
import "sharp"; // a library that a test loads counts as its leak
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { ImageProcessor } from "../../model/processor/image_processor.ts";
import type { Message, Part } from "../../model/processor/messages.ts";
import { Processor } from "../../model/processor/processor.ts";
import { Tokenizer } from "../../model/processor/tokenizer.ts";
import { ChatTemplate } from "../../model/processor/chat_template.ts";
import type { VisionConfig } from "../../model/config/types.ts";
import type { Visual } from "../../model/prompt.ts";
import { qwen3Processor } from "../../model/qwen3_vl/processor.ts";
import { ROOT } from "../root.ts";
import { withFolder } from "./little_tokenizer.ts";

interface Golden {
  pictures: {
    folder: string;
    file: string;
    minPixels: number;
    maxPixels: number;
    grid: number[];
    bytes: string;
    step: number;
    values: number[];
  }[];
  samples: [total: number, fps: number, options: { num_frames?: number; fps?: number }, indices: number[] | string][];
  sizes: [n: number, h: number, w: number, least: number, most: number, cap: boolean, height: number, width: number][];
  videos: {
    total: number;
    fps: number;
    height: number;
    width: number;
    before: string;
    sample: boolean;
    grid: number[];
    bytes: string;
    text: string;
    ids: [id: number, times: number][];
    step: number;
    values: number[];
  }[];
}
const golden = JSON.parse(
  new TextDecoder().decode(gunzipSync(Deno.readFileSync(`${ROOT}/tests/golden/qwen3_processor.json.gz`))),
) as Golden;
const device = CpuDevice.open(); // here, since a library that a test loads counts as its leak
const SHARED = `${ROOT}/../shared/golden`;
const exists = (path: string) => {
  try {
    return Deno.statSync(path) !== undefined;
  } catch {
    return false;
  }
};

const images = new ImageProcessor({
  ...{ minPixels: 65536, maxPixels: 16777216, patchSize: 16, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  ...{ videoRule: qwen3Processor.videos, video: { minVideoPixels: 4096, maxVideoPixels: 25165824 } },
});
const { videos: rule } = qwen3Processor, { defaults } = rule;

const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 32);
function framesOf({ pixels }: Visual) {
  if (!("frames" in pixels)) throw new Error("the processor gives frames");
  return pixels;
}

/** Every `step`-th number of the patches that the model's device cuts. */
function patchValues(visual: Visual, step: number): number[] {
  const { frames, count, mean, std } = framesOf(visual), { t, h, w } = visual.grid;
  const out = new Float32Array(t * h * w * 3 * 2 * 16 * 16);
  const [from, to] = [device.alloc(frames.length), device.alloc(out.byteLength)];
  device.write(from, frames);
  device.ops.imagePatches(0, to, from, count, h * 16, w * 16, 16, 2, 2, new Float32Array(mean), new Float32Array(std));
  device.read(out, to);
  for (const address of [from, to]) device.free(address);
  return Array.from({ length: 24 }, (_, i) => out[i * step]!);
}

const near = (actual: number[], expected: number[], most: number, what: string) =>
  expected.forEach((e, i) => assert(Math.abs(actual[i]! - e) <= most, `${what}: value ${i} is ${actual[i]}, expected ${e}`));

for (const folder of new Set(golden.pictures.map(({ folder }) => folder))) {
  const at = folder === "image_processor_synthetic" ? `${ROOT}/tests/golden/${folder}` : `${SHARED}/${folder}`;
  const there = exists(at);
  Deno.test({
    name: `pictures have the public processor's pixels, grids and patches: ${folder}${there ? "" : " (skipped: it is not there)"}`,
    ignore: !there,
    fn: async () => {
      const cases = golden.pictures.filter((each) => each.folder === folder);
      assert(cases.length >= 16);
      await Promise.all(cases.map(async ({ file, grid, bytes, step, values, ...bounds }) => {
        const visual = await images.image(await Deno.readFile(`${at}/${file}`), bounds), what = `${file} from ${bounds.minPixels} pixels`;
        assertEquals(Object.values(visual.grid), grid, what);
        const lossy = file.endsWith(".jpg"); // decoders of JPEG differ in single bits
        if (!lossy) assertEquals(sha(framesOf(visual).frames), bytes, what);
        near(patchValues(visual, step), values, lossy ? 0.05 : 1e-6, what);
      }));
    },
  });
}

Deno.test("frames are sampled as the public processor samples them", () => {
  for (const [total, fps, options, expected] of golden.samples) {
    const chosen = { ...defaults, temporalPatchSize: 2, fps: options.fps ?? 2, numFrames: options.num_frames };
    const { indices } = rule.choose({ total, fps }, chosen);
    const what = `${total} frames at ${fps}, ${JSON.stringify(options)}`;
    if (typeof expected === "string") assertEquals(sha(new Uint8Array(Int32Array.from(indices).buffer)), expected, what);
    else assertEquals(indices, expected, what);
  }
  assertThrows(() => rule.choose({ total: 5, fps: 1 }, { ...defaults, temporalPatchSize: 2, numFrames: 6 }), Error, "numFrames");
  assertThrows(() => rule.choose({ total: 5, fps: 0 }, { ...defaults, temporalPatchSize: 2 }), RangeError, "its fps 0");
});

Deno.test("frames are sized as the public function sizes them, with and without the cap of a frame", () => {
  for (const [count, height, width, minVideoPixels, maxVideoPixels, capPixelsPerFrame, h, w] of golden.sizes) {
    const settings = { ...defaults, minVideoPixels, maxVideoPixels, capPixelsPerFrame };
    const size = rule.frameSize({ height, width }, { count, settings, factor: 32, temporalPatchSize: 2, name: "the film" });
    assertEquals([size.height, size.width], [h, w], `${count} frames of ${height} x ${width}`);
  }
});

Deno.test("bounds of a frame hold for each frame of a video, whatever the bounds of the whole", () => {
  const size = (count: number, settings: Partial<typeof defaults>) =>
    rule.frameSize({ height: 640, width: 640 }, {
      ...{ count, settings: { ...defaults, minVideoPixels: 4096, maxVideoPixels: 25165824, ...settings } },
      ...{ factor: 32, temporalPatchSize: 2, name: "the film" },
    });
  assertEquals(size(4, {}), { height: 640, width: 640 });
  assertEquals(size(4, { maxPixels: 320 * 320 }), { height: 320, width: 320 });
  assertEquals(size(40, { maxPixels: 320 * 320 }), { height: 320, width: 320 });
  assertEquals(size(4, { minPixels: 1280 * 1280 }), { height: 1280, width: 1280 });
});

/** Makes the frames of the golden videos. */
function film(total: number, height: number, width: number) {
  return Array.from({ length: total }, (_, k) => {
    const data = new Uint8Array(3 * height * width);
    for (let i = 0; i < data.length; i++) {
      const [y, x, c] = [Math.floor(i / 3 / width), Math.floor(i / 3) % width, i % 3];
      data[i] = (k * 37 + Math.floor(y / 8) * 16 + x * 3 + 5 * c) % 256;
    }
    return { data, width, height };
  });
}

Deno.test("videos have the public processor's frames, sizes, patches and times in words", async () => {
  for (const { total, fps, height, width, sample, grid, bytes, text, step, values } of golden.videos) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const visual = await images.video({ frames: film(total, height, width), fps }, { sample }), what = `${total} at ${fps}`;
    assertEquals(Object.values(visual.grid), grid, what);
    assertEquals(sha(framesOf(visual).frames), bytes, what);
    near(patchValues(visual, step), values, 1e-6, what);
    const { pieces, replacesMarkers } = qwen3Processor.expand(visual, 2);
    assertEquals(pieces.map((piece) => "text" in piece ? piece.text : "*").join(""), text, what);
    assertEquals([pieces.filter((piece) => "placeholders" in piece).length, replacesMarkers], [visual.grid.t, true]);
  }
});

Deno.test("a video of one frame is one time step, and times that do not fit the steps are refused", async () => {
  const visual = await images.video({ frames: film(1, 64, 64), fps: 8 });
  assertEquals([visual.grid, visual.seconds], [{ t: 1, h: 4, w: 4 }, [0]]);
  assertThrows(() => qwen3Processor.expand({ kind: "video", grid: visual.grid }, 2), RangeError, "1 time steps, and the times of 0");
});

Deno.test("a folder's files give the family's rule, whose pixel bounds are of all frames of a video", () => {
  const vision = { patchSize: 16, temporalPatchSize: 2, mergeSize: 2 } as VisionConfig, files = qwen3Processor.files(vision);
  const read = (files: Readonly<Record<string, unknown>>) => withFolder(files, (folder) => ImageProcessor.fromFolder(folder));
  const whole = read(files), { videoSettings } = whole;
  assertEquals([whole.minPixels, whole.maxPixels, whole.patchSize, whole.mean, whole.std], [65536, 16777216, 16, [0.5, 0.5, 0.5], [
    0.5,
    0.5,
    0.5,
  ]]);
  assertEquals(videoSettings, { ...defaults, minVideoPixels: 4096, maxVideoPixels: 25165824 });
  // By config.json, where no file names the class of videos; transformers then takes the bounds of pictures for them.
  const { "preprocessor_config.json": pictures } = files;
  const named = read({ "config.json": { "model_type": "qwen3_vl" }, "preprocessor_config.json": pictures });
  assertEquals(named.videoSettings, { ...defaults, minVideoPixels: 65536, maxVideoPixels: 16777216 });
  assertEquals(read({ "preprocessor_config.json": pictures }).videoSettings.minPixels, 65536, "the first family's rule");
  const nested = {
    "image_processor": pictures,
    "video_processor": { ...files["video_preprocessor_config.json"], fps: 4, "max_frames": 9 },
  };
  assertEquals(read({ "processor_config.json": nested }).videoSettings, { ...videoSettings, fps: 4, maxFrames: 9 });
  assertThrows(
    () => read({ ...files, "video_preprocessor_config.json": { "video_processor_type": "OtherVideoProcessor" } }),
    Error,
    "OtherVideo",
  );
  assertThrows(
    () => read({ ...files, "video_preprocessor_config.json": { size: { "shortest_edge": 9, "longest_edge": 8 } } }),
    Error,
    "in this order",
  );
});

const TOKENIZER = `${SHARED}/qwen25_tokenizer`, tokenizerThere = exists(TOKENIZER);
Deno.test({
  name: `prompts have the public tokens of a video's text${tokenizerThere ? "" : " (skipped: ../shared is not there)"}`,
  ignore: !tokenizerThere,
  fn: async () => {
    const tokenizer = Tokenizer.fromFolder(TOKENIZER), template = new ChatTemplate(qwen3Processor.template, "Qwen3-VL's");
    const processor = new Processor({ tokenizer, images, template, expand: qwen3Processor.expand });
    for (const { total, fps, height, width, before, sample, ids } of golden.videos) {
      const video: Part = { type: "video", video: { frames: sample ? [] : film(total, height, width), fps } };
      // Sampled here as from a file: a list of frames is not sampled.
      // deno-lint-ignore no-await-in-loop -- one after the other
      const visual = await images.video({ frames: film(total, height, width), fps }, { sample });
      const given = new Processor({
        ...{ tokenizer, template, expand: qwen3Processor.expand },
        images: { mergeSize: 2, image: () => Promise.reject(new Error("no picture")), video: () => Promise.resolve(visual) },
      });
      const content: Part[] = [...before ? [{ type: "text", text: before } as const] : [], video, { type: "text", text: "What is it?" }];
      const messages: Message[] = [{ role: "user", content }];
      // deno-lint-ignore no-await-in-loop -- one after the other
      const prompt = await (sample ? given : processor).prompt(messages);
      assertEquals([...prompt.tokens], ids.flatMap(([id, times]) => new Array<number>(times).fill(id)), `${before} ${total} at ${fps}`);
      const length = prompt.tokens.length, answer = tokenizer.encode("What is it?<|im_end|>\n<|im_start|>assistant\n").length;
      // deno-lint-ignore no-await-in-loop -- one after the other
      const cut = await given.prompt(messages, { maxPromptTokens: answer + 6, truncate: "left" });
      assertEquals([cut.tokens.length, cut.visuals.length], [answer, 0], "a cut inside a video takes all of it");
      // deno-lint-ignore no-await-in-loop -- one after the other
      await assertRejects(() => given.prompt(messages, { maxPromptTokens: length - 1 }), Error, `it has ${length} tokens`);
    }
  },
});

Deno.test({
  name: `an answer behind the start of a thought is what follows the prompt${tokenizerThere ? "" : " (skipped: ../shared is not there)"}`,
  ignore: !tokenizerThere,
  fn: async () => {
    const { template } = JSON.parse(
      new TextDecoder().decode(gunzipSync(Deno.readFileSync(`${ROOT}/tests/golden/thinking_template.json.gz`))),
    );
    const processor = new Processor({ tokenizer: Tokenizer.fromFolder(TOKENIZER), template: new ChatTemplate(template, "a thinking one") });
    const messages: Message[] = [{ role: "user", content: "q" }, { role: "assistant", content: "<think>\nhm\n</think>\n\nyes" }];
    const { tokens, spans } = await processor.conversation(messages);
    assertEquals(spans.map(([start, end]) => processor.decode(tokens.subarray(start, end))), ["hm\n</think>\n\nyes<|im_end|>"]);
    const asked = await processor.prompt(messages.slice(0, 1));
    assertEquals([...tokens.subarray(0, spans[0]![0])], [...asked.tokens]);
    assert(processor.decode(asked.tokens).endsWith("<|im_start|>assistant\n<think>\n"));
    const more: Message[] = [...messages, { role: "user", content: "more" }, { role: "assistant", content: "no" }];
    await assertRejects(() => processor.conversation(more), Error, "message 1 is not written behind the prompt before it");
  },
});
