import { KedgeError } from "../../ffi/errors.ts";
import type { ModelConfig } from "../../model/config/config.ts";
import { interleavedRope, sectionedRope } from "../../model/positions.ts";
import { familyOf } from "../../model/families.ts";
import { visualSpans } from "../../model/visual_spans.ts";
import type { Visual } from "../../model/prompt.ts";
import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";

const [IMAGE, VIDEO] = [90, 91];
const configOf = (modelType: string) =>
  ({ modelType, tokens: { image: IMAGE, video: VIDEO }, vision: { mergeSize: 2, tokensPerSecond: 2 } }) as ModelConfig;
const config = configOf("qwen2_5_vl");
const visual = (kind: Visual["kind"], [t, h, w]: [number, number, number], secondsPerGrid?: number): Visual => ({
  kind,
  grid: { t, h, w },
  pixels: { patches: new Float32Array() },
  ...(secondsPerGrid !== undefined && { secondsPerGrid }),
});
const positions = (tokens: number[], visuals: Visual[], given = config) =>
  familyOf(given).positions({ tokens: Int32Array.from(tokens), visuals }, given);

Deno.test("text positions count up, the same on all axes", () => {
  const { axes, next } = positions([1, 2, 3], []);
  assertEquals(axes.map((axis) => [...axis]), [[0, 1, 2], [0, 1, 2], [0, 1, 2]]);
  assertEquals(next, 3);
});

Deno.test("videos keep their own whole seconds per grid, and text continues after rows and columns", () => {
  const tokens = [1, ...Array<number>(4).fill(VIDEO), 2, VIDEO, VIDEO, 3];
  const { axes, next } = positions(tokens, [visual("video", [2, 2, 4], 2.9), visual("video", [2, 2, 2], 0.5)]);
  assertEquals(axes.map((axis) => [...axis]), [
    [0, 1, 1, 5, 5, 3, 4, 4, 5],
    [0, 1, 1, 1, 1, 3, 4, 4, 5],
    [0, 1, 2, 1, 2, 3, 4, 4, 5],
  ]);
  assertEquals(next, 6);
});

Deno.test("visuals without text between them are distinguished by their counts", () => {
  const visuals = [visual("image", [1, 2, 4]), visual("image", [1, 4, 2])];
  const { axes, next } = positions([IMAGE, IMAGE, IMAGE, IMAGE], visuals);
  assertEquals(axes.map((axis) => [...axis]), [[0, 0, 2, 2], [0, 0, 2, 3], [0, 1, 2, 2]]);
  assertEquals(next, 4);
  const spans = visualSpans({ tokens: Int32Array.from([IMAGE, IMAGE, IMAGE, IMAGE]), visuals }, config);
  assertEquals(spans.map(({ start, end }) => [start, end]), [[0, 2], [2, 4]]);
});

Deno.test("placeholders that do not fit the visuals are refused, with which and how many", () => {
  const refused = (tokens: number[], visuals: Visual[], words: string) => {
    const error = assertThrows(() => positions(tokens, visuals), KedgeError, words);
    assertEquals(error.code, "BadData");
  };
  const image = visual("image", [1, 2, 4]);
  refused([1, IMAGE, 2], [image], "visual 0 (image) needs 2 placeholders, 1 are at token 1");
  refused([1, 2], [image], "visual 0 (image) has no placeholder left");
  refused([IMAGE, IMAGE, IMAGE], [image], "token 2 is a placeholder that belongs to no visual");
  refused([IMAGE, IMAGE, 1, VIDEO], [image], "The prompt holds 2 image and 1 video placeholders; its visuals need: image 2");
  refused([VIDEO, VIDEO], [image], "token 0 is a placeholder of the other kind");
  refused([IMAGE], [], "belongs to no visual");
});

Deno.test("an impossible grid or time is refused by name", () => {
  assertThrows(() => positions([IMAGE], [visual("image", [1, 2, 3])]), RangeError, "1 x 2 x 3 of visual 0 (image)");
  assertThrows(() => positions([VIDEO], [visual("video", [1, 2, 2], NaN)]), RangeError, "secondsPerGrid is NaN");
  assertThrows(() => positions([VIDEO], [visual("video", [1, 2, 2], -1)]), RangeError, "secondsPerGrid is -1");
});

Deno.test("the time steps of a Qwen2-VL video count up by one, whatever its seconds", () => {
  const tokens = [1, ...Array<number>(3).fill(VIDEO), 2], given = configOf("qwen2_vl");
  const { axes, next } = positions(tokens, [visual("video", [3, 2, 2], 2.9)], given);
  assertEquals(axes.map((axis) => [...axis]), [[0, 1, 2, 3, 2], [0, 1, 1, 1, 2], [0, 1, 1, 1, 2]]);
  assertEquals(next, 3);
});

Deno.test("each time step of a Qwen3-VL video is placed as a picture of its own, with text between them", () => {
  const given = configOf("qwen3_vl"), step = Array<number>(2).fill(VIDEO);
  const tokens = [1, ...step, 2, 3, ...step, 4, IMAGE, 5], visuals = [visual("video", [2, 2, 4]), visual("image", [1, 2, 2])];
  const { axes, next } = positions(tokens, visuals, given);
  assertEquals(axes.map((axis) => [...axis]), [
    [0, 1, 1, 3, 4, 5, 5, 7, 8, 9],
    [0, 1, 1, 3, 4, 5, 5, 7, 8, 9],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  ]);
  assertEquals(next, 10);
  const spans = familyOf(given).visualSpans({ tokens: Int32Array.from(tokens), visuals }, given);
  assertEquals(spans.map(({ index, frame, start, end }) => [index, frame, start, end]), [[0, 0, 1, 3], [0, 1, 5, 7], [1, 0, 8, 9]]);
  const short = assertThrows(() => positions([...step, 1, VIDEO, 2], [visual("video", [2, 2, 4])], given), KedgeError);
  assertEquals(short.message.includes("time step 1 of visual 0 (video) needs 2 placeholders, 1 are at token 3"), true, short.message);
});

Deno.test("rotary frequencies fall by the half head, and sections give their axes", () => {
  const { axis, invFreq } = sectionedRope({ headDim: 16, mropeSection: [2, 3, 3], ropeTheta: 1e6 } as unknown as ModelConfig["text"]);
  assertEquals(axis, [0, 0, 1, 1, 1, 2, 2, 2]);
  for (const [i, f] of invFreq.entries()) assertAlmostEquals(f, Math.pow(1e6, -i / 8), 1e-15);
});

Deno.test("interleaved frequencies turn by time, row and column in turns, as far as the sections of row and column reach", () => {
  const axis = (headDim: number, mropeSection: [number, number, number]) =>
    interleavedRope({ headDim, mropeSection, ropeTheta: 5e6 } as unknown as ModelConfig["text"]).axis.join("");
  assertEquals(axis(32, [6, 5, 5]), "0120120120120120");
  assertEquals(axis(16, [2, 1, 5]), "01200200");
  const published = axis(128, [24, 20, 20]);
  assertEquals([published.slice(0, 60), published.slice(60)], ["012".repeat(20), "0000"]);
});
