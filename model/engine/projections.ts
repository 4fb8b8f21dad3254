import { CpuDevice } from "../../ffi/cpu_device.ts";
import { DTYPES } from "../../ffi/device.ts";
import type { Address } from "../../ffi/address.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ModelParts } from "../family.ts";
import { AdapterProducts } from "./adapter_products.ts";
import { matrices } from "./limits.ts";

/** The input and output of a product. */
interface Product {
  /** [rows, in], of the weights' type. */
  readonly x: Address;
  /** [rows, out]. */
  readonly y: Address;
  readonly rows: number;
  /** Whether y is f32 whatever the type of x. Default false. */
  readonly wide?: boolean;
}

/**
 * The decoder's matrices, for products whose rows have bits of their own: on the CPU always by the built-in GEMM, packed or not, never by a system's CBLAS.
 */
export class Projections implements Disposable {
  readonly #model: ModelParts;
  readonly #packed = new Map<string, Tensor>();
  readonly #usePacked: boolean;
  readonly #adapters: AdapterProducts;
  readonly #tensors: readonly Tensor[];
  /** The versions of all tensors at the last `refresh`. */
  #versions: number[] = [];
  /** The version of each matrix that was packed. */
  readonly #packedVersions = new Map<string, number>();

  /** @param options `packed`: keeps a packed copy of the matrices that are not packed themselves, on a CPU. `rows`: the most rows of a pass. */
  constructor(model: ModelParts, options: { packed: boolean; rows: number }) {
    this.#model = model;
    this.#adapters = new AdapterProducts(model, options);
    this.#tensors = [...Object.values(model.parameters).map(({ tensor }) => tensor), ...this.#adapters.tensors];
    this.#usePacked = options.packed && model.device instanceof CpuDevice;
  }

  /** Whether any weight or adapter was changed since the last `refresh`. */
  get stale(): boolean {
    const versions = this.#versions;
    return this.#tensors.length !== versions.length || this.#tensors.some(({ storage }, i) => storage.version !== versions[i]);
  }

  /** Notes the versions of weights and adapters, and packs the matrices again that were changed: with adapters, none. */
  refresh(): void {
    if (!this.stale) return;
    const { device, parameters } = this.#model;
    if (this.#usePacked) {
      for (const { name, out, input } of matrices(this.#model)) {
        const { tensor } = parameters[name]!, { version } = tensor.storage;
        if (this.#packedVersions.get(name) === version) continue;
        let packed = this.#packed.get(name);
        if (!packed) this.#packed.set(name, packed = Tensor.empty(device, [device.host.gemmPackedBytes(out, input)], { dtype: "u8" }));
        device.host.gemmPack(packed.address, tensor.address, tensor.rowStride, 1, out, input);
        this.#packedVersions.set(name, version);
      }
    }
    this.#versions = this.#tensors.map(({ storage }) => storage.version);
  }

  /** y = x W^T, and the product of the matrix's adapter where it has one. */
  multiply(name: string, product: Product): void {
    this.#multiply(name, product);
    this.#adapters.add(name, { ...product, cols: this.#model.parameters[name]!.tensor.rows });
  }

  #multiply(name: string, { x, y, rows, wide = false }: Product): void {
    const { device, parameters } = this.#model;
    const { tensor } = parameters[name]!, { dtype, rows: n, cols: k, dtypeCode } = tensor;
    if (tensor.isPacked) {
      device.host.bf16Gemm(y, n, x, k, tensor.packedAddress, 0, rows, n, k, 1, 0);
      return;
    }
    const { address } = tensor;
    if (!(device instanceof CpuDevice)) {
      device.gemm({ dtype, cDtype: wide ? "f32" : dtype, a: x, lda: k, b: address, ldb: k, transB: true, c: y, ldc: n, m: rows, n, k });
      return;
    }
    const packed = this.#packed.get(name);
    if (packed) device.host.gemmPacked(y, n, x, k, 0, packed.address, rows, n, k, 1, 0);
    else device.ops.gemm(dtypeCode, y, DTYPES.f32, n, x, k, 0, address, k, 1, rows, n, k, 1, 0);
  }

  /** Frees the packed copy. */
  [Symbol.dispose](): void {
    for (const tensor of this.#packed.values()) tensor[Symbol.dispose]();
    this.#packed.clear();
    this.#packedVersions.clear();
    this.#adapters[Symbol.dispose]();
    this.#versions = [];
  }
}
