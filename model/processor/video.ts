import { KedgeError } from "../../ffi/errors.ts";
import { countFrames, decodeFrames, probeVideo } from "./ffmpeg.ts";
import type { OpenedImage, RawImage } from "./image_decode.ts";
import type { ImageSource, VideoSource } from "./messages.ts";
import { allFrames, type FrameChoice, type VideoLength, type VideoRule, type VideoSettings } from "./video_sampling.ts";

/** Options of `ImageProcessor.video`. Settings that are not set are the processor's. */
export interface VideoOptions extends Partial<VideoSettings> {
  /** Whether frames are sampled; if not, all are taken. Default: sampled from a file, all of a list, as in transformers. */
  readonly sample?: boolean;
  /** Seconds after which the reading of a file fails. Default 300. */
  readonly timeLimit?: number;
  /** Stops the reading of a file. */
  readonly signal?: AbortSignal;
  /** The video's name in errors. Default: its path, or "the video". */
  readonly name?: string;
}

/** Options of {@linkcode readVideo}. */
interface ReadVideoOptions extends VideoSettings, Pick<VideoOptions, "sample" | "timeLimit" | "signal"> {
  readonly name: string;
  readonly rule: VideoRule;
  readonly temporalPatchSize: number;
  /** Reads the header of a frame of a list. */
  readonly open: (source: ImageSource, name: string) => Promise<OpenedImage>;
  /** Called before the frames, with their number; called again if the file is read anew. */
  readonly begin: (count: number) => void;
  /** Takes the next frame. */
  readonly take: (frame: RawImage, place: number) => void;
}

const TIME_LIMIT = 300;

/** When the sampled frames of a video are. */
export interface SampledTimes {
  /** Their rate, in frames per second, as transformers' VideoMetadata.sampled_fps. */
  readonly fps: number;
  /** The second of each. */
  readonly seconds: readonly number[];
}

/**
 * Reads the sampled frames of a video and hands them over one by one, so that only one is in memory.
 *
 * @throws {KedgeError} `BadData`, `Unsupported`: see `ImageProcessor.video`.
 */
export async function readVideo(source: VideoSource, options: ReadVideoOptions): Promise<SampledTimes> {
  return "path" in source ? await readFile(source.path, options) : await readList(source, options);
}

const sampledTimes = ({ indices }: FrameChoice, { total, fps }: VideoLength): SampledTimes => ({
  fps: indices.length / total * fps,
  seconds: indices.map((index) => index / fps),
});

const choose = (length: VideoLength, options: ReadVideoOptions, sample: boolean): FrameChoice =>
  sample ? options.rule.choose(length, options) : allFrames(length);

async function readList({ frames, fps }: Extract<VideoSource, { frames: unknown }>, options: ReadVideoOptions): Promise<SampledTimes> {
  const { name } = options, length = { total: frames.length, fps };
  if (!(fps > 0 && fps < Infinity)) throw new RangeError(`Cannot read ${name}: fps ${fps} is not a positive number`);
  if (frames.length === 0) throw new KedgeError("BadData", `Cannot read ${name}: it has no frames. Remove it.`, { name });
  const choice = choose(length, options, options.sample ?? false), { indices } = choice;
  options.begin(indices.length);
  await Array.fromAsync(indices, async (index, place) => {
    const frame = await options.open(frames[index]!, `frame ${index} of ${name}`);
    options.take(await frame.decode(), place);
  });
  return sampledTimes(choice, length);
}

async function readFile(path: string, options: ReadVideoOptions): Promise<SampledTimes> {
  const { sample = true, timeLimit = TIME_LIMIT, signal, take } = options;
  if (!(timeLimit > 0 && timeLimit < 2 ** 31 / 1000)) {
    throw new RangeError(`Cannot read ${path}: timeLimit ${timeLimit} is not in (0, 2^31 / 1000)`);
  }
  const limits = { timeLimit, ...signal ? { signal } : {} };
  const { total, fps } = await probeVideo(path, limits);
  const read = async (total: number): Promise<SampledTimes | undefined> => {
    if (total === 0) throw new KedgeError("BadData", `Cannot read the video ${path}: it has no frames. Replace or remove it.`, { path });
    const choice = choose({ total, fps }, options, sample), count = choice.indices.length;
    options.begin(count);
    return await decodeFrames(path, { ...limits, choice, take }) === count ? sampledTimes(choice, { total, fps }) : undefined;
  };
  // The container may count frames that do not decode, as in a cut file or with hidden frames. Then the frames are counted one by one.
  const times = await read(total) ?? await read(await countFrames(path, limits));
  if (!times) {
    throw new KedgeError("BadData", `Cannot read the video ${path}: its frames cannot be counted. Convert it.`, { path });
  }
  return times;
}
