import "sharp"; // a library that a test loads counts as its leak
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import sharp from "sharp";
import { KedgeError } from "../../ffi/errors.ts";
import { decodeImage, MOST_PIXELS } from "../../model/processor/image_decode.ts";
import { TINY_PICTURES } from "./tiny_pictures.ts";

// A mean difference of 2e-3 after normalisation by the smallest std, in units of a byte.
const LOSSY = 2e-3 * 0.26 * 255;

const fileOf = (name: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.fromBase64(TINY_PICTURES.find((picture) => picture.name === name)!.file);

for (const { name, file, width, height, rgb, lossy } of TINY_PICTURES) {
  Deno.test(`decodeImage gives Pillow's pixels: ${name}`, async () => {
    const image = await decodeImage(Uint8Array.fromBase64(file)), expected = Uint8Array.fromHex(rgb);
    assertEquals([image.width, image.height, image.data.length], [width, height, expected.length]);
    const mean = image.data.reduce((sum, value, i) => sum + Math.abs(value - expected[i]!), 0) / expected.length;
    assert(mean <= (lossy ? LOSSY : 0), `mean difference ${mean}: ${image.data.toHex()} instead of ${rgb}`);
  });
}

Deno.test("the tiny picture with a colour profile would look different with it applied", async () => {
  const name = "PNG with a colour profile";
  const applied = await sharp(fileOf(name)).raw().toBuffer();
  assert(applied.toString("hex") !== TINY_PICTURES.find((picture) => picture.name === name)!.rgb);
});

async function assertBad(bytes: Uint8Array<ArrayBuffer>, words: string): Promise<void> {
  const error = await assertRejects(() => decodeImage(bytes, { name: "rows/7.png" }), KedgeError);
  assertEquals(error.code, "BadData");
  assertStringIncludes(error.message, "Cannot read rows/7.png: ");
  assertStringIncludes(error.message, words);
}

for (const kind of ["PNG", "JPEG", "WebP, lossless", "WebP", "GIF", "TIFF, grey, LZW"]) {
  Deno.test(`decodeImage refuses a ${kind} that is cut anywhere before its last bytes`, async () => {
    const bytes = fileOf(kind);
    // PNG and GIF need not have their last chunk; WebP may be padded; a TIFF of strips at its front is whole before its directory is.
    const spare = kind === "PNG" ? 16 : 4;
    const most = bytes.length - spare, lengths = Array.from({ length: 60 }, (_, i) => Math.floor(i * most / 60));
    await Promise.all(lengths.map((length) => assertBad(bytes.slice(0, length), "")));
  });
}

Deno.test("decodeImage names the format of other files by their first bytes", async () => {
  await assertBad(new Uint8Array(), "it has no bytes");
  await assertBad(new TextEncoder().encode("<html><body>404"), 'begin with "<html><body>"');
  await assertBad(
    new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    "JPEG, PNG, WebP, GIF and TIFF can be read",
  );
  await assertBad(new TextEncoder().encode("BM______________"), "Convert it");
});

/** A PNG of this size in its header, with next to no data. */
function claims(width: number, height: number): Uint8Array<ArrayBuffer> {
  const png = fileOf("PNG"), view = new DataView(png.buffer);
  view.setUint32(16, width);
  view.setUint32(20, height);
  let crc = ~0;
  for (const byte of png.subarray(12, 29)) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? crc >>> 1 ^ 0xedb88320 : crc >>> 1;
  }
  view.setUint32(29, ~crc);
  return png;
}

Deno.test("decodeImage refuses a picture of too many pixels before it decodes it", async () => {
  assertEquals(MOST_PIXELS, 8192 ** 2);
  await assertBad(claims(20_000, 20_000), `20000 x 20000 pixels are more than ${MOST_PIXELS}`);
  await assertBad(claims(3, 0), "cut or broken");
  const gif = fileOf("GIF");
  gif.set([0xff, 0xff, 0xff, 0xff], 6); // the screen's size
  await assertBad(gif, "65535 x 65535 pixels are more than");
});

Deno.test("decodeImage never does anything but decode or throw a KedgeError, whatever byte is changed", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (below: number) => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) % below;
  const damaged = Array.from({ length: 300 }, () => {
    const bytes = Uint8Array.fromBase64(TINY_PICTURES[random(TINY_PICTURES.length)]!.file);
    for (let n = random(4); n >= 0; n--) bytes[random(bytes.length)] = random(256);
    return bytes;
  });
  const results = await Promise.allSettled(damaged.map((bytes) => decodeImage(bytes)));
  for (const [i, result] of results.entries()) {
    if (result.status === "fulfilled") {
      const { width, height, data } = result.value;
      assertEquals(data.length, 3 * width * height, `seed ${seed}, ${i}`);
    } else {
      assert(result.reason instanceof KedgeError, `seed ${seed}, ${i}: ${result.reason}: ${damaged[i]!.toBase64()}`);
    }
  }
});

Deno.test("overlapping calls of decodeImage return their own pictures", async () => {
  const pictures = TINY_PICTURES.filter(({ lossy }) => !lossy);
  const images = await Promise.all([...pictures, ...pictures].map(({ file }) => decodeImage(Uint8Array.fromBase64(file))));
  assertEquals(images.map(({ data }) => data.toHex()), [...pictures, ...pictures].map(({ rgb }) => rgb));
});
