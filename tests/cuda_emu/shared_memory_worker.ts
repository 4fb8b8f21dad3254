/**
 * A thread that launches one emulated kernel, connectivity, again and again. The number of regions decides how much shared memory a launch takes. Says "ready", then
 * waits for the number of regions and gives what failed.
 *
 * @module
 */
import { AttentionCase, bits, family } from "../ops/attention_case.ts";
import { EmulatedDevice } from "../ops/emulated_device.ts";
import { OpRun, Random } from "../ops/harness.ts";
import { matrix } from "../ops/matrix.ts";

const ROUNDS = 30;

const device = EmulatedDevice.open();
const run = new OpRun({ tier: "emu", as: "emu", dtypes: ["f32"], open: () => device }, device, "f32", new Random(1));
const c = new AttentionCase(run, { segments: family({ kvLen: 3 }, [{ qLen: 2 }]), heads: 1, kvHeads: 1, headDim: 128 });
const { lse } = c.forward();

function round(regions: number): string {
  const region = run.integers(Int32Array.from({ length: c.kvTokens }, (_, i) => i % regions));
  const rowOut = run.integers(Int32Array.from({ length: c.qTokens }, (_, i) => i));
  const sums = (width: number) =>
    matrix(run, { rows: c.qTokens, width, dtype: "f32", values: new Array<number>(c.qTokens * width).fill(0) });
  const mass = sums(2), profile = sums(regions);
  // deno-fmt-ignore
  device.ops.connectivity(
    run.dtypeCode, c.shape, mass.address, profile.address, c.q.address, c.k.address, lse.address, region, rowOut, regions, c.qTokens, c.table, 0, 0, 0,
  );
  return bits(mass, profile).join();
}

self.onmessage = ({ data: regions }: MessageEvent<number>) => {
  const failures: string[] = [];
  let first: string | undefined;
  for (let i = 0; i < ROUNDS; i++) {
    try {
      const result = round(regions);
      first ??= result;
      if (result !== first) failures.push(`launch ${i} gives other sums than the first`);
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  run.finish();
  device[Symbol.dispose]();
  self.postMessage(failures);
};
self.postMessage("ready");
