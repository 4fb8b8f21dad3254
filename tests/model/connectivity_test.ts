import { ConnectivityAccumulator, type ConnectivityOptions, promptSinks } from "../../model/connectivity.ts";
import { MEASURED_ROWS, type MeasuredRow, measuresOwnRow } from "../../model/measured_row.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import type { Group } from "../../model/packed_batch.ts";
import { regionMap, visualSinks } from "../../model/regions.ts";
import { Tape } from "../../tensor/tape.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { assertNear, Golden, type GoldenCase, modelTest } from "./golden.ts";

const golden = Golden.open("mixed");
const { config } = golden;
const mixed = golden.cases[0]!;
const { layers, heads, vocabSize } = config.text;

function measure(
  model: VisionLanguageModel,
  groups: readonly Group[],
  options: ConnectivityOptions & { checkpointing?: "blocks" | "full"; shared?: boolean; visualSinks?: readonly Int32Array[] } = {},
) {
  using batch = PackedBatch.pack(model, groups, { closing: measuresOwnRow(options.row), shared: options.shared ?? true });
  using connectivity = ConnectivityAccumulator.create(model, batch, options);
  using tape = new Tape(model.device);
  model.logProbs(tape, batch, { connectivity, ...(options.checkpointing && { checkpointing: options.checkpointing }) });
  return connectivity.results();
}

type Defined = Required<Pick<ConnectivityOptions, "sinkRenorm">> & { region: Int32Array; regions: number; chosen: number[] };

/** The definition, on golden attention probabilities [layers, heads, T, T]. */
function defined(each: GoldenCase, { row, ...options }: Defined & { row: MeasuredRow }) {
  if (row !== "both") return definedByOne(each, { row, ...options });
  const [a, b] = [definedByOne(each, { row: "predict", ...options }), definedByOne(each, { row: "self", ...options })];
  const mean = (x: number[], y: number[]) => x.map((one, i) => (one + y[i]!) / 2);
  return { connectivity: mean(a.connectivity, b.connectivity), profile: mean(a.profile, b.profile) };
}

/** The same by one row. */
function definedByOne(each: GoldenCase, options: Defined & { row: "predict" | "self" }) {
  const attention = each.floats("attention"), T = each.tokens.length;
  const { row, sinkRenorm, region, regions, chosen } = options;
  const connectivity: number[] = [], profile: number[] = [];
  for (let t = each.promptLength; t < T; t++) {
    const query = row === "self" ? t : t - 1;
    const parts = new Float64Array(regions);
    let [total, count] = [0, 0];
    for (const layer of chosen) {
      for (let head = 0; head < heads; head++) {
        const a = attention.subarray(((layer * heads + head) * T + query) * T, ((layer * heads + head) * T + query + 1) * T);
        const own = new Float64Array(regions);
        let n = 0;
        for (let key = 0; key < T; key++) {
          const r = region[key] ?? -1;
          if (r !== -2) n += a[key]!;
          if (r >= 0) own[r]! += a[key]!;
        }
        const by = sinkRenorm === "row" ? Math.max(n, 0.01) : 1;
        for (let r = 0; r < regions; r++) parts[r]! += own[r]! / by;
        total += n;
        count++;
      }
    }
    const n = sinkRenorm === "row" ? count : total;
    connectivity.push(parts.reduce((a, b) => a + b, 0) / n);
    profile.push(...parts.map((part) => part / n));
  }
  return { connectivity, profile };
}

modelTest(
  "connectivity and profile are the definition on golden attention, for each row, renormalisation, and choice of sinks and layers",
  (run) => {
    using model = golden.model(run.device, run.dtype);
    const tolerance = run.tolerance({ f32: 1e-5, bf16: 0.02 });
    for (const row of MEASURED_ROWS) {
      for (const sinkRenorm of ["pooled", "row"] as const) {
        const options = sinkRenorm === "row"
          ? { sinkTokens: 6, profileRegions: 9, layers: [1], visualSinks: [3, 40] }
          : { sinkTokens: 1, layers: "all" as const, visualSinks: [] };
        const map = regionMap(mixed.prompt, config, options);
        const chosen = options.layers === "all" ? [...Array(layers).keys()] : options.layers;
        const wanted = defined(mixed, { row, sinkRenorm, region: map.region, regions: map.regions, chosen });
        const visualSinks = [Int32Array.from(options.visualSinks)];
        const [actual] = measure(model, [{ prompt: mixed.prompt, responses: [mixed.response] }], {
          ...options,
          row,
          sinkRenorm,
          visualSinks,
        });
        const what = `${row} ${sinkRenorm}`;
        assertEquals(actual!.regions, map.regions);
        assertNear(actual!.connectivity, wanted.connectivity, { what: `${what} connectivity`, tolerance });
        assertNear(actual!.profile, wanted.profile, { what: `${what} profile`, tolerance });
      }
    }
  },
  { emulated: true },
);

/** Of goldens that are float32, of weights so large that rounding grows: forward_test.ts says how much. */
const ROUNDED_MASS = 4e-5;

