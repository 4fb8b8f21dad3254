import { type Address, plus } from "../ffi/address.ts";
import { type Device, type DType, DTYPE_BYTES, DTYPES } from "../ffi/device.ts";
import { describe, Tensor } from "./tensor.ts";

/** A rectangle of a matrix: `rows` rows from `row`, `cols` columns from `col`. */
export interface Region {
  readonly row: number;
  readonly rows: number;
  readonly col: number;
  readonly cols: number;
}

/** Room for a gradient: row r starts at `address` + r * `stride` elements of `dtype`. */
export interface Slot {
  /** Address of row 0. */
  readonly address: Address;
  /** The number of elements from row to row. */
  readonly stride: number;
  /** The type of the elements. */
  readonly dtype: DType;
  /** Whether the slot holds a gradient to add to. Otherwise its contents are undefined. */
  readonly accumulate: boolean;
}

/** Tells whether two rectangles share an element. */
export function overlaps(a: Region, b: Region): boolean {
  return a.row < b.row + b.rows && b.row < a.row + a.rows && a.col < b.col + b.cols && b.col < a.col + a.cols;
}

/** Returns the parts of `region` outside `hole`. */
function subtract(region: Region, hole: Region): Region[] {
  if (!overlaps(region, hole)) return [region];
  const [top, bottom] = [Math.max(region.row, hole.row), Math.min(region.row + region.rows, hole.row + hole.rows)];
  const [left, right] = [Math.max(region.col, hole.col), Math.min(region.col + region.cols, hole.col + hole.cols)];
  const [end, edge] = [region.row + region.rows, region.col + region.cols];
  return [
    { row: region.row, rows: top - region.row, col: region.col, cols: region.cols },
    { row: bottom, rows: end - bottom, col: region.col, cols: region.cols },
    { row: top, rows: bottom - top, col: region.col, cols: left - region.col },
    { row: top, rows: bottom - top, col: right, cols: edge - right },
  ].filter((part) => area(part) > 0);
}

function area(region: Region): number {
  return region.rows * region.cols;
}

/** Adds a matrix to the contents of a slot of the same type. */
export function addRows(device: Device, slot: Slot, matrix: Tensor): void {
  if (matrix.dtype !== slot.dtype) throw new RangeError(`Cannot add a gradient ${describe(matrix)} to one of ${slot.dtype}`);
  const { rows, cols } = matrix;
  if (matrix.contiguous && (slot.stride === cols || rows <= 1)) {
    device.ops.scaleAdd(DTYPES[slot.dtype], slot.address, matrix.address, matrix.size, 1, 0, 1);
    return;
  }
  using order = Tensor.from(device, Int32Array.from({ length: rows }, (_, i) => i));
  device.ops.gatherRows(matrix.dtypeCode, slot.address, slot.stride, matrix.address, matrix.rowStride, order.address, rows, rows, cols, 1);
}

/**
 * The gradient of one value during a backward.
 *
 * Its memory is allocated at the first use and never cleared as a whole. Rectangles that were written before are added to, others are
 * written, and in the end only the rest is filled with zeros. The ops of the parts of a fused matrix (q, k, v; gate, up) therefore write in
 * place. A gradient that passes through unchanged (a sum, a residual) is shared until someone must add to it.
 */
export class Gradient {
  #tensor: Tensor | undefined;
  #written: Region[] = []; // these rectangles are disjoint

  /** The gradient of a value, as a matrix. */
  constructor(readonly device: Device, readonly layout: { rows: number; cols: number; dtype: DType }) {}

  /** Whether any gradient has arrived. */
  get any(): boolean {
    return this.#tensor !== undefined;
  }

  /** Returns where to write the gradient of a rectangle. `add`: the op can only add, so that missing parts are cleared. */
  slot(region: Region, options: { add?: boolean } = {}): Slot {
    const { rows, cols, dtype } = this.layout;
    if (!this.#tensor) this.#tensor = Tensor.empty(this.device, [rows, cols], { dtype });
    else if (this.#tensor.storage.references > 1) {
      const copy = this.#tensor.copy();
      this.#tensor.free();
      this.#tensor = copy;
    }
    let missing = [region];
    for (const done of this.#written) missing = missing.flatMap((part) => subtract(part, done));
    const left = missing.reduce((sum, part) => sum + area(part), 0);
    const untouched = left === area(region);
    const accumulate = !untouched || (options.add ?? false);
    if (left > 0) {
      if (accumulate) { for (const part of missing) this.#clear(part); }
      this.#written.push(...(accumulate ? missing : [region]));
      if (this.#written.reduce((sum, part) => sum + area(part), 0) === rows * cols) this.#written = [{ row: 0, rows, col: 0, cols }];
    }
    const address = plus(this.#tensor.address, (region.row * cols + region.col) * DTYPE_BYTES[dtype]);
    return { address, stride: cols, dtype, accumulate };
  }

  /**
   * Takes a finished gradient of a rectangle. The first gradient of the whole value is shared; others are copied or added. The caller keeps
   * its own reference.
   */
  hand(region: Region, tensor: Tensor): void {
    const { rows, cols, dtype } = this.layout;
    if (tensor.size !== area(region) || tensor.dtype !== dtype) {
      throw new RangeError(`Cannot take ${describe(tensor)} as the gradient of ${dtype}[${region.rows}, ${region.cols}]`);
    }
    if (!this.#tensor && area(region) === rows * cols && tensor.contiguous) {
      this.#tensor = tensor.reshape([rows, cols]);
      this.#written = [{ row: 0, rows, col: 0, cols }];
      return;
    }
    const slot = this.slot(region);
    using matrix = tensor.reshape([region.rows, region.cols]);
    if (slot.accumulate) return addRows(this.device, slot, matrix);
    const bytes = DTYPE_BYTES[dtype];
    this.device.ops.copyRows(slot.address, slot.stride * bytes, matrix.address, matrix.rowStride * bytes, region.rows, region.cols * bytes);
  }

  /** Hands over the whole gradient [rows, cols], with zeros where none arrived; undefined if none arrived at all. */
  take(): Tensor | undefined {
    if (!this.#tensor) return undefined;
    const { rows, cols } = this.layout;
    let missing: Region[] = [{ row: 0, rows, col: 0, cols }];
    for (const done of this.#written) missing = missing.flatMap((part) => subtract(part, done));
    for (const part of missing) this.#clear(part);
    const tensor = this.#tensor;
    this.#tensor = undefined;
    this.#written = [];
    return tensor;
  }

  /** Frees the memory. */
  free(): void {
    this.#tensor?.[Symbol.dispose]();
    this.#tensor = undefined;
    this.#written = [];
  }

  #clear(part: Region): void {
    const { cols, dtype } = this.layout;
    if (area(part) === 0) return;
    const address = plus(this.#tensor!.address, (part.row * cols + part.col) * DTYPE_BYTES[dtype]);
    if (part.cols === cols || part.rows === 1) this.device.ops.fill(DTYPES[dtype], address, area(part), 0);
    else {
      // The index -1 gathers a row of zeros and does not read the table.
      using none = Tensor.full(this.device, [part.rows], { dtype: "i32", value: -1 });
      this.device.ops.gatherRows(DTYPES[dtype], address, cols, none.address, part.cols, none.address, part.rows, 0, part.cols, 0);
    }
  }
}
