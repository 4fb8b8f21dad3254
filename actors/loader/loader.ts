import sharp from "sharp";
import { BoardDataset, type BoardOptions } from "../../data/board/mod.ts";
import { openDataset, type OpenOptions } from "../../data/open.ts";
import { filePrints } from "../../data/file_print.ts";
import type { Dataset, Sample } from "../../data/sample.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Processor } from "../../model/processor/processor.ts";
import type { LoaderMessage, LoaderReplies, ReadyRow, Split } from "../messages.ts";
import { holdPrompt, promptMessage } from "../prompts.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";
import type { Behaviour, Start, Turn } from "../runtime/serve.ts";

/** The options that a loader is started with. */
export interface LoaderOptions {
  /** The folder of the tokenizer, template and image processor. */
  readonly model: string;
  /** The options of the built-in task. */
  readonly board: Partial<BoardOptions>;
  /** Files or hub ids, in place of the built-in task. */
  readonly files?: { readonly train: readonly string[]; readonly val: readonly string[]; readonly columns: Omit<OpenOptions, "onNote"> };
  readonly seed: number;
  readonly maxPromptLength: number;
  readonly overlongPrompts: "drop" | "error";
}

/** An event that a loader emits. */
export interface LoaderEvent {
  /** Something about the rows that a user should know. */
  readonly note: string;
}

const NO_ROWS: Dataset = {
  name: "no rows",
  size: 0,
  sample: (index) => Promise.reject(new RangeError(`Cannot read row ${index}: there are none`)),
};

/** Prepares rows: draws or reads them, resizes their pictures, and encodes their text. */
export class Loader implements Behaviour<LoaderMessage> {
  readonly #memory: ActorMemory;
  readonly #options: LoaderOptions;
  readonly #processor: Processor;
  readonly #datasets: Readonly<Record<Split, Dataset>>;

  private constructor({ memory, options }: Start<LoaderOptions>, datasets: Readonly<Record<Split, Dataset>>) {
    this.#memory = memory;
    this.#options = options;
    this.#processor = Processor.fromFolder(options.model);
    this.#datasets = datasets;
  }

  /** Opens the data. */
  static async open(start: Start<LoaderOptions>): Promise<Loader> {
    const { board, seed, files } = start.options, of = (split: Split) => new BoardDataset(board, { seed, split });
    if (!files) return new Loader(start, { train: of("train"), val: of("val"), warm: of("warm") });
    const columns: OpenOptions = { ...files.columns, onNote: (note) => start.emit({ note } satisfies LoaderEvent) };
    const train = await openDataset(files.train, columns);
    const val = files.val.length === 0 ? NO_ROWS : await openDataset(files.val, columns);
    return new Loader(start, { train, val, warm: train });
  }

  async handle(message: LoaderMessage, turn: Turn): Promise<LoaderReplies[LoaderMessage["type"]]> {
    if (message.type === "load") return await this.#load(message, turn);
    const { train, val, warm } = this.#datasets;
    if (message.type === "prints") return { train: await filePrints(train), val: await filePrints(val) };
    return { train: train.size, val: val.size, warm: warm.size };
  }

  async #load({ split, indices, images = 0 }: Extract<LoaderMessage, { type: "load" }>, turn: Turn): Promise<LoaderReplies["load"]> {
    const rows: ReadyRow[] = [], bad: { id: string; reason: string }[] = [], overlong: string[] = [];
    for (const [memory, index] of indices.entries()) {
      try {
        // deno-lint-ignore no-await-in-loop -- in order, and pictures one at a time
        const row = await this.#row(this.#datasets[split], index, { turn, answer: split === "warm", image: memory < images });
        if (typeof row === "string") overlong.push(row);
        else rows.push(row);
      } catch (error) {
        if (!(error instanceof KedgeError)) throw error;
        bad.push({ id: `${this.#datasets[split].name}:${index}`, reason: error.message });
      }
    }
    return { rows, bad, overlong };
  }

  async #row(dataset: Dataset, index: number, wanted: { turn: Turn; answer: boolean; image: boolean }): Promise<ReadyRow | string> {
    const sample = await dataset.sample(index), { tokenizer } = this.#processor, { maxPromptLength, overlongPrompts } = this.#options;
    const options = { row: sample.id, maxPromptTokens: maxPromptLength, overlong: overlongPrompts };
    const prompt = await this.#processor.prompt(sample.messages, options);
    if ("dropped" in prompt) return sample.id;
    const answer = wanted.answer && sample.demonstration !== undefined
      ? Int32Array.from([...tokenizer.encode(sample.demonstration, { special: "text" }), tokenizer.specialTokens.get("<|im_end|>")!])
      : undefined;
    const move = (tensor: Parameters<Turn["move"]>[0]) => wanted.turn.move(tensor), text = textOf(sample);
    return {
      id: sample.id,
      index,
      prompt: promptMessage(holdPrompt(this.#memory, sample.id, prompt), move),
      text,
      input: {
        truth: sample.truth,
        prompt: text,
        fields: sample.fields,
        ...(sample.options && { options: sample.options }),
      },
      ...(answer && { answer: move(hostTensor(this.#memory, answer)) }),
      ...(wanted.image && { image: await dataUrl(prompt.visuals[0]) }),
    };
  }
}

/** Returns the question's text, without its pictures. */
function textOf({ messages }: Sample): string {
  return messages.map(({ content }) =>
    typeof content === "string" ? content : content.map((part) => part.type === "text" ? part.text : "").join("")
  ).join("\n");
}

/** Returns a PNG of a visual's first frame, as the model sees it. */
async function dataUrl(visual: { grid: { h: number; w: number }; pixels: unknown } | undefined): Promise<string | undefined> {
  const pixels = visual?.pixels as { frames?: Uint8Array; count: number } | undefined;
  if (!pixels?.frames) return undefined;
  const side = Math.sqrt(pixels.frames.length / pixels.count / 3 / (visual!.grid.h * visual!.grid.w));
  const [height, width] = [visual!.grid.h * side, visual!.grid.w * side];
  const png = await sharp(pixels.frames.subarray(0, height * width * 3), { raw: { width, height, channels: 3 } }).png().toBuffer();
  return `data:image/png;base64,${png.toString("base64")}`;
}