for (const large of Golden.all().filter(({ name }) => name !== "mixed")) {
  modelTest(`the mass of attention on visual tokens is the golden one, ${large.title}`, ({ device }) => {
    using model = large.model(device);
    for (const each of large.cases.filter(({ visuals }) => visuals.length > 0)) {
      const [actual] = measure(model, [{ prompt: each.prompt, responses: [each.response] }], { row: "self", sinkTokens: 0 });
      assertNear(actual!.connectivity, each.floats("visual_mass"), { what: each.name, tolerance: large.rounded ? ROUNDED_MASS : 1e-5 });
    }
  }, { dtypes: ["f32"] });
}

modelTest("responses that share a prompt, with others in the batch and blocks that run again, keep their connectivity", (run) => {
  const { device, dtype, random } = run;
  using model = golden.model(device, dtype);
  const answer = (length: number) => Int32Array.from({ length }, () => random.integer(0, vocabSize - 5));
  const image = { tokens: mixed.prompt.tokens.slice(0, 34), visuals: mixed.prompt.visuals.slice(0, 1) };
  const groups = [
    { prompt: { tokens: Int32Array.of(1, 2), visuals: [] }, responses: [answer(3)] },
    { prompt: mixed.prompt, responses: [answer(1), answer(5)] },
    { prompt: image, responses: [answer(2), answer(4)] },
  ];
  for (const row of MEASURED_ROWS) {
    const alone = groups.flatMap(({ prompt, responses }) =>
      responses.flatMap((one) => measure(model, [{ prompt, responses: [one] }], { row }))
    );
    for (const options of [{}, { shared: false }, { checkpointing: "blocks" }, { checkpointing: "full" }] as const) {
      for (const [i, result] of measure(model, groups, { row, ...options }).entries()) {
        const what = `response ${i} by ${row}, ${JSON.stringify(options)}`, tolerance = run.tolerance({ f32: 1e-5, bf16: 0.02 });
        assertEquals([result.regions, result.connectivity.length], [alone[i]!.regions, alone[i]!.connectivity.length]);
        assertNear(result.connectivity, alone[i]!.connectivity, { what: `connectivity of ${what}`, tolerance });
        assertNear(result.profile, alone[i]!.profile, { what: `profile of ${what}`, tolerance });
      }
    }
    assertEquals([alone[0]!.regions, ...alone[0]!.connectivity], [0, 0, 0, 0]);
  }
});

modelTest("visual sinks come from the prompt's rows after its last visual token, over all layers and heads", ({ device }) => {
  using model = golden.model(device);
  const attention = mixed.floats("attention"), T = mixed.tokens.length, { tokens } = mixed.prompt;
  const visual = [...tokens.keys()].filter((i) => tokens[i] === config.tokens.image || tokens[i] === config.tokens.video);
  const rows = Array.from({ length: mixed.promptLength - visual.at(-1)! - 1 }, (_, i) => visual.at(-1)! + 1 + i);
  const mean = rows.flatMap((row) =>
    visual.map((key) => {
      let sum = 0;
      for (let map = 0; map < layers * heads; map++) sum += attention[(map * T + row) * T + key]!;
      return sum / (layers * heads);
    })
  );
  for (const factor of [0.8, 1.1, 1.3]) {
    const wanted = visualSinks({ attention: mean, rows: rows.length, tokens: visual.length, factor });
    assertEquals(wanted.length > 0, true, `factor ${factor} finds none`);
    const text = { tokens: Int32Array.of(1, 2, 3), visuals: [] };
    const [none, found] = promptSinks(model, [text, mixed.prompt], factor);
    assertEquals([none!.length, ...found!], [0, ...wanted]);
    const groups = [{ prompt: mixed.prompt, responses: [mixed.response] }];
    const [by, given] = [measure(model, groups, { visualSinkFactor: factor }), measure(model, groups, { visualSinks: [wanted] })];
    assertEquals(by, given);
  }
}, { dtypes: ["f32"] });

modelTest("impossible measurements are refused", ({ device, dtype }) => {
  using model = golden.model(device, dtype);
  using batch = PackedBatch.pack(model, [{ prompt: mixed.prompt, responses: [mixed.response] }]);
  for (const row of ["self", "both"] as const) {
    assertThrows(() => ConnectivityAccumulator.create(model, batch, { row }), RangeError, `by row "${row}": the batch lacks`);
  }
  assertThrows(() => ConnectivityAccumulator.create(model, batch, { layers: [layers] }), RangeError, `[${layers}]`);
  assertThrows(() => ConnectivityAccumulator.create(model, batch, { visualSinkFactor: NaN }), RangeError, "factor is NaN");
  using connectivity = ConnectivityAccumulator.create(model, batch);
  assertThrows(() => connectivity.results(), RangeError, "layer 0 has not run");
  using tape = new Tape(device, { record: false });
  model.logProbs(tape, batch, { connectivity });
  assertThrows(() => model.logProbs(tape, batch, { connectivity }), RangeError, "use another accumulator");
}, { dtypes: ["f32"] });
