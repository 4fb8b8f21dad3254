/**
 * Reads what a model's folder says of its pictures and videos: `processor_config.json` with both inside (as transformers 5 saves it), or
 * `preprocessor_config.json` and `video_preprocessor_config.json`. A folder with no word on videos has the bounds of its pictures for them too, as in
 * transformers.
 *
 * @module
 */
import { join } from "node:path";
import { z } from "zod";
import { badFile, readFolderText } from "../config/folder_files.ts";
import { FAMILIES, familyOfFolder } from "../families.ts";
import type { Family } from "../family.ts";
import { MOST_PIXELS } from "./image_decode.ts";
import type { ImageProcessorOptions } from "./image_processor_options.ts";
import type { PixelBounds } from "./messages.ts";
import type { VideoSettings } from "./video_sampling.ts";

/** Optional keys, separated by spaces, of which the first that is set counts; "a.b" is b of the object a. Then the schema of the value, and words for it. */
type Field<T> = readonly [keys: string, schema: z.ZodType<T>, words: string];
type Fields<T> = { readonly [K in keyof T]-?: Field<NonNullable<T[K]>> };

const count = (most: number) => [z.int().positive().max(most), `a positive integer up to ${most}`] as const;
const positive = (most: number) => [z.number().positive().max(most), `a positive number up to ${most}`] as const;
const MOST_FRAMES = 2 ** 16;
const NAME = [z.string(), "a string"] as const;
const COLOUR = z.number().min(-1000).max(1000);
const COLOURS = [z.tuple([COLOUR, COLOUR, COLOUR]), "three numbers between -1000 and 1000"] as const;

type Shared = Pick<ImageProcessorOptions, "mean" | "std" | "patchSize" | "mergeSize" | "temporalPatchSize">;
const SHARED: Fields<Shared> = {
  mean: ["image_mean", ...COLOURS],
  std: ["image_std", ...COLOURS],
  patchSize: ["patch_size", ...count(256)],
  mergeSize: ["merge_size", ...count(64)],
  temporalPatchSize: ["temporal_patch_size", ...count(64)],
};

const BOUNDS: Fields<PixelBounds> = {
  minPixels: ["min_pixels size.shortest_edge size.min_pixels", ...positive(MOST_PIXELS)],
  maxPixels: ["max_pixels size.longest_edge size.max_pixels", ...positive(MOST_PIXELS)],
};

type Sampling = Omit<VideoSettings, "minPixels" | "maxPixels" | "minVideoPixels" | "maxVideoPixels">;
const SAMPLING: Fields<Sampling> = {
  fps: ["fps", ...positive(1000)],
  numFrames: ["num_frames", ...count(MOST_FRAMES)],
  minFrames: ["min_frames", ...count(MOST_FRAMES)],
  maxFrames: ["max_frames", ...count(MOST_FRAMES)],
  capPixelsPerFrame: ["cap_pixels_per_frame", z.boolean(), "true or false"],
  maxVideoTokens: ["max_video_tokens", ...count(2 ** 22)],
};

const MOST_VIDEO_PIXELS = 2 ** 40;
const VIDEO_BOUNDS: Fields<Pick<VideoSettings, "minVideoPixels" | "maxVideoPixels">> = {
  minVideoPixels: [BOUNDS.minPixels[0], ...positive(MOST_VIDEO_PIXELS)],
  maxVideoPixels: [BOUNDS.maxPixels[0], ...positive(MOST_VIDEO_PIXELS)],
};

// What Kedge always does, by the public processors' keys.
const ALWAYS: readonly (readonly [key: string, value: unknown])[] = [
  ["do_resize", true],
  ["do_rescale", true],
  ["do_normalize", true],
  ["do_convert_rgb", true],
  ["do_center_crop", false],
  ["do_pad", false],
  ["resample", 3],
  ["rescale_factor", 1 / 255],
];

/** An object of a file. */
interface FileSection {
  readonly path: string;
  readonly json: unknown;
}

