/**
 * What a micro-batch takes, by estimate, and on which GPUs the run fits.
 *
 * @module
 */
import type { DType } from "../../ffi/device.ts";
import { chooseKept, type PassMemory, passMemory, type PassOptions, type PassSizes } from "../../model/activation_memory.ts";
import type { Checkpointing } from "../../model/checkpointing.ts";
import type { ModelConfig } from "../../model/config/config.ts";
import { CPU_LOGITS, gpuLogits } from "../../tensor/ops/projection.ts";
import { type Card, CARDS, usableBytes } from "./cards.ts";
import type { Config } from "./schema.ts";

/** How a run fits on a GPU. */
export interface GpuFit {
  /** The GPU's memory in GiB. */
  readonly memory: number;
  /** GPUs of that memory. */
  readonly names: readonly string[];
  /** The bytes that the update needs at least. */
  readonly needed: number;
  /** Whether the update fits. */
  readonly fits: boolean;
  /** What the forward of a micro-batch keeps, as it is chosen there. */
  readonly checkpointing: Checkpointing;
  /** The bytes that the rollout has for keys, values and buffers. */
  readonly rollout: number;
}

/** The largest micro-batch of a run. */
export interface PassEstimate {
  readonly sizes: PassSizes;
  readonly options: PassOptions;
  /** With what the run's checkpointing keeps; with "auto" at least. */
  readonly memory: PassMemory;
}

/** Estimates the largest micro-batch. A prompt is taken to be all pictures, or one of `data.maxPixels` where that is set. */
export function estimatePass(
  config: Config,
  model: ModelConfig,
  run: { groupTokens: number; global: number; dtype: DType; tower: boolean },
): PassEstimate {
  const { data: { maxPromptLength, maxPixels }, batch: { microTokens }, model: { checkpointing } } = config, { vision } = model;
  const rows = Math.min(Math.max(microTokens, run.groupTokens), run.global * run.groupTokens),
    prompts = Math.max(1, Math.floor(rows / run.groupTokens));
  const side = vision.patchSize * vision.mergeSize,
    visual = Math.min(maxPromptLength, maxPixels === null ? Infinity : Math.floor(maxPixels / side ** 2));
  const sizes = { rows, targets: rows - prompts * maxPromptLength, patches: prompts * visual * vision.mergeSize ** 2 };
  const kl = config.algorithm.kl, reference = kl?.kind === "full" && kl.coefficient.coefficient > 0;
  const options = { dtype: run.dtype, tower: run.tower, logits: config.device === "cpu" ? CPU_LOGITS : gpuLogits(), reference };
  const least = { text: 0, vision: 0 };
  return {
    sizes,
    options,
    memory: passMemory(model, sizes, { ...options, checkpointing: checkpointing === "auto" ? least : checkpointing }),
  };
}

/** Tells for each size of memory whether the run fits, the smallest first. @param bytes `held`: what is always there. */
export function fitOnGpus(
  model: ModelConfig,
  { sizes, options }: PassEstimate,
  run: { held: number; gradients: number; checkpointing: Checkpointing | "auto" },
): GpuFit[] {
  const { held, gradients } = run;
  return [...Map.groupBy(CARDS, ({ memory }) => memory)].toSorted(([a], [b]) => a - b).map(([memory, cards]: [number, Card[]]) => {
    const usable = usableBytes({ memory }), available = Math.max(0, usable - held - gradients);
    const how = { ...options, logits: Math.min(gpuLogits(memory * 2 ** 30), gpuLogits(4 * available)) };
    const checkpointing = run.checkpointing === "auto" ? chooseKept(model, sizes, { ...how, available }) : run.checkpointing;
    const needed = held + gradients + passMemory(model, sizes, { ...how, checkpointing }).peak;
    return {
      memory,
      names: cards.map(({ name }) => name),
      needed,
      fits: needed <= usable,
      checkpointing,
      rollout: Math.max(0, usable - held),
    };
  });
}

/** The lines of a micro-batch, with its arithmetic. */
export function passLines({ sizes: { rows, targets, patches }, memory }: PassEstimate, checkpointing: Checkpointing | "auto"): string[] {
  const { decoder, tower, head, peak } = memory, least = checkpointing === "auto" ? " at least" : "";
  const words = checkpointing === "auto" ? "auto: the rest of the memory keeps activations" : checkpointing;
  return [
    `micro-batch <= ${rows} tokens, ${targets} of them of answers, and ${patches} patches (model.checkpointing ${words}):${least} decoder ${
      bytesWords(decoder)
    }, vision tower ${bytesWords(tower)}, log-probs ${bytesWords(head)}; at its peak ${bytesWords(peak)}`,
  ];
}

/** The line of a GPU. */
export function gpuLine({ memory, names, needed, fits, checkpointing, rollout }: GpuFit, { text, vision }: ModelConfig): string {
  const card = `on a GPU of ${memory} GB (${names.join(", ")}), of which ${bytesWords(usableBytes({ memory }))} are planned for`;
  if (!fits) return `${card}: does not fit, the update needs ${bytesWords(needed)}`;
  const kept = typeof checkpointing === "string"
    ? `checkpointing ${checkpointing}`
    : `${checkpointing.text} of ${text.layers} blocks of the decoder and ${checkpointing.vision} of ${vision.depth} of the vision tower keep their activations`;
  return `${card}: fits, the update with ${bytesWords(needed)}, where ${kept}; keys and values of a rollout have ${bytesWords(rollout)}`;
}

/** Returns bytes for a reader, as "1.5 GiB". */
export function bytesWords(bytes: number): string {
  const power = Math.max(0, Math.min(4, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}
