import { type DType, DTYPE_BYTES } from "../../ffi/device.ts";
import type { Input, OpRun } from "./harness.ts";

/** Shape and position of a {@linkcode matrix}. */
export interface MatrixOptions {
  rows: number;
  width: number;
  /** Elements from row to row; default `width`. */
  stride?: number;
  /** Default: the run's. */
  dtype?: DType;
  /** Elements by which the address is off its alignment. */
  misalign?: number;
  /** Row-major, without gaps; default NaN everywhere, so that an output element that is not written shows. */
  values?: ArrayLike<number>;
}

/** A matrix on the device. */
export interface Matrix extends Input {
  readonly stride: number;
  /** The values on the device now, without gaps. Throws if a gap was written. */
  read(): Float64Array;
}

/** A strided matrix with NaN in the gaps between rows, so that reading or writing them shows. */
export function matrix(run: OpRun, options: MatrixOptions): Matrix {
  const { rows, width, stride = width, dtype = run.dtype, values } = options;
  const length = rows === 0 ? 0 : (rows - 1) * stride + width;
  const laid = new Float64Array(length).fill(NaN);
  if (values) {
    for (let r = 0; r < rows; r++) for (let c = 0; c < width; c++) laid[r * stride + c] = values[r * width + c]!;
  }
  const input = run.input(laid, { dtype, misalign: (options.misalign ?? 0) * DTYPE_BYTES[dtype] });
  const compact = (all: Float64Array) => {
    const out = new Float64Array(rows * width);
    for (let r = 0; r < rows; r++) for (let c = 0; c < width; c++) out[r * width + c] = all[r * stride + c]!;
    return out;
  };
  return {
    address: input.address,
    stride,
    values: compact(input.values),
    read() {
      const all = run.read(input.address, length, dtype);
      for (let i = 0; i < length; i++) {
        if (i % stride >= width && !Number.isNaN(all[i]!)) throw new Error(`Written between rows: element ${i}, stride ${stride}`);
      }
      return compact(all);
    },
  };
}

/** Whether the CPU library answers, which checks what lies in device memory: indices and per-row arguments. */
export function checksArrays(run: OpRun): boolean {
  return run.backend.tier === "cpu" || run.backend.tier === "fake";
}

/** All bytes of some buffers, one after another. */
export function joinBytes(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
