/**
 * Low-rank adapters of a model (LoRA): what is trained beside a frozen base.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Device, DType } from "../../ffi/device.ts";
import { Parameter, type Parameters } from "../../tensor/parameter.ts";
import { Random } from "../../tensor/random.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ModelConfig } from "../config/types.ts";
import type { ParameterSpec } from "../parameter_list.ts";
import type { Adapter, AdapterSource, ModuleAdapter, ModuleTensor } from "./adapter.ts";
import { chooseModules } from "./modules.ts";
import { type LoraOptions, loraScale } from "./options.ts";

/** The rank of a module's adapter, and what gives its scale. */
export interface ModuleRank {
  /** The module's weight. */
  readonly tensor: ModuleTensor;
  /** The rank. */
  readonly rank: number;
  /** The alpha. */
  readonly alpha: number;
}

/** What an adapter folder or the options of a run say. */
export interface AdapterPlan {
  /** The modules that get adapters. */
  readonly modules: readonly ModuleRank[];
  /** Whether a scale is alpha / sqrt(rank). */
  readonly rsLoRA: boolean;
  /** The parameters that are trained whole. */
  readonly saved: readonly ParameterSpec[];
  /** How modules that are trained whole were named. */
  readonly modulesToSave: readonly string[];
}

/**
 * What new adapters of a model are, without their numbers.
 *
 * @throws {RangeError} for names that match nothing, or modules that cannot be adapted.
 *
 * @example
 * ```ts
 * import { planAdapters, presetConfig } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * const config = presetConfig("tiny", { tokens, vocabSize: 95 });
 * const { modules } = planAdapters(config, { rank: 8, alpha: 16, targets: ["q_proj", "v_proj"] });
 * assertEquals(modules.length, 2 * config.text.layers);
 * assertEquals(modules[0]!.tensor.module, "model.language_model.layers.0.self_attn.q_proj");
 * ```
 */
export function planAdapters(config: ModelConfig, options: LoraOptions & { freezeVision?: boolean }): AdapterPlan {
  const { rank, alpha, rsLoRA = false, modulesToSave = [] } = options, { targets, saved } = chooseModules(config, options);
  return { modules: targets.map((tensor) => ({ tensor, rank, alpha })), rsLoRA, saved, modulesToSave };
}

/**
 * The adapters of a model, and its modules that are trained whole.
 *
 * @example
 * ```ts
 * import { Adapters, planAdapters, presetConfig, VisionLanguageModel } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * using base = VisionLanguageModel.initialise(presetConfig("tiny", { tokens, vocabSize: 95 }), { device });
 * const plan = planAdapters(base.config, { rank: 8, alpha: 16, targets: ["q_proj", "v_proj"] });
 * using adapters = Adapters.initialise(plan, { device, dtype: base.dtype, base: base.parameters });
 * const { a, modules } = adapters.of("layers.0.qkv")!; // query, key and value are one matrix
 * assertEquals([a.tensor.shape, modules.map(({ tensor: { row }, b }) => [row, b.tensor.shape])], [[16, 96], [[0, [96, 8]], [144, [48, 8]]]]);
 * ```
 */
export class Adapters implements AdapterSource, Disposable {
  /** The parameters that are trained in place of those of the base, by name. */
  readonly saved: Parameters;
  /** The plan that it was made by. */
  readonly plan: AdapterPlan;
  /** Whether the model computes with them. */
  enabled = true;
  readonly #adapters: ReadonlyMap<string, Adapter>;

