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
  /** Values that gradients may flow to. */
  inputs: readonly Value[];
  /** Taken over by the tape. */
  outputs: readonly Tensor[];
  /** Tensors that the backward reads; the tape keeps its own references to them if it records. */
  save?: readonly Tensor[];
  /** Writes the inputs' gradients. Called once at most, and not where no gradient reached any output. */
  backward: (run: Backward) => void;
}

/** A tape as its values and their ops see it. */
export interface Recorder {
  /** The device that holds its values. */
  readonly device: Device;
  /** Whether ops are being recorded. */
  readonly recording: boolean;
  /** Whether a checkpoint is running for the second time: what has an effect outside should then do nothing. */
  readonly replaying: boolean;
  /** The parameter as a value; the same one each time. */
  param(parameter: Parameter): Value;
  /** A tensor that takes part without a gradient; it stays the caller's. */
  constant(tensor: Tensor): Value;
  /** Runs `fn` and frees every value that it made and does not return. Nothing changes for the backward. */
  scope<T extends ValueTree>(fn: () => T): T;
  /** Runs `fn` in a scope without recording: its results are constants. */
  noGrad<T extends ValueTree>(fn: () => T): T;
  /** Runs `fn` in a scope and keeps its results only; the backward runs it again to have what it needs. */
  checkpoint<T extends ValueTree>(fn: () => T): T;
  /** For ops: memory for an output, which the tape frees should the op fail before it is recorded. */
  empty(shape: Shape, dtype: DType): Tensor;
  /** For ops: makes the outputs values, and remembers how to go back where any input requires a gradient. */
  record(op: Op): Value[];
  /** Disposes of something with the tape. */
  own<T extends Disposable>(thing: T): T;
  /** For ops and views: notes that a value is read. @throws {RangeError} for a value of another tape. */
  touch(value: Value): void;
  /** For values: owns one, and numbers it. */
  adopt(value: Value): number;
  /** For values: one was freed. */
  forget(value: Value): void;
  /**
   * For values: owns a gradient in the making.
   *
   * @internal
   */
  track(gradient: Gradient): Gradient;
}

/** Options of {@linkcode Value}, for the tape. */
interface ValueParts {
  requiresGrad: boolean;
  /** The value that this one shows a part of, and which. */
  part?: { root: Value; region: Region };
  parameter?: Parameter;
  /** Whether the memory is not the tape's. */
  foreign?: boolean;
}

/**
 * A tensor on a tape. Views (`slice`, `columns`, `reshape`) share memory and gradient with what they show.
 *
 * Life: the tape owns it. Its memory goes with the end of the tape, of the `scope` or `noGrad` or `checkpoint` that made it, with its own `using`, or
 * in the backward as soon as it has passed, whichever is first; what the backward needs outlives all but the last. `keep()` lets it outlive the backward.
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
  /** For this folder: the value whose gradient holds this one's, and where. */
  readonly root: Value;
  /**
   * For this folder.
   *
   * @internal
   */
  readonly region: Region;
  /** The parameter that it stands for. */
  readonly parameter: Parameter | undefined;
  /** For ops: whether its memory is not the tape's, so that nothing may be written there. */
  readonly foreign: boolean;
  /** For this folder: its place in the order of making. */
  readonly serial: number;
  readonly #tensor: Tensor;
  readonly #views: Value[] = [];
  #gradient: Gradient | undefined;
  #result: Tensor | undefined;
  #pins = 0;
  #released = false;
  #kept = false;

  /** For the tape, which takes `tensor` over. */
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

  /** Its numbers; they stay the tape's. @throws {KedgeError} `Handle` once freed. */
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

  /** The first axis. */
  get rows(): number {
    return this.region.rows;
  }

  /** The product of the other axes. */
  get cols(): number {
    return this.region.cols;
  }

  /** Elements. */
  get size(): number {
    return this.region.rows * this.region.cols;
  }

  /** The gradient of a `Tape.input` after the backward; it stays the tape's. Undefined if no gradient reached it. */
  get gradient(): Tensor | undefined {
    return this.#result;
  }

  /** Rows [start, end), sharing memory and gradient. */
  slice(start: number, end: number): Value {
    const { row, col, cols } = this.region;
    return this.#view(this.tensor.slice(start, end), { row: row + start, rows: end - start, col, cols });
  }

  /** Columns [start, end) of every row, sharing memory and gradient: [rows, end - start]. */
  columns(start: number, end: number): Value {
    const { row, rows, col } = this.region;
    return this.#view(this.tensor.columns(start, end), { row, rows, col: col + start, cols: end - start });
  }

  /** The same elements under another shape. */
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

  /** The same numbers as a constant: no gradient passes. */
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

  /** For the tape: the backward has passed the op that made it. */
  passed(): void {
    if (!this.#kept) this[Symbol.dispose]();
    for (const view of this.#views) if (!view.#kept) view[Symbol.dispose]();
    this.#views.length = 0;
  }

  /** For the tape: a checkpoint will read it again. */
  pin(): void {
    this.#pins++;
  }

  /** For the tape: the checkpoint has read it. */
  unpin(): void {
    this.#pins--;
    if (this.#pins === 0 && this.#released) this.#tensor[Symbol.dispose]();
  }

  /**
   * For the tape: the gradient in the making, of a root.
   *
   * @internal
   */
  get pending(): Gradient {
    const { rows, cols } = this.region;
    return this.#gradient ??= this.tape.track(new Gradient(this.device, { rows, cols, dtype: this.dtype }));
  }

  /** For the tape: makes the pending gradient the result. */
  settle(): void {
    using gradient = this.#gradient?.take();
    if (gradient) this.#result = this.tape.own(gradient.reshape(this.shape));
  }
}
