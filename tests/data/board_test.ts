import { assert, assertEquals, assertThrows } from "@std/assert";
import "sharp";
import {
  boardClasses,
  BoardDataset,
  type BoardOptions,
  type BoardProblem,
  boardProblem,
  CELL,
  COLOURS,
  GLYPHS,
  GROUND,
  newBoardModel,
  WORDS,
} from "../../data/board/mod.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { Processor } from "../../model/processor/processor.ts";
import { TOKEN_CLASSES } from "../../rl/credit/token_classes.ts";
import { gradeNumber } from "../../verify/mod.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

const problems = (options: Partial<BoardOptions>, split: "train" | "val" | "warm", count: number) =>
  Array.from({ length: count }, (_, index) => boardProblem(options, { seed: 5, split, index }));

Deno.test("a problem depends only on options, seed, split and index", () => {
  for (const split of ["train", "val", "warm"] as const) {
    const place = { seed: 9, split, index: 12345 };
    assertEquals(boardProblem({}, place), boardProblem({}, place));
    assert(boardProblem({}, place).picture.data.some((x, i) => x !== boardProblem({}, { ...place, seed: 10 }).picture.data[i]));
  }
});

Deno.test("no picture occurs in two splits, or twice in one", () => {
  const seen = new Set<string>();
  for (const split of ["train", "val", "warm"] as const) {
    for (const { picture } of problems({}, split, 400)) seen.add(picture.data.subarray(0, 600).join());
  }
  assertEquals(seen.size, 1200);
});

/** Reads a picture by matching every glyph at every position: colour and digit by cell. */
function readPicture({ picture: { data, width } }: BoardProblem): string[] {
  const found: string[] = [], side = width / CELL;
  for (let cell = 0; cell < side * side; cell++) {
    const [left, top] = [cell % side * CELL, Math.floor(cell / side) * CELL];
    const pixel = (x: number, y: number, c: number) => data[((top + y) * width + left + x) * 3 + c]!;
    const far = (x: number, y: number) => [0, 1, 2].reduce((sum, c) => sum + (pixel(x, y, c) - GROUND[c]!) ** 2, 0) > 60 ** 2;
    const ink = Array.from({ length: CELL * CELL }, (_, i) => far(i % CELL, Math.floor(i / CELL)));
    if (ink.filter(Boolean).length < 20) continue;
    let best = { score: -Infinity, digit: -1 };
    for (const [digit, rows] of GLYPHS.entries()) {
      for (let y = 0; y <= CELL - 21; y++) {
        for (let x = 0; x <= CELL - 15; x++) {
          let score = 0;
          for (let i = 0; i < CELL * CELL; i++) {
            const [u, v] = [Math.floor((i % CELL - x) / 3), Math.floor((Math.floor(i / CELL) - y) / 3)];
            const lit = u >= 0 && u < 5 && v >= 0 && v < 7 && (rows[v]! >> (4 - u) & 1) === 1;
            score += lit === ink[i] ? 1 : -1;
          }
          if (score > best.score) best = { score, digit };
        }
      }
    }
    const mean = [0, 1, 2].map((c) => {
      const own = ink.flatMap((lit, i) => lit ? [pixel(i % CELL, Math.floor(i / CELL), c)] : []);
      return own.reduce((a, b) => a + b, 0) / own.length;
    });
    const distance = (rgb: readonly number[]) => rgb.reduce((sum, x, c) => sum + (x - mean[c]!) ** 2, 0);
    const [colour] = Object.keys(COLOURS).sort((a, b) => distance(COLOURS[a]!) - distance(COLOURS[b]!));
    found.push(`${cell} ${colour} ${best.digit}`);
  }
  return found;
}

Deno.test("a picture shows its figures, and the answer follows from them", () => {
  for (const problem of problems({}, "train", 12)) {
    const figures = problem.figures.toSorted((a, b) => a.cell - b.cell).map(({ cell, colour, digit }) => `${cell} ${colour} ${digit}`);
    assertEquals(readPicture(problem), figures, problem.id);
    const [a, b] = problem.asked.map((colour) => problem.figures.find((figure) => figure.colour === colour)!.digit);
    assertEquals(problem.truth, `${a! + b!}`);
  }
});

Deno.test("a demonstration is right, and in the warm start as often as configured", () => {
  const right = (all: BoardProblem[]) =>
    all.filter(({ demonstration, truth }) => gradeNumber({ response: demonstration, truth }).score === 1).length / all.length;
  assertEquals(right(problems({}, "train", 200)), 1);
  const warm = problems({ describe: 0, wrongReadings: 0.5 }, "warm", 1000);
  // Both readings are right in 1/4 of the cases; both are wrong with the same sum in about 2 %.
  assert(Math.abs(right(warm) - 0.27) < 0.06, `${right(warm)}`);
  assertEquals(right(problems({ describe: 0, wrongReadings: 0 }, "warm", 100)), 1);
});

