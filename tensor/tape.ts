import type { Device, DType } from "../ffi/device.ts";
import { Backward, type Recording } from "./backward.ts";
import type { Gradient } from "./gradient.ts";
import type { Parameter, Parameters } from "./parameter.ts";
import { describe, type Shape, Tensor } from "./tensor.ts";
import { type Op, type Recorder, Value, type ValueTree } from "./value.ts";

/** A gradient from which a backward starts. */
export interface Seed {
  /** The value from which the backward starts. */
  value: Value;
  /** Its gradient, of the same shape and type; it stays the caller's. */
  gradient: Tensor;
}

/**
 * Records differentiable ops and runs them backwards, once.
 *
 * The tape owns every value made on it; `using` frees all that is left. If no gradient is needed (`record: false`, `noGrad`, or no input
 * that requires one), an op saves nothing. Parameter gradients accumulate, also over several tapes. One tape is one micro-batch.
 *
 * @example
 * ```ts
 * import { mul, openDevice, sum, Tape, Tensor } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * using numbers = Tensor.from(device, [1, 2, 3]);
 * using tape = new Tape(device);
 * const x = tape.input(numbers);
 * const loss = sum(mul(x, x));
 * tape.backward(loss);
 * assertEquals(loss.tensor.item(), 14);
 * assertEquals([...x.gradient!.toArray()], [2, 4, 6]);
 * ```
 */
export class Tape implements Recorder, Disposable {
  readonly #scopes: Set<Value>[] = [new Set()];
  readonly #params = new Map<Parameter, Value>();
  readonly #leaves: Value[] = [];
  readonly #gradients = new Set<Gradient>();
  readonly #owned: Disposable[] = [];
  readonly #unfinished = new Set<Tensor>();
  readonly #nodes: Node[] = [];
  readonly #captures: Capture[] = [];
  #recording: boolean;
  #replays = 0;
  #serial = 0;
  #spent = false;

  /**
   * Makes an empty tape.
   *
   * @param options `record: false` is for inference: nothing is saved.
   */
  constructor(readonly device: Device, options: { record?: boolean } = {}) {
    this.#recording = options.record ?? true;
  }

  /** Whether ops are being recorded. */
  get recording(): boolean {
    return this.#recording;
  }

  /** Whether a checkpoint is running for the second time. Code with effects outside the tape should then do nothing. */
  get replaying(): boolean {
    return this.#replays > 0;
  }

  /** Returns the parameter as a value. Each call returns the same value. */
  param(parameter: Parameter): Value {
    let value = this.#params.get(parameter);
    if (!value) {
      value = new Value(this, parameter.tensor.view(), { requiresGrad: parameter.requiresGrad, parameter });
      this.#params.set(parameter, value);
    }
    return value;
  }

  /** Returns all parameters as values, by name. */
  params(parameters: Parameters): Record<string, Value> {
    return Object.fromEntries(Object.entries(parameters).map(([name, parameter]) => [name, this.param(parameter)]));
  }

  /** Makes a value from a tensor without a gradient. The tensor still belongs to the caller. */
  constant(tensor: Tensor): Value {
    return new Value(this, tensor.view(), { requiresGrad: false, foreign: true });
  }

  /** Makes a value from a tensor whose gradient is needed: `value.gradient` after the backward. The tensor still belongs to the caller. */
  input(tensor: Tensor): Value {
    if (tensor.isPacked) throw new RangeError(`Cannot take a gradient of ${describe(tensor)}: it is packed; cast it to f32 first`);
    const value = new Value(this, tensor.view(), { requiresGrad: true, foreign: true });
    this.#leaves.push(value);
    return value;
  }

  /** Disposes of something together with the tape, such as segments, rotary tables and indices that checkpoints read again. */
  own<T extends Disposable>(thing: T): T {
    this.#owned.push(thing);
    return thing;
  }

  /** Runs `fn`, and frees every value that it made and does not return. The backward is not affected. */
  scope<T extends ValueTree>(fn: () => T): T {
    const inner = new Set<Value>();
    this.#scopes.push(inner);
    let result: T | undefined;
    try {
      return result = fn();
    } finally {
      this.#scopes.pop();
      const outer = this.#scopes.at(-1)!;
      for (const value of flatten(result)) if (inner.delete(value)) outer.add(value);
      for (const value of inner) value[Symbol.dispose]();
    }
  }

