import { KedgeError } from "../../ffi/errors.ts";
import { firstGifFrame } from "./gif_frame.ts";

/** A decoded picture. */
export interface RawImage {
  /** u8 [height, width, 3], RGB. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** Columns. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** Options of {@linkcode decodeImage}. */
interface DecodeOptions {
  /** The picture's name in errors, such as its path. Default "the picture". */
  readonly name?: string;
}

/** A picture whose header has been read. */
export interface OpenedImage {
  /** Columns of the upright picture. */
  readonly width: number;
  /** Rows of the upright picture. */
  readonly height: number;
  /** Decodes it. @throws {KedgeError} The errors of {@linkcode decodeImage}. */
  decode(): Promise<RawImage>;
}

/** Pixels of the largest picture that is decoded, 8192 x 8192: 201 MB, and as much again to resize it. (Pillow's limit is 178,956,970.) */
export const MOST_PIXELS = 2 ** 26;

// The decoder is native code that reads the environment. It is loaded with the first picture, so that a program without pictures needs no permission for it.
let loaded: Promise<typeof import("sharp").default> | undefined;

function decoder(): Promise<typeof import("sharp").default> {
  return loaded ??= import("sharp").then(({ default: sharp }) => {
    sharp.cache(false); // each picture is read once
    return sharp;
  });
}

/**
 * Decodes a JPEG, PNG, WebP, GIF or TIFF as transformers' `load_image` does (Pillow's `Image.open`, `ImageOps.exif_transpose`, `convert("RGB")`):
 *
 * - the picture is turned upright by the orientation of its EXIF, or of its XMP if the EXIF has none;
 * - alpha and transparent colours are dropped, not blended; ICC profiles and gamma are not applied;
 * - 16 bits of a colour lose the lower eight; 16 bits of grey without alpha are clipped to 255, as Pillow does (scale such pictures beforehand);
 * - CMYK is converted by Pillow's formula, without a profile;
 * - of an animation, or of several pages, the first is taken.
 *
 * The result equals Pillow's for lossless files, and for JPEG if both use libjpeg-turbo's transforms.
 *
 * @param bytes The file, which must not change before the promise settles.
 * @throws {KedgeError} `BadData` for a file that is not such a picture, is cut or broken, or has more than {@linkcode MOST_PIXELS} by its header; `Unsupported` for a colour space that
 *   Pillow treats in its own way.
 *
 * @example
 * ```ts
 * import { decodeImage } from "./image_decode.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const gif = Uint8Array.fromBase64("R0lGODdhAQABAIEAAAoUHgAAAAAAAAAAACwAAAAAAQABAAAIBAABBAQAOw==");
 * assertEquals(await decodeImage(gif), { data: new Uint8Array([10, 20, 30]), width: 1, height: 1 });
 * ```
 */
export async function decodeImage(bytes: Uint8Array<ArrayBuffer>, options: DecodeOptions = {}): Promise<RawImage> {
  const opened = await openImage(bytes, options);
  return await opened.decode();
}

/**
 * Reads a picture's header and none of its pixels, so that it is cheap for any size.
 *
 * @param bytes The file, which must not change before it is decoded.
 * @throws {KedgeError} The errors of {@linkcode decodeImage}.
 *
 * @example
 * ```ts
 * import { openImage } from "./image_decode.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const gif = Uint8Array.fromBase64("R0lGODdhAQABAIEAAAoUHgAAAAAAAAAAACwAAAAAAQABAAAIBAABBAQAOw==");
 * const { width, height, decode } = await openImage(gif);
 * assertEquals([width, height, (await decode()).data.length], [1, 1, 3]);
 * ```
 */
export async function openImage(bytes: Uint8Array<ArrayBuffer>, options: DecodeOptions = {}): Promise<OpenedImage> {
  const name = options.name ?? "the picture";
  const format = formatOf(bytes);
  if (format === undefined) {
    throw badData(name, `${beginning(bytes)}; JPEG, PNG, WebP, GIF and TIFF can be read`, "Convert it to one of them, or remove it");
  }
  return format === "GIF" ? await openGif(bytes, name) : await open(bytes, { name, format });
}

function formatOf(bytes: Uint8Array): string | undefined {
  const head = latin1(bytes.subarray(0, 12));
  if (head.startsWith("\xff\xd8\xff")) return "JPEG";
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "PNG";
  if (head.startsWith("GIF87a") || head.startsWith("GIF89a")) return "GIF";
  if (head.startsWith("RIFF") && head.endsWith("WEBP")) return "WebP";
  return ["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(head.slice(0, 4)) ? "TIFF" : undefined;
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

function beginning(bytes: Uint8Array): string {
  return bytes.length === 0 ? "it has no bytes" : `its ${bytes.length} bytes begin with ${JSON.stringify(latin1(bytes.subarray(0, 12)))}`;
}

function badData(name: string, why: string, advice = "Replace or remove it"): KedgeError {
  return new KedgeError("BadData", `Cannot read ${name}: ${why}. ${advice}.`, { name });
}

function checkPixels(name: string, { width, height }: { width: number; height: number }): void {
  if (width * height <= MOST_PIXELS) return;
  throw badData(name, `${width} x ${height} pixels are more than ${MOST_PIXELS}`, "Scale it down, or remove it");
}

// For each orientation of EXIF: mirrors, upside down (flip) or left to right (flop), and then a rotation in clockwise degrees.
const TURNS: Readonly<Record<number, { degrees: number; flop?: boolean; flip?: boolean }>> = {
  2: { degrees: 0, flop: true },
  3: { degrees: 180 },
  4: { degrees: 0, flip: true },
  5: { degrees: 90, flip: true },
  6: { degrees: 90 },
  7: { degrees: 90, flop: true },
  8: { degrees: 270 },
};

/** An error of the decoder, with the picture's name. */
async function naming<T>({ name, format }: { name: string; format: string }, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof KedgeError) throw cause;
    const words = (cause as Error).message.split("\n").map((line) => line.trim()).find((line) => line !== "") ?? String(cause);
    const message = `Cannot read ${name}: the ${format} is cut or broken (${words}). Replace or remove it.`;
    throw new KedgeError("BadData", message, { name, format }, { cause });
  }
}

function xmpOrientation(xmp: string | undefined): number {
  return Number(/tiff:Orientation(?:="|>)([0-9])/.exec(xmp ?? "")?.[1] ?? 1);
}

async function open(bytes: Uint8Array<ArrayBuffer>, { name, format }: { name: string; format: string }): Promise<OpenedImage> {
  const sharp = await decoder();
  // "error" fails on cut or broken files, and not on unusual ones. The limit is checked below, with a clearer message.
  const open = () => sharp(bytes, { failOn: "error", ignoreIcc: true, limitInputPixels: false });
  return await naming({ name, format }, async () => {
    const { width, height, space, depth, orientation, xmpAsString } = await open().metadata();
    checkPixels(name, { width, height });
    const grey16 = space === "grey16" && depth === "ushort", cmyk = space === "cmyk" && depth === "uchar";
    const plain = (space === "b-w" || (space === "srgb" && depth === "uchar") || (space === "rgb16" && depth === "ushort")) &&
      depth !== "dpcomplex";
    if (!grey16 && !cmyk && !plain) {
      const why = `a ${format} of colour space ${space} and depth ${depth} is not supported`;
      throw new KedgeError("Unsupported", `Cannot read ${name}: ${why}. Convert it to a PNG of 8 bits.`, { name, space, depth });
    }
    const { degrees, flop = false, flip = false } = TURNS[orientation ?? xmpOrientation(xmpAsString)] ?? { degrees: 0 };
    const decode = () =>
      naming({ name, format }, async () => {
        const turned = open().rotate(degrees).flop(flop).flip(flip);
        const pipeline = cmyk
          ? turned.pipelineColourspace("cmyk").toColourspace("cmyk").raw()
          : grey16
          ? turned.removeAlpha().toColourspace("grey16").raw({ depth: "ushort" })
          : turned.removeAlpha().toColourspace("srgb").raw();
        const { data, info } = await pipeline.toBuffer({ resolveWithObject: true });
        const pixels = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
        const n = info.width * info.height;
        // Grey with alpha (colour type 4 of IHDR) is 8 bits of each to Pillow; a transparent grey value (tRNS) changes nothing.
        const alpha = format === "PNG" && bytes[25] === 4;
        const rgb = cmyk ? fromCmyk(pixels) : grey16 ? fromGrey16(pixels, { n, clip: !alpha }) : fromGrey(pixels, n);
        return { data: rgb, width: info.width, height: info.height };
      });
    return degrees % 180 === 0 ? { width, height, decode } : { width: height, height: width, decode };
  });
}

async function openGif(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<OpenedImage> {
  const frame = firstGifFrame(bytes);
  if (typeof frame === "string") throw badData(name, `the GIF is cut or broken (${frame})`);
  const { left, top, canvas, fill } = frame;
  checkPixels(name, canvas);
  const opened = await open(frame.file, { name, format: "GIF" });
  const decode = async () => {
    const image = await opened.decode();
    if (canvas.width === image.width && canvas.height === image.height) return image;
    const data = new Uint8Array(3 * canvas.width * canvas.height);
    for (let i = 0; i < data.length; i++) data[i] = fill[i % 3]!;
    for (let y = 0; y < image.height; y++) {
      data.set(image.data.subarray(3 * y * image.width, 3 * (y + 1) * image.width), 3 * ((top + y) * canvas.width + left));
    }
    return { data, width: canvas.width, height: canvas.height };
  };
  return { width: canvas.width, height: canvas.height, decode };
}

/** Makes three equal colours from one. Pixels that have three are returned as they are. */
function fromGrey(pixels: Uint8Array<ArrayBuffer>, n: number): Uint8Array<ArrayBuffer> {
  if (pixels.length === 3 * n) return pixels;
  const out = new Uint8Array(3 * n);
  for (let i = 0; i < n; i++) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = pixels[i]!;
  return out;
}

function fromGrey16(pixels: Uint8Array<ArrayBuffer>, { n, clip }: { n: number; clip: boolean }): Uint8Array<ArrayBuffer> {
  const view = new DataView(pixels.buffer, pixels.byteOffset, pixels.byteLength), out = new Uint8Array(3 * n);
  for (let i = 0; i < n; i++) {
    const value = view.getUint16(2 * i, true); // no machine of Deno's is big-endian
    out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = clip ? Math.min(255, value) : value >> 8;
  }
  return out;
}

/** Pillow's cmyk2rgb: w - c w / 255, rounded, with w = 255 - k. */
function fromCmyk(pixels: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const n = pixels.length / 4, out = new Uint8Array(3 * n);
  for (let i = 0; i < n; i++) {
    const white = 255 - pixels[4 * i + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = pixels[4 * i + c]! * white + 128;
      out[3 * i + c] = Math.max(0, white - ((product >> 8) + product >> 8));
    }
  }
  return out;
}
