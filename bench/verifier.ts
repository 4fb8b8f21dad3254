/**
 * Compares the verifier with the official verdicts on 912 answers to MATH-Vision questions, and measures how fast it grades, in this
 * process and through the pool. With `--write` it rewrites the table of disagreements in docs/verifier.md.
 *
 *   deno run --allow-read --allow-run=deno --allow-env=HOME,DENO_DIR,PATH [--allow-write=docs] bench/verifier.ts [--write] [--golden=FILE]
 *
 * @module
 */
import { gradeMath, GraderPool, planReward, type RewardInput } from "../verify/mod.ts";
import { benchLine } from "./options.ts";
import { Report } from "./report.ts";

interface Row {
  model: string;
  id: string;
  response: string;
  answer: string;
  options: string[];
  "official_correct": boolean;
}

/** Judgements on the disagreements. A person looked at each of them. */
const UNIT = "Kedge: the choice's own text with its unit, which the official comparison cannot parse";
const LABEL = "Kedge: the right letter, with the choice's text after it";
const JUDGEMENTS: Readonly<Record<string, string>> = {
  "Gemini-Pro-CoT 270": "Kedge: the chain ends in the right choice's value",
  "Gemini-Pro-CoT 748": UNIT,
  "Gemini-Pro-CoT 1547": LABEL,
  "Gemini-Pro-CoT 1564": LABEL,
  "Qwen-VL-Max-CoT 319": UNIT,
  "Qwen-VL-Max-CoT 390": LABEL,
  "Qwen-VL-Max-CoT 1113": UNIT,
  "Qwen-VL-Max-CoT 1168": UNIT,
  "Qwen-VL-Max-CoT 1222": LABEL,
  "Qwen-VL-Max-CoT 1355": LABEL,
  "Qwen-VL-Max-CoT 1512": UNIT,
  "Qwen-VL-Max-CoT 1546": UNIT,
  "InternLM-XComposer2-VL-CoT 53": "Kedge: the right letter in \\textbf, which the official extraction leaves there",
  "InternLM-XComposer2-VL-CoT 1284":
    "open: the box holds a value that is no choice, the sentence after it names the right letter; the official grader takes the box, Kedge the letter",
  "InternLM-XComposer2-VL-CoT 2565": "Kedge: the choice's own text, a word",
  "InternLM-XComposer2-VL-CoT 2757": "Kedge: the right letter in \\text within a box",
};

const line = benchLine({
  name: "deno task bench:verifier",
  does: "Compares the verifier with the official verdicts on 912 answers to MATH-Vision questions, and measures how fast it grades.",
  values: { golden: ["FILE", "the answers with their verdicts, JSONL"] },
  flags: { write: "rewrites the table of disagreements in docs/verifier.md" },
});
const golden = line.path("golden", "file") ?? new URL("../../shared/golden/verifier/mathvision_responses.jsonl", import.meta.url);
const rows = Deno.readTextFileSync(golden).trim().split("\n").map((line) => JSON.parse(line) as Row);
const inputOf = ({ response, answer, options }: Row): RewardInput => ({ response, truth: answer, options });

const scored = rows.map((row) => ({ row, score: gradeMath(inputOf(row)), lenient: gradeMath(inputOf(row), { units: "optional" }) }));
const agreement = new Report("agreement with the official verdicts", { answers: rows.length });
const share = (part: number, whole: number) => `${part} / ${whole} = ${(100 * part / whole).toFixed(2)} %`;
for (const model of [...new Set(rows.map((row) => row.model)), "all"]) {
  const of = scored.filter(({ row }) => model === "all" || row.model === model);
  agreement.row({
    model,
    agree: share(of.filter(({ row, score }) => (score.score === 1) === row.official_correct).length, of.length),
    "only official right": of.filter(({ row, score }) => row.official_correct && score.score !== 1).length,
    "only Kedge right": of.filter(({ row, score }) => !row.official_correct && score.score === 1).length,
    "agree, units optional": share(of.filter(({ row, lenient }) => (lenient.score === 1) === row.official_correct).length, of.length),
  });
}
agreement.print();

const cell = (text: string) => `\`${text.replaceAll("\n", " ").replaceAll("|", "\\|").replaceAll("`", "'")}\``;
const disagreements = scored.filter(({ row, score }) => (score.score === 1) !== row.official_correct).map(({ row, score }) => {
  const choice = row.options[row.answer.charCodeAt(0) - 65];
  const truth = choice === undefined || choice === row.answer ? cell(row.answer) : `${cell(row.answer)}: ${cell(choice)}`;
  const given = cell(score.answer ?? row.response.slice(-60));
  const verdict = JUDGEMENTS[`${row.model} ${row.id}`] ?? "not looked at";
  return `| ${row.model} | ${row.id} | ${truth} | ${given} | ${row.official_correct ? "right" : "wrong"} | ${score.score} | ${verdict} |`;
});
const table = [
  `${share(rows.length - disagreements.length, rows.length)} agree. The others:`,
  "",
  "| model | question | truth | answer | official | Kedge | who is right |",
  "|---|---|---|---|---|---|---|",
  ...disagreements,
  "",
  "Where units are required, these are wrong to both, though a reader would take them:",
  "",
  "| model | question | truth | answer |",
  "|---|---|---|---|",
  ...scored.filter(({ score, lenient }) => score.score !== 1 && lenient.score === 1).map(({ row, score }) =>
    `| ${row.model} | ${row.id} | ${cell(row.answer)}: ${cell(row.options[row.answer.charCodeAt(0) - 65]!)} | ${cell(score.answer!)} |`
  ),
  "",
  `With \`units: "optional"\` ${
    share(scored.filter(({ row, lenient }) => (lenient.score === 1) === row.official_correct).length, rows.length)
  } agree.`,
].join("\n");
if (line.flag("write")) {
  const path = new URL("../docs/verifier.md", import.meta.url), begin = "<!-- begin: bench/verifier.ts -->\n", end = "\n<!-- end -->";
  const text = Deno.readTextFileSync(path), from = text.indexOf(begin), to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new RangeError(`Cannot write the table: docs/verifier.md lacks ${begin.trim()} or ${end.trim()}`);
  Deno.writeTextFileSync(path, text.slice(0, from + begin.length) + table + text.slice(to));
} else Deno.stdout.writeSync(new TextEncoder().encode(`${table}\n`));

const inputs = Array.from({ length: 5 }, () => rows.map(inputOf)).flat();
const speed = new Report("graded answers a second", { answers: inputs.length, cores: navigator.hardwareConcurrency });
const perSecond = (start: number) => Math.round(1_000 * inputs.length / (performance.now() - start));
let start = performance.now();
for (const input of inputs) gradeMath(input);
speed.row({ where: "this process", "answers/s": perSecond(start) });
for (const workers of [1, 2]) {
  const loading = performance.now();
  await using pool = new GraderPool(planReward("math", import.meta.url), { workers });
  // deno-lint-ignore no-await-in-loop -- one pool after the other
  await pool.grade(inputs.slice(0, 64));
  const loaded = performance.now() - loading;
  start = performance.now();
  // deno-lint-ignore no-await-in-loop -- as above
  const graded = await pool.grade(inputs);
  speed.row({ where: `pool of ${workers}`, "answers/s": perSecond(start), "start, ms": Math.round(loaded) });
  if (graded.some(({ overall }, i) => overall !== graded[i % rows.length]!.overall)) {
    throw new Error("the pool's verdicts differ from each other");
  }
}
speed.print();
