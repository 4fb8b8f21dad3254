import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { MOST_PIXELS, type OpenedImage, openImage, type RawImage } from "./image_decode.ts";
import { readImageProcessorConfig } from "./image_processor_config.ts";
import type { Colours, ImageProcessorOptions } from "./image_processor_options.ts";
import type { ImageSource, PixelBounds, VideoSource } from "./messages.ts";
import type { Grid, Visual } from "../prompt.ts";
import { PixelTurns } from "./pixel_turns.ts";
import { smartResize } from "./smart_resize.ts";
import { readVideo, type VideoOptions } from "./video.ts";
import { qwen2Videos } from "./qwen2_videos.ts";
import type { VideoRule, VideoSettings } from "./video_sampling.ts";

export type { Colours, ImageProcessorOptions } from "./image_processor_options.ts";
export { smartResize, type SmartResizeOptions } from "./smart_resize.ts";
export type { VideoOptions } from "./video.ts";
export type { FrameChoice, FrameSizeOptions, SampleOptions, VideoLength, VideoRule, VideoSettings } from "./video_sampling.ts";

/** Options of {@linkcode ImageProcessor.image}. */
export interface ImageOptions extends PixelBounds {
  /** The picture's name in errors, such as its path. Default "the picture". */
  readonly name?: string;
}

const CLIP_MEAN: Colours = [0.48145466, 0.4578275, 0.40821073], CLIP_STD: Colours = [0.26862954, 0.26130258, 0.27577711];

/** A picture whose header has been read. */
export interface OpenedPicture {
  /** Pixels of the file. */
  readonly pixels: number;
  /** The grid that the visual will have. */
  readonly grid: Grid;
  /** Decodes and resizes it. @throws The errors of {@linkcode ImageProcessor.image}. */
  visual(): Promise<Visual>;
}

// For all processors of a thread: calls may overlap, and pictures that are not resized yet take the most memory.
const turns = new PixelTurns(MOST_PIXELS);

/** Bytes of a video's resized frames. */
const MOST_BYTES = 4 * 2 ** 30;

/** Pixels of a side that can be resized. */
const LONGEST_SIDE = 65_535;

/**
 * Turns pictures and videos into the input of the vision tower, as transformers' Qwen2VLImageProcessorPil does: decode to RGB, smart resize by
 * Pillow's antialiased bicubic filter. The model's device rescales, normalises and cuts into patches, so that only bytes move. A processor has no state
 * but its options: calls may overlap.
 *
 * A file is turned upright by its EXIF orientation, as in transformers' `load_image`.
 *
 * @example
 * ```ts
 * import { ImageProcessor } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const processor = new ImageProcessor({ minPixels: 56 * 56, maxPixels: 112 * 112 });
 * const { grid } = await processor.image({ data: new Uint8Array(100 * 50 * 3), width: 100, height: 50 });
 * assertEquals(grid, { t: 1, h: 4, w: 8 }); // 56 x 112 pixels
 * ```
 */
export class ImageProcessor {
  /** Fewest pixels of a resized picture. */
  readonly minPixels: number;
  /** The maximum number of pixels of a resized picture. */
  readonly maxPixels: number;
  /** Subtracted from colours in [0, 1]. */
  readonly mean: Colours;
  /** Divides them after that. */
  readonly std: Colours;
  /** Pixels of a patch's side. */
  readonly patchSize: number;
  /** Patches of a merged token's side. */
  readonly mergeSize: number;
  /** Frames of a patch. */
  readonly temporalPatchSize: number;
  /** Settings for videos. */
  readonly videoSettings: VideoSettings;
  readonly #videoRule: VideoRule;
  readonly #threads: number | undefined;

  /** The public defaults. */
  static readonly default: ImageProcessor = new ImageProcessor();

