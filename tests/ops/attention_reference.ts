/**
 * Attention, its gradient and connectivity in float64, written from the definitions in kedge.h: for each query row the list of the keys
 * that it sees, and plain sums over that list. No tiles, no shared work.
 *
 * @module
 */

/** A row of the segment table: see kedge.h, attention. */
export interface Segment {
  qStart: number;
  qLen: number;
  kvStart: number;
  kvLen: number;
  /** -1: none. */
  parent: number;
  childBegin: number;
  childEnd: number;
}

/** Sizes that every attention has. */
export interface Heads {
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
}

/** The two words by which the kernels know the query heads that do not count. */
export function skipWords(skipped: readonly number[] = []): [low: number, high: number] {
  const word = (from: number) =>
    skipped.filter((head) => head >= from && head < from + 32).reduce((sum, head) => sum + 2 ** (head - from), 0);
  return [word(0), word(32)];
}

/** For each query row, the key rows that it sees, in order. */
export type SeenKeys = readonly (readonly number[])[];

/** The table as `i32[n, 8]`. */
export function segmentTable(segments: readonly Segment[]): Int32Array<ArrayBuffer> {
  return Int32Array.from(segments.flatMap((s) => [s.qStart, s.qLen, s.kvStart, s.kvLen, s.parent, s.childBegin, s.childEnd, 0]));
}

/** The keys that each of `qTokens` query rows sees; rows of no segment see none. */
export function seenBySegments(segments: readonly Segment[], options: { qTokens: number; causal: boolean }): SeenKeys {
  const seen: number[][] = Array.from({ length: options.qTokens }, () => []);
  for (const s of segments) {
    const prefix = segments[s.parent];
    for (let i = 0; i < s.qLen; i++) {
      const keys = seen[s.qStart + i]!;
      if (prefix) { for (let j = 0; j < prefix.kvLen; j++) keys.push(prefix.kvStart + j); }
      for (let j = 0; j < s.kvLen; j++) if (!options.causal || j <= i + s.kvLen - s.qLen) keys.push(s.kvStart + j);
    }
  }
  return seen;
}

/** A group of decoding sequences that share a prefix. */
export interface Group {
  prefixStart: number;
  prefixLen: number;
  seqBegin: number;
  seqEnd: number;
}

/** The keys that each decoding sequence sees. */
export function seenBySequences(groups: readonly Group[], sequences: readonly { ownStart: number; ownLen: number }[]): SeenKeys {
  const range = (start: number, length: number) => Array.from({ length }, (_, i) => start + i);
  return groups.flatMap((g) =>
    sequences.slice(g.seqBegin, g.seqEnd).map((s) => [...range(g.prefixStart, g.prefixLen), ...range(s.ownStart, s.ownLen)])
  );
}

/** q, k, v without gaps between rows. */
export interface Activations {
  q: Float64Array;
  k: Float64Array;
  v: Float64Array;
}

interface Row {
  /** Probabilities, one per seen key. */
  a: Float64Array;
  lse: number;
  /** Offset of the query row, and of a key row, for this head. */
  query: number;
  key(j: number): number;
}

/** Calls `body` for each query row and head. */
function eachRow(
  x: Heads,
  seen: SeenKeys,
  tensors: Pick<Activations, "q" | "k">,
  body: (row: Row, token: number, head: number) => void,
): void {
  const { heads, kvHeads, headDim } = x;
  seen.forEach((keys, token) => {
    for (let head = 0; head < heads; head++) {
      const query = (token * heads + head) * headDim;
      const key = (j: number) => (keys[j]! * kvHeads + Math.floor(head / (heads / kvHeads))) * headDim;
      const scores = Float64Array.from(keys, (_, j) => {
        let sum = 0;
        for (let d = 0; d < headDim; d++) sum += tensors.q[query + d]! * tensors.k[key(j) + d]!;
        return x.scale * sum;
      });
      const top = scores.reduce((a, b) => Math.max(a, b), -Infinity);
      const total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
      const lse = keys.length === 0 ? -Infinity : top + Math.log(total);
      body({ a: scores.map((s) => Math.exp(s - lse)), lse, query, key }, token, head);
    }
  });
}

/** out[row, head] = sum over the seen keys of a * v, and the log-sum-exp of the scores. */
export function attention(x: Heads, seen: SeenKeys, tensors: Activations): { out: Float64Array; lse: Float64Array } {
  const out = new Float64Array(seen.length * x.heads * x.headDim), logSum = new Float64Array(seen.length * x.heads);
  eachRow(x, seen, tensors, ({ a, lse, query, key }, token, head) => {
    logSum[token * x.heads + head] = lse;
    a.forEach((weight, j) => {
      for (let d = 0; d < x.headDim; d++) out[query + d]! += weight * tensors.v[key(j) + d]!;
    });
  });
  return { out, lse: logSum };
}

/** Gradient of sum(out * dout): with dp_j = dout . v_j, the softmax gives ds_j = a_j (dp_j - sum_i a_i dp_i). */
export function attentionGradient(
  x: Heads,
  seen: SeenKeys,
  tensors: Activations & { dout: Float64Array },
): { dq: Float64Array; dk: Float64Array; dv: Float64Array } {
  const { q, k, v, dout } = tensors;
  const dq = new Float64Array(q.length), dk = new Float64Array(k.length), dv = new Float64Array(v.length);
  eachRow(x, seen, tensors, ({ a, query, key }) => {
    const dp = a.map((_, j) => {
      let sum = 0;
      for (let d = 0; d < x.headDim; d++) sum += dout[query + d]! * v[key(j) + d]!;
      return sum;
    });
    const mean = a.reduce((sum, weight, j) => sum + weight * dp[j]!, 0);
    a.forEach((weight, j) => {
      const ds = x.scale * weight * (dp[j]! - mean), at = key(j);
      for (let d = 0; d < x.headDim; d++) {
        dq[query + d]! += ds * k[at + d]!;
        dk[at + d]! += ds * q[query + d]!;
        dv[at + d]! += weight * dout[query + d]!;
      }
    });
  });
  return { dq, dk, dv };
}

/**
 * The outputs of the connectivity ops for each query row: mass [rows, 2] and profile [rows, regions]; with renorm 2 [rows, heads, 2] and [rows, heads, regions].
 * `skipped`: the query heads that do not count.
 */
export function connectivity(
  x: Heads,
  seen: SeenKeys,
  tensors: Pick<Activations, "q" | "k"> & {
    region: ArrayLike<number>;
    regions: number;
    renorm: 0 | 1 | 2;
    skipped?: readonly number[] | undefined;
  },
): { mass: Float64Array; profile: Float64Array } {
  const { region, regions, renorm, skipped = [] } = tensors, outputs = renorm === 2 ? x.heads : 1;
  const mass = new Float64Array(2 * seen.length * outputs), profile = new Float64Array(seen.length * outputs * regions);
  eachRow(x, seen, tensors, ({ a }, token, head) => {
    if (skipped.includes(head)) return;
    const to = token * outputs + (renorm === 2 ? head : 0);
    const byRegion = new Float64Array(regions);
    let n = 0;
    a.forEach((weight, j) => {
      const r = region[seen[token]![j]!]!;
      if (r !== -2) n += weight;
      if (r >= 0) byRegion[r]! += weight;
    });
    const divisor = renorm === 1 ? Math.max(n, 0.01) : 1;
    byRegion.forEach((m, r) => {
      mass[2 * to]! += m / divisor;
      profile[to * regions + r]! += m / divisor;
    });
    mass[2 * to + 1]! += renorm === 1 ? 1 : n;
  });
  return { mass, profile };
}