  /**
   * Adapters without numbers: whoever makes them fills A, B, and what is trained whole.
   */
  constructor(plan: AdapterPlan, options: { device: Device; dtype: DType }) {
    const { device, dtype } = options, adapters = new Map<string, Adapter>(), saved: Record<string, Parameter> = {};
    this.plan = plan;
    this.#adapters = adapters;
    this.saved = saved;
    const make = (name: string, shape: readonly number[]) => new Parameter(name, Tensor.empty(device, shape, { dtype }));
    const byParameter = Map.groupBy(plan.modules, ({ tensor: { spec } }) => spec);
    try {
      for (const [spec, modules] of byParameter) {
        const name = spec.name.replace(/\.weight$/, ""), rows = modules.reduce((sum, { rank }) => sum + rank, 0);
        const a = make(`${name}.A`, [rows, spec.shape[1]!]), parts: ModuleAdapter[] = [];
        adapters.set(name, { a, modules: parts });
        let start = 0;
        for (const module of modules) {
          const { tensor, rank, alpha } = module, last = tensor.module.split(".").at(-1)!;
          const b = make(`${name}.${last}.B`, [tensor.rows, rank]), scale = loraScale({ rank, alpha, rsLoRA: plan.rsLoRA });
          parts.push({ tensor, rank, alpha, scale, start, b });
          start += rank;
        }
      }
      for (const { name, shape } of plan.saved) saved[name] = make(name, shape);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * New adapters, as PEFT makes them: A uniform in +-1 / sqrt(in), B zero, so that the model computes what its base does. The numbers of a module depend on
   * the seed and on its name only. What is trained whole starts as a copy of the base's.
   *
   * @param options `base`: the parameters of the model.
   */
  static initialise(
    plan: AdapterPlan,
    options: { device: Device; dtype: DType; base: Parameters; seed?: number },
  ): Adapters {
    const adapters = new Adapters(plan, options), { seed = 0, base } = options;
    for (const { a, modules } of adapters.all()) {
      for (const { tensor: { key }, start, rank, b } of modules) {
        const hash = createHash("sha256").update(`${seed}/lora/${key}`).digest();
        const random = new Random(hash.readUIntBE(0, 6)), bound = 1 / Math.sqrt(a.tensor.cols);
        const numbers = Float32Array.from({ length: rank * a.tensor.cols }, () => bound * (2 * random.next() - 1));
        using rows = a.tensor.slice(start, start + rank);
        rows.write(numbers);
        b.tensor.fill(0);
      }
    }
    for (const [name, { tensor }] of Object.entries(adapters.saved)) {
      using copy = base[name]!.tensor.cast(tensor.dtype);
      tensor.copyFrom(copy);
    }
    return adapters;
  }

  /** The adapter of a named matrix; undefined where there is none, or where they are switched off. @param name Without ".weight". */
  of(name: string): Adapter | undefined {
    return this.enabled ? this.#adapters.get(name) : undefined;
  }

  /** All adapters, switched off or not. */
  all(): Adapter[] {
    return [...this.#adapters.values()];
  }

  /** Freezes what belongs to the vision tower. */
  freezeVision(): void {
    const matrices = this.all().flatMap(({ a, modules }) => modules[0]!.tensor.spec.vision ? [a, ...modules.map(({ b }) => b)] : []);
    const whole = this.plan.saved.filter(({ vision }) => vision).map(({ name }) => this.saved[name]!);
    for (const parameter of [...matrices, ...whole]) parameter.requiresGrad = false;
  }

  /** All that is trained. `plain`: norms and biases, which have no weight decay. */
  trained(): { parameter: Parameter; plain: boolean }[] {
    return this.#parameters.filter(({ requiresGrad }) => requiresGrad)
      .map((parameter) => ({ parameter, plain: parameter.tensor.shape.length < 2 }));
  }

  get #parameters(): Parameter[] {
    return [...this.all().flatMap(({ a, modules }) => [a, ...modules.map(({ b }) => b)]), ...Object.values(this.saved)];
  }

  /** Frees them. */
  [Symbol.dispose](): void {
    for (const parameter of this.#parameters) parameter[Symbol.dispose]();
  }
}

/** Elements that are trained. */
export function trainedElements({ modules, saved }: AdapterPlan): number {
  const adapted = modules.reduce((sum, { tensor: { rows, spec }, rank }) => sum + rank * (rows + spec.shape[1]!), 0);
  return adapted + saved.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}
