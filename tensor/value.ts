import type { Device, DType } from "../ffi/device.ts";
import { KedgeError } from "../ffi/errors.ts";
import type { Backward } from "./backward.ts";
import { Gradient, type Region } from "./gradient.ts";
import type { Parameter } from "./parameter.ts";
import { describe, type Shape, type Tensor } from "./tensor.ts";

/** The possible results of a scope. */
export type ValueTree = Value | readonly Value[] | Readonly<Record<string, Value>> | void;

/** An op for {@linkcode Recorder.record}. */
export interface Op {
  /** The op's name in messages. */
  name: string;
  /** The values that gradients may flow to. */
  inputs: readonly Value[];
  /** The results. The tape takes them over. */
  outputs: readonly Tensor[];
  /** Tensors that the backward reads; the tape keeps its own references to them if it records. */
  save?: readonly Tensor[];
  /** Writes the inputs' gradients. It is called at most once, and only if a gradient reached an output. */
  backward: (run: Backward) => void;
}

/** The tape's interface for its values and their ops. */
export interface Recorder {
  /** The device that holds its values. */
  readonly device: Device;
  /** Whether ops are being recorded. */
  readonly recording: boolean;
  /** Whether a checkpoint is running for the second time. Code with effects outside the tape should then do nothing. */
  readonly replaying: boolean;
  /** Returns the parameter as a value. Each call returns the same value. */
  param(parameter: Parameter): Value;
  /** Makes a value from a tensor without a gradient. The tensor still belongs to the caller. */
  constant(tensor: Tensor): Value;
  /** Runs `fn`, and frees every value that it made and does not return. The backward is not affected. */
  scope<T extends ValueTree>(fn: () => T): T;
  /** Runs `fn` in a scope without recording. Its results are constants. */
  noGrad<T extends ValueTree>(fn: () => T): T;
  /** Runs `fn` in a scope and keeps only its results. The backward runs it again to get what it needs. */
  checkpoint<T extends ValueTree>(fn: () => T): T;
  /** For ops: allocates an output. The tape frees it if the op fails before it is recorded. */
  empty(shape: Shape, dtype: DType): Tensor;
  /** For ops: turns the outputs into values, and stores the backward if any input requires a gradient. */
  record(op: Op): Value[];
  /** Disposes of something together with the tape. */
  own<T extends Disposable>(thing: T): T;
  /** For ops and views: records that a value is read. @throws {RangeError} for a value of another tape. */
  touch(value: Value): void;
  /** For values: takes ownership of a value, and numbers it. */
  adopt(value: Value): number;
  /** For values: records that a value was freed. */
  forget(value: Value): void;
  /**
   * For values: takes ownership of a gradient that is being accumulated.
   *
   * @internal
   */
  track(gradient: Gradient): Gradient;
}

/** Options of {@linkcode Value}, for the tape. */
interface ValueParts {
  requiresGrad: boolean;
  /** The value that this one shows a part of, and the part. */
  part?: { root: Value; region: Region };
  parameter?: Parameter;
  /** Whether the memory does not belong to the tape. */
  foreign?: boolean;
}

/**
 * A tensor on a tape. Views (`slice`, `columns`, `reshape`) share memory and gradient with the value that they show.
 *
 * The tape owns the value. Its memory is freed at the first of these: its own `using`; the end of the `scope`, `noGrad` or `checkpoint`
 * that made it; the backward, when it has passed the value; the end of the tape. Memory that the backward needs lives until the backward
 * has passed. `keep()` keeps the value alive after the backward.
 *
 * @example
 * ```ts
 * import { openDevice, sum, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using numbers = Tensor.from(device, [1, 2, 3, 4], { shape: [2, 2] });
 * using tape = new Tape(device);
 * const x = tape.input(numbers);
 * tape.backward(sum(x.columns(1, 2))); // a view: its gradient is a part of that of x
 * assertEquals([...x.gradient!.toFloats()], [0, 1, 0, 1]);
 * ```
 */
export class Value implements Disposable {
  /** Whether a backward computes its gradient. */
  readonly requiresGrad: boolean;
  /** Sizes of the axes. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: DType;
  /** For this folder: the value whose gradient contains this one's. */
  readonly root: Value;
  /**
   * For this folder: the rectangle in the root.
   *
   * @internal
   */
  readonly region: Region;
  /** The parameter that the value stands for. */
  readonly parameter: Parameter | undefined;
  /** For ops: whether the memory does not belong to the tape, so that nothing may be written there. */
  readonly foreign: boolean;
  /** For this folder: its number in the order of creation. */
  readonly serial: number;
  readonly #tensor: Tensor;
  readonly #views: Value[] = [];
  #gradient: Gradient | undefined;
  #result: Tensor | undefined;
  #pins = 0;
  #released = false;
  #kept = false;

