import "sharp"; // a library that a test loads counts as its leak
import { assert, assertEquals } from "@std/assert";
import { Engine } from "../../model/engine/engine.ts";
import { markedParts, type Message } from "../../model/processor/messages.ts";
import { newModelFolder } from "../../model/folder/new_model_folder.ts";
import { familyOf } from "../../model/families.ts";
import { presetConfig } from "../../model/config/presets.ts";
import { Processor } from "../../model/processor/processor.ts";
import { type Prompt, visualTokens } from "../../model/prompt.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { Tokenizer } from "../../model/processor/tokenizer.ts";
import { ROOT } from "../root.ts";
import { exists } from "../files.ts";
import { engineTest } from "./engine_fixture.ts";

const DATA = `${ROOT}/../shared/data/mathvision`, TOKENIZER = `${ROOT}/../shared/golden/qwen25_tokenizer`;
const IMAGE = "<|image_pad|>", VIDEO = "<|video_pad|>", START = "<|vision_start|>", END = "<|vision_end|>";
const MAX_PIXELS = 112 * 112; // few, for speed

interface Row {
  readonly id: string;
  readonly problem: string;
  readonly images: readonly string[];
}

const there = exists(DATA) && exists(TOKENIZER);
const skipped = (name: string) => Deno.test({ name: `${name} (skipped: ../shared is not there)`, ignore: true, fn: () => {} });

const rowsOf = (split: string) =>
  Deno.readTextFileSync(`${DATA}/${split}.jsonl`).trimEnd().split("\n").map((line) => JSON.parse(line) as Row);

function messagesOf(row: Row): Message[] {
  const images = row.images.map((path) => Deno.readFileSync(`${DATA}/${path}`));
  return [{ role: "user", content: markedParts(row.problem, { images, row: row.id }) }];
}

let loaded: Tokenizer | undefined;
const tokenizer = () => loaded ??= Tokenizer.fromFolder(TOKENIZER);
const id = (name: string) => tokenizer().specialTokens.get(name)!;

/** The text that a prompt's tokens are to be, written without the template. */
function expanded(row: Row, { visuals: [visual] }: Prompt): string {
  const picture = `<|vision_start|>${"<|image_pad|>".repeat(visualTokens(visual!.grid, 2))}<|vision_end|>`;
  const system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";
  return `${system}<|im_start|>user\n${row.problem.replace("<image>", picture)}<|im_end|>\n<|im_start|>assistant\n`;
}

async function checkAll(): Promise<void> {
  const rows = [...rowsOf("train"), ...rowsOf("test")];
  assertEquals(rows.length, 304);
  const processor = new Processor({ tokenizer: tokenizer(), maxPixels: MAX_PIXELS });
  const tokens = {
    image: id(IMAGE),
    video: id(VIDEO),
    visionStart: id(START),
    visionEnd: id(END),
    eos: [id("<|im_end|>")],
    bos: undefined,
    pad: undefined,
  };
  const config = presetConfig("tiny", { tokens, vocabSize: tokenizer().vocabSize });
  await Promise.all(rows.map(async (row) => {
    const prompt = await processor.prompt(messagesOf(row), { row: row.id, maxPromptTokens: 1024, overlong: "drop" });
    if ("dropped" in prompt) throw new Error(`row ${row.id} was dropped: ${prompt.dropped}`);
    const text = expanded(row, prompt), [visual] = prompt.visuals, { grid, pixels } = visual!;
    assertEquals([...prompt.tokens], [...tokenizer().encode(text)], row.id);
    assertEquals(processor.decode(prompt.tokens), text.normalize("NFC"), row.id);
    assertEquals([prompt.visuals.length, visual!.kind, grid.t], [1, "image", 1], row.id);
    assert(grid.h * grid.w * 14 ** 2 <= MAX_PIXELS, row.id);
    assertEquals("frames" in pixels && pixels.frames.length, grid.h * grid.w * 14 ** 2 * 3, row.id);
    assertEquals(familyOf(config).positions(prompt, config).axes[0].length, prompt.tokens.length, row.id);
  }));
}

const ALL = "all 304 problems and pictures become prompts whose placeholders are as many as their merged patches";
const ANSWERS = "a random model with the real tokenizer answers 16 of them";

if (!there) {
  skipped(ALL);
  skipped(ANSWERS);
} else {
  Deno.test(ALL, checkAll);

  engineTest(ANSWERS, async ({ device, random }) => {
    const folder = Deno.makeTempDirSync(), maxTokens = 8;
    try {
      newModelFolder(folder, { preset: "tiny", tokenizer: TOKENIZER, scheme: "fan-in", seed: random.integer(0, 2 ** 31) });
      const processor = Processor.fromFolder(folder, { maxPixels: MAX_PIXELS });
      using model = VisionLanguageModel.load(folder, { device });
      using engine = new Engine(model, { memoryBytes: 256 * 2 ** 20, maxSequences: 8, decode: (tokens) => processor.decode(tokens) });
      const rows = rowsOf("test").slice(0, 16);
      const prompts = await Promise.all(rows.map((row) => processor.prompt(messagesOf(row), { row: row.id })));
      const completions = (await engine.generate(prompts, { maxTokens, seed: random.integer(0, 2 ** 31) })).flat();
      assertEquals(completions.length, 16);
      const stops = model.config.tokens.eos, markers = [IMAGE, VIDEO, START, END].map(id);
      for (const { tokens, logprobs, entropies, finish } of completions) {
        const ended = stops.includes(tokens.at(-1)!);
        assertEquals(finish, ended ? "stop" : "length");
        assert(ended ? tokens.length <= maxTokens : tokens.length === maxTokens);
        assert(tokens.every((token) => token >= 0 && token < tokenizer().vocabSize && !markers.includes(token)));
        assert(logprobs.every((logprob) => Number.isFinite(logprob) && logprob <= 0));
        assert(entropies.every((entropy) => entropy >= 0 && entropy <= Math.log(tokenizer().vocabSize) + 1e-3));
        assertEquals(processor.decode(tokens), tokenizer().decode(tokens));
        assert(processor.decode(tokens).length > 0);
      }
      // The same words over another picture of the same size: what the model says hangs on what it sees.
      const prompt = prompts[0]!, visual = prompt.visuals[0]!;
      if (!("frames" in visual.pixels)) throw new Error("the picture came as patches");
      const inverted = { ...visual, pixels: { ...visual.pixels, frames: visual.pixels.frames.map((colour) => 255 - colour) } };
      const greedy = await engine.generate([prompt, { ...prompt, visuals: [inverted] }], { maxTokens: 1, temperature: 0 });
      const [seen, other] = greedy.map(([completion]) => completion!);
      assert(seen!.logprobs[0] !== other!.logprobs[0] || seen!.tokens[0] !== other!.tokens[0]);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  }, { cpuOnly: true });
}
