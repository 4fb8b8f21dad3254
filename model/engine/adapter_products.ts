import { type Address, plus } from "../../ffi/address.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { DTYPE_BYTES, DTYPES } from "../../ffi/device.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ModelParts } from "../family.ts";
import type { Adapter } from "../lora/adapter.ts";

/** Rows of the largest A. */
function mostRanks({ adapters }: Pick<ModelParts, "adapters">): number {
  return (adapters?.all() ?? []).reduce((most, { a }) => Math.max(most, a.tensor.rows), 0);
}

/** Bytes of the buffer that the products need for passes of so many rows. */
export function adapterBytes(model: ModelParts, rows: number): number {
  const ranks = mostRanks(model);
  return ranks === 0 ? 0 : rows * ranks * DTYPE_BYTES[model.dtype] + 512;
}

/**
 * The low-rank products of a model's adapters, for the engine. They are computed beside the base's product, from the adapters' current values, as in the
 * training forward. On the CPU the built-in GEMM computes them, so that the bits of a row do not depend on the batch.
 *
 * A copy of the weights with the adapters merged in would be smaller work. But where it is bf16, it loses most of a small update: docs/lora.md has figures.
 */
export class AdapterProducts implements Disposable {
  readonly #model: ModelParts;
  /** x A^T of a pass. */
  readonly #low: Tensor | undefined;

  /** @param options `rows`: the most rows of a pass. */
  constructor(model: ModelParts, { rows }: { rows: number }) {
    this.#model = model;
    const ranks = mostRanks(model);
    this.#low = ranks === 0 ? undefined : Tensor.empty(model.device, [rows * ranks], { dtype: model.dtype });
  }

  /** All tensors that they read. */
  get tensors(): Tensor[] {
    return (this.#model.adapters?.all() ?? []).flatMap(({ a, modules }) => [a.tensor, ...modules.map(({ b }) => b.tensor)]);
  }

  /** Adds the product of a named matrix's adapter to y, where it has one. @param y [rows, cols] */
  add(name: string, { x, y, rows, cols }: { x: Address; y: Address; rows: number; cols: number }): void {
    const adapter = this.#model.adapters?.of(name.replace(/\.weight$/, ""));
    if (adapter) this.#add(adapter, { x, y, rows, cols });
  }

  #add({ a, modules }: Adapter, { x, y, rows, cols }: { x: Address; y: Address; rows: number; cols: number }): void {
    const low = this.#low!.address, size = DTYPE_BYTES[this.#model.dtype], { rows: ranks, cols: input } = a.tensor;
    this.#product({ x, ldx: input, w: a.tensor, y: low, ldy: ranks, rows, alpha: 1, beta: 0 });
    for (const { tensor, start, scale, b } of modules) {
      const part = { x: plus(low, start * size), ldx: ranks, y: plus(y, tensor.row * size), ldy: cols };
      this.#product({ ...part, w: b.tensor, rows, alpha: scale, beta: 1 });
    }
  }

  /** y = alpha x w^T + beta y. */
  #product(
    { x, ldx, w, y, ldy, rows, alpha, beta }: {
      x: Address;
      ldx: number;
      w: Tensor;
      y: Address;
      ldy: number;
      rows: number;
      alpha: number;
      beta: number;
    },
  ): void {
    const { device } = this.#model, { dtype, rows: n, cols: k } = w;
    if (device instanceof CpuDevice) device.ops.gemm(w.dtypeCode, y, DTYPES.f32, ldy, x, ldx, 0, w.address, k, 1, rows, n, k, alpha, beta);
    else device.gemm({ dtype, a: x, lda: ldx, b: w.address, ldb: k, transB: true, c: y, ldc: ldy, m: rows, n, k, alpha, beta });
  }

  /** Frees the buffer. */
  [Symbol.dispose](): void {
    this.#low?.[Symbol.dispose]();
  }
}
