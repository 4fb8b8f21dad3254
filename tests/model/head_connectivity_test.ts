// The connectivity of each layer and head, against the measurement of that head alone, and the ranking of heads.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ConnectivityAccumulator, type ConnectivityOptions } from "../../model/connectivity.ts";
import { HeadConnectivity } from "../../model/head_connectivity.ts";
import { measuresOwnRow } from "../../model/measured_row.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import { skippedHeads } from "../../model/regions.ts";
import { Tape } from "../../tensor/tape.ts";
import { engineTest, littleModel, picturePrompt, textPrompt, videoPrompt } from "./engine_fixture.ts";
import { assertNear } from "./golden.ts";

for (
  const options of [{}, { row: "self", sinkRenorm: "row", sinkTokens: 2, profileRegions: 5 }, {
    visualSinkFactor: 1.2,
  }, { row: "both", profileRegions: 5 }] as ConnectivityOptions[]
) {
  engineTest(`the share and peak of a head are what that head alone gives: ${JSON.stringify(options)}`, ({ device, dtype, random }) => {
    using model = littleModel(device, random, dtype);
    const { layers, heads, vocabSize } = model.config.text, width = layers * heads;
    const answer = (length: number) => Int32Array.from({ length }, () => random.integer(0, vocabSize - 8));
    const groups = [
      { prompt: picturePrompt(random, { grids: [[16, 18]], after: 25 }), responses: [answer(4), answer(1)] },
      { prompt: textPrompt(random, 6), responses: [answer(3)] },
      { prompt: videoPrompt(random, { grid: { t: 3, h: 4, w: 6 }, family: "qwen2_5_vl" }), responses: [answer(5)] },
    ];
    using batch = PackedBatch.pack(model, groups, { closing: measuresOwnRow(options.row) });
    const observe = (observer: ConnectivityAccumulator | HeadConnectivity) => {
      using tape = new Tape(device, { record: false });
      model.predictions(tape, batch, { observe: (layer, seen) => observer.observe(layer, seen) });
    };
    using all = HeadConnectivity.create(model, batch, options);
    assertThrows(() => all.results(), RangeError, "0 of 2 layers");
    observe(all);
    const shares = all.results();
    assertEquals(shares.map(({ visual }) => visual), [true, true, false, true]);
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < heads; head++) {
        using alone = ConnectivityAccumulator.create(model, batch, { ...options, heads: [[layer, head]] });
        observe(alone);
        for (const [i, { connectivity, profile, regions }] of alone.results().entries()) {
          const column = (of: Float32Array) => Array.from(connectivity, (_, t) => of[t * width + layer * heads + head]!);
          const peaks = Array.from(connectivity, (_, t) => Math.max(0, ...profile.subarray(t * regions, (t + 1) * regions)));
          const what = `layer ${layer}, head ${head}, response ${i}`;
          assertNear(column(shares[i]!.share), connectivity, { what: `share of ${what}`, tolerance: 1e-6 });
          assertNear(column(shares[i]!.peak), peaks, { what: `peak of ${what}`, tolerance: 1e-6 });
        }
      }
    }
    assertThrows(() => observe(all), RangeError, "use another measurement");
  }, { dtypes: ["f32"] });
}

Deno.test("heads are chosen among those of the chosen layers, up to 64 a layer", () => {
  const sizes = { layers: 3, heads: 64 };
  assertEquals(skippedHeads({ heads: [[0, 0], [2, 63], [2, 31], [2, 32]] }, sizes), [[2 ** 32 - 2, 2 ** 32 - 1], undefined, [
    2 ** 31 - 1,
    2 ** 31 - 2,
  ]]);
  assertEquals(skippedHeads({ heads: [[0, 0], [2, 5]], layers: [2, 1] }, { layers: 3, heads: 6 }), [undefined, undefined, [0b11111, 0]]);
  const fails = (heads: unknown, words: string, size = 64) =>
    assertThrows(() => skippedHeads({ heads: heads as [number, number][], layers: [0, 1] }, { layers: 3, heads: size }), RangeError, words);
  fails([[3, 0]], "with layers 0 to 2");
  fails([[0, 64]], "heads 0 to 63");
  fails([[0]], "a head is [layer, head]");
  fails([[2, 0]], "no head would count");
  fails([], "no head would count");
  fails([[0, 0]], "65 heads a layer", 65);
  assert(skippedHeads({}, { layers: 1, heads: 99 })[0]!.every((word) => word === 0));
});
