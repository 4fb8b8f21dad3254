/**
 * Measures how well the scores and weights of AT-RL find the readings in the answers of a board model. It prints a table: for each score the area under the ROC curve
 * within answers and the share of readings among the anchors; for each choice of weights the area of W over all tokens, and the mean weight by class.
 * It has a choice of options of its own, or takes them as a list.
 *
 *   deno run --no-prompt --allow-read --allow-write=.cache --allow-run=c++,g++ --allow-env --allow-sys=systemMemoryInfo --allow-ffi bench/detection.ts FOLDER
 *     [--prompts=24] [--answers=4] [--tokens=96] [--seed=1000] [--board='{"filler":32}'] [--row=both] [--options='[{},{"threshold":0.1}]']
 *
 * FOLDER is a model folder, as runs/NAME/checkpoints/step-0.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- prints its result
import { visibleKeys } from "../actors/prompts.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { detectAtrl } from "../rl/atrl/detect.ts";
import { headAreas } from "../rl/atrl/head_ranking.ts";
import type { AtrlOptions } from "../rl/atrl/options.ts";
import { classReport } from "../rl/credit/class_report.ts";
import { Responses } from "../rl/credit/responses.ts";
import { Tensor } from "../tensor/tensor.ts";
import { sampledBoards } from "./board_answers.ts";

/** What is compared where no list is given. */
const VARIANTS: readonly Partial<AtrlOptions>[] = [
  ...(["connectivity", "peak", "entropy", "connectivity-entropy", "peak-entropy"] as const).flatMap((score) => [
    { score, own: 0 },
    { score, own: 0.5 },
    { score, own: 0.75 },
    { score, own: 1 },
  ]),
  { score: "connectivity", own: 0, clusterSize: 3 },
  { score: "peak", own: 0, clusterSize: 3 },
  { score: "peak", debias: "position" },
  { score: "peak-scaled" },
  { score: "peak-scaled", debias: "position" },
  ...[0, 0.75].flatMap((own) => [
    ...[0.05, 0.2, 0.4].map((threshold) => ({ own, threshold })),
    ...[0.1, 0.3, 1, 3].map((contrast) => ({ own, contrast })),
    { own, neighbourRule: "mutual" as const },
    { own, method: "modularity" as const },
  ]),
];

using device = CpuDevice.open();
using sampled = await sampledBoards(device, {
  name: "bench/detection.ts",
  does: "Measures how well the scores and weights of AT-RL find the readings in the answers of a board model.",
  own: ["options", "JSON", "a list of options of AT-RL that are compared, in place of the bench's own choice"],
});
const variants = sampled.own === undefined ? VARIANTS : JSON.parse(sampled.own) as readonly Partial<AtrlOptions>[];
const answers = sampled.boards.flatMap(({ completions, classes }) =>
  completions.map((completion, i) => ({ completion, classes: classes[i]! }))
);
const joined = (part: (answer: typeof answers[number]) => ArrayLike<number>) =>
  Float32Array.from(answers.flatMap((one) => Array.from(part(one))));
const regions = Math.max(...answers.map(({ completion }) => completion.regions!.regions));
using responses = Responses.of(device, answers.map(({ classes }) => classes.length));
using connectivity = Tensor.from(device, joined(({ completion }) => completion.connectivity!));
using profile = Tensor.from(device, joined(({ completion }) => completion.profile!), { shape: [responses.tokens, regions] });
using entropy = Tensor.from(device, joined(({ completion }) => completion.entropies));
const classes = joined(({ classes }) => classes), visual = answers.map(() => true), { offsets } = responses;
const visible = answers.map(({ completion }) => {
  const { visual, other } = visibleKeys(completion.regions!.region);
  return { visual, other: other + (sampled.row === "self" ? 1 : 0) }; // a token's own row sees one key more
});

/** The mean over answers of the area within an answer. The scores count as those of a single head. */
function areaWithin(scores: Float32Array): number {
  const each = answers.map(({ classes }, i) => ({ share: scores.subarray(offsets[i]!, offsets[i + 1]!), classes }));
  return headAreas(each, { layers: 1, heads: 1 })[0]!.auc;
}

console.log(`${answers.length} answers, ${responses.tokens} tokens`);
console.log(
  "| score | own | cluster size | other options | AUC of the score within answers | recall of anchors | AUC of W | W of readings | random | arithmetic | fixed | readings / random |",
);
console.log(`|${" --- |".repeat(12)}`);
for (const variant of variants) {
  using credit = detectAtrl(responses, { connectivity, profile, entropy, visual, visible }, variant);
  const { score: _score, own: _own, clusterSize: _size, ...others } = variant;
  const weights = credit.weights.toFloats(), scores = credit.scores.toFloats(), { score, own, clusterSize } = credit.options;
  const report = classReport({ offsets, classes, weights, scores, flags: Array.from(credit.flags.toArray(), Number) });
  const of = (name: string) => (report[`classes/${name}`] ?? NaN).toFixed(2),
    area = (name: string) => (report[`classes/${name}`] ?? NaN).toFixed(3);
  const ratio = (report["classes/weight_reading"]! / report["classes/weight_random"]!).toFixed(2);
  console.log(
    `| ${score} | ${own} | ${clusterSize} | ${Object.entries(others).map((pair) => pair.join(" ")).join(", ")} | ${
      areaWithin(scores).toFixed(3)
    } | ${of("anchor_recall")} | ${area("auc_weight")} | ${of("weight_reading")} | ${of("weight_random")} | ${of("weight_arithmetic")} | ${
      of("weight_fixed")
    } | ${ratio} |`,
  );
}