Deno.test("filler adds random words before the sentences of an answer, and changes nothing else", () => {
  const plain = problems({ describe: 0 }, "warm", 40),
    histogram = (text: string) => {
      const tokens = text.split(/(?= )/), classes = boardClasses({ tokens, text, truth: "", fields: {} });
      return Object.fromEntries(TOKEN_CLASSES.map((name) => [name, classes.filter((one) => one === name).length]));
    };
  assertEquals(problems({ describe: 0, filler: 0 }, "warm", 40), plain);
  const seen = new Set<string>();
  for (const filler of [1, 5, 12]) {
    for (const [i, { demonstration, ...rest }] of problems({ describe: 0, filler }, "warm", 40).entries()) {
      const { demonstration: before, ...base } = plain[i]!, { random, ...others } = histogram(before);
      assertEquals(rest, base);
      assertEquals(histogram(demonstration), { random: random! + filler, ...others });
      const sentences = demonstration.split(/(?<= \.)/).map((text) => text.split(/(?= )/)), old = before.split(/(?<= \.)/);
      for (const [at, words] of sentences.entries()) {
        const further = Math.ceil((filler - at) / 5);
        assertEquals(words.slice(further).join(""), old[at]);
        for (const word of words.slice(0, further)) seen.add(word);
      }
    }
  }
  assert(seen.size > 25 && !seen.has(" is") && [...seen].every((word) => WORDS.includes(word.slice(1))), `${seen.size} words`);
  const descriptions = (filler: number) => problems({ describe: 1, filler }, "warm", 5);
  assertEquals(descriptions(9), descriptions(0));
  for (const filler of [-1, 0.5]) assertThrows(() => boardProblem({ filler }, { seed: 1, split: "val", index: 0 }), RangeError, "filler");
});

Deno.test("classes of a board's answers, grammatical or not", () => {
  const signs = { reading: "R", arithmetic: "A", random: "~", fixed: "-" };
  const classesOf = (text: string) => {
    const tokens = text.split(/(?= )|(?=<)/);
    return boardClasses({ tokens, text, truth: "", fields: {} }).map((name) => signs[name]).join("");
  };
  const chain = " okay , i peek at it . i find red 5 there . also i find blue 3 here . so , 5 plus 3 is 8 . answer is 8<|im_end|>";
  assertEquals(classesOf(chain), "~--~-~-" + "-~-R~-" + "~-~-R~-" + "~-AAA~A-" + "--A-");
  assertEquals(classesOf(" red 5 5 red plus 5 is is 5 is"), "-RA-AA~-A-");
  assertEquals(classesOf(" red -9 blue 18 empty minus -3 equals"), "-R-R-AA~");
  assertEquals(classesOf(" what is the green 7"), "----R");
  assertEquals(classesOf("5 red5 constructor 5 constructor"), "---A-");
});

Deno.test("harder boards: differences, held-out colours, sizes, more cells", () => {
  const options = { side: 4, digits: 5, differences: 1, heldOut: ["red"], sizes: [2, 3], jitter: 6, dropped: 0.1, describe: 0 };
  for (const problem of problems(options, "warm", 100)) {
    assertEquals(problem.picture.width, 112);
    assert(!problem.asked.includes("red") || problem.kind === "description", problem.question);
  }
  const train = problems(options, "train", 200);
  assert(train.some(({ asked }) => asked.includes("red")) && train.some(({ truth }) => Number(truth) < 0));
});

Deno.test("each word is one token, and a prompt has a token for each cell", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    newBoardModel(`${folder}/model`, { seed: 1 });
    const processor = Processor.fromFolder(`${folder}/model`), { tokenizer } = processor;
    for (const word of WORDS) assertEquals(tokenizer.encode(` ${word}`).length, 1, word);
    const { messages, demonstration } = await new BoardDataset({}, { seed: 1, split: "train" }).sample(3);
    const prompt = await processor.prompt(messages);
    assertEquals(prompt.tokens.filter((id) => id === tokenizer.specialTokens.get("<|image_pad|>")).length, 9);
    assertEquals(tokenizer.decode(tokenizer.encode(demonstration!)), demonstration);
    assertEquals(tokenizer.encode(demonstration!).length, demonstration!.trim().split(" ").length);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
