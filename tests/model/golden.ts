/**
 * The golden models and cases, and the registration of tests that use them: on every backend and dtype of this run.
 *
 * @module
 */
import { gunzipSync } from "node:zlib";
import type { Device } from "../../ffi/device.ts";
import type { WeightType } from "../../model/folder/weight_storage.ts";
import { type ModelConfig, readConfig } from "../../model/config/config.ts";
import { familyOf } from "../../model/families.ts";
import { type Grid, type Prompt, type Visual, visualTokens } from "../../model/prompt.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { Random } from "../../tensor/random.ts";
import { SafetensorsFile } from "../../tensor/safetensors.ts";
import { type Backend, backends } from "../ops/backends.ts";
import { ROOT } from "../root.ts";

/**
 * The golden models of each family. `mixed` is small, of small weights, and computed in float64. So are `tied` and `untied` of Qwen2-VL and Qwen3-VL; those of
 * Qwen2.5-VL are float32 all through.
 */
export type GoldenName = "tied" | "untied" | "mixed";

/** The folders of the families' golden models. */
export const GOLDEN_FAMILIES = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"] as const;
type GoldenFamily = typeof GOLDEN_FAMILIES[number];

const SHARED = `${ROOT}/../shared/golden`;
const COPIES = `${ROOT}/tests/golden`; // README.md and qwen2_5_vl/make.py say what is in there

/** A case: what goes in, and what a public implementation gave. */
export class GoldenCase {
  readonly #golden: Golden;
  readonly #file: SafetensorsFile;

  /** `Golden` constructs its cases with this. */
  constructor(golden: Golden, readonly name: string, options: { promptLength: number; file: SafetensorsFile }) {
    this.#golden = golden;
    this.#file = options.file;
    this.promptLength = options.promptLength;
  }

  /** Tokens before the response. */
  readonly promptLength: number;

  /** Whether a tensor of this name is there. */
  has(key: string): boolean {
    return this.#file.tensors.has(`${this.name}/${key}`);
  }

