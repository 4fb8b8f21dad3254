import { DTYPE_BYTES } from "../../ffi/device.ts";
import type { ModelConfig } from "../../model/config/config.ts";
import { tokenBytes } from "../../model/engine/limits.ts";
import { type AdapterPlan, planAdapters, trainedElements } from "../../model/lora/adapters.ts";
import { parameterSpecs } from "../../model/parameters.ts";
import { loraOf } from "./for_actors.ts";
import { bytesWords, estimatePass, fitOnGpus, type GpuFit, gpuLine, passLines } from "./pass_estimate.ts";
import type { Config } from "./schema.ts";
import { elementsOf, weightMemory } from "./weight_memory.ts";

/** Estimated bytes on the policy's device. They are limits for planning, not measurements. */
export interface MemoryEstimate {
  /** The weights of all parameters. */
  readonly weights: number;
  /** The low-rank adapters, and copies of modules that are trained whole beside them. */
  readonly adapters: number;
  /** The f32 gradients of the trained parameters. */
  readonly gradients: number;
  /** Both moments of AdamW for the trained parameters. */
  readonly moments: number;
  /** The f32 copies of trained bf16 weights. */
  readonly masters: number;
  /** The weights of the reference model of a divergence; 0 without one. */
  readonly reference: number;
  /**
   * The keys and values of a whole rollout at full length, with each prompt once; at most rollout.memoryBytes. The engine runs with less: answers take pages of the
   * cache as they grow, and wait where there are none.
   */
  readonly cache: number;
  /**
   * The most that a micro-batch holds beside gradients: activations of the decoder and of the vision tower, and logits. With checkpointing "auto" it is the
   * least, with every block run again.
   */
  readonly activations: number;
  /** The peak of the policy. The cache is not there at the same time as gradients and activations, so only the larger of both counts. */
  readonly total: number;
  /** How the run fits on GPUs; empty for a run on a CPU. */
  readonly gpus: readonly GpuFit[];
}

/** Numbers that follow from a configuration. */
export interface DerivedNumbers {
  /** The responses of a step. */
  readonly samples: number;
  /** The optimizer steps of a rollout. */
  readonly updates: number;
  /** The responses of an optimizer step. */
  readonly updateSamples: number;
  /** The most tokens of a prompt and all of its answers. */
  readonly groupTokens: number;
  /** The most packed tokens of a step. */
  readonly stepTokens: number;
  /** The most micro-batches of an optimizer step. */
  readonly microBatches: number;
  /** The most prompts of the run. */
  readonly prompts: number;
  /** The most optimizer steps of the run. */
  readonly runUpdates: number;
  /** The parameters, if the model is known. */
  readonly parameters?: number;
  /** The trained parameters, if the model is known. */
  readonly trained?: number;
  /** The memory, if the model is known. */
  readonly memory?: MemoryEstimate;
}

/** {@linkcode DerivedNumbers} and a line for each, with its arithmetic. */
export interface Derived {
  /** The lines for the screen. */
  readonly lines: string[];
  /** The numbers for programs. */
  readonly numbers: DerivedNumbers;
}

/**
 * Computes the numbers that follow from a configuration.
 *
 * @param model The model. Undefined: it is not known yet, and the lines on memory are left out.
 * @param adapters The adapters that the run begins with. Default: those that `model.lora` asks for.
 *
 * @example
 * ```ts
 * import { configSchema, derived } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const { lines, numbers } = derived(configSchema.parse({}), undefined);
 * assertEquals([lines[0], numbers.samples], ["samples a step = 16 prompts x 8 answers = 128", 128]);
 * ```
 */
