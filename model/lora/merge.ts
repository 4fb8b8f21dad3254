/**
 * Merges adapters into their base.
 *
 * @module
 */
import type { Device } from "../../ffi/device.ts";
import type { SafetensorsDType } from "../../tensor/safetensors.ts";
import { SafetensorsFolder } from "../../tensor/safetensors.ts";
import type { SafetensorsEntry } from "../../tensor/safetensors_writer.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { readConfig } from "../config/config.ts";
import { matchTensors } from "../folder/checkpoint.ts";
import type { WeightType } from "../folder/weight_storage.ts";
import { writeModelFolder } from "../folder/checkpoint_files.ts";
import type { Adapter, ModuleAdapter, ModuleTensor } from "./adapter.ts";
import { loadAdapters } from "./adapter_folder.ts";
import type { Adapters } from "./adapters.ts";
import { type GivenBase, openBase } from "./base.ts";
import { moduleTensors } from "./modules.ts";

const CHUNK = 8 * 2 ** 20; // elements
const STORED = { F32: "f32", BF16: "bf16", F16: "f16" } as const;

/**
 * Writes a model folder with the adapters of a folder added to the weights of their base: W + scale B A. A sum is computed in f32 and rounded once. A few
 * rows at a time are in memory.
 *
 * @param adapter The folder of the adapters.
 * @param options `out`: a new folder, or an empty one. `dtype`: of the weights; default: the base's. `base`: default: the one that the adapters name.
 * @returns The elements that were written, and their type.
 * @throws {RangeError} if `out` holds something.
 * @throws {KedgeError} `BadCheckpoint` if a folder cannot be read, or the base has changed.
 *
 * @example
 * ```ts
 * import { mergeAdapters, presetConfig, VisionLanguageModel } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const folder = Deno.makeTempDirSync(), lora = { rank: 2, alpha: 4 };
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * {
 *   using base = VisionLanguageModel.initialise(presetConfig("tiny", { tokens, vocabSize: 95 }), { device });
 *   base.save(`${folder}/base`);
 *   using model = VisionLanguageModel.load(`${folder}/base`, { device, lora });
 *   model.save(`${folder}/adapter`);
 * }
 * const { dtype } = mergeAdapters(`${folder}/adapter`, { out: `${folder}/merged`, device });
 * assertEquals(dtype, "f32");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function mergeAdapters(
  adapter: string,
  options: { out: string; device: Device; dtype?: WeightType; base?: GivenBase },
): { elements: number; dtype: WeightType } {
  const { out, device } = options, { folder } = openBase(adapter, options.base), config = readConfig(folder);
  const dtype = options.dtype ?? (config.dtype === "bf16" ? "bf16" : "f32");
  using adapters = loadAdapters(adapter, { device, dtype: "f32", config });
  using files = SafetensorsFolder.open(folder);
  const names = matchTensors(files, config);
  const entries = moduleTensors(config).map((tensor): SafetensorsEntry => ({
    name: tensor.key,
    dtype: dtype === "f32" ? "F32" : "BF16",
    shape: tensor.shape,
    data: () => mergedBytes(tensor, { files, name: names.get(tensor.key)!, adapters, device, dtype }),
  }));
  writeModelFolder(out, { config: { ...config, dtype }, entries, from: folder });
  return { elements: entries.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0), dtype };
}

/** The bytes of a merged tensor, a few rows at a time. */
function* mergedBytes(
  tensor: ModuleTensor,
  from: { files: SafetensorsFolder; name: string; adapters: Adapters; device: Device; dtype: WeightType },
): Generator<Uint8Array<ArrayBuffer>> {
  const { files, name, adapters, device, dtype } = from, { spec, row, rows, shape } = tensor;
  const cols = shape.slice(1).reduce((a, b) => a * b, 1), step = Math.max(1, Math.floor(CHUNK / cols));
  const whole = adapters.saved[spec.name], found = partOf(adapters, tensor);
  const stored = STORED[files.tensors.get(name)!.dtype as SafetensorsDType & keyof typeof STORED];
  for (let start = 0; start < rows; start += step) {
    const count = Math.min(step, rows - start);
    using sums = whole ? part(whole.tensor, row + start, count) : read(files, name, { device, stored, start, count, cols });
    if (found) add(sums, { ...found, start });
    using typed = sums.cast(dtype);
    yield typed.toBytes();
  }
}

/** A copy of rows. */
function part(tensor: Tensor, start: number, count: number): Tensor {
  using rows = tensor.slice(start, start + count);
  return rows.copy();
}

/** Rows of a tensor of a file, in f32. */
function read(
  files: SafetensorsFolder,
  name: string,
  { device, stored, start, count, cols }: { device: Device; stored: "f32" | "bf16" | "f16"; start: number; count: number; cols: number },
): Tensor {
  using raw = Tensor.empty(device, [count, cols], { dtype: stored });
  const into = new Uint8Array(raw.byteLength);
  files.readRange(name, { offset: start * cols * (raw.byteLength / raw.size), into });
  raw.writeBytes(into);
  return raw.cast("f32");
}

function partOf(adapters: Adapters, tensor: ModuleTensor): { adapter: Adapter; module: ModuleAdapter } | undefined {
  for (const adapter of adapters.all()) {
    const module = adapter.modules.find((module) => module.tensor.key === tensor.key);
    if (module) return { adapter, module };
  }
  return undefined;
}

/** Adds scale B A to rows from `start` of a module's weight. */
function add(sums: Tensor, { adapter: { a }, module, start }: { adapter: Adapter; module: ModuleAdapter; start: number }): void {
  const { rank, scale: alpha, b } = module;
  using low = a.tensor.slice(module.start, module.start + rank);
  using rows = b.tensor.slice(start, start + sums.rows);
  const c = { c: sums.address, ldc: sums.cols, m: sums.rows, n: sums.cols, k: rank, alpha, beta: 1 };
  sums.device.gemm({ dtype: "f32", a: rows.address, lda: rank, b: low.address, ldb: low.cols, ...c });
}