function readJson(path: string): unknown {
  const text = readFolderText(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badFile(path, [`it is not JSON (${(cause as Error).message})`], cause);
  }
}

/** The value at a path of keys; undefined if there is none or it is null. */
function at(json: unknown, keys: string): unknown {
  let value = json;
  for (const key of keys.split(".")) {
    if (value === null || typeof value !== "object") return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value ?? undefined;
}

/** The part of processor_config.json, or, if it has none, the first of the files that exists. */
function find(folder: string, { part, files }: { part: string; files: readonly string[] }): FileSection | undefined {
  const path = join(folder, "processor_config.json"), nested = at(readJson(path), part);
  if (nested !== undefined) return { path: `${path} (${part})`, json: nested };
  for (const file of files) {
    const path = join(folder, file), json = readJson(path);
    if (json !== undefined) return { path, json };
  }
  return undefined;
}

/** The fields that are set. */
function read<T>({ path, json }: FileSection, fields: Fields<T>): Partial<T> {
  if (json === null || typeof json !== "object" || Array.isArray(json)) throw badFile(path, ["it is not an object"]);
  const faults: string[] = [], values: [string, unknown][] = [];
  for (const [name, [keys, schema, words]] of Object.entries<Field<unknown>>(fields)) {
    const key = keys.split(" ").find((key) => at(json, key) !== undefined);
    if (key === undefined) continue;
    const parsed = schema.safeParse(at(json, key));
    if (parsed.success) values.push([name, parsed.data]);
    else faults.push(`${key} is ${JSON.stringify(at(json, key))}, not ${words}`);
  }
  for (const [key, only] of ALWAYS) {
    const value = at(json, key);
    if (value !== undefined && value !== only) faults.push(`${key} is ${JSON.stringify(value)}, and only ${only} is known`);
  }
  if (faults.length > 0) throw badFile(path, faults);
  return Object.fromEntries(values) as Partial<T>;
}

/** The family whose processor a file names; undefined if it names none. Refuses a processor that belongs to none of the families. */
function namedFamily(section: FileSection, key: string, accepted: (family: Family) => RegExp): Family | undefined {
  const { type } = read<{ type: string }>(section, { type: [key, ...NAME] });
  if (type === undefined) return undefined;
  const family = FAMILIES.find((family) => accepted(family).test(type));
  if (family) return family;
  throw badFile(section.path, [`${key} is ${JSON.stringify(type)}, which is not that of a family that Kedge reads`]);
}

/**
 * The options of a folder's image processor.
 *
 * @throws {KedgeError} `BadCheckpoint` for a folder without the files, a file that is not JSON, a value of the wrong kind, another processor's type, or a
 *   step that Kedge does not do, each by its key.
 */
export function readImageProcessorConfig(folder: string): ImageProcessorOptions {
  const image = find(folder, { part: "image_processor", files: ["preprocessor_config.json"] });
  if (!image) throw badFile(folder, ["it has neither preprocessor_config.json nor processor_config.json with an image_processor"]);
  namedFamily(image, "image_processor_type", ({ processor }) => processor.imageTypes);
  const shared = read(image, SHARED);

  const files = ["video_preprocessor_config.json", "preprocessor_config.json"];
  const video = find(folder, { part: "video_processor", files }) ?? image;
  const family = namedFamily(video, "video_processor_type", ({ processor }) => processor.videoTypes) ?? familyOfFolder(folder);
  const other = Object.entries(read(video, SHARED)).filter(([key, value]) => {
    const here = shared[key as keyof Shared];
    return here !== undefined && JSON.stringify(here) !== JSON.stringify(value);
  });
  if (other.length > 0) {
    throw badFile(
      video.path,
      other.map(([key, value]) => `${key} is ${JSON.stringify(value)} for videos and not so for pictures`),
    );
  }
  const videoRule = family.processor.videos, bounds = videoRule.boundsOf === "frame" ? read(video, BOUNDS) : read(video, VIDEO_BOUNDS);
  return { ...read(image, BOUNDS), ...shared, video: { ...bounds, ...read(video, SAMPLING) }, videoRule };
}
