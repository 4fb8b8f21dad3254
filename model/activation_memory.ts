/**
 * What a micro-batch holds in its forward and backward, and which blocks may keep their activations in the memory that is there. All of it is arithmetic on
 * sizes, so that an estimate before a run and the run itself agree.
 *
 * @module
 */
import { type DType, DTYPE_BYTES } from "../ffi/device.ts";
import { logitRowBytes, rowsInBytes } from "../tensor/ops/projection.ts";
import { type Checkpointing, groupSize, type KeptBlocks, type Recomputed, recomputed } from "./checkpointing.ts";
import type { ModelConfig } from "./config/types.ts";
import { familyOf } from "./families.ts";
import { patchWidth } from "./vision/patches.ts";

/** A micro-batch by its sizes. */
export interface PassSizes {
  /** Packed tokens. */
  readonly rows: number;
  /** Response tokens, whose log-probabilities are computed. */
  readonly targets: number;
  /** Patches of all pictures. */
  readonly patches: number;
}

/** How a micro-batch is computed. */
export interface PassOptions {
  /** The type of activations. */
  readonly dtype: DType;
  /** Whether the vision tower is trained, so that its forward is recorded. */
  readonly tower: boolean;
  /** The bytes of logits that are held at a time. */
  readonly logits: number;
  /** Whether the reference's logits are held too. */
  readonly reference: boolean;
}

/** Bytes of a micro-batch. */
export interface PassMemory {
  /** What the decoder keeps for the backward. */
  readonly decoder: number;
  /** What the vision tower keeps, with its embeddings. */
  readonly tower: number;
  /** The normed states of the targets, their gradient, and a chunk of logits. */
  readonly head: number;
  /** The most that is held at a time. */
  readonly peak: number;
}

/** A stack of blocks by elements. */
interface Stack {
  readonly count: number;
  readonly again: Recomputed;
  /** A block's input. */
  readonly input: number;
  /** All that a block keeps, its input included. */
  readonly block: number;
  /** Gradients within a block, at their most. */
  readonly gradients: number;
}

/** What the stack keeps between its forward and its backward. */
function keptOf({ count, again, input, block }: Stack): number {
  if (again === "groups") return Math.ceil(count / groupSize(count)) * input;
  return Math.min(count, again) * input + Math.max(0, count - again) * block;
}

/** What the backward of the stack holds beside that: the gradients within a block, and what it has run again. */
function backwardOf({ count, again, input, block, gradients }: Stack): number {
  if (again === "groups") return groupSize(count) * input + block + gradients;
  return gradients + (again >= count ? block : 0);
}

/** Returns the bytes that a micro-batch holds beside weights and their gradients. */
export function passMemory(model: ModelConfig, sizes: PassSizes, options: PassOptions & { checkpointing: Checkpointing }): PassMemory {
  const { text, vision } = model, { rows, targets, patches } = sizes, { dtype, checkpointing, reference } = options;
  const family = familyOf(model), bytes = DTYPE_BYTES[dtype], stream = rows * text.hiddenSize;
  const decoder: Stack = {
    count: text.layers,
    again: recomputed(checkpointing, "text", text.layers),
    input: stream,
    block: rows * family.blockElements(text),
    gradients: rows * (3 * text.intermediateSize + 3 * text.hiddenSize),
  };
  const tower: Stack = {
    count: vision.depth,
    again: recomputed(checkpointing, "vision", vision.depth),
    input: patches * vision.hiddenSize,
    block: patches * family.towerElements(vision),
    gradients: patches * (3 * vision.intermediateSize + 3 * vision.hiddenSize),
  };
  const embedded = patches / vision.mergeSize ** 2 * vision.outHiddenSize * family.featureCount(vision);
  // The patches, and the norm, the first layer and the GELU of each merger.
  const edges = patches * (patchWidth(vision) + 3 * vision.hiddenSize * family.featureCount(vision));
  const ofDecoder = keptOf(decoder) + stream, ofTower = options.tower ? keptOf(tower) + edges : 0;
  const chunk = { vocab: text.vocabSize, matrices: reference ? 2 : 1, dtype }, states = 2 * targets * text.hiddenSize;
  const logits = rowsInBytes(targets, options.logits, chunk) * logitRowBytes(chunk), gradient = targets * text.hiddenSize;
  const peak = bytes * Math.max(
    ofDecoder + ofTower + embedded + states + gradient + logits / bytes,
    ofDecoder + ofTower + embedded + states + stream + backwardOf(decoder),
    options.tower ? ofTower + embedded + stream + backwardOf(tower) : 0,
  );
  return {
    decoder: bytes * ofDecoder,
    tower: bytes * (ofTower + embedded),
    head: bytes * (states + gradient) + logits,
    peak: Math.max(peak, patches === 0 ? 0 : family.visionBytes(vision, dtype, patches)),
  };
}

/**
 * Chooses which blocks keep their activations: as many of the decoder as have room, the last ones, then as many of the tower. A block of the decoder saves more
 * work for its bytes. Where not even every block's input has room, it is "full".
 *
 * @param options `available`: the bytes that are there for the micro-batch.
 */
export function chooseKept(
  model: ModelConfig,
  sizes: PassSizes,
  options: PassOptions & { available: number },
): KeptBlocks | "full" {
  const { text: { layers }, vision: { depth } } = model, blocks = options.tower ? depth : 0;
  const fits = (checkpointing: Checkpointing) => passMemory(model, sizes, { ...options, checkpointing }).peak <= options.available;
  for (let vision = blocks; vision > 0; vision--) if (fits({ text: layers, vision })) return { text: layers, vision };
  for (let text = layers; text >= 0; text--) if (fits({ text, vision: 0 })) return { text, vision: 0 };
  return "full";
}
