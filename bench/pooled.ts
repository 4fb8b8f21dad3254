// deno-lint-ignore-file no-console -- prints its result
/**
 * Puts several comparisons of `deno task ablate` together, whose warm starts are others, and prints the differences over all warm starts.
 *
 *   deno run --allow-read bench/pooled.ts docs/ablation/first.json docs/ablation/ablation.json
 *
 * @module
 */
import { BASE } from "../cli/ablate/methods.ts";
import type { Outcome } from "../cli/ablate/outcome.ts";
import { markdownOf, reportTables } from "../cli/ablate/tables.ts";
import { benchLine } from "./options.ts";

const line = benchLine({
  name: "deno run --allow-read bench/pooled.ts",
  does: "Prints the differences of methods over the warm starts of several comparisons.",
  values: { base: ["NAME", `the method that the others are compared with (default ${BASE})`] },
  rest: { name: "FILE", most: 100, words: "NAME.json of a comparison" },
});
const seen = new Map<number, string>(), outcomes: Outcome[] = [];
for (const file of line.rest) {
  const { report } = JSON.parse(Deno.readTextFileSync(file)) as { report: Outcome[] };
  for (const warm of new Set(report.map((outcome) => outcome.warm))) {
    const other = seen.get(warm);
    if (other !== undefined) throw line.error(`${file} and ${other} both have warm start ${warm}`);
    seen.set(warm, file);
  }
  outcomes.push(...report);
}
if (outcomes.length === 0) throw line.error("there is no FILE with outcomes");
const methods = [...new Set(outcomes.map(({ method }) => method))];
for (const table of reportTables(outcomes, { methods, rates: new Map(), bases: [line.text("base") ?? BASE], last: 1 })) {
  console.log(`${markdownOf(table)}\n`);
}