  /** For the tape, which takes over `tensor`. */
  constructor(readonly tape: Recorder, tensor: Tensor, parts: ValueParts) {
    this.#tensor = tensor;
    this.shape = tensor.shape;
    this.dtype = tensor.dtype;
    this.requiresGrad = parts.requiresGrad;
    this.parameter = parts.parameter;
    this.foreign = parts.foreign ?? parts.part?.root.foreign ?? parts.parameter !== undefined;
    this.root = parts.part?.root ?? this;
    this.region = parts.part?.region ?? { row: 0, rows: tensor.rows, col: 0, cols: tensor.cols };
    this.serial = tape.adopt(this);
    if (this.root !== this) this.root.#views.push(this);
  }

  /** The value's numbers. They still belong to the tape. @throws {KedgeError} `Handle` if the value was freed. */
  get tensor(): Tensor {
    if (this.#released && this.#pins === 0) {
      throw new KedgeError(
        "Handle",
        `Cannot use value ${describe(this)}: its tape, scope or backward has freed it; return it from the scope, or keep() it`,
      );
    }
    return this.#tensor;
  }

  /** The device that holds it. */
  get device(): Device {
    return this.tape.device;
  }

  /** The size of the first axis. */
  get rows(): number {
    return this.region.rows;
  }

  /** The product of the other axes. */
  get cols(): number {
    return this.region.cols;
  }

  /** The number of elements. */
  get size(): number {
    return this.region.rows * this.region.cols;
  }

  /** The gradient of a `Tape.input` after the backward; it stays the tape's. Undefined if no gradient reached it. */
  get gradient(): Tensor | undefined {
    return this.#result;
  }

  /** Returns rows [start, end). They share memory and gradient. */
  slice(start: number, end: number): Value {
    const { row, col, cols } = this.region;
    return this.#view(this.tensor.slice(start, end), { row: row + start, rows: end - start, col, cols });
  }

  /** Returns columns [start, end) of every row: [rows, end - start]. They share memory and gradient. */
  columns(start: number, end: number): Value {
    const { row, rows, col } = this.region;
    return this.#view(this.tensor.columns(start, end), { row, rows, col: col + start, cols: end - start });
  }

  /** Returns the same elements in another shape. */
  reshape(shape: Shape): Value {
    const tensor = this.tensor.reshape(shape);
    if (tensor.rows === this.rows) return this.#view(tensor, this.region);
    const [out] = this.tape.record({
      name: "reshape",
      inputs: [this],
      outputs: [tensor],
      backward: (run) => run.hand(this, run.upstream(0)!),
    });
    return out!;
  }

  #view(tensor: Tensor, region: Region): Value {
    this.tape.touch(this);
    return new Value(this.tape, tensor, {
      requiresGrad: this.requiresGrad,
      part: { root: this.root, region },
    });
  }

  /** Returns the same numbers as a constant, through which no gradient passes. */
  detach(): Value {
    this.tape.touch(this);
    return new Value(this.tape, this.tensor.view(), { requiresGrad: false, foreign: this.foreign });
  }

  /** Keeps it beyond the backward, until the tape ends. @returns Itself. */
  keep(): this {
    this.#kept = true;
    return this;
  }

  /** Frees it now. A backward that needs its numbers has its own reference. Does nothing if it is freed already. */
  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#released = true;
    this.tape.forget(this);
    if (this.#pins === 0) this.#tensor[Symbol.dispose]();
  }

  /** For the tape: the backward has processed the op that made the value. */
  passed(): void {
    if (!this.#kept) this[Symbol.dispose]();
    for (const view of this.#views) if (!view.#kept) view[Symbol.dispose]();
    this.#views.length = 0;
  }

  /** For the tape: a checkpoint will read the value again. */
  pin(): void {
    this.#pins++;
  }

  /** For the tape: the checkpoint has read the value. */
  unpin(): void {
    this.#pins--;
    if (this.#pins === 0 && this.#released) this.#tensor[Symbol.dispose]();
  }

  /**
   * For the tape, for a root: the gradient that is being accumulated.
   *
   * @internal
   */
  get pending(): Gradient {
    const { rows, cols } = this.region;
    return this.#gradient ??= this.tape.track(new Gradient(this.device, { rows, cols, dtype: this.dtype }));
  }

  /** For the tape: turns the accumulated gradient into the result. */
  settle(): void {
    using gradient = this.#gradient?.take();
    if (gradient) this.#result = this.tape.own(gradient.reshape(this.shape));
  }
}