export function derived(config: Config, model: ModelConfig | undefined, adapters?: AdapterPlan): Derived {
  const { data, rollout, batch, trainer } = config, prompts = data.rolloutBatchSize, { n } = rollout;
  const global = batch.globalBatchSize ?? prompts, samples = prompts * n, updates = prompts / global * batch.ppoEpochs;
  const { maxPromptLength: prompt, maxResponseLength: response } = data,
    groupTokens = prompt + n * response,
    stepTokens = prompts * groupTokens;
  const groups = Math.max(1, Math.floor(batch.microTokens / groupTokens)), microBatches = Math.ceil(global / groups);
  const runUpdates = trainer.maxSteps * updates;
  const lines = [
    `samples a step = ${prompts} prompts x ${n} answers = ${samples}`,
    `optimizer steps a rollout = ${prompts} prompts / ${global} x ${batch.ppoEpochs} epochs = ${updates}, each of ${global} x ${n} = ${
      global * n
    } samples`,
    `tokens of a prompt and its answers <= ${prompt} + ${n} x ${response} = ${groupTokens}`,
    `tokens a step <= ${prompts} x ${groupTokens} = ${stepTokens}`,
    `micro-batches an optimizer step <= ${global} prompts / ${groups} = ${microBatches}, of ${batch.microTokens} tokens`,
    `run <= ${trainer.maxSteps} steps x ${prompts} = ${
      trainer.maxSteps * prompts
    } prompts, ${trainer.maxSteps} x ${updates} = ${runUpdates} optimizer steps`,
  ];
  if (groupTokens > batch.microTokens) {
    lines.push(
      `note: the longest prompt with its answers, ${groupTokens} tokens, is above batch.microTokens ${batch.microTokens}: it is a micro-batch alone`,
    );
  }
  const numbers: DerivedNumbers = {
    ...{
      samples,
      updates,
      updateSamples: global * n,
      groupTokens,
      stepTokens,
      microBatches,
      prompts: trainer.maxSteps * prompts,
      runUpdates,
    },
  };
  if (!model) return { lines, numbers };
  const lora = loraOf(config), plan = adapters ?? (lora && planAdapters(model, { ...lora, freezeVision: config.model.freezeVision }));
  const sized = memoryOf(config, model, { stepTokens, groupTokens, global, plan });
  return { lines: [...lines, ...sized.lines], numbers: { ...numbers, ...sized.numbers } };
}

function memoryOf(
  config: Config,
  model: ModelConfig,
  { stepTokens, groupTokens, global, plan }: {
    stepTokens: number;
    groupTokens: number;
    global: number;
    plan: AdapterPlan | undefined;
  },
): { lines: string[]; numbers: Pick<DerivedNumbers, "parameters" | "trained" | "memory"> } {
  const { kl } = config.algorithm, { moments: type } = config.optim;
  const { dtype, weights, terms, reference: again } = weightMemory(
    config,
    model,
    plan ? "all" : config.model.freezeVision ? "vision" : "none",
  );
  const specs = parameterSpecs(model), parameters = elementsOf(specs);
  const free = config.model.freezeVision ? specs.filter(({ vision }) => !vision) : specs;
  const trained = plan ? trainedElements(plan) : elementsOf(free), adapters = plan ? trained * DTYPE_BYTES[dtype] : 0;
  const wide = DTYPE_BYTES[dtype], each = tokenBytes(model, dtype), limit = config.rollout.memoryBytes ?? Infinity;
  const gradients = trained * DTYPE_BYTES.f32, moments = 2 * trained * DTYPE_BYTES[type];
  const masters = dtype === "f32" ? 0 : trained * DTYPE_BYTES.f32,
    hasReference = kl && kl.coefficient.coefficient > 0,
    reference = hasReference && !plan ? again : 0;
  const held = weights + adapters + moments + masters + reference, cache = Math.min(limit, stepTokens * each);
  const pass = estimatePass(config, model, { groupTokens, global, dtype, tower: plan ? hasVision(plan) : !config.model.freezeVision });
  const activations = pass.memory.peak, total = held + Math.max(cache, gradients + activations);
  const gpus = config.device === "cpu" ? [] : fitOnGpus(model, pass, { held, gradients, checkpointing: config.model.checkpointing });
  const memory: MemoryEstimate = { weights, adapters, gradients, moments, masters, reference, cache, activations, total, gpus };
  return {
    lines: [
      `weights = ${terms} = ${bytesWords(weights)}`,
      ...(plan ? [`adapters = ${trained} x ${wide} B (${dtype}) = ${bytesWords(adapters)}`] : []),
      `moments = 2 x ${trained} x ${DTYPE_BYTES[type]} B = ${bytesWords(moments)}`,
      `masters = ${masters === 0 ? "none, the weights are f32" : `${trained} x 4 B`} = ${bytesWords(masters)}`,
      ...(reference > 0 ? [`reference = the weights again, frozen = ${bytesWords(reference)}`] : []),
      ...(hasReference && plan ? ["reference = none, it is the policy without its adapters"] : []),
      `keys and values <= ${stepTokens} tokens x ${each} B = ${bytesWords(stepTokens * each)}${
        cache === limit ? `, but rollout.memoryBytes = ${bytesWords(limit)}` : ""
      }`,
      `gradients = ${trained} trained x 4 B = ${bytesWords(gradients)}, in the update only`,
      ...passLines(pass, config.model.checkpointing),
      `memory ~ weights to reference, and the larger of keys and values, and gradients with the micro-batch = ${bytesWords(total)}`,
      ...gpus.map((gpu) => gpuLine(gpu, model)),
    ],
    numbers: { parameters, trained, memory },
  };
}

/** Whether adapters train a part of the vision tower. */
function hasVision({ modules, saved }: AdapterPlan): boolean {
  return [...modules.map(({ tensor: { spec } }) => spec), ...saved].some(({ vision }) => vision);
}
