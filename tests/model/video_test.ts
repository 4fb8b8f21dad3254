import "sharp"; // a library that a test loads counts as its leak
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { ImageProcessor } from "../../model/processor/image_processor.ts";
import type { Visual } from "../../model/prompt.ts";
import { qwen3Videos } from "../../model/qwen3_vl/videos.ts";
import { mostFramePixels, sampleFrames, VIDEO_DEFAULTS } from "../../model/processor/qwen2_videos.ts";
import { TINY_PICTURES } from "./tiny_pictures.ts";

CpuDevice.open(); // here, since a library that a test loads counts as its leak

const processor = new ImageProcessor({ video: { minPixels: 56 * 56, maxPixels: 56 * 84 } });
const sampling = { ...VIDEO_DEFAULTS, temporalPatchSize: 2 };

Deno.test("sampleFrames gives the public processor's frames", () => {
  const cases: [total: number, fps: number, expected: number[]][] = [
    [75, 25, [0, 12, 25, 37, 50, 62]],
    [30, 29.97, [0, 7, 15, 22]],
    [5, 30, [0, 1, 2, 3]],
    [3, 30, [0, 1]],
    [2, 30, [0, 1]],
    [9, 9, [0, 2, 4, 6]],
  ];
  for (const [total, fps, expected] of cases) assertEquals(sampleFrames({ total, fps }, sampling), expected, `${total} at ${fps}`);
  const long = sampleFrames({ total: 10_000, fps: 24 }, sampling);
  assertEquals([long.length, ...long.slice(0, 4)], [768, 0, 13, 26, 39]);
});

Deno.test("sampleFrames accepts a single frame, which the public processor does not", () => {
  assertEquals(sampleFrames({ total: 1, fps: 30 }, sampling), [0]);
});

Deno.test("sampleFrames stays inside the video and ascends, for any length and number", () => {
  for (let total = 2; total < 200; total++) {
    for (let numFrames = 2; numFrames <= total; numFrames += 2) {
      const indices = sampleFrames({ total, fps: 25 }, { ...sampling, numFrames });
      assertEquals(indices.length, numFrames);
      assert(indices.every((index, k) => index < total && index > (indices[k - 1] ?? -1)), `${numFrames} of ${total}: ${indices}`);
    }
  }
});

Deno.test("sampleFrames rounds numFrames to whole groups, and returns no more than there are", () => {
  assertEquals(sampleFrames({ total: 40, fps: 25 }, { ...sampling, numFrames: 5 }), [0, 10, 20, 30]); // 2.5 groups: the even one
  assertEquals(sampleFrames({ total: 40, fps: 25 }, { ...sampling, numFrames: 7 }).length, 8);
  const error = assertThrows(() => sampleFrames({ total: 6, fps: 25 }, { ...sampling, numFrames: 8, name: "a.mp4" }), KedgeError);
  assertEquals(error.code, "BadData");
  assertStringIncludes(error.message, "Cannot sample a.mp4: 8 frames are asked for (numFrames), and it has 6");
  for (const wrong of [{ fps: 0 }, { fps: NaN }, { minFrames: 0 }, { maxFrames: 1.5 }, { numFrames: -2 }]) {
    assertThrows(() => sampleFrames({ total: 6, fps: 25 }, { ...sampling, ...wrong }), RangeError);
  }
});

Deno.test("mostFramePixels shares the whole video's budget on request", () => {
  const shape = { factor: 28, temporalPatchSize: 2 };
  assertEquals(mostFramePixels(VIDEO_DEFAULTS, { ...shape, frames: 768 }), 768 * 784);
  const capped = { ...VIDEO_DEFAULTS, capPixelsPerFrame: true };
  assertEquals(mostFramePixels(capped, { ...shape, frames: 4 }), 768 * 784);
  assertEquals(mostFramePixels(capped, { ...shape, frames: 768 }), Math.floor(90_316_800 * 2 / 768));
  assertEquals(mostFramePixels({ ...capped, maxVideoTokens: 100 }, { ...shape, frames: 768 }), 105_369); // 1.05 minPixels
});

const [WIDTH, HEIGHT] = [84, 56];

/** Makes frame `index` of a film: flat stripes that encode the index, of a size that is not resized. */
function frame(index: number, width = WIDTH, height = HEIGHT) {
  const data = new Uint8Array(3 * width * height);
  data.forEach((_, i) => data[i] = (index * 37 + Math.floor(i / (3 * width) / 8) * 16 + 5 * (i % 3)) % 256);
  return { data, width, height };
}
const film = (count: number) => Array.from({ length: count }, (_, k) => frame(k));

function framesOf({ pixels }: Visual): { frames: Uint8Array<ArrayBuffer>; count: number } {
  if (!("frames" in pixels)) throw new Error("the processor gives frames");
  return pixels;
}

