/**
 * Hands hostile pictures to the image processor, in a process of its own: prints what came of each, and the most memory that it took.
 *
 * @module
 */
import process from "node:process";
import { crc32, deflateSync } from "node:zlib";
import { ImageProcessor } from "../../model/processor/image_processor.ts";

const text = new TextEncoder();

/** Bytes one behind the other. */
function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

function big(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function chunk(name: string, data: Uint8Array): Uint8Array {
  const body = joined(text.encode(name), data);
  return joined(big(data.length), body, big(crc32(body)));
}

/** A black PNG; `rows` of its `height` rows are there. */
function png(
  width: number,
  height: number,
  options: { bits?: number; colour?: number; interlaced?: number; rows?: number; more?: Uint8Array } = {},
) {
  const { bits = 1, colour = 0, interlaced = 0, rows = height, more = new Uint8Array() } = options;
  const samples = colour === 6 ? 4 : colour === 2 ? 3 : 1, row = 1 + Math.ceil(width * bits * samples / 8);
  const head = chunk("IHDR", joined(big(width), big(height), Uint8Array.of(bits, colour, 0, 0, interlaced)));
  const data = chunk("IDAT", deflateSync(new Uint8Array(row * rows), { level: 1 }));
  return joined(Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10), head, more, data, chunk("IEND", new Uint8Array()));
}

/** A TIFF of black strips, or of one tile, of which no byte is there. */
function tiff(width: number, height: number, tile?: number): Uint8Array<ArrayBuffer> {
  const entries: [tag: number, value: number][] = tile === undefined
    ? [[256, width], [257, height], [258, 8], [259, 1], [262, 1], [273, 8], [277, 1], [278, height], [279, width * height % 2 ** 32]]
    : [[256, width], [257, height], [258, 8], [259, 1], [262, 1], [277, 1], [322, tile], [323, tile], [324, 8], [325, 100]];
  const bytes = new Uint8Array(8 + 2 + 12 * entries.length + 4), view = new DataView(bytes.buffer);
  bytes.set([0x49, 0x49, 42, 0, 8]);
  view.setUint16(8, entries.length, true);
  entries.forEach(([tag, value], i) => {
    view.setUint16(10 + 12 * i, tag, true);
    view.setUint16(12 + 12 * i, 4, true);
    view.setUint32(14 + 12 * i, 1, true);
    view.setUint32(18 + 12 * i, value, true);
  });
  return bytes;
}

/** A JPEG's header that claims a size. */
const jpeg = (width: number, height: number) =>
  joined(
    Uint8Array.of(
      0xff,
      0xd8,
      0xff,
      0xc0,
      0,
      17,
      8,
      height >> 8,
      height & 255,
      width >> 8,
      width & 255,
      3,
      1,
      0x11,
      0,
      2,
      0x11,
      0,
      3,
      0x11,
      0,
    ),
    Uint8Array.of(0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0),
  );

/** The header of a lossless WebP of the largest size. */
const webp = () =>
  joined(
    text.encode("RIFF"),
    Uint8Array.of(26, 0, 0, 0),
    text.encode("WEBPVP8L"),
    Uint8Array.of(14, 0, 0, 0, 0x2f, 0xff, 0xff, 0xff, 0x0f),
    new Uint8Array(9),
  );

/** A GIF with a screen of the largest size. */
const gif = () => {
  const bytes = Uint8Array.fromBase64("R0lGODdhAQABAIEAAAoUHgAAAAAAAAAAACwAAAAAAQABAAAIBAABBAQAOw==");
  bytes.set([0xff, 0xff, 0xff, 0xff], 6);
  return bytes;
};

const notes = () => chunk("zTXt", joined(text.encode("Comment\0\0"), deflateSync(new Uint8Array(64 * 2 ** 20), { level: 1 })));
const OUTSIDE =
  '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"><image xlink:href="file:///etc/passwd"/></svg>';

const PICTURES: Readonly<Record<string, () => Uint8Array<ArrayBuffer>>> = {
  "a PNG of 13000 x 13000": () => png(13_000, 13_000),
  "a JPEG that claims 65500 x 65500": () => jpeg(65_500, 65_500),
  "a WebP that claims 16384 x 16384": webp,
  "a GIF that claims 65535 x 65535": gif,
  "a TIFF that claims 100000 x 100000": () => tiff(100_000, 100_000),
  "a TIFF with one tile of 30000 x 30000": () => tiff(10, 10, 30_000),
  "a PNG that claims 8192 x 8192 and has ten rows": () => png(8192, 8192, { bits: 16, colour: 6, rows: 10 }),
  "a JPEG that claims 8191 x 8191 and has no data": () => jpeg(8191, 8191),
  "an SVG that names a file": () => text.encode(OUTSIDE) as Uint8Array<ArrayBuffer>,
  "an SVG behind an XML declaration": () => text.encode(`<?xml version="1.0"?>${OUTSIDE}`) as Uint8Array<ArrayBuffer>,
};

/** Those that are well; the last only where it is asked for. */
const WELL: Readonly<Record<string, readonly (() => Uint8Array<ArrayBuffer>)[]>> = {
  "a PNG with a note of 64 MiB": [() => png(60, 60, { more: notes() })],
  "four PNGs of 8192 x 8192 at once": Array.from({ length: 4 }, () => () => png(8192, 8192)),
};

/** The most memory that was resident, in MiB. */
function peak(): number {
  return process.resourceUsage().maxRSS / 1024;
}

if (import.meta.main) {
  const said: Record<string, { words: string; peak: number }> = {}, { default: processor } = ImageProcessor;
  const told = async (name: string, files: readonly Uint8Array[]) => {
    try {
      const made = await Promise.all(files.map((bytes) => processor.image(bytes, { name })));
      return `${made[0]!.grid.h} x ${made[0]!.grid.w} patches`;
    } catch (error) {
      return `${(error as Error).name} ${(error as { code?: string }).code}: ${(error as Error).message}`;
    }
  };
  const each = Object.entries(PICTURES).map(([name, make]) => [name, [make]] as const), well = Object.entries(WELL);
  for (const [name, make] of [...each, ...Deno.args.includes("--all") ? well : well.slice(0, 1)]) {
    // deno-lint-ignore no-await-in-loop -- one after the other, so that memory is each one's
    said[name] = { words: await told(name, make.map((each) => each())), peak: peak() };
  }
  // deno-lint-ignore no-console -- what the test reads
  console.log(JSON.stringify(said));
}
