/**
 * A thread of `two_threads.ts`. It says "ready", is told its number of regions, and answers with what failed.
 *
 * @module
 */
import type { CudaDevice } from "../../ffi/cuda_device.ts";
import { DTYPES } from "../../ffi/device.ts";
import { Segments } from "../../tensor/segments.ts";
import { Random } from "../../tensor/random.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { openGpu } from "./open.ts";

const ROUNDS = 200, HEAD = 128, KEYS = 48, QUERIES = 4;

/** Runs connectivity again and again. @returns What failed. */
function launches(device: CudaDevice, regions: number): string[] {
  const random = new Random(regions), failures: string[] = [];
  const normal = (rows: number) => Tensor.from(device, Float32Array.from(random.normal(rows * HEAD)), { shape: [rows, HEAD] });
  using q = normal(QUERIES);
  using k = normal(KEYS);
  using out = Tensor.empty(device, [QUERIES, HEAD]);
  using lse = Tensor.empty(device, [QUERIES]);
  using segments = new Segments(device, [{ qStart: 0, qLen: QUERIES, kvStart: 0, kvLen: KEYS }], { causal: false });
  using region = Tensor.from(device, Int32Array.from({ length: KEYS }, (_, i) => i % regions));
  using row = Tensor.from(device, Int32Array.from({ length: QUERIES }, (_, i) => i));
  using mass = Tensor.zeros(device, [QUERIES, 2]);
  using profile = Tensor.zeros(device, [QUERIES, regions]);
  const one = {
    qTokens: QUERIES,
    kvTokens: KEYS,
    nSegments: 1,
    maxQ: QUERIES,
    maxKv: KEYS,
    heads: 1,
    kvHeads: 1,
    headDim: HEAD,
    causal: 0,
  };
  const shape = { ...one, scale: HEAD ** -0.5, qStride: HEAD, kStride: HEAD, vStride: HEAD, outStride: HEAD };
  device.ops.attentionFwd(DTYPES.f32, shape, out.address, lse.address, q.address, k.address, k.address, segments.table.address);
  let first: string | undefined;
  for (let i = 0; i < ROUNDS; i++) {
    try {
      mass.fill(0);
      profile.fill(0);
      // deno-fmt-ignore
      device.ops.connectivity(
        DTYPES.f32, shape, mass.address, profile.address, q.address, k.address, lse.address, region.address, row.address, regions, QUERIES,
        segments.table.address, 0, 0, 0,
      );
      const bits = [...mass.toFloats(), ...profile.toFloats()].join();
      first ??= bits;
      if (bits !== first) failures.push(`${regions} regions: launch ${i} gives other sums than the first`);
    } catch (error) {
      failures.push(`${regions} regions: ${(error as Error).message}`);
    }
  }
  return failures;
}

self.onmessage = async ({ data: { regions, fake } }: MessageEvent<{ regions: number; fake: boolean }>) => {
  const device = await openGpu(fake), failures = launches(device, regions);
  device[Symbol.dispose]();
  self.postMessage(failures);
};
self.postMessage("ready");
