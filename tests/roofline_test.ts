import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { CARDS } from "../actors/config/cards.ts";
import { rooflineTables, SHAPE, stepParts, withRoofline } from "../bench/roofline.ts";
import { runChild } from "./child.ts";
import { ROOT } from "./root.ts";

const [H200] = CARDS;

Deno.test("docs/gpu.md has exactly the tables that bench/roofline.ts prints", async () => {
  const page = Deno.readTextFileSync(`${ROOT}/docs/gpu.md`);
  assertEquals(withRoofline(page), page);
  assert(page.includes(rooflineTables()));
  const { code, stdout } = await runChild("bench/roofline.ts", { permissions: [], args: [] });
  assertEquals([code, stdout], [0, `${rooflineTables()}\n`]);
  assertThrows(() => withRoofline("a page"), RangeError, "lacks");
});

/** Seconds of the parts whose name begins so, before and now. */
function compared(name: "3b" | "7b", begins: string): { before: number; now: number } {
  const parts = stepParts(name, SHAPE, { card: H200!, moments: name === "3b" ? 4 : 2 });
  const sum = (which: "before" | "now") =>
    parts[which].filter((part) => part.name.startsWith(begins)).reduce((sum, { seconds }) => sum + seconds, 0);
  return { before: sum("before"), now: sum("now") };
}

Deno.test("on paper, large chunks of logits save what reading and writing the output matrix's gradient took", () => {
  for (const [name, saved] of [["3b", 3.2], ["7b", 5.6]] as const) {
    const { before, now } = compared(name, "log-probs: gradient");
    assertAlmostEquals(before - now, saved, 0.15, name);
  }
  // By hand: 1024 answers of 512 tokens in chunks of 110 rows, a micro-batch of one prompt at a time; 8 bytes of 151936 x 2048 elements each.
  const chunks = 128 * Math.ceil(8 * 512 / 110);
  assertAlmostEquals(compared("3b", "log-probs: gradient").before, chunks * 8 * 151936 * 2048 / (4.8e12 * 0.75), 1e-9);
});

Deno.test("on paper, blocks that keep their activations save 8 seconds and more", () => {
  const three = compared("3b", "blocks that run again"), seven = compared("7b", "blocks that run again");
  assertEquals(three.now, 0);
  assert(three.before - three.now > 7.9 && seven.before - seven.now > 7.9, JSON.stringify({ three, seven }));
});

Deno.test("on paper, 1024 sequences at once, fewer kernels and recorded steps save chunks of logits and gaps between kernels", () => {
  for (const name of ["3b", "7b"] as const) {
    const [head, gaps, sums] = [compared(name, "decode: output matrix"), compared(name, "decode: gaps"), compared(name, "decode: sums")];
    assert(head.now < 0.6 * head.before, JSON.stringify({ name, head }));
    assertAlmostEquals(gaps.before / gaps.now, 4 * (12 / 10) * (3 / 1.5), 1e-9);
    assertAlmostEquals(sums.before / sums.now, 2, 1e-9);
  }
});

Deno.test("on paper, blocks for each query head of a prompt's keys leave fewer multiprocessors waiting", () => {
  for (const [name, saved] of [["3b", 1.8], ["7b", 0.8]] as const) {
    const { before, now } = compared(name, "backward of attention");
    assert(now >= 0 && before - now > saved, JSON.stringify({ name, before, now }));
  }
});

Deno.test("another card and another shape change the tables", () => {
  const h100 = CARDS.find(({ name }) => name === "H100")!, tables = rooflineTables({ ...SHAPE, tokens: 1024 }, h100);
  assert(tables.includes("8 answers x 1024 tokens") && tables.includes("on one H100") && tables.includes("3.35 x 10^12 bytes"));
  assert(tables.includes("which does not fit"), "7B does not fit there");
});
