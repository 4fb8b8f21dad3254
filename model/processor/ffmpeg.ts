/**
 * Reads video files by the `ffmpeg` and `ffprobe` of the PATH.
 *
 * @module
 */
import { environment } from "../../ffi/environment.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { MOST_PIXELS, type RawImage } from "./image_decode.ts";
import type { FrameChoice, VideoLength } from "./video_sampling.ts";

/** The most bytes of ffprobe's output: some million packets. */
const MOST_PROBED = 2 ** 28;

/** Bounds of a run of ffmpeg. */
interface FfmpegOptions {
  /** Seconds after which a run is killed. */
  readonly timeLimit: number;
  /** Kills the run. */
  readonly signal?: AbortSignal;
}

const ADVICE =
  'Install ffmpeg, which brings ffprobe ("apt-get install ffmpeg" on Debian and Ubuntu, "dnf install ffmpeg-free" on Fedora, "brew install ffmpeg" on ' +
  "macOS), and grant --allow-run=ffmpeg,ffprobe; or give the video as a list of frames";

function badVideo(path: string, why: string, advice = "Replace or remove it"): KedgeError {
  return new KedgeError("BadData", `Cannot read the video ${path}: ${why}. ${advice}.`, { path });
}

/** Runs a program to its end and hands over its output. Throws if it fails, takes too long, or is aborted. */
async function run(
  command: "ffmpeg" | "ffprobe",
  { path, args, sink, options }: { path: string; args: readonly string[]; sink: (bytes: Uint8Array) => void; options: FfmpegOptions },
): Promise<void> {
  options.signal?.throwIfAborted();
  let child: Deno.ChildProcess;
  try {
    // Deno refuses to spawn with LD_LIBRARY_PATH set under a plain --allow-run=ffmpeg, and CUDA images set it.
    const env = { PATH: environment("PATH") ?? "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C" };
    child = new Deno.Command(command, { args: [...args], clearEnv: true, env, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
  } catch (cause) {
    // Deno drops a program of --allow-run that it does not find. Then the permission is missing, and not the program.
    const why = cause instanceof Deno.errors.NotFound ? "is not in PATH" : `cannot be run (${(cause as Error).message})`;
    throw new KedgeError("Unsupported", `Cannot read the video ${path}: ${command} ${why}. ${ADVICE}.`, { path }, { cause });
  }
  let late = false;
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  };
  const timer = setTimeout(() => (late = true, kill()), 1000 * options.timeLimit);
  options.signal?.addEventListener("abort", kill);
  let fault: unknown;
  const take = async () => {
    for await (const bytes of child.stdout) {
      if (fault !== undefined) continue;
      try {
        sink(bytes);
      } catch (error) {
        fault = error;
        kill();
      }
    }
  };
  let words = "";
  const listen = async () => {
    const decoder = new TextDecoder();
    for await (const bytes of child.stderr) words = (words + decoder.decode(bytes, { stream: true })).slice(0, 2000);
  };
  try {
    const [{ success, signal }] = await Promise.all([child.status, take(), listen()]);
    options.signal?.throwIfAborted();
    if (fault !== undefined) throw fault;
    if (late) throw badVideo(path, `${command} took more than ${options.timeLimit} s`, "Raise timeLimit, or replace or remove it");
    if (!success) {
      throw badVideo(path, `${command} fails${signal ? ` by ${signal}` : ""}: ${words.trim().split("\n")[0] || "it says nothing"}`);
    }
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", kill);
    kill();
  }
}

// A path names a file and nothing else, whatever it looks like, and a playlist in it can read only files.
const input = (path: string): string[] => ["-protocol_whitelist", "file", "-i", `file:${path}`];

async function probe(path: string, args: readonly string[], options: FfmpegOptions): Promise<Record<string, unknown>> {
  const decoder = new TextDecoder(), texts: string[] = [];
  let length = 0;
  const sink = (bytes: Uint8Array) => {
    length += bytes.length;
    if (length > MOST_PROBED) throw badVideo(path, "it has too many packets", "Cut it into shorter ones");
    texts.push(decoder.decode(bytes, { stream: true }));
  };
  await run("ffprobe", {
    path,
    args: ["-v", "error", "-select_streams", "V:0", ...args, "-of", "json=c=1", ...input(path)],
    sink,
    options,
  });
  return JSON.parse(texts.join("")) as Record<string, unknown>;
}

type Fields = Readonly<Record<string, string>>;

/**
 * The length of a video, by the packets of its first video stream that is not a cover picture. Packets that the container marks as not shown do not count. The rate
 * is their number over the time from the first to the end of the last, as in torchcodec, since the rate in the container is wrong for uneven frames.
 *
 * @throws {KedgeError} `Unsupported` if ffprobe is not installed or may not be run; `BadData` for a file that is not a video or takes too long.
 */
export async function probeVideo(path: string, options: FfmpegOptions): Promise<VideoLength> {
  checkFile(path);
  const entries = ["-show_entries", "stream=width,height,avg_frame_rate,r_frame_rate:packet=pts_time,duration_time,flags"];
  const { streams, packets } = await probe(path, entries, options) as { streams?: Fields[]; packets?: Fields[] };
  const stream = streams?.[0];
  if (!stream) throw badVideo(path, "it has no video stream");
  checkSize(path, { width: Number(stream["width"] ?? 0), height: Number(stream["height"] ?? 0) });
  const shown = (packets ?? []).filter(({ flags }) => !flags?.includes("D"));
  const nominal = ["avg_frame_rate", "r_frame_rate"].map((key) => rate(stream[key])).find((value) => value > 0);
  const fps = measuredRate(shown) ?? nominal;
  if (fps === undefined) {
    throw badVideo(path, "it does not say how many frames a second has", "Convert it, or give its frames as a list with their fps");
  }
  return { total: shown.length, fps };
}

/** Packets per second; undefined if the packets have no times. */
function measuredRate(packets: readonly Fields[]): number | undefined {
  let first = Infinity, last = -Infinity, duration = NaN;
  for (const packet of packets) {
    const time = Number(packet["pts_time"] ?? NaN);
    if (Number.isNaN(time)) return undefined;
    first = Math.min(first, time);
    if (time < last) continue;
    last = time;
    duration = Number(packet["duration_time"] ?? NaN);
  }
  if (!(last > first)) return undefined;
  const span = last - first;
  return packets.length / (span + (duration > 0 ? duration : span / (packets.length - 1)));
}

/** Counts the frames that really decode. It is slow. */
export async function countFrames(path: string, options: FfmpegOptions): Promise<number> {
  const { streams } = await probe(path, ["-count_frames", "-show_entries", "stream=nb_read_frames"], options) as { streams?: Fields[] };
  return Number(streams?.[0]?.["nb_read_frames"] ?? 0) || 0;
}

function checkSize(path: string, { width, height }: { width: number; height: number }): void {
  if (width * height <= MOST_PIXELS) return;
  throw badVideo(path, `frames of ${width} x ${height} are more than ${MOST_PIXELS} pixels`, "Scale it down");
}

function checkFile(path: string): void {
  try {
    if (Deno.statSync(path).isFile) return;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw badVideo(path, "there is no such file", "Check the path");
    throw error;
  }
  throw badVideo(path, "it is not a file", "Check the path");
}

/** "30000/1001" as a number; 0 for "0/0". */
function rate(text: string | undefined): number {
  const [above, below] = (text ?? "").split("/").map(Number);
  const value = above! / (below ?? 1);
  return Number.isFinite(value) ? value : 0;
}

/**
 * Decodes chosen frames of a video, turned upright by the video's rotation. Hands them over one by one, in order.
 *
 * @param take Called with each frame and its index. The pixels are not reused.
 * @returns The number of frames, fewer than were chosen if the video ends before.
 * @throws {KedgeError} The errors of {@linkcode probeVideo}.
 */
export async function decodeFrames(
  path: string,
  { choice, take, ...options }: FfmpegOptions & { choice: FrameChoice; take: (frame: RawImage, place: number) => void },
): Promise<number> {
  let place = 0;
  const count = choice.indices.length;
  const reader = new PpmReader(path, (frame) => {
    if (place < count) take(frame, place++);
  });
  // The frames get new times, since ffmpeg would otherwise fill gaps with copies. PPM has the size after the rotation.
  const filter = `select='${choice.select}',settb=1/25,setpts=N`;
  const output = [
    "-map",
    "0:V:0",
    "-vf",
    filter,
    "-r",
    "25",
    "-frames:v",
    String(count),
    "-f",
    "image2pipe",
    "-c:v",
    "ppm",
    "-pix_fmt",
    "rgb24",
  ];
  const args = ["-v", "error", "-nostdin", ...input(path), ...output, "pipe:1"];
  await run("ffmpeg", { path, args, sink: (bytes) => reader.push(bytes), options });
  if (reader.open) throw badVideo(path, "ffmpeg ends inside a frame");
  return place;
}

const HEADER = /^P6\s+(\d+)\s+(\d+)\s+255\s/, LONGEST_HEADER = 64;

/** Cuts a stream into its PPM pictures (P6). */
class PpmReader {
  readonly #path: string;
  readonly #take: (frame: RawImage) => void;
  #head = "";
  #frame: RawImage | undefined;
  #filled = 0;

  constructor(path: string, take: (frame: RawImage) => void) {
    this.#path = path;
    this.#take = take;
  }

  /** Whether a picture has begun. */
  get open(): boolean {
    return this.#frame !== undefined || this.#head !== "";
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#frame) {
        const { data } = this.#frame, part = bytes.subarray(at, at + data.length - this.#filled);
        data.set(part, this.#filled);
        this.#filled += part.length;
        at += part.length;
        if (this.#filled < data.length) continue;
        const frame = this.#frame;
        this.#frame = undefined;
        this.#take(frame);
      } else {
        this.#head += String.fromCharCode(bytes[at++]!);
        this.#begin();
      }
    }
  }

  #begin(): void {
    const match = HEADER.exec(this.#head);
    if (!match) {
      if (this.#head.length < LONGEST_HEADER) return;
      throw badVideo(this.#path, `ffmpeg writes ${JSON.stringify(this.#head)} instead of pictures`);
    }
    const [width, height] = [Number(match[1]), Number(match[2])];
    checkSize(this.#path, { width, height });
    this.#frame = { data: new Uint8Array(3 * width * height), width, height };
    this.#filled = 0;
    this.#head = "";
  }
}
