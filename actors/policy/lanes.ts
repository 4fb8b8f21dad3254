import type { Device } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { type CHANNELS, type Place, World } from "../../ffi/world.ts";
import { Collectives, divide, type Owned } from "../../tensor/collectives.ts";
import type { OptimizerShares } from "../../tensor/optimizer.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { type GroupSize, packedTokens } from "./micro_batches.ts";

/** How a policy shares its updates with those of other ranks. */
export interface LaneOptions {
  readonly place: Place;
  readonly channel: keyof typeof CHANNELS;
  /** The number of parts in which the gradient of an optimizer step is summed, over all ranks. */
  readonly lanes: number;
  /** What is divided among ranks. */
  readonly shard: "none" | "optimizer";
  /** The number of prompts of an optimizer step; undefined: all. */
  readonly slice: number | undefined;
  /** The number of updates between two comparisons of the ranks' weights; 0: none. */
  readonly checkEvery: number;
  /** The path of an NCCL; null: none. Default: the one that is installed. */
  readonly nccl?: string | null;
}

/** The groups of one lane in one optimizer step. */
export interface LanePart {
  /** The number of the optimizer step among those that go over the groups once. */
  readonly slice: number;
  readonly lane: number;
  /** The rank that computes it. */
  readonly rank: number;
  /** Of its groups, in rising order. */
  readonly indices: readonly number[];
}

/**
 * Deals groups to lanes so that each has about as many packed tokens.
 *
 * @returns For each lane, the indices of its groups in rising order.
 *
 * @example
 * ```ts
 * import { dealLanes } from "./lanes.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const group = (prompt: number) => ({ prompt, lengths: [1, 1] });
 * assertEquals(dealLanes([group(3), group(8), group(2), group(4)], 2), [[1, 2], [0, 3]]);
 * ```
 */
export function dealLanes(sizes: readonly GroupSize[], lanes: number): number[][] {
  const lane = divide(sizes.map(packedTokens), lanes);
  return Array.from({ length: lanes }, (_, k) => sizes.flatMap((_, i) => lane[i] === k ? [i] : []));
}

/**
 * Lanes: the groups of an optimizer step are dealt to a fixed number of them, the gradient of each is computed by itself, and the lanes are
 * added as a binary tree. A rank computes several lanes in a row. So the number of ranks does not change a bit of the sum.
 */
export class Lanes implements OptimizerShares, Disposable {
  readonly collectives: Collectives;
  readonly #options: LaneOptions;
  readonly #owner = new Map<string, number>();
  readonly #trained: readonly Parameter[];
  #updates = 0;

  /** @param trained The parameters that are trained, in an order that is the same on all ranks. */
  constructor(device: Device, trained: readonly Parameter[], options: LaneOptions) {
    this.#options = options;
    this.#trained = trained;
    this.collectives = new Collectives(device, World.at(options.place, options.channel), { nccl: options.nccl });
    const owner = divide(trained.map(({ tensor }) => tensor.size), this.collectives.size);
    for (const [i, { name }] of trained.entries()) this.#owner.set(name, owner[i]!);
  }

  /** What the optimizer is given; undefined where each rank has all of its state. */
  get shares(): OptimizerShares | undefined {
    return this.#options.shard === "optimizer" && this.collectives.size > 1 ? this : undefined;
  }

  /** The number of lanes over all ranks. */
  get count(): number {
    return this.#options.lanes;
  }

