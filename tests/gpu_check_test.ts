// The one command for a GPU, without one. Its longer stages need a Python with PyTorch and are run by hand.
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { ceilingsOf, floorOf, type Line, lineOf } from "../bench/gpu/lines.ts";
import { stagesOf } from "../bench/gpu/stages.ts";
import { ROOT } from "./root.ts";

Deno.test("a floor is the longer of moving the bytes and of computing, by the ceilings that were measured", () => {
  const lines: Line[] = [
    { name: "copy", value: 4000, unit: "GB/s", ceiling: "bytes" },
    { name: "product", value: 800, unit: "TFLOP/s", ceiling: "operations" },
  ];
  const ceilings = ceilingsOf(lines)!;
  assertEquals(ceilings, { bytes: 4e12, operations: 8e14 });
  assertAlmostEquals(floorOf({ name: "decode", unit: "ms", bytes: 8e9, operations: 8e9 }, ceilings)!, 2, 1e-12);
  assertAlmostEquals(floorOf({ name: "update", unit: "s", bytes: 4e9, operations: 1.6e15 }, ceilings)!, 2, 1e-12);
  assertEquals(floorOf({ name: "a product", unit: "TFLOP/s", operations: 1 }, ceilings), 800);
  assertEquals(floorOf({ name: "logits", unit: "1" }, ceilings), undefined);
  assertEquals(ceilingsOf(lines.slice(1)), undefined);
});

Deno.test("other output than lines of results is passed over", () => {
  assertEquals(lineOf('{"name":"x","ok":true}'), { name: "x", ok: true });
  for (const text of ["Kedge: built CPU kernels in 5.1 s", '{"name":', '{"stage":"x"}', ""]) assertEquals(lineOf(text), undefined);
});

Deno.test("a stage needs only stages before it", () => {
  const stages = stagesOf({ isFake: false, dir: "model", python: "python3" });
  for (const [i, { needs = [] }] of stages.entries()) {
    for (const name of needs) assert(stages.slice(0, i).some((stage) => stage.name === name), name);
  }
  assertEquals(new Set(stages.map(({ name }) => name)).size, stages.length);
});

Deno.test({
  name: "the stages that need no Python pass without a GPU, and a line of JSON says how each ended",
  ignore: !Deno.args.includes("--slow"),
  fn: async () => {
    const out = Deno.makeTempFileSync(), names = ["build", "doctor", "ceilings", "small step", "two threads"];
    try {
      const args = ["run", "--quiet", "-A", `${ROOT}/bench/gpu_check.ts`, "--fake", "--out", out, "--only", names.join(",")];
      const { code, stdout } = await new Deno.Command("deno", { args, stdin: "null", stdout: "piped", stderr: "piped" }).output();
      const text = new TextDecoder().decode(stdout);
      assertEquals(code, 0, text);
      const ends = Deno.readTextFileSync(out).trim().split("\n").map((line) => JSON.parse(line) as { stage: string; state: string });
      assertEquals(ends.map(({ stage, state }) => `${stage}: ${state}`), names.map((name) => `${name}: passed`));
      assert(text.includes("copy on the device"), text);
    } finally {
      Deno.removeSync(out);
    }
  },
});
