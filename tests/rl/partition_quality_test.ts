// The goals of the partition against libmetis, on fewer graphs than bench/partition.ts has.
import { assert, assertEquals } from "@std/assert";
import { byBucket, comparePartitions, CUT_GOAL, lengthsOf, type MeasuredResponse, summaryOf } from "../../bench/partition.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { openMetis } from "../../ffi/metis.ts";
import { Random } from "../../tensor/random.ts";
import { gaze } from "./gaze.ts";
import { modelGazes } from "./model_gaze.ts";

const missing = (() => {
  try {
    openMetis();
    return undefined;
  } catch (error) {
    if (error instanceof KedgeError && error.code === "Unsupported") return "libmetis is not installed";
    throw error;
  }
})();
CpuDevice.open(); // here, since a library that a test loads counts as its leak
const GRAPHS = Deno.args.includes("--slow") ? 200 : 48;

const RESPONSES: Readonly<Record<string, (device: CpuDevice, random: Random) => MeasuredResponse[] | Promise<MeasuredResponse[]>>> = {
  "made-up responses": (_, random) => lengthsOf(random, { graphs: GRAPHS, long: 3 }).map((tokens) => gaze(random, { tokens })),
  "a tiny model's attention": (device, random) => modelGazes(device, random, lengthsOf(random, { graphs: GRAPHS, long: 24 })),
};
for (const [name, make] of Object.entries(RESPONSES)) {
  Deno.test({
    name: `the partition cuts at most ${CUT_GOAL} times as much as libmetis, keeps the bound and is faster: ${name}${
      missing ? `: ${missing}` : ""
    }`,
    ignore: missing !== undefined,
    fn: async () => {
      const seed = Math.floor(Math.random() * 2 ** 31), device = CpuDevice.open({ threads: 1 });
      const responses = await make(device, new Random(seed));
      const uneven = responses.filter(({ connectivity }) => {
        const all = Array.from(connectivity);
        return Math.max(...all) > 1.05 * Math.min(...all);
      });
      assert(uneven.length > GRAPHS / 2, `only ${uneven.length} responses look at anything more than at the rest, seed ${seed}`);
      for (const { name, results } of byBucket(responses.map((response) => comparePartitions(device, response, seed)))) {
        const { ratio, over, metisOver, seconds, metisSeconds } = summaryOf(results);
        const what = `${results.length} graphs of ${name} tokens, seed ${seed}`;
        assertEquals(over, 0, `clusters over the bound or empty: ${what}`);
        // A few graphs may all be such that METIS passes the bound.
        assert(ratio <= CUT_GOAL || metisOver === results.length, `cuts of ${ratio} times libmetis's: ${what}`);
        assert(seconds < metisSeconds, `${seconds} s, libmetis takes ${metisSeconds}: ${what}`);
      }
    },
  });
}
