import type { Address } from "../../ffi/address.ts";
import type { Device } from "../../ffi/device.ts";
import { Tensor } from "../../tensor/tensor.ts";

/**
 * Responses packed one behind another: response i has the tokens [offsets[i], offsets[i + 1]). Holds the offsets on the device.
 *
 * @example
 * ```ts
 * import { Responses } from "@kedge/kedge/rl";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using responses = Responses.of(device, [5, 0, 3]);
 * assertEquals([responses.count, responses.tokens, responses.longest], [3, 8, 5]);
 * assertEquals([...responses.offsets], [0, 5, 5, 8]);
 * ```
 */
export class Responses implements Disposable {
  /** i32[count + 1]. */
  readonly table: Tensor;

  private constructor(readonly device: Device, readonly offsets: Int32Array<ArrayBuffer>, readonly longest: number) {
    this.table = Tensor.from(device, offsets);
  }

  /** Packs responses of these lengths. @throws {RangeError} for a length that is not an integer of 0 or more, and for 2^31 tokens or more. */
  static of(device: Device, lengths: ArrayLike<number>): Responses {
    const offsets = new Int32Array(lengths.length + 1);
    let longest = 0, tokens = 0;
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i]!;
      if (!Number.isInteger(length) || length < 0) throw new RangeError(`Cannot pack responses: the length of response ${i} is ${length}`);
      tokens += length;
      if (tokens >= 2 ** 31) throw new RangeError(`Cannot pack responses: up to response ${i} they have ${tokens} tokens`);
      offsets[i + 1] = tokens;
      longest = Math.max(longest, length);
    }
    return new Responses(device, offsets, longest);
  }

  /** The number of responses. */
  get count(): number {
    return this.offsets.length - 1;
  }

  /** The number of tokens of all responses. */
  get tokens(): number {
    return this.offsets.at(-1)!;
  }

  /** The arguments that the ops of AT-RL take one after another: offsets, n, tokens, max_tokens. */
  get shape(): [Address, number, number, number] {
    return [this.table.address, this.count, this.tokens, this.longest];
  }

  /** Fails unless a tensor has `dtype` and one row for each token; with `width`, rows of that many elements. */
  check(name: string, tensor: Tensor, options: { dtype: "f32" | "i32" | "u8"; rows?: number; width?: number }): void {
    const { dtype, rows = this.tokens, width } = options;
    const fits = tensor.dtype === dtype && tensor.rows === rows && tensor.contiguous &&
      (width === undefined ? tensor.size === rows : tensor.cols === width);
    if (!fits) {
      const shape = width === undefined ? `[${rows}]` : `[${rows}, ${width}]`;
      throw new RangeError(
        `Cannot take ${name} of ${tensor.dtype} [${tensor.shape.join(", ")}]: it should be ${dtype} ${shape}, without gaps`,
      );
    }
  }

  /** Frees the offsets. */
  [Symbol.dispose](): void {
    this.table[Symbol.dispose]();
  }
}