function assertFrames(visual: Visual, indices: readonly number[]): void {
  const { frames, count } = framesOf(visual), bytes = 3 * WIDTH * HEIGHT;
  assertEquals([count, frames.length], [indices.length, indices.length * bytes]);
  indices.forEach((index, k) => {
    const actual = frames.subarray(k * bytes, (k + 1) * bytes), expected = frame(index).data;
    assert(actual.every((value, i) => value === expected[i]), `frame ${k} is not ${index}`);
  });
}

Deno.test("a list of frames is used completely, at its rate", async () => {
  const visual = await processor.video({ frames: film(5), fps: 4 });
  assertEquals([visual.kind, visual.grid, visual.secondsPerGrid], ["video", { t: 3, h: 4, w: 6 }, 0.5]);
  assertFrames(visual, [0, 1, 2, 3, 4]);
});

Deno.test("a list of frames is sampled on request", async () => {
  const visual = await processor.video({ frames: film(30), fps: 10 }, { sample: true });
  assertFrames(visual, [0, 5, 10, 15, 20, 25]);
  assertAlmostEquals(visual.secondsPerGrid!, 1, 1e-12);
});

Deno.test("frames are resized one by one as pictures of the video's bounds", async () => {
  const images = new ImageProcessor({ minPixels: 56 * 56, maxPixels: 56 * 84 });
  const list = [0, 1].map((index) => frame(index, 201, 133));
  const { frames } = framesOf(await processor.video({ frames: list, fps: 2 }));
  const alone = await Promise.all(list.map(async (frame) => [...framesOf(await images.image(frame)).frames]));
  assertEquals([...frames], alone.flat());
});

Deno.test("frames may be files, and a bad one is named", async () => {
  const png = () => Uint8Array.fromBase64(TINY_PICTURES.find(({ name }) => name === "PNG")!.file);
  assertEquals((await processor.video({ frames: [png(), png()], fps: 1 })).grid.t, 1);
  const error = await assertRejects(() => processor.video({ frames: [png(), new Uint8Array(3)], fps: 1 }, { name: "row 3" }), KedgeError);
  assertStringIncludes(error.message, "Cannot read frame 1 of row 3");
  assertEquals(error.code, "BadData");
});

Deno.test("a list without frames, without a rate, or of several sizes is refused", async () => {
  assertEquals((await assertRejects(() => processor.video({ frames: [], fps: 1 }), KedgeError)).code, "BadData");
  await assertRejects(() => processor.video({ frames: film(2), fps: 0 }), RangeError, "fps 0");
  const error = await assertRejects(() => processor.video({ frames: [...film(2), frame(0, 56, 84)], fps: 1 }), KedgeError);
  assertStringIncludes(error.message, "sampled frame 2 has 56 x 84 pixels, the first 84 x 56");
});

// Files, where ffmpeg is.
const reason = (() => {
  for (const command of ["ffmpeg", "ffprobe"]) {
    try {
      new Deno.Command(command, { args: ["-version"], clearEnv: true, env: { PATH: Deno.env.get("PATH") ?? "" } }).outputSync();
    } catch (error) {
      return `${command}: ${error instanceof Deno.errors.NotFound ? "not in PATH" : "no permission to run it"}`;
    }
  }
  return undefined;
})();
const folder = Deno.makeTempDirSync({ dir: "/tmp" });
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

function fileTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `${name}${reason ? ` (skipped: ${reason})` : ""}`, ignore: reason !== undefined, fn });
}

/** Encodes the film without loss. */
function encode(name: string, { count, fps, args = [] }: { count: number; fps: number; args?: string[] }): string {
  const rawFile = `${folder}/${name}.rgb`, path = `${folder}/${name}`;
  Deno.writeFileSync(rawFile, Uint8Array.from(film(count).flatMap(({ data }) => [...data])));
  const input = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", `${WIDTH}x${HEIGHT}`, "-r", String(fps), "-i", rawFile];
  const { success, stderr } = new Deno.Command("ffmpeg", {
    args: ["-v", "error", "-y", ...input, "-c:v", "ffv1", "-pix_fmt", "bgr0", ...args, path],
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "" },
  }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return path;
}

fileTest("a file gives the frames that are sampled from it, to the bit", async () => {
  const path = encode("a.mkv", { count: 47, fps: 12 });
  const visual = await processor.video({ path });
  assertFrames(visual, sampleFrames({ total: 47, fps: 12 }, sampling));
  assertAlmostEquals(visual.secondsPerGrid!, 2 / (6 / 47 * 12), 2e-2); // Matroska's times are whole milliseconds
});