  /** A tensor of floats. */
  floats(key: string): Float32Array<ArrayBuffer> {
    return new Float32Array(this.#bytes(key));
  }

  /** A tensor of integers. */
  ints(key: string): Int32Array<ArrayBuffer> {
    return new Int32Array(this.#bytes(key));
  }

  #bytes(key: string): ArrayBuffer {
    return this.#file.read(`${this.name}/${key}`).slice().buffer as ArrayBuffer;
  }

  /** Gradients by the names of a model folder's tensors. */
  get gradients(): Map<string, Float32Array<ArrayBuffer>> {
    const prefix = `${this.name}/grad.`, { canonical } = familyOf(this.#golden.config).spelling;
    const keys = [...this.#file.tensors.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
    return new Map(keys.map((key) => [canonical(key), this.floats(`grad.${key}`)]));
  }

  /** Prompt and response tokens. */
  get tokens(): Int32Array<ArrayBuffer> {
    return this.ints("input_ids");
  }

  /** The visuals in the order of their placeholders. They have no pixels if the project has no copy of them. */
  get visuals(): Visual[] {
    return this.#inOrder((kind) => {
      const { channels, temporalPatchSize, patchSize } = this.#golden.config.vision;
      const width = channels * temporalPatchSize * patchSize ** 2;
      const key = kind === "image" ? "pixel_values" : "pixel_values_videos";
      const pixels = this.has(key) ? this.floats(key) : new Float32Array();
      const seconds = kind === "video" && this.has("second_per_grid_ts") ? this.floats("second_per_grid_ts") : undefined;
      return this.#grids(kind).map(({ grid, start, end }, i) => {
        const patches = pixels.slice(start * width, end * width);
        return { kind, grid, pixels: { patches }, ...(seconds && { secondsPerGrid: seconds[i]! }) };
      });
    });
  }

  /** The vision tower's embeddings: [merged tokens, hidden]. */
  get visualEmbeds(): Float32Array<ArrayBuffer> {
    return this.has("visual_embeds") ? this.floats("visual_embeds") : this.#byVisual("embeds");
  }

  /** The i-th of the features that the tower gives beside the embeddings. */
  deepstack(i: number): Float32Array<ArrayBuffer> {
    return this.#byVisual(`deepstack.${i}`);
  }

  /** [merged tokens, hidden] of the visuals in the order of their placeholders, from tensors for images and for videos. */
  #byVisual(suffix: string): Float32Array<ArrayBuffer> {
    const { vision: { mergeSize }, text: { hiddenSize } } = this.#golden.config;
    const width = hiddenSize / mergeSize ** 2;
    const parts = this.#inOrder((kind) => {
      if (!this.has(`${kind}_${suffix}`)) return [];
      const all = this.floats(`${kind}_${suffix}`);
      return this.#grids(kind).map(({ start, end }) => all.slice(start * width, end * width));
    });
    return Float32Array.from(parts.flatMap((part) => [...part]));
  }

  /** Grids of the images, or of the videos, and which of their patches each has. */
  #grids(kind: Visual["kind"]): { grid: Grid; start: number; end: number }[] {
    const key = `${kind}_grid_thw`;
    const sizes = this.has(key) ? [...this.ints(key)] : [];
    let at = 0;
    return Array.from({ length: sizes.length / 3 }, (_, i) => {
      const [t, h, w] = sizes.slice(3 * i, 3 * i + 3) as [number, number, number];
      return { grid: { t, h, w }, start: at, end: at += t * h * w };
    });
  }

  /** The visuals by kind, in the order of the placeholders. In the goldens there is text between two visuals, and between a video's steps that stand apart. */
  #inOrder<T>(list: (kind: Visual["kind"]) => readonly T[]): T[] {
    const { tokens: { image, video }, vision: { mergeSize } } = this.#golden.config;
    const [images, videos] = [[...list("image")], [...list("video")]],
      lengths = this.#grids("video").map(({ grid }) => visualTokens(grid, mergeSize));
    const ordered: T[] = [];
    let left = 0; // placeholders of the current video
    for (const [i, token] of this.tokens.entries()) {
      if (token === image && this.tokens[i - 1] !== image) ordered.push(images.shift()!);
      if (token !== video) continue;
      if (left === 0) {
        ordered.push(videos.shift()!);
        left = lengths.shift()!;
      }
      left--;
    }
    return ordered;
  }

  /** The part before the response. */
  get prompt(): Prompt {
    return { tokens: this.tokens.slice(0, this.promptLength), visuals: this.visuals };
  }

  /** The tokens after the prompt. */
  get response(): Int32Array<ArrayBuffer> {
    return this.tokens.slice(this.promptLength);
  }
}

/** A golden model's folder and cases. */
export class Golden {
  /** The model's config. */
  readonly config: ModelConfig;
  /** A model folder. */
  readonly folder: string;
  /** The cases with all inputs: all where the shared files are, else those of which the project has copies. */
  readonly cases: readonly GoldenCase[];
  /** All: perhaps without pixels, logits and gradients. */
  readonly all: readonly GoldenCase[];

  private constructor(readonly name: GoldenName, readonly family: GoldenFamily) {
    const path = `${family}/${name}`, shared = exists(`${SHARED}/${path}/cases.safetensors`);
    this.folder = shared ? `${SHARED}/${path}` : unpacked(`${COPIES}/${path}`);
    this.config = readConfig(this.folder);
    const cases = JSON.parse(Deno.readTextFileSync(`${this.folder}/cases.json`)) as Record<string, { prompt_length: number }>;
    const file = SafetensorsFile.open(`${this.folder}/cases.safetensors`);
    this.all = Object.entries(cases).map(([each, facts]) => new GoldenCase(this, each, { promptLength: facts.prompt_length, file }));
    this.cases = this.all.filter((each) => each.has("logits"));
  }

  static readonly #open = new Map<string, Golden>();

  /** Call it at the top level of a test file: its file stays open. @param family Default Qwen2.5-VL. */
  static open(name: GoldenName, family: GoldenFamily = "qwen2_5_vl"): Golden {
    const title = `${family} ${name}`;
    let golden = Golden.#open.get(title);
    if (!golden) Golden.#open.set(title, golden = new Golden(name, family));
    return golden;
  }

  /** Of every family, call it as {@linkcode Golden.open}. */
  static all(): Golden[] {
    return GOLDEN_FAMILIES.flatMap((family) => (["mixed", "tied", "untied"] as const).map((name) => Golden.open(name, family)));
  }

