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
  /** Elements from row to row. */
  readonly stride: number;
  /** Type of the elements. */
  readonly dtype: DType;
  /** Whether a gradient is there already, to be added to; else what is there is undefined. */
  readonly accumulate: boolean;
}

/** Whether two rectangles share an element. */
export function overlaps(a: Region, b: Region): boolean {
  return a.row < b.row + b.rows && b.row < a.row + a.rows && a.col < b.col + b.cols && b.col < a.col + a.cols;
}

/** The parts of `region` that `hole` leaves. */
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

/** Adds a matrix to what a slot of the same type holds. */
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
 * The gradient of one value while a backward runs. Its memory appears with the first use and is never cleared as a whole: rectangles that were
 * written are added to, others are written, and only what nothing wrote is filled with zeros in the end. So the parts of a fused matrix (q, k, v; gate,
 * up) are written by their ops in place. A gradient that passes through unchanged (a sum, a residual) is shared until someone must add to it.
 */
export class Gradient {
  #tensor: Tensor | undefined;
  #written: Region[] = []; // disjoint

  /** The gradient of a value, as a matrix. */
  constructor(readonly device: Device, readonly layout: { rows: number; cols: number; dtype: DType }) {}

  /** Whether anything has reached it. */
  get any(): boolean {
    return this.#tensor !== undefined;
  }

  /** Room for the gradient of a rectangle. `add`: the op can only add, so that what is not there yet is cleared. */
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

  /** Takes a finished gradient of a rectangle: as it is where it is the first of the whole, else copied or added. The caller keeps its own reference. */
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

  /** Gives up the whole gradient [rows, cols], zero where nothing reached it; undefined where nothing did at all. */
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

  /** Frees what is there. */
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
      // An index of -1 gathers a row of zeros; the table is not read.
      using none = Tensor.full(this.device, [part.rows], { dtype: "i32", value: -1 });
      this.device.ops.gatherRows(DTYPES[dtype], address, cols, none.address, part.cols, none.address, part.rows, 0, part.cols, 0);
    }
  }
}
