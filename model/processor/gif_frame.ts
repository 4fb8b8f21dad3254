/** The first frame of a GIF, apart from its canvas. */
interface GifFrame {
  /** A GIF of this frame alone: no offset, no transparency, a palette of 256 colours. */
  readonly file: Uint8Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
  /** Columns of the canvas left of the frame. */
  readonly left: number;
  /** Rows of the canvas above it. */
  readonly top: number;
  /** Size of the picture: that of the screen, or that which holds the whole frame if it is larger. */
  readonly canvas: { readonly width: number; readonly height: number };
  /** Red, green, blue of the canvas around the frame. */
  readonly fill: readonly [number, number, number];
}

const COLOURS = 256;

/**
 * Cuts the first frame out of a GIF as Pillow shows it in RGB: a transparent pixel has its palette's colour, and what the frame does not cover has that of the
 * transparent index, or of index 0. (Decoders that blend lose those colours.) Layout: GIF89a specification, sections 18 to 25.
 *
 * @returns The frame, or the reason why there is none.
 */
export function firstGifFrame(bytes: Uint8Array<ArrayBuffer>): GifFrame | string {
  const CUT = "the file ends before the first frame does";
  const short = (at: number): number => bytes[at]! | bytes[at + 1]! << 8;
  if (bytes.length < 13) return CUT;
  let at = 13, transparent: number | undefined, shared: Uint8Array<ArrayBuffer> | undefined;
  const palette = (flags: number): Uint8Array<ArrayBuffer> => bytes.slice(at, at += 3 << (flags & 7) + 1);
  // Steps over data blocks. A length precedes each block, and the length 0 ends them.
  const skip = (): void => {
    while (at < bytes.length && bytes[at]! > 0) at += bytes[at]! + 1;
    at++;
  };
  if (bytes[10]! & 0x80) shared = palette(bytes[10]!);
  for (; bytes[at] !== 0x2c;) {
    if (at >= bytes.length) return CUT;
    const kind = bytes[at++];
    if (kind === 0x3b) return "it has no frame";
    if (kind !== 0x21) continue; // other bytes between the blocks are skipped
    if (bytes[at++] === 0xf9 && bytes[at]! >= 4 && bytes[at + 1]! & 1) transparent = bytes[at + 4]!;
    skip();
  }
  const [left, top, width, height] = [short(at + 1), short(at + 3), short(at + 5), short(at + 7)], flags = bytes[at + 9]!;
  at += 10;
  const colours = full(flags & 0x80 ? palette(flags) : shared);
  const start = at++;
  skip();
  if (at > bytes.length) return CUT;
  if (width === 0 || height === 0) return `its first frame is ${width} x ${height}`;

  const size = [width & 255, width >> 8, height & 255, height >> 8];
  const head = [...new TextEncoder().encode("GIF89a"), ...size, 0xf7, 0, 0];
  const image = [0x2c, 0, 0, 0, 0, ...size, flags & 0x40];
  const file = new Uint8Array(head.length + colours.length + image.length + (at - start) + 1);
  let to = 0;
  for (const part of [head, colours, image, bytes.subarray(start, at), [0x3b]]) {
    file.set(part, to);
    to += part.length;
  }
  const index = 3 * (transparent ?? 0);
  const canvas = { width: Math.max(short(6), left + width), height: Math.max(short(8), top + height) };
  return { file, width, height, left, top, canvas, fill: [colours[index]!, colours[index + 1]!, colours[index + 2]!] };
}

/** A palette of 256 colours: black beyond the file's colours; greys if there is no palette, or one that begins like the greys. */
function full(palette: Uint8Array = new Uint8Array()): Uint8Array {
  const grey = palette.every((colour, i) => colour === Math.floor(i / 3));
  const colours = Uint8Array.from({ length: 3 * COLOURS }, (_, i) => grey ? Math.floor(i / 3) : 0);
  if (!grey) colours.set(palette);
  return colours;
}
