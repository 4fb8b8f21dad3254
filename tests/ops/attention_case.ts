/**
 * Packed sequences on a device: inputs with gaps and odd addresses, and the attention ops run over them.
 *
 * @module
 */
import type { Address } from "../../ffi/address.ts";
import type { AttentionShape } from "../../ffi/generated/bindings.ts";
import { type Heads, seenBySegments, type SeenKeys, type Segment, segmentTable } from "./attention_reference.ts";
import type { OpRun } from "./harness.ts";
import { joinBytes, type Matrix, matrix } from "./matrix.ts";

/** The sizes of a case. */
export interface CaseOptions extends Omit<Heads, "scale"> {
  segments: readonly Segment[];
  causal?: boolean;
  /** Default 1 / sqrt(headDim). */
  scale?: number;
  /** Elements between rows beyond the width. */
  gap?: number;
  /** Elements by which addresses are off their alignment. */
  misalign?: number;
  /** Rows behind the last segment's. */
  spare?: number;
  /** Inputs to use instead of random ones, without gaps. */
  values?: { q?: ArrayLike<number>; k?: ArrayLike<number>; v?: ArrayLike<number> };
}

/** A prompt of `prefix` tokens with responses of the given lengths, from a query row and a key row on. */
export function family(
  prefix: { qLen?: number; kvLen: number },
  children: readonly { qLen: number; kvLen?: number }[],
  from: { segment?: number; q?: number; kv?: number } = {},
): Segment[] {
  const { segment = 0 } = from;
  let q = from.q ?? 0, kv = from.kv ?? 0;
  const place = (qLen: number, kvLen: number, links: Pick<Segment, "parent" | "childBegin" | "childEnd">) => {
    const s = { qStart: q, qLen, kvStart: kv, kvLen, ...links };
    q += qLen;
    kv += kvLen;
    return s;
  };
  const range = children.length === 0
    ? { childBegin: 0, childEnd: 0 }
    : { childBegin: segment + 1, childEnd: segment + 1 + children.length };
  return [
    place(prefix.qLen ?? prefix.kvLen, prefix.kvLen, { parent: -1, ...range }),
    ...children.map((c) => place(c.qLen, c.kvLen ?? c.qLen, { parent: segment, childBegin: 0, childEnd: 0 })),
  ];
}

/** Segments without prefixes, one after another. */
export function plain(lengths: readonly { qLen: number; kvLen?: number }[]): Segment[] {
  let q = 0, kv = 0;
  return lengths.map(({ qLen, kvLen = qLen }) => {
    const s = { qStart: q, qLen, kvStart: kv, kvLen, parent: -1, childBegin: 0, childEnd: 0 };
    q += qLen;
    kv += kvLen;
    return s;
  });
}

/** Inputs of attention over packed sequences, on the device of a run. */
export class AttentionCase {
  readonly qTokens: number;
  readonly kvTokens: number;
  readonly heads: Heads;
  readonly causal: boolean;
  readonly segments: readonly Segment[];
  readonly seen: SeenKeys;
  readonly q: Matrix;
  readonly k: Matrix;
  readonly v: Matrix;
  /** The segment table's address. */
  readonly table: Address;
  readonly #options: CaseOptions;

  constructor(readonly run: OpRun, options: CaseOptions) {
    const { segments, causal = true, heads, kvHeads, headDim, spare = 0, values = {} } = options;
    this.#options = options;
    this.segments = segments;
    this.causal = causal;
    this.heads = { heads, kvHeads, headDim, scale: options.scale ?? 1 / Math.sqrt(headDim) };
    this.qTokens = spare + Math.max(0, ...segments.map((s) => s.qStart + s.qLen));
    this.kvTokens = spare + Math.max(0, ...segments.map((s) => s.kvStart + s.kvLen));
    this.seen = seenBySegments(segments, { qTokens: this.qTokens, causal });
    this.q = this.queryRows(values.q ?? run.random.normal(this.qTokens * heads * headDim));
    this.k = this.keyRows(values.k ?? run.random.normal(this.kvTokens * kvHeads * headDim));
    this.v = this.keyRows(values.v ?? run.random.normal(this.kvTokens * kvHeads * headDim));
    this.table = run.integers(segmentTable(segments));
  }

  /** The inputs as the device holds them. */
  get values(): { q: Float64Array; k: Float64Array; v: Float64Array } {
    return { q: this.q.values, k: this.k.values, v: this.v.values };
  }

  /** A matrix shaped as q; NaN where no values are given. */
  queryRows(values?: ArrayLike<number>): Matrix {
    return this.#matrix(this.qTokens, this.heads.heads * this.heads.headDim, values);
  }

  /** A matrix shaped as k. */
  keyRows(values?: ArrayLike<number>): Matrix {
    return this.#matrix(this.kvTokens, this.heads.kvHeads * this.heads.headDim, values);
  }

  #matrix(rows: number, width: number, values?: ArrayLike<number>): Matrix {
    const { gap = 0, misalign = 0 } = this.#options;
    return matrix(this.run, { rows, width, stride: width + gap, misalign, ...(values && { values }) });
  }

  /** The arguments of the ops. An output's rows are laid out like the queries' rows. */
  get shape(): AttentionShape {
    const most = (lengths: number[]) => Math.max(0, ...lengths);
    return {
      qStride: this.q.stride,
      kStride: this.k.stride,
      vStride: this.v.stride,
      outStride: this.q.stride,
      nSegments: this.segments.length,
      maxQ: most(this.segments.map((s) => s.qLen)),
      maxKv: most(this.segments.map((s) => s.kvLen)),
      qTokens: this.qTokens,
      kvTokens: this.kvTokens,
      ...this.heads,
      causal: this.causal ? 1 : 0,
    };
  }

  /** Runs the forward into fresh outputs that hold NaN. */
  forward(): { out: Matrix; lse: Matrix } {
    const { run, q, k, v } = this;
    const out = this.queryRows(), lse = matrix(run, { rows: this.qTokens, width: this.heads.heads, dtype: "f32" });
    const shape = { ...this.shape, outStride: out.stride };
    run.device.ops.attentionFwd(run.dtypeCode, shape, out.address, lse.address, q.address, k.address, v.address, this.table);
    return { out, lse };
  }

  /**
   * Runs the backward, from a forward's outputs, into fresh gradients that hold NaN or `before`.
   * @param given `accumulate`: the op's bits.
   */
  backward(
    given: {
      dout: Matrix;
      out: Matrix;
      lse: Matrix;
      accumulate?: number;
      before?: { dq: Float64Array; dk: Float64Array; dv: Float64Array };
    },
  ): { dq: Matrix; dk: Matrix; dv: Matrix } {
    const { run, q, k, v } = this, { dout, out, lse, accumulate = 0, before } = given;
    const dq = this.queryRows(before?.dq), dk = this.keyRows(before?.dk), dv = this.keyRows(before?.dv);
    // deno-fmt-ignore
    run.device.ops.attentionBwd(
      run.dtypeCode, { ...this.shape, outStride: out.stride },
      { dqStride: dq.stride, dkStride: dk.stride, dvStride: dv.stride, doutStride: dout.stride, accumulate },
      dq.address, dk.address, dv.address, dout.address, q.address, k.address, v.address, out.address, lse.address, this.table,
    );
    return { dq, dk, dv };
  }
}

/** The bits of what matrices hold, for comparisons. */
export function bits(...matrices: readonly Matrix[]): Uint8Array {
  return joinBytes(...matrices.map((m) => new Uint8Array(m.read().buffer)));
}
