/**
 * Answers of a board model with the class of each token, for benches that measure how well something tells readings.
 *
 * @module
 */
import { boardClasses, BoardDataset, type BoardOptions } from "../data/board/mod.ts";
import type { Device } from "../ffi/device.ts";
import type { Completion } from "../model/engine/completion.ts";
import { Engine } from "../model/engine/engine.ts";
import { MEASURED_ROWS, type MeasuredRow } from "../model/measured_row.ts";
import { VisionLanguageModel } from "../model/model.ts";
import { Processor } from "../model/processor/processor.ts";
import type { Prompt } from "../model/prompt.ts";
import { TOKEN_CLASSES } from "../rl/credit/token_classes.ts";
import { benchLine } from "./options.ts";

/** The values of the command line that say which answers are sampled. */
const VALUES = {
  prompts: ["N", "boards (default 24)"],
  answers: ["N", "answers to each (default 4)"],
  tokens: ["N", "longest answer (default 96)"],
  seed: ["N", "of boards and answers (default 1000)"],
  board: ["JSON", 'options of the board task, as {"filler":32}'],
  row: ["NAME", `the row of attention: ${MEASURED_ROWS.join(", ")} (default predict)`, MEASURED_ROWS],
} as const;

/** A board with the answers to it. */
export interface BoardAnswers {
  readonly prompt: Prompt;
  readonly completions: readonly Completion[];
  /** [answers][tokens]: indices into `TOKEN_CLASSES`. */
  readonly classes: readonly Int32Array<ArrayBuffer>[];
}

/** A model with its answers. It must be freed. */
export interface SampledBoards extends Disposable {
  /** The row of attention that was measured. */
  readonly row: MeasuredRow;
  /** The value of an option that the bench itself has. */
  readonly own: string | undefined;
  readonly model: VisionLanguageModel;
  readonly boards: readonly BoardAnswers[];
}

/**
 * Reads a bench's command line, loads its model, and samples answers to boards with connectivity, profile and entropy.
 *
 * @param bench `name`, `does`: what `--help` says; `own`: the name, placeholder and description of an option that the bench itself has.
 */
export async function sampledBoards(
  device: Device,
  { own, ...bench }: { name: string; does: string; own?: readonly [name: string, value: string, words: string] },
): Promise<SampledBoards> {
  const line = benchLine<string>({
    ...bench,
    values: { ...VALUES, ...(own && { [own[0]]: [own[1], own[2]] as const }) },
    rest: { name: "FOLDER", most: 1, words: "the model" },
  });
  const row = line.choice("row", MEASURED_ROWS) ?? "predict", folder = line.rest[0] ?? "", seed = line.number("seed") ?? 1000;
  const data = new BoardDataset(JSON.parse(line.text("board") ?? "{}") as Partial<BoardOptions>, { seed, split: "train" });
  const model = VisionLanguageModel.load(folder, { device, frozen: "all" }), processor = Processor.fromFolder(folder);
  using engine = new Engine(model);
  const rows = await Promise.all(Array.from({ length: line.number("prompts") ?? 24 }, (_, i) => data.sample(i)));
  const prompts = await Promise.all(rows.map(({ messages }) => processor.prompt(messages)));
  const sampling = { n: line.number("answers") ?? 4, maxTokens: line.number("tokens") ?? 96, seed, connectivity: { row } };
  const completions = await engine.generate(prompts, sampling);
  const classesOf = ({ tokens }: Completion) => {
    const texts = Array.from(tokens, (id) => processor.tokenizer.decode([id]));
    return Int32Array.from(
      boardClasses({ tokens: texts, text: texts.join(""), truth: "", fields: {} }),
      (name) => TOKEN_CLASSES.indexOf(name),
    );
  };
  return {
    model,
    row,
    own: own && line.text(own[0]),
    boards: prompts.map((prompt, i) => ({ prompt, completions: completions[i]!, classes: completions[i]!.map(classesOf) })),
    [Symbol.dispose]: () => model[Symbol.dispose](),
  };
}
