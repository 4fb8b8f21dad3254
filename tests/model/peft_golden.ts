/**
 * Adapters that PEFT made on the golden models `mixed`, and what it computed with them. The README.md in tests/golden/peft says more.
 *
 * @module
 */
import { gunzipSync } from "node:zlib";
import type { Device } from "../../ffi/device.ts";
import { openDevice } from "../../ffi/open.ts";
import type { WeightType } from "../../model/folder/weight_storage.ts";
import { moduleTensors } from "../../model/lora/modules.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { SafetensorsFile } from "../../tensor/safetensors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { ROOT } from "../root.ts";
import { Golden } from "./golden.ts";

/** The golden adapters, and the families of their bases. */
const FAMILIES = { decoder: "qwen2_5_vl", names: "qwen2_5_vl", whole: "qwen2_5_vl", qwen2: "qwen2_vl", qwen3: "qwen3_vl" } as const;
type Job = keyof typeof FAMILIES;
/** The golden adapters. */
export const PEFT_JOBS = Object.keys(FAMILIES) as Job[];

/** A folder that goes with the process. */
export function temporaryFolder(): string {
  const folder = Deno.makeTempDirSync({ prefix: "kedge-peft-" });
  addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  return folder;
}

/** The base of `whole`: `mixed` with an output matrix of its own. */
function untied(mixed: Golden): string {
  using device = openDevice("cpu");
  using tied = mixed.model(device);
  const { config, parameters } = tied, folder = `${temporaryFolder()}/model`;
  using head = new Parameter("head", parameters["embedding"]!.tensor.copy());
  const model = new VisionLanguageModel(device, { ...config, text: { ...config.text, tied: false } }, { ...parameters, head });
  model.save(folder, { from: mixed.folder });
  return folder;
}

/** An adapter of PEFT with its results. Call it at the top level of a test file: its file stays open. */
export class PeftGolden {
  /** The adapter's folder. */
  readonly folder = temporaryFolder();
  /** Their base's folder. */
  readonly base: string;
  /** The model `mixed` of their family. */
  readonly mixed: Golden;
  readonly #results: SafetensorsFile;

  constructor(readonly job: Job) {
    this.mixed = Golden.open("mixed", FAMILIES[job]);
    const from = `${ROOT}/tests/golden/peft/${job}`;
    for (const name of ["adapter_model.safetensors", "results.safetensors"]) {
      Deno.writeFileSync(`${this.folder}/${name}`, gunzipSync(Deno.readFileSync(`${from}/${name}.gz`)));
    }
    Deno.copyFileSync(`${from}/adapter_config.json`, `${this.folder}/adapter_config.json`);
    this.base = job === "whole" ? untied(this.mixed) : this.mixed.folder;
    this.#results = SafetensorsFile.open(`${this.folder}/results.safetensors`);
  }

  /** The base with the adapter. */
  model(device: Device, dtype: WeightType = "f32"): VisionLanguageModel {
    return VisionLanguageModel.load(this.folder, { device, dtype, base: { folder: this.base } });
  }

  /** Numbers of the results. */
  floats(key: string): Float32Array<ArrayBuffer> {
    return new Float32Array(this.#results.read(key).slice().buffer as ArrayBuffer);
  }

  /** Keys of a kind of results, "grad" or "after", as PEFT names the tensors. */
  keys(kind: "grad" | "after"): string[] {
    return [...this.#results.tensors.keys()].filter((key) => key.startsWith(`${kind}.`)).map((key) => key.slice(kind.length + 1));
  }
}

/** Numbers of all trained tensors by PEFT's names. @param of Which numbers of a parameter. */
export function peftNumbers(
  { adapters, config }: VisionLanguageModel,
  of: (parameter: Parameter) => Tensor,
): Map<string, Float32Array<ArrayBuffer>> {
  const numbers = new Map<string, Float32Array<ArrayBuffer>>();
  const put = (name: string, parameter: Parameter, { start, rows }: { start: number; rows: number }) => {
    using part = of(parameter).slice(start, start + rows);
    numbers.set(`base_model.model.${name}`, part.toFloats());
  };
  for (const { a, modules } of adapters!.all()) {
    for (const { tensor: { module, rows }, start, rank, b } of modules) {
      put(`${module}.lora_A.weight`, a, { start, rows: rank });
      put(`${module}.lora_B.weight`, b, { start: 0, rows });
    }
  }
  for (const { module, leaf, spec, row, rows } of moduleTensors(config)) {
    const whole = adapters!.saved[spec.name];
    if (whole) put(`${module}.${leaf}`, whole, { start: row, rows });
  }
  return numbers;
}