fileTest("a file gives all of its frames if it is not sampled", async () => {
  const path = encode("all.mkv", { count: 9, fps: 12 });
  const visual = await processor.video({ path }, { sample: false });
  assertFrames(visual, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

fileTest("a file gives any number of frames at their positions", async () => {
  const path = encode("n.mkv", { count: 53, fps: 10 });
  await Promise.all(
    [2, 4, 22, 38, 52].map(async (numFrames) =>
      assertFrames(await processor.video({ path }, { numFrames }), sampleFrames({ total: 53, fps: 10 }, { ...sampling, numFrames }))
    ),
  );
});

fileTest("a file gives the frames of Qwen3-VL's rule, also where one lies between two", async () => {
  const bounds = { minVideoPixels: 1, maxVideoPixels: 1e9 }, rule = qwen3Videos;
  const other = new ImageProcessor({ videoRule: rule, video: bounds });
  for (const [total, counts] of [[10, [7]], [53, [2, 5, 22, 52, 53]]] as const) {
    const path = encode(`ends${total}.mkv`, { count: total, fps: 10 });
    // deno-lint-ignore no-await-in-loop -- one after the other
    await Promise.all(counts.map(async (numFrames) => {
      const { indices } = rule.choose({ total, fps: 10 }, { ...rule.defaults, temporalPatchSize: 2, numFrames });
      assertFrames(await other.video({ path }, { numFrames }), indices);
    }));
  }
});

fileTest("a video of uneven frames counts them, and measures their rate", async () => {
  // Frames 0..19, and then every fifth: 28 frames.
  const path = encode("vfr.mkv", { count: 60, fps: 10, args: ["-vf", "select='lt(n,20)+not(mod(n,5))'", "-vsync", "vfr"] });
  const visual = await processor.video({ path });
  const shown = Array.from({ length: 60 }, (_, n) => n).filter((n) => n < 20 || n % 5 === 0);
  const { count } = framesOf(visual);
  assertFrames(visual, Array.from({ length: count }, (_, k) => shown[Math.floor(k * shown.length / count)]!));
  // The last begins at 5.5 s and lasts 0.1 s; the nominal rate of 10 would give 2.8 s for all.
  assertAlmostEquals(visual.secondsPerGrid!, 2 * 5.6 / count, 0.02);
});

fileTest("a file that is not a video, has no video, or does not exist is refused by name", async () => {
  const text = `${folder}/text.mp4`;
  Deno.writeTextFileSync(text, "no video");
  const cut = `${folder}/cut.mp4`;
  Deno.writeFileSync(
    cut,
    Deno.readFileSync(encode("whole.mp4", { count: 8, fps: 4, args: ["-c:v", "mpeg4", "-pix_fmt", "yuv420p"] })).slice(0, 900),
  );
  await Promise.all([text, cut, `${folder}/none.mp4`, folder].map(async (path) => {
    const error = await assertRejects(() => processor.video({ path }), KedgeError);
    assertEquals(error.code, "BadData");
    assertStringIncludes(error.message, path);
  }));
});

fileTest("a name that looks like an option, a protocol or a list is treated as a file's", async () => {
  const path = encode("a.mkv", { count: 4, fps: 4 });
  await Promise.all(["-v.mkv", "concat:a|b.mkv", "b %03d c.mkv", "with'quote.mkv"].map(async (name) => {
    Deno.copyFileSync(path, `${folder}/${name}`);
    assertEquals((await processor.video({ path: `${folder}/${name}` })).grid.t, 2, name);
  }));
});

fileTest("a run that takes too long is killed", async () => {
  const path = encode("late.mkv", { count: 4, fps: 4 });
  const error = await assertRejects(() => processor.video({ path }, { timeLimit: 1e-3 }), KedgeError);
  assertEquals(error.code, "BadData");
  assertStringIncludes(error.message, "took more than 0.001 s");
});

fileTest("an aborted signal stops the reading", async () => {
  const path = encode("abort.mkv", { count: 4, fps: 4 });
  await assertRejects(() => processor.video({ path }, { signal: AbortSignal.abort(new Error("enough")) }), Error, "enough");
  const controller = new AbortController();
  const reading = processor.video({ path }, { signal: controller.signal });
  controller.abort(new Error("enough now"));
  await assertRejects(() => reading, Error, "enough now");
});

fileTest("if ffmpeg cannot be run, the error says what to install", async () => {
  const path = encode("without.mkv", { count: 4, fps: 4 });
  const before = Deno.env.get("PATH")!;
  Deno.env.set("PATH", "/nowhere");
  try {
    const error = await assertRejects(() => processor.video({ path }), KedgeError);
    assertEquals(error.code, "Unsupported");
    assertStringIncludes(error.message, "apt-get install ffmpeg");
  } finally {
    Deno.env.set("PATH", before);
  }
});