  /**
   * A processor with options.
   *
   * @throws {RangeError} For sizes that are not positive integers, bounds in the wrong order, a std of 0.
   */
  constructor(options: ImageProcessorOptions = {}) {
    this.minPixels = options.minPixels ?? 56 * 56;
    this.maxPixels = options.maxPixels ?? 28 * 28 * 1280;
    this.mean = options.mean ?? CLIP_MEAN;
    this.std = options.std ?? CLIP_STD;
    this.patchSize = options.patchSize ?? 14;
    this.mergeSize = options.mergeSize ?? 2;
    this.temporalPatchSize = options.temporalPatchSize ?? 2;
    this.#videoRule = options.videoRule ?? qwen2Videos;
    this.videoSettings = { ...this.#videoRule.defaults, ...options.video };
    this.#threads = options.threads;
    for (const key of ["patchSize", "mergeSize", "temporalPatchSize"] as const) {
      if (!Number.isSafeInteger(this[key]) || this[key] < 1) {
        throw new RangeError(`Cannot make an image processor: ${key} ${this[key]} is not a positive integer`);
      }
    }
    checkBounds("make an image processor", this);
    checkBounds("make an image processor", this.videoSettings);
    if (!this.mean.every(Number.isFinite) || !this.std.every((value) => value > 0 && value < Infinity)) {
      throw new RangeError(`Cannot make an image processor: mean [${this.mean}] or std [${this.std}] is out of range`);
    }
  }

  /**
   * Makes the processor of a model folder, from `processor_config.json`, or from `preprocessor_config.json` and `video_preprocessor_config.json`.
   *
   * @throws {KedgeError} `BadCheckpoint`, with the file and the key.
   */
  static fromFolder(folder: string): ImageProcessor {
    const options = readImageProcessorConfig(folder);
    try {
      return new ImageProcessor(options);
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new KedgeError("BadCheckpoint", `Cannot read the image processor of ${folder}: ${cause.message}`, { path: folder }, { cause });
    }
  }

  /**
   * Decodes and resizes a picture.
   *
   * @param source A file's bytes (JPEG, PNG, WebP, GIF, TIFF), which must not change before the promise settles, or its pixels.
   * @param options Bounds, default: the processor's; a name for errors.
   * @returns Frames u8 [1, height, width, 3], and their grid.
   * @throws {RangeError} For pixels that are not [height, width, 3], or bounds in the wrong order.
   * @throws {KedgeError} `BadData`, `Unsupported`: see {@linkcode decodeImage} and {@linkcode smartResize}.
   */
  async image(source: ImageSource, options: ImageOptions = {}): Promise<Visual> {
    const opened = await this.open(source, options);
    return await opened.visual();
  }

  /**
   * Reads the header of a picture and computes its size after resizing. It reads no pixels.
   *
   * @param source See {@linkcode image}; it must not change before it is decoded.
   * @param options See {@linkcode image}.
   * @throws The errors of {@linkcode image}.
   *
   * @example
   * ```ts
   * import { ImageProcessor } from "@kedge/kedge/model";
   * import { assertEquals } from "@std/assert";
   *
   * const { pixels, grid, visual } = await ImageProcessor.default.open({ data: new Uint8Array(56 * 112 * 3), width: 112, height: 56 });
   * assertEquals([pixels, grid], [6272, { t: 1, h: 4, w: 8 }]);
   * assertEquals((await visual()).grid, grid);
   * ```
   */
  async open(source: ImageSource, options: ImageOptions = {}): Promise<OpenedPicture> {
    const { name = "the picture", minPixels = this.minPixels, maxPixels = this.maxPixels } = options;
    const opened = await this.#open(source, name), { width, height } = opened, pixels = width * height;
    const sizing = {
      name,
      size: (picture: Size) => smartResize(picture.height, picture.width, { factor: this.#factor, minPixels, maxPixels, name }),
    };
    const size = resized(opened, sizing);
    return {
      pixels,
      grid: { t: 1, h: size.height / this.patchSize, w: size.width / this.patchSize },
      visual: () =>
        turns.take(pixels, async () => {
          const frames = new Frames({ count: 1, threads: this.#threads, ...sizing });
          const image = await opened.decode();
          if (image.width !== width || image.height !== height) {
            const message =
              `Cannot read ${name}: it has ${image.width} x ${image.height} pixels, and its header says ${width} x ${height}. Replace or remove it.`;
            throw new KedgeError("BadData", message, { name });
          }
          frames.take(image, 0);
          return this.#visual("image", frames);
        }),
    };
  }

  /**
   * Samples frames of a video and resizes each as a picture. The public video processor resizes by torchvision, whose bicubic filter
   * changes one byte in two hundred by one or two.
   *
   * @param source Frames with their rate, or the path of a file that ffmpeg can read (needs `--allow-run=ffmpeg,ffprobe`).
   * @param options Settings; default: the processor's.
   * @returns Frames u8 [count, height, width, 3], their grid, and the seconds between two of its steps. An incomplete last step repeats its last frame.
   * @throws {RangeError} The errors of {@linkcode image}, and for settings that are not positive.
   * @throws {KedgeError} `BadData` for a file that cannot be read, is not a video, or has frames of different sizes; `Unsupported` if there is no ffmpeg.
   */
  async video(source: VideoSource, options: VideoOptions = {}): Promise<Visual> {
    const { sample, timeLimit, signal, name = "path" in source ? source.path : "the video", ...overrides } = options;
    const settings: VideoSettings = { ...this.videoSettings, ...overrides };
    const { temporalPatchSize } = this;
    checkBounds(`resize ${name}`, settings);
    let frames: Frames | undefined;
    const { fps, seconds } = await readVideo(source, {
      ...settings,
      ...{ sample, timeLimit, signal } as Pick<VideoOptions, "sample" | "timeLimit" | "signal">,
      name,
      rule: this.#videoRule,
      temporalPatchSize,
      open: (frame, name) => this.#open(frame, name),
      begin: (count) => {
        const sizing = { count, settings, factor: this.#factor, temporalPatchSize, name };
        frames = new Frames({ count, threads: this.#threads, name, size: (frame) => this.#videoRule.frameSize(frame, sizing) });
      },
      take: (frame, place) => frames!.take(frame, place),
    });
    const steps = Array.from({ length: Math.ceil(seconds.length / temporalPatchSize) }, (_, step) => {
      const first = step * temporalPatchSize, last = Math.min(first + temporalPatchSize, seconds.length) - 1;
      return (seconds[first]! + seconds[last]!) / 2;
    });
    return { ...this.#visual("video", frames!), secondsPerGrid: temporalPatchSize / fps, seconds: steps };
  }

  get #factor(): number {
    return this.patchSize * this.mergeSize;
  }

  async #open(source: ImageSource, name: string): Promise<OpenedImage> {
    if (source instanceof Uint8Array) return await openImage(unshared(source), { name });
    const { width, height, data } = source;
    if (!(Number.isSafeInteger(width) && Number.isSafeInteger(height) && width > 0 && height > 0 && data.length === 3 * width * height)) {
      throw new RangeError(`Cannot read ${name}: ${data.length} bytes are not ${height} x ${width} x 3 pixels`);
    }
    return { width, height, decode: () => Promise.resolve({ width, height, data: unshared(data) }) };
  }

  #visual(kind: Visual["kind"], { count, height, width, data }: Frames): Visual {
    const grid: Grid = { t: Math.ceil(count / this.temporalPatchSize), h: height / this.patchSize, w: width / this.patchSize };
    return { kind, grid, pixels: { frames: data, count, mean: this.mean, std: this.std } };
  }
}

/** The bytes in memory that no threads share, as native code needs them. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? bytes as Uint8Array<ArrayBuffer> : Uint8Array.from(bytes);
}

function checkBounds(action: string, bounds: Required<PixelBounds> & Pick<VideoSettings, "minVideoPixels" | "maxVideoPixels">): void {
  for (const kind of ["", "Video"] as const) {
    const [least, most] = [bounds[`min${kind}Pixels`] ?? 1, bounds[`max${kind}Pixels`] ?? Number.MAX_VALUE];
    if (least > 0 && least <= most && most < Infinity) continue;
    throw new RangeError(`Cannot ${action}: min${kind}Pixels ${least} and max${kind}Pixels ${most} are not positive and in this order`);
  }
}

interface Size {
  readonly height: number;
  readonly width: number;
}

/** The size to which a picture is resized. @throws {KedgeError} `BadData` if it cannot be resized. */
function resized({ width, height }: Size, options: Pick<FramesOptions, "name" | "size">): Size {
  const size = options.size({ width, height }), { name } = options;
  if (size.height * size.width > MOST_PIXELS) {
    const message =
      `Cannot resize ${name}: ${size.width} x ${size.height} pixels are more than ${MOST_PIXELS}. Lower minPixels and maxPixels.`;
    throw new KedgeError("BadData", message, { name, height, width });
  }
  if (Math.max(height, width) <= LONGEST_SIDE) return size;
  const message =
    `Cannot resize ${name}: of its ${width} x ${height} pixels one side is longer than ${LONGEST_SIDE}. Scale it down, or remove it.`;
  throw new KedgeError("BadData", message, { name, height, width });
}

interface FramesOptions {
  readonly count: number;
  readonly name: string;
  /** The size of a resized frame. */
  readonly size: (frame: Size) => Size;
  readonly threads: number | undefined;
}

/** Collects resized frames of one size. */
class Frames {
  readonly count: number;
  /** Rows of a resized frame; 0 before the first. */
  height = 0;
  /** Columns of a resized frame. */
  width = 0;
  /** u8 [count, height, width, 3]. */
  data: Uint8Array<ArrayBuffer> = new Uint8Array();
  readonly #options: FramesOptions;
  #first: RawImage | undefined;

  constructor(options: FramesOptions) {
    this.count = options.count;
    this.#options = options;
  }

  take(frame: RawImage, place: number): void {
    this.#first ??= this.#start(frame);
    const { name } = this.#options, { width, height } = this.#first;
    if (frame.width !== width || frame.height !== height) {
      const message =
        `Cannot read ${name}: sampled frame ${place} has ${frame.width} x ${frame.height} pixels, the first ${width} x ${height}.` +
        " Give frames of one size.";
      throw new KedgeError("BadData", message, { name, place });
    }
    const bytes = 3 * this.height * this.width;
    this.#resize(frame, this.data.subarray(place * bytes, (place + 1) * bytes));
  }

  #start({ width, height }: RawImage): RawImage {
    const { name, count } = this.#options;
    const size = resized({ width, height }, this.#options);
    const bytes = 3 * count * size.height * size.width;
    try {
      if (bytes > MOST_BYTES) throw new RangeError(`${MOST_BYTES} are allowed`);
      this.data = new Uint8Array(bytes);
    } catch (cause) {
      const message =
        `Cannot hold ${count} frames of ${size.width} x ${size.height} (${name}): ${bytes} bytes. Lower maxFrames or maxPixels.`;
      throw new KedgeError("OutOfMemory", message, { asked: bytes }, { cause });
    }
    Object.assign(this, size);
    return { width, height, data: new Uint8Array() };
  }

  #resize({ data, width, height }: RawImage, into: Uint8Array<ArrayBuffer>): void {
    if (width === this.width && height === this.height) return into.set(data);
    const { threads } = this.#options;
    using device = CpuDevice.open({ blas: "builtin", ...threads === undefined ? {} : { threads } });
    const image = device.alloc(data.length);
    try {
      const out = device.alloc(into.length);
      try {
        device.write(image, data);
        device.ops.imageResize(out, this.height, this.width, image, height, width, 3);
        device.read(into, out);
      } finally {
        device.free(out);
      }
    } finally {
      device.free(image);
    }
  }
}
