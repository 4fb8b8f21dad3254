import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Device } from "../../ffi/device.ts";
import { type Correction, CorrectionMetrics, importanceWeights } from "../../rl/losses/correction.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { assertClose, deviceTest } from "../tensor/device_test_case.ts";
import { offsetsOf } from "./policy_case.ts";

/** The factors for sequences of ratios old / rollout. */
function factors(device: Device, ratios: number[][], correction: Correction, metrics?: CorrectionMetrics): Float32Array {
  using stack = new DisposableStack();
  const up = (x: ArrayLike<number>) => stack.use(Tensor.from(device, Float32Array.from(x))), flat = ratios.flat();
  const old = up(flat.map((r) => -2 + Math.log(r))), rollout = up(flat.map(() => -2)), weights = up(flat.map(() => 1));
  const offsets = stack.use(Tensor.from(device, offsetsOf(ratios.map((r) => r.length))));
  return stack.use(importanceWeights({ old, rollout, weights, offsets }, correction, metrics)).toFloats();
}

deviceTest("verl's IcePop table: w = [.4, .8, 6] in [.5, 5] gives [0, .8, 0], std .3771236, ESS 1/3, 2/3 outside", (device) => {
  using metrics = new CorrectionMetrics(device);
  const got = factors(device, [[0.4, 0.8, 6]], { kind: "mask", low: 0.5, high: 5 }, metrics);
  assertClose(got, [0, 0.8, 0], { what: "factors", tolerance: 1e-6 });
  const report = metrics.read()!;
  assertClose([report["actor/importance_std"]], [0.3771236], { what: "std", tolerance: 1e-6 });
  assertClose([report["actor/importance_ess"], report["actor/importance_outside"]], [1 / 3, 2 / 3], { what: "ess", tolerance: 1e-6 });
  assert(Math.abs(report["actor/logprob_gap_max"] - Math.log(6)) < 1e-6);
  assertEquals(metrics.read(), undefined);
});

deviceTest("verl's rejection table: e^-1 = .368 falls, e^.5 = 1.649 stays", (device) => {
  const got = factors(device, [[Math.exp(-1), Math.exp(0.5)]], { kind: "mask", low: 0.5, high: 2 });
  assertClose(got, [0, 1.6487212], { what: "factors", tolerance: 1e-6 });
});

deviceTest("the defaults: tokens, truncated at 2, masked outside [.5, 5]", (device) => {
  assertClose(factors(device, [[0.1, 3]], { kind: "truncate" }), [0.1, 2], { what: "truncate", tolerance: 1e-6 });
  assertClose(factors(device, [[0.4, 3, 6]], { kind: "mask" }), [0, 3, 0], { what: "mask", tolerance: 1e-6 });
});

deviceTest("by sequence: the product of the ratios, or their geometric mean, for every token of it", (device) => {
  const ratios = [[0.5, 4], [1.5]];
  const at = (level: "sequence" | "sequence_mean", kind: Correction["kind"], high: number) =>
    factors(device, ratios, { kind, level, low: 0, high });
  assertClose(at("sequence", "truncate", 1.8), [1.8, 1.8, 1.5], { what: "truncate", tolerance: 1e-6 });
  assertClose(at("sequence", "mask", 1.8), [0, 0, 1.5], { what: "mask", tolerance: 1e-6 });
  assertClose(at("sequence_mean", "mask", 1.8), [Math.SQRT2, Math.SQRT2, 1.5], { what: "mean", tolerance: 1e-6 });
});

deviceTest("importanceWeights refuses what does not fit and leaves nothing allocated", (device) => {
  assertThrows(() => factors(device, [[1]], { kind: "mask", low: 3, high: 2 }), RangeError, "[3, 2]");
  using a = Tensor.from(device, [0, 0]);
  using b = Tensor.from(device, [0]);
  using offsets = Tensor.from(device, Int32Array.of(0, 2));
  assertThrows(() => importanceWeights({ old: a, rollout: b, weights: a, offsets }, { kind: "mask" }), RangeError, "as rollout");
  assertThrows(() => importanceWeights({ old: a, rollout: a, weights: a, offsets: a }, { kind: "mask" }), RangeError, "as offsets");
  using bad = Tensor.from(device, Int32Array.of(0, 3));
  if (device.kind === "cpu") {
    assertThrows(() => importanceWeights({ old: a, rollout: a, weights: a, offsets: bad }, { kind: "mask" }), RangeError);
  }
});
