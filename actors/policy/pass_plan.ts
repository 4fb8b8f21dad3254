import { DTYPE_BYTES } from "../../ffi/device.ts";
import type { Checkpointing } from "../../model/checkpointing.ts";
import { chooseKept, type PassSizes } from "../../model/activation_memory.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import type { PackedBatch } from "../../model/packed_batch.ts";
import { gpuLogits, logitBytes, rowsInBytes } from "../../tensor/ops/projection.ts";

/** The share of the free memory that micro-batches are planned for. The rest is for scratch and for pieces that are too small. */
const PLANNED = 0.95;

/** How the forward of a micro-batch is computed. */
export interface PassPlan {
  readonly checkpointing: Checkpointing;
  /** Rows of logits at a time; absent: the default. */
  readonly chunk?: number;
}

/** Returns the sizes of a micro-batch. */
function sizesOf({ rows, count, visuals }: PackedBatch): PassSizes {
  return { rows, targets: count, patches: visuals.reduce((sum, { grid: { t, h, w } }) => sum + t * h * w, 0) };
}

/**
 * Plans micro-batches for the memory that is there when an update begins. No choice changes a bit of a gradient, but for the rows of logits on a GPU of little
 * memory, which follow the memory in powers of two.
 */
export class PassPlanner {
  #room = 0;
  #tower = false;

  /** @param checkpointing "auto": as many blocks keep their activations as the memory has room for. */
  constructor(readonly model: VisionLanguageModel, readonly checkpointing: Checkpointing | "auto") {}

  /** Looks at the memory. The device holds no gradients yet. @param held How many gradients of all parameters it will hold. */
  begin(held = 1): void {
    const trained = this.model.trained().map(({ parameter }) => parameter), { budget, used } = this.model.device.memory();
    const gradients = trained.reduce((sum, { tensor }) => sum + tensor.size * DTYPE_BYTES.f32, 0);
    this.#room = Math.max(0, Math.floor(PLANNED * (budget - used)) - held * gradients);
    this.#tower = trained.some(({ name }) => name.startsWith("visual."));
  }

  /** Plans a micro-batch. @param options `reference`: whether the reference's logits are computed too. */
  plan(batch: PackedBatch, { reference = false }: { reference?: boolean } = {}): PassPlan {
    const { config, device, dtype } = this.model, room = this.#room, sizes = sizesOf(batch);
    const usual = logitBytes(device), logits = device.kind === "cpu" ? usual : Math.min(usual, gpuLogits(4 * room));
    const matrices = reference ? 2 : 1, vocab = config.text.vocabSize;
    return {
      checkpointing: this.checkpointing === "auto"
        ? chooseKept(config, sizes, { dtype, tower: this.#tower, logits, reference, available: room })
        : this.checkpointing,
      ...(logits < usual && { chunk: rowsInBytes(sizes.targets, logits, { vocab, matrices, dtype }) }),
    };
  }
}