  /** Runs `fn` in a scope without recording. Its results are constants. */
  noGrad<T extends ValueTree>(fn: () => T): T {
    const before = this.#recording;
    this.#recording = false;
    try {
      return this.scope(fn);
    } finally {
      this.#recording = before;
    }
  }

  /**
   * Runs `fn` in a scope and keeps only its results. The backward runs it again to get what it needs. `fn` must do the same both times. It
   * may read any value of this tape, and other objects that live until the backward (see `own`). The gradients equal those of the plain
   * run, to the bit.
   */
  checkpoint<T extends ValueTree>(fn: () => T): T {
    if (!this.#recording) return this.scope(fn);
    const capture: Capture = { since: this.#serial, values: new Map() };
    this.#captures.push(capture);
    let plain: T;
    try {
      plain = this.noGrad(fn);
    } finally {
      this.#captures.pop();
    }
    const inputs = [...capture.values.keys()];
    const versions = [...capture.values.values()];
    // Values from outside are returned unchanged. Only values that were made inside are made again.
    const inside = (value: Value) => value.root.serial >= capture.since && !value.root.parameter;
    const made = flatten(plain).filter(inside);
    const outputs = this.record({
      name: "checkpoint",
      inputs,
      outputs: made.map((value) => value.tensor.view()),
      backward: (run) => this.#replay(run, { inputs, versions, fn: () => flatten(fn()).filter(inside) }),
    });
    if (outputs.some((value) => value.requiresGrad)) this.#nodes.at(-1)!.pins = inputs.map((value) => (value.pin(), value));
    for (const value of made) value[Symbol.dispose]();
    return rebuild(plain, new Map(made.map((value, i) => [value, outputs[i]!])));
  }

  #replay(
    run: Backward,
    { fn, inputs, versions }: { fn: () => readonly Value[]; inputs: readonly Value[]; versions: readonly number[] },
  ): void {
    if (inputs.some((value, i) => value.tensor.storage.version !== versions[i])) {
      throw new RangeError("Cannot run the backward of a checkpoint: a value that it reads was changed in place since");
    }
    const start = this.#nodes.length;
    this.#recording = true;
    this.#replays++;
    try {
      this.scope(() => {
        for (const [i, value] of this.scope(fn).entries()) {
          const gradient = run.upstream(i);
          if (gradient) run.hand(value, gradient);
        }
        run[Symbol.dispose](); // the seeds live on in the gradients that use them
        this.#recording = false;
        this.#run(start);
      });
    } finally {
      this.#recording = false;
      this.#replays--;
    }
  }

  /**
   * Runs the recorded ops backwards from a loss of one element, or from given gradients. It frees what it has processed: intermediate
   * values, saved tensors, gradients. The given values stay. A tape runs backward once.
   *
   * @throws {RangeError} if it has run before, or no given value depends on anything that requires a gradient.
   */
  backward(from: Value | readonly Seed[]): void {
    if (this.#spent) throw new RangeError("Cannot run backward: it has run, and what it needs is freed; record on another tape");
    using one = from instanceof Value ? Tensor.full(this.device, from.shape, { dtype: from.dtype, value: 1 }) : undefined;
    const seeds = from instanceof Value ? [{ value: from, gradient: one! }] : from;
    for (const { value, gradient } of seeds) {
      if (from instanceof Value && value.size !== 1) {
        throw new RangeError(`Cannot run backward from ${describe(value)}: a loss has one element; give a gradient`);
      }
      if (value.tape !== this) throw new RangeError("Cannot run backward: the value is on another tape");
      if (!value.requiresGrad) {
        throw new RangeError(`Cannot run backward from ${describe(value)}: it depends on nothing that requires a gradient`);
      }
      if (gradient.size !== value.size || gradient.dtype !== value.dtype) {
        throw new RangeError(`Cannot run backward: gradient ${describe(gradient)} for ${describe(value)}`);
      }
    }
    this.#spent = true;
    this.#recording = false;
    for (const { value, gradient } of seeds) {
      value.keep();
      using matrix = gradient.reshape([value.rows, value.cols]);
      value.root.pending.hand(value.region, matrix);
    }
    this.#run(0);
    for (const leaf of this.#leaves) leaf.settle();
    for (const [parameter, value] of this.#params) this.#flush(parameter, value);
  }

  /** Adds to a parameter's f32 gradient what ops without a weight input have computed in the parameter's type. */
  #flush(parameter: Parameter, value: Value): void {
    if (!value.requiresGrad) return;
    using gradient = value.pending.take();
    if (!gradient) return;
    using wide = gradient.cast("f32");
    const slot = parameter.slot(value.region, { add: true });
    this.device.ops.scaleAdd(0, slot.address, wide.address, wide.size, 1, 0, 1);
  }

  /** Runs and removes the nodes from `start` on, the last one first. */
  #run(start: number): void {
    while (this.#nodes.length > start) {
      const node = this.#nodes.pop()!;
      try {
        const upstream = node.outputs.map((value) => value.pending.take());
        using run = new Backward(this.device, node, upstream);
        if (upstream.some((gradient) => gradient !== undefined)) {
          node.backward(run);
          run.finish();
        }
      } finally {
        for (const value of node.outputs) value.passed();
        release(node);
      }
    }
  }

  /** For ops: allocates an output. The tape frees it if the op fails before it is recorded. */
  empty(shape: Shape, dtype: DType): Tensor {
    const tensor = Tensor.empty(this.device, shape, { dtype });
    this.#unfinished.add(tensor);
    return tensor;
  }

  /** For ops: turns the outputs into values, and stores the backward if any input requires a gradient. */
  record(op: Op): Value[] {
    for (const input of op.inputs) this.touch(input);
    for (const output of op.outputs) this.#unfinished.delete(output);
    const requiresGrad = this.#recording && op.inputs.some((input) => input.requiresGrad);
    const outputs = op.outputs.map((tensor) => new Value(this, tensor, { requiresGrad }));
    if (!requiresGrad) return outputs;
    const saved = (op.save ?? []).map((tensor) => tensor.view());
    this.#nodes.push({ ...op, outputs, saved, versions: saved.map((tensor) => tensor.storage.version), pins: [] });
    return outputs;
  }

  /** For ops and views: records that a value is read. @throws {RangeError} for a value of another tape. */
  touch(value: Value): void {
    if (value.tape !== this) throw new RangeError(`Cannot use value ${describe(value)} here: it is on another tape`);
    for (const { since, values } of this.#captures) {
      if ((value.serial < since || value.parameter) && !values.has(value)) values.set(value, value.tensor.storage.version);
    }
  }

  /** For values: takes ownership of a value, and numbers it. */
  adopt(value: Value): number {
    (value.parameter ? this.#scopes[0]! : this.#scopes.at(-1)!).add(value);
    return this.#serial++;
  }

  /** For values: records that a value was freed. */
  forget(value: Value): void {
    for (let i = this.#scopes.length - 1; i >= 0; i--) if (this.#scopes[i]!.delete(value)) return;
  }

  /**
   * For values: takes ownership of a gradient that is being accumulated.
   *
   * @internal
   */
  track(gradient: Gradient): Gradient {
    this.#gradients.add(gradient);
    return gradient;
  }

  /** Frees everything that is left. */
  [Symbol.dispose](): void {
    this.#spent = true;
    this.#recording = false;
    for (const node of this.#nodes.splice(0)) release(node);
    for (const gradient of this.#gradients) gradient.free();
    for (const scope of this.#scopes) for (const value of [...scope]) value[Symbol.dispose]();
    for (const thing of [...this.#owned.splice(0), ...this.#unfinished]) thing[Symbol.dispose]();
    this.#unfinished.clear();
  }
}

interface Node extends Recording {
  /** Its outputs. */
  readonly outputs: readonly Value[];
  /** Writes the inputs' gradients. */
  readonly backward: (run: Backward) => void;
  /** Values that a checkpoint reads again. */
  pins: readonly Value[];
}

interface Capture {
  readonly since: number;
  /** Values from outside that the checkpoint reads, with their versions at the first use. */
  readonly values: Map<Value, number>;
}

function release(node: Node): void {
  for (const tensor of node.saved) tensor[Symbol.dispose]();
  for (const value of node.pins) value.unpin();
}

function flatten(tree: ValueTree | undefined): Value[] {
  if (!tree) return [];
  if (tree instanceof Value) return [tree];
  return Object.values(tree);
}

/** Returns the tree with some of its values replaced. */
function rebuild<T extends ValueTree>(tree: T, replaced: ReadonlyMap<Value, Value>): T {
  const other = (value: Value) => replaced.get(value) ?? value;
  if (!tree) return tree;
  if (tree instanceof Value) return other(tree) as T;
  if (Array.isArray(tree)) return tree.map(other) as unknown as T;
  return Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, other(value)])) as T;
}