  /** A part of a single optimizer step. */
  part(lane: number, indices: readonly number[]): LanePart {
    return { slice: 0, lane, rank: Math.floor(lane * this.collectives.size / this.#options.lanes), indices };
  }

  /** Returns the parts that the optimizer steps of a pass over groups consist of. */
  parts(sizes: readonly GroupSize[]): LanePart[] {
    const { lanes } = this.#options, all: LanePart[] = [], slice = this.#options.slice ?? sizes.length;
    for (let start = 0, number = 0; start < sizes.length; start += slice, number++) {
      for (const [lane, indices] of dealLanes(sizes.slice(start, start + slice), lanes).entries()) {
        all.push({ ...this.part(lane, indices.map((i) => start + i)), slice: number });
      }
    }
    return all;
  }

  /** How many gradients of all parameters this rank holds while it computes one: that one, and the sums that wait for it. */
  get held(): number {
    const own = Math.ceil(this.#options.lanes / this.collectives.size);
    return own === 1 ? 1 : 1 + Math.ceil(Math.log2(own));
  }

  /** Whether this rank computes a part. */
  isOwn({ rank }: LanePart): boolean {
    return rank === this.collectives.rank;
  }

  /**
   * Computes the gradient of an optimizer step.
   *
   * @param parts All parts of the step.
   * @param run Adds the gradient of one of this rank's parts to the parameters, whose gradients are empty before.
   */
  accumulate(parts: readonly LanePart[], run: (part: LanePart) => void): void {
    const own = parts.filter((part) => this.isOwn(part)), sums: { level: number; grads: Map<Parameter, Tensor> }[] = [];
    for (const part of own) {
      for (const parameter of this.#trained) parameter.zeroGrad();
      if (part.indices.length > 0) run(part);
      if (own.length === 1) break;
      let now = { level: 0, grads: new Map(this.#trained.flatMap((p) => p.grad ? [[p, p.grad.copy()] as const] : [])) };
      // A binary counter: at most as many sums are held as the number of lanes has digits.
      for (let left = sums.at(-1); left?.level === now.level; left = sums.at(-1)) {
        sums.pop();
        now = { level: now.level + 1, grads: this.#joined(left.grads, now.grads) };
      }
      sums.push(now);
    }
    for (const [parameter, sum] of sums[0]?.grads ?? []) {
      wholeGradient(parameter).copyFrom(sum);
      sum[Symbol.dispose]();
    }
    this.#sumOverRanks();
  }

  /** Adds two sums. A gradient that one of them lacks counts as zeros. */
  #joined(left: Map<Parameter, Tensor>, right: Map<Parameter, Tensor>): Map<Parameter, Tensor> {
    const { device } = this.collectives;
    for (const parameter of new Set([...left.keys(), ...right.keys()])) {
      const zeros = () => Tensor.zeros(device, parameter.tensor.shape), sum = left.get(parameter) ?? zeros();
      using other = right.get(parameter) ?? zeros();
      device.ops.add(0, sum.address, sum.address, other.address, sum.size);
      left.set(parameter, sum);
    }
    return left;
  }

  #sumOverRanks(): void {
    const { collectives } = this;
    if (collectives.size === 1) return;
    const flags = collectives.gather(Float64Array.from(this.#trained, ({ grad }) => Number(grad !== undefined)));
    const present = this.#trained.filter((_, i) => flags.some((each) => each[i] === 1));
    const gradients = present.map((parameter): Owned => ({ tensor: wholeGradient(parameter), owner: this.#owner.get(parameter.name)! }));
    collectives.sumTo(gradients);
    if (!this.shares) collectives.tell(gradients);
  }

  /** Puts together numbers by token, of which each rank has those of its own parts. @param own By group. */
  together(
    parts: readonly LanePart[],
    sizes: readonly GroupSize[],
    own: ReadonlyMap<number, Float32Array<ArrayBuffer>>,
  ): Float32Array<ArrayBuffer> {
    const lengths = sizes.map(({ lengths }) => lengths.reduce((a, b) => a + b, 0)), starts = lengths.map(() => 0);
    for (let i = 1; i < lengths.length; i++) starts[i] = starts[i - 1]! + lengths[i - 1]!;
    const order = (rank: number) => parts.filter((part) => part.rank === rank).flatMap(({ indices }) => indices);
    const mine = order(this.collectives.rank), packed = new Float32Array(mine.reduce((sum, i) => sum + lengths[i]!, 0));
    for (let k = 0, at = 0; k < mine.length; at += lengths[mine[k]!]!, k++) packed.set(own.get(mine[k]!)!, at);
    const out = new Float32Array(lengths.reduce((a, b) => a + b, 0));
    for (const [rank, bytes] of this.collectives.world.gather(new Uint8Array(packed.buffer)).entries()) {
      const values = new Float32Array(bytes.buffer);
      let at = 0;
      for (const i of order(rank)) out.set(values.subarray(at, at += lengths[i]!), starts[i]!);
    }
    return out;
  }

  /** Gathers rows of numbers, all of one length, that begin with the number of an update and that of a lane. @returns Those of all ranks by both. */
  numbers(own: readonly (readonly number[])[]): number[][] {
    const widths = this.collectives.gather(Float64Array.of(own[0]?.length ?? 0)), width = Math.max(...widths.map(([n]) => n!));
    const all = this.collectives.gather(Float64Array.from(own.flatMap((numbers) => [...numbers]))).flatMap((numbers) =>
      Array.from({ length: numbers.length / Math.max(1, width) }, (_, k) => Array.from(numbers.subarray(k * width, (k + 1) * width)))
    );
    return all.sort(([update, lane], [otherUpdate, otherLane]) => update! - otherUpdate! || lane! - otherLane!);
  }

  /**
   * Compares the weights with those of the other ranks, as often as the options say.
   *
   * @throws {KedgeError} `World` that names the ranks whose weights differ from those of rank 0.
   */
  compare(): void {
    const { checkEvery } = this.#options, { device, size } = this.collectives;
    if (size === 1 || checkEvery === 0 || ++this.#updates % checkEvery !== 0) return;
    using squares = Tensor.zeros(device, [1], { dtype: "f64" });
    for (const { tensor } of this.#trained) device.ops.sumSquares(tensor.dtypeCode, squares.address, tensor.address, tensor.size, 1);
    const all = this.collectives.gather(squares.toArray() as Float64Array<ArrayBuffer>);
    const others = all.flatMap(([sum], rank) => sum === all[0]![0] ? [] : [rank]);
    if (others.length === 0) return;
    const words = `Cannot go on: after ${this.#updates} updates the weights of rank ${others.join(", rank ")} are not those of rank 0`;
    throw new KedgeError("World", words, { ranks: others });
  }

  owns({ name }: Parameter): boolean {
    return this.#owner.get(name) === this.collectives.rank;
  }

  join(numbers: Float64Array<ArrayBuffer>): void {
    for (const [rank, others] of this.collectives.gather(numbers.slice()).entries()) {
      if (rank !== this.collectives.rank) { for (const [i, x] of others.entries()) numbers[i]! += x; }
    }
  }

  tell(parameters: readonly Parameter[]): void {
    this.collectives.tell(parameters.map(({ tensor, name }) => ({ tensor, owner: this.#owner.get(name)! })));
  }

  [Symbol.dispose](): void {
    this.collectives[Symbol.dispose]();
  }
}

/** The gradient of a parameter; zeros where it has none. */
function wholeGradient(parameter: Parameter): Tensor {
  const { rows, cols } = parameter.tensor;
  if (!parameter.grad) parameter.slot({ row: 0, col: 0, rows, cols }, { add: true });
  return parameter.grad!;
}