  /** Names it in the title of a test. */
  get title(): string {
    return `${this.family} ${this.name}`;
  }

  /** Whether its values are float32 themselves, of weights so large that rounding grows. */
  get rounded(): boolean {
    return this.family === "qwen2_5_vl" && this.name !== "mixed";
  }

  /** The model in device memory. */
  model(device: Device, dtype: WeightType = "f32"): VisionLanguageModel {
    return VisionLanguageModel.load(this.folder, { device, dtype });
  }

  /** A case by name; undefined where the project has no copy of its inputs. */
  case(name: string): GoldenCase | undefined {
    return this.cases.find((each) => each.name === name);
  }
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A folder of the copies in a temporary one, which goes with the process: compressed files unpacked. */
function unpacked(folder: string): string {
  const out = Deno.makeTempDirSync({ prefix: "kedge-golden-" });
  addEventListener("unload", () => Deno.removeSync(out, { recursive: true }));
  for (const { name } of Deno.readDirSync(folder)) {
    const bytes = Deno.readFileSync(`${folder}/${name}`);
    if (name.endsWith(".gz")) Deno.writeFileSync(`${out}/${name.slice(0, -3)}`, gunzipSync(bytes));
    else Deno.writeFileSync(`${out}/${name}`, bytes);
  }
  return out;
}

/** Why a test of memory does not run on the fake CUDA. */
export const MEMORY = { fake: "freed memory counts there until the stream has passed its end" } as const;

/** The arguments of a test body. */
export interface ModelRun {
  readonly device: Device;
  readonly dtype: WeightType;
  readonly random: Random;
  /** The relative error allowed in this dtype. */
  tolerance(allowed: Record<WeightType, number>): number;
}

/**
 * Registers a test on every backend. The test must free what it allocates.
 *
 * @param options `dtypes`: default all of the backend. `emulated`: whether also on the emulated one, which takes a second for the pass of a model as small as
 * `mixed`; default false. `ignore`: why the test cannot run here, or on which backends it cannot and why.
 */
export function modelTest(
  name: string,
  body: (run: ModelRun) => void,
  options: { dtypes?: readonly WeightType[]; emulated?: boolean; ignore?: string | Partial<Record<Backend["tier"], string>> | undefined } =
    {},
): void {
  const given = Deno.args.find((a) => a.startsWith("--seed="));
  for (const backend of backends().filter(({ as }) => as !== "emu" || options.emulated)) {
    backend.open(); // here, since a library that a test loads counts as its leak
    for (
      const dtype of (["f32", "bf16"] as const).filter((each) => backend.dtypes.includes(each) && (options.dtypes?.includes(each) ?? true))
    ) {
      const title = `${name} [${backend.tier} ${dtype}]`, { ignore } = options;
      const why = typeof ignore === "string" ? ignore : ignore?.[backend.as];
      Deno.test({ name: why ? `${title} (${why})` : title, ignore: why !== undefined }, () => {
        const seed = given ? Number(given.slice(7)) : Math.floor(Math.random() * 2 ** 31);
        const device = backend.open();
        device.ops.noop();
        const before = device.memory();
        try {
          body({ device, dtype, random: new Random(seed), tolerance: (allowed) => allowed[dtype] });
          device.synchronize();
          const left = device.memory().allocations - before.allocations;
          if (left > 1) throw new Error(`${left} allocations were left`); // one: the device's workspace
          backend.check?.();
        } catch (error) {
          throw new Error(`${(error as Error).message} (seed ${seed})`, { cause: error });
        }
      });
    }
  }
}

/** Fails unless norm(actual - expected) <= tolerance * norm(expected). */
export function assertNear(actual: ArrayLike<number>, expected: ArrayLike<number>, options: { what: string; tolerance: number }): void {
  const { what, tolerance } = options;
  if (actual.length !== expected.length) throw new Error(`${what}: ${actual.length} values, expected ${expected.length}`);
  const error = relativeError(actual, expected);
  if (!(error <= tolerance)) throw new Error(`${what}: relative error ${error}, allowed ${tolerance}`);
}

/** norm(actual - expected) / norm(expected); 0 where both are zero. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}
