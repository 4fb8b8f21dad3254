/**
 * Random weights of a model. A tensor's numbers depend on the seed and on its name in a model folder only, so that any device, order or number of shards
 * gives the same model.
 *
 * @module
 */
import type { Device } from "../../ffi/device.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { SafetensorsEntry } from "../../tensor/safetensors_writer.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { type WeightType, weightType } from "./weight_storage.ts";
import type { ModelConfig } from "../config/config.ts";
import { NormalStream } from "./normal_stream.ts";
import { type ParameterPart, type ParameterSpec, parameterSpecs } from "../parameters.ts";

/**
 * The standard deviation of weights. "hub": 0.02, as transformers makes a new Qwen2.5-VL. "fan-in": 1 / sqrt(inputs), and
 * 0.1 for embeddings, which keeps the size of the activations of a small model. Biases are 0 and norms 1 in both.
 */
export type InitialScheme = "hub" | "fan-in";

/** Options of an initialisation. */
export interface InitialOptions {
  /** A safe integer, 0 or more. Default 0. */
  seed?: number;
  /** Default "hub". */
  scheme?: InitialScheme;
}

const CHUNK = 2 ** 20; // elements

function deviation({ kind, shape }: ParameterSpec, scheme: InitialScheme): number {
  if (scheme === "hub") return 0.02;
  return kind === "embedding" || kind === "positions" ? 0.1 : 1 / Math.sqrt(shape[1]!);
}

/** Encodes f32 numbers, which must be finite, in a type. bf16 is rounded to nearest even. */
function encode(values: Float32Array<ArrayBuffer>, dtype: WeightType): Uint8Array<ArrayBuffer> {
  if (dtype === "f32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length), out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i]!;
    out[i] = (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(out.buffer);
}

/** The bytes of a tensor in chunks. */
function* initialBytes(
  spec: ParameterSpec,
  part: ParameterPart,
  options: InitialOptions & { dtype: WeightType },
): Generator<Uint8Array<ArrayBuffer>> {
  const { seed = 0, scheme = "hub", dtype } = options;
  const size = part.shape.reduce((a, b) => a * b, 1), random = spec.kind !== "norm" && spec.kind !== "bias";
  const values = new Float32Array(Math.min(size, CHUNK));
  if (spec.kind === "norm") values.fill(1);
  const stream = new NormalStream(seed, part.key), scale = deviation(spec, scheme);
  for (let start = 0; start < size; start += CHUNK) {
    const chunk = values.subarray(0, Math.min(CHUNK, size - start));
    if (random) stream.fill(chunk, scale);
    yield encode(chunk, dtype);
  }
}

/**
 * Makes the parameters of a new model.
 *
 * @param options `dtype`: default: that of `loadParameters`.
 * @returns The parameters by Kedge's names; the caller disposes of them.
 * @throws {KedgeError} `OutOfMemory`; nothing is left allocated then.
 *
 * @example
 * ```ts
 * import { initialiseParameters, presetConfig } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 300, video: 301, visionStart: 302, visionEnd: 303, eos: [304], bos: 304, pad: 304 };
 * const parameters = initialiseParameters(device, presetConfig("tiny", { tokens, vocabSize: 305 }), { seed: 7 });
 * assertEquals(parameters["embedding"]!.tensor.shape, [305, 96]);
 * for (const parameter of Object.values(parameters)) parameter[Symbol.dispose]();
 * ```
 */
export function initialiseParameters(
  device: Device,
  config: ModelConfig,
  options: InitialOptions & { dtype?: WeightType } = {},
): Record<string, Parameter> {
  const dtype = options.dtype ?? weightType(device, config), parameters: Record<string, Parameter> = {};
  try {
    for (const spec of parameterSpecs(config)) {
      const { tensor } = parameters[spec.name] = new Parameter(spec.name, Tensor.empty(device, spec.shape, { dtype }));
      using flat = tensor.reshape([tensor.size]);
      let at = 0;
      for (const part of spec.parts) {
        for (const bytes of initialBytes(spec, part, { ...options, dtype })) {
          using chunk = flat.slice(at, at += bytes.byteLength * flat.size / flat.byteLength);
          chunk.writeBytes(bytes);
        }
      }
    }
    return parameters;
  } catch (error) {
    for (const parameter of Object.values(parameters)) parameter[Symbol.dispose]();
    throw error;
  }
}

/** The weights of {@linkcode initialiseParameters} as entries of a model folder. They are made while they are written, without a device or a model in memory. */
export function initialEntries(config: ModelConfig, options: InitialOptions & { dtype: WeightType }): SafetensorsEntry[] {
  return parameterSpecs(config).flatMap((spec) =>
    spec.parts.map((part) => ({
      name: part.key,
      dtype: options.dtype === "f32" ? "F32" as const : "BF16" as const,
      shape: part.shape,
      data: () => initialBytes(spec, part, options),
    }))
  );
}
