/**
 * Compares attention with one prefix that its responses share to attention with a copy of the prefix for each response: forward and
 * backward, and then a decode step.
 *
 * Ratios are the time with copies divided by the time with the shared prefix. Flops count only visible pairs (4 d forward, 10 d backward).
 *
 *   deno run --allow-read --allow-write=.cache --allow-run=c++ --allow-ffi bench/attention.ts [--threads=2] [--rounds=7]
 *
 * @module
 */
import type { Address } from "../ffi/address.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { DTYPES } from "../ffi/device.ts";
import { benchLine } from "./options.ts";
import { measure, Report } from "./report.ts";

/** A layout of prompts with `prefix` tokens and `responses` responses of `length` tokens each. */
interface Layout {
  prompts: number;
  prefix: number;
  responses: number;
  length: number;
}

const LAYOUTS: readonly Layout[] = [
  { prompts: 4, prefix: 88, responses: 8, length: 64 },
  { prompts: 2, prefix: 512, responses: 8, length: 64 },
  { prompts: 1, prefix: 512, responses: 8, length: 256 },
];
const HEADS = 6, KV_HEADS = 2, HEAD_DIM = 64, WIDTH = HEADS * HEAD_DIM, KV_WIDTH = KV_HEADS * HEAD_DIM;
/** The sizes that all calls have in common. */
const SIZES = {
  qStride: WIDTH,
  kStride: KV_WIDTH,
  vStride: KV_WIDTH,
  outStride: WIDTH,
  heads: HEADS,
  kvHeads: KV_HEADS,
  headDim: HEAD_DIM,
  scale: HEAD_DIM ** -0.5,
};

const line = benchLine({
  name: "deno task bench attention",
  does: "Compares attention with one shared prefix to attention with a copy of the prefix for each response.",
  values: { threads: ["N", "threads of the ops (default 2)"], rounds: ["N", "repetitions of each (default 7)"] },
});
using device = CpuDevice.open({ threads: line.number("threads", { min: 1 }) ?? 2 });
const options = { rounds: line.number("rounds", { min: 1 }) ?? 7 };

function upload(length: number): Address {
  const address = device.alloc(length * 4);
  device.write(address, Float32Array.from({ length }, () => 3 * (Math.random() - Math.random())));
  return address;
}

function integers(values: number[]): Address {
  const address = device.alloc(values.length * 4);
  device.write(address, Int32Array.from(values));
  return address;
}

/** Returns the segment table, its tokens, and its number of query-key pairs per head. */
function table({ prompts, prefix, responses, length }: Layout, shared: boolean): { rows: number[]; tokens: number; pairs: number } {
  const rows: number[] = [], causal = (n: number) => n * (n + 1) / 2;
  let tokens = 0;
  const place = (n: number, parent: number, children: [number, number]) => {
    rows.push(tokens, n, tokens, n, parent, ...children, 0);
    tokens += n;
  };
  for (let p = 0; p < prompts; p++) {
    const parent = rows.length / 8;
    if (shared) place(prefix, -1, [parent + 1, parent + 1 + responses]);
    for (let r = 0; r < responses; r++) {
      if (shared) place(length, parent, [0, 0]);
      else place(prefix + length, -1, [0, 0]);
    }
  }
  const response = causal(length) + length * prefix;
  return { rows, tokens, pairs: prompts * (shared ? causal(prefix) + responses * response : responses * (causal(prefix) + response)) };
}

/** Returns the forward and the backward of one layout. Each has memory of its own. */
function training(layout: Layout, shared: boolean): { forward: () => void; backward: () => void; flops: number } {
  const { rows, tokens, pairs } = table(layout, shared), segments = integers(rows), longest = layout.prefix + layout.length;
  const [q, out, dq, dout] = [upload(tokens * WIDTH), upload(tokens * WIDTH), upload(tokens * WIDTH), upload(tokens * WIDTH)];
  const [k, v, dk, dv] = [upload(tokens * KV_WIDTH), upload(tokens * KV_WIDTH), upload(tokens * KV_WIDTH), upload(tokens * KV_WIDTH)];
  const lse = upload(tokens * HEADS);
  const shape = {
    ...SIZES,
    nSegments: rows.length / 8,
    maxQ: longest,
    maxKv: longest,
    qTokens: tokens,
    kvTokens: tokens,
    causal: 1,
  };
  const gradients = { dqStride: WIDTH, dkStride: KV_WIDTH, dvStride: KV_WIDTH, doutStride: WIDTH, accumulate: 0 };
  return {
    forward: () => device.ops.attentionFwd(DTYPES.f32, shape, out, lse, q, k, v, segments),
    backward: () => device.ops.attentionBwd(DTYPES.f32, shape, gradients, dq, dk, dv, dout, q, k, v, out, lse, segments),
    flops: pairs * HEADS * HEAD_DIM,
  };
}

/** Returns a decode step in the middle of the responses, with connectivity over 64 regions of the prefix. */
function decoding({ prompts, prefix, responses, length }: Layout, shared: boolean): () => void {
  const own = length / 2, groups: number[] = [], sequences: number[] = [];
  let at = 0;
  const prefixes = (begin: number, end: number) => {
    groups.push(at, prefix, begin, end);
    at += prefix;
  };
  for (let p = 0; p < prompts; p++) {
    if (shared) prefixes(p * responses, (p + 1) * responses);
    for (let r = p * responses; r < (p + 1) * responses; r++) {
      if (!shared) prefixes(r, r + 1);
      sequences.push(at, own);
      at += own;
    }
  }
  const n = prompts * responses,
    groupTable = integers(groups),
    sequenceTable = integers(sequences),
    region = integers(Array.from({ length: at }, (_, i) => i % 64));
  const q = upload(n * WIDTH),
    out = upload(n * WIDTH),
    k = upload(at * KV_WIDTH),
    v = upload(at * KV_WIDTH),
    mass = upload(2 * n),
    profile = upload(64 * n);
  const shape = { ...SIZES, nGroups: groups.length / 4, n, maxPrefix: prefix, maxOwn: own, cacheTokens: at, page: 0, nPages: 0 };
  return () =>
    device.ops.decodeAttention(DTYPES.f32, shape, out, mass, profile, q, k, v, region, 64, groupTable, sequenceTable, 0, 0, 0, 0);
}

const report = new Report("attention", {
  device: device.description,
  threads: device.threads,
  heads: HEADS,
  kvHeads: KV_HEADS,
  headDim: HEAD_DIM,
});
for (const layout of LAYOUTS) {
  const name = `${layout.prompts} x (${layout.prefix} + ${layout.responses} x ${layout.length})`;
  const copied = training(layout, false), shared = training(layout, true);
  const both = (x: typeof copied) => () => {
    x.forward();
    x.backward();
  };
  const passes = [
    ["forward", copied.forward, shared.forward, 4 * shared.flops],
    ["backward", copied.backward, shared.backward, 10 * shared.flops],
    ["forward and backward", both(copied), both(shared), 14 * shared.flops],
    ["decode step", decoding(layout, false), decoding(layout, true), undefined],
  ] as const;
  for (const [pass, copies, one, flops] of passes) {
    const times = measure({ copied: copies, shared: one }, options);
    report.row({
      layout: name,
      pass,
      "copied ms": times.copied.seconds * 1e3,
      "shared ms": times.shared.seconds * 1e3,
      "copied / shared": times.shared.ratio,
      ...(flops && { "in flops": copied.flops / shared.flops }),
      ...(flops && { "shared GFLOP/s": flops / times.shared.seconds / 1e9 }),
    });
  }
}
report.print();
