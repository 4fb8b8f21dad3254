/**
 * Twenty rows of each format, in the form that its documentation describes, with the expected result. Each picture is a square of one
 * colour.
 *
 * @module
 */
import sharp from "sharp";
import type { FormatName } from "../../data/formats.ts";

/** The expected sample of a row. */
export interface Expected {
  /** The numbers of the pictures, in the prompt's order. */
  readonly pictures: readonly number[];
  /** The last user turn, with each picture as its number in brackets. */
  readonly asked: string;
  readonly truth: unknown;
  readonly demonstration?: string;
}

/** A row with the sample that it should give. */
export interface FormatRow {
  readonly row: Readonly<Record<string, unknown>>;
  readonly expected: Expected;
}

/** Questions about picture i, with their answers. */
const FACTS: readonly (readonly [question: string, answer: string])[] = [
  ["How many sides has the figure?", "3"],
  ["What is the length of AB?", "7.5"],
  ["Find x.", "\\frac{1}{2}"],
  ["Which month had the most rain?", "April"],
  ["What is the area of the square?", "49"],
  ["How many cups stand on the table?", "6"],
  ["What is the angle at B, in degrees?", "60"],
  ["What does the sign say?", "STOP"],
  ["Wie viele Punkte sind rot?", "12"],
  ["图中有多少个三角形?", "5"],
  ["What is the sum of both dice?", "9"],
  ["What is the perimeter?", "24 cm"],
  ["Which bar is the highest?", "C"],
  ["What is the value of f(0)?", "-1"],
  ["How much is one apple?", "$0.75"],
  ["What time does the clock show?", "4:30"],
  ["What is the ratio of red to blue?", "2:3"],
  ["How many faces has the solid?", "8"],
  ["What is the next number?", "21"],
  ["Is the point inside of the circle?", "yes"],
];

/** Rows of a file. */
export const ROWS = FACTS.length;

/** The colour of picture i. */
export function colourOf(i: number): [number, number, number] {
  return [10 + 12 * i, 250 - 11 * i, (37 * i + 5) % 256];
}

/** Picture i: a PNG of 28 x 28 pixels. */
export async function picture(i: number): Promise<Uint8Array<ArrayBuffer>> {
  const data = Uint8Array.from({ length: 28 * 28 * 3 }, (_, at) => colourOf(i)[at % 3]!);
  return new Uint8Array(await sharp(data, { raw: { width: 28, height: 28, channels: 3 } }).png().toBuffer());
}

const worked = (answer: string, i: number) =>
  [`The answer is \\boxed{${answer}}.`, `<think>I look.</think>\n<answer>${answer}</answer>`, answer][i % 3]!;

/** Writes row i in a format. `path` is the path of its picture beside the file. */
type Writer = (i: number, given: { path: string; bytes: Uint8Array; folder: string }) => FormatRow;
const base64 = (bytes: Uint8Array) => (bytes as Uint8Array<ArrayBuffer>).toBase64();
const dataUrl = (bytes: Uint8Array) => `data:image/png;base64,${base64(bytes)}`;

const easyr1: Writer = (i, { path, bytes, folder }) => {
  const [question, answer] = FACTS[i]!, expected = { pictures: [i], asked: `[${i}]${question}`, truth: answer as unknown };
  switch (i % 5) {
    case 0:
      return { row: { problem: `<image>${question}`, answer, images: [path] }, expected };
    case 1:
      return {
        row: { problem: question, answer: [answer, "another"], images: path },
        expected: { ...expected, truth: [answer, "another"] },
      };
    case 2:
      return {
        row: { problem: `${question} <image 1>`, answer, images: [base64(bytes)] },
        expected: { ...expected, asked: `${question} [${i}]` },
      };
    case 3:
      return { row: { problem: question, answer: i, images: [`${folder}/${path}`] }, expected: { ...expected, truth: i } };
    default:
      return {
        row: { problem: `<|image_1|>\n${question}`, answer: i > 10, image: { url: dataUrl(bytes) } },
        expected: { ...expected, asked: `[${i}]\n${question}`, truth: i > 10 },
      };
  }
};

const verl: Writer = (i, { path, bytes }) => {
  const [question, answer] = FACTS[i]!,
    system = { role: "system", content: "Answer briefly." },
    user = { role: "user", content: `<image>${question}` };
  return {
    row: {
      "data_source": i < 10 ? "charts" : "shapes",
      prompt: i % 4 === 0 ? [system, user] : [user],
      ability: "math",
      images: [i % 2 === 0 ? { bytes, path: null } : { bytes: null, path }],
      "reward_model": { style: "rule", "ground_truth": answer },
      "extra_info": { split: "train", index: i, question },
    },
    expected: { pictures: [i], asked: `[${i}]${question}`, truth: answer },
  };
};

const trl: Writer = (i, { path, bytes }) => {
  const [question, answer] = FACTS[i]!,
    text = { type: "text", text: question },
    expected = { pictures: [i], asked: `[${i}]${question}`, truth: answer };
  switch (i % 4) {
    case 0:
      return { row: { prompt: [{ role: "user", content: question }], image: path, solution: worked(answer, i) }, expected };
    case 1:
      return {
        row: { prompt: [{ role: "user", content: [{ type: "image" }, text] }], images: [dataUrl(bytes)], solution: answer },
        expected,
      };
    case 2:
      return {
        row: {
          prompt: [{ role: "user", content: [text, { type: "image" }] }],
          images: [path],
          completion: [{ role: "assistant", content: worked(answer, i) }],
        },
        expected: { ...expected, asked: `${question}[${i}]`, demonstration: worked(answer, i) },
      };
    default:
      return { row: { problem: question, solution: worked(answer, i), image: { bytes: base64(bytes), path: "a.png" } }, expected };
  }
};

const openai: Writer = (i, { path, bytes }) => {
  const [question, answer] = FACTS[i]!,
    said = worked(answer, i),
    text = { type: "text", text: question },
    assistant = { role: "assistant", content: said };
  const expected = { pictures: [i], asked: `[${i}]${question}`, truth: answer, demonstration: said };
  const image = [{ type: "image_url", image_url: { url: dataUrl(bytes) } }, { type: "image", image: path }, {
    type: "input_image",
    image_url: dataUrl(bytes),
  }, {
    type: "image_url",
    image_url: path,
  }][i % 4];
  const user = { role: "user", content: i % 2 === 0 ? [image, text] : [text, image] };
  const asked = i % 2 === 0 ? expected.asked : `${question}[${i}]`;
  if (i % 5 === 0) return { row: { messages: [user], answer }, expected: { pictures: [i], asked, truth: answer } };
  if (i % 5 === 1) {
    const before = [{ role: "developer", content: "Look well." }, user, { role: "assistant", content: "I see." }, {
      role: "user",
      content: "And?",
    }];
    return { row: { messages: [...before, assistant] }, expected: { ...expected, asked: "And?" } };
  }
  return {
    row: { messages: [{ role: "system", content: "Look well." }, user, { role: "assistant", content: [{ type: "text", text: said }] }] },
    expected: { ...expected, asked },
  };
};

const swift: Writer = (i, { path, bytes }) => {
  const [question, answer] = FACTS[i]!, said = worked(answer, i), other = (i + 1) % ROWS;
  const user = { role: "user", content: `<image>${question}` }, assistant = { role: "assistant", content: said };
  const expected = { pictures: [i], asked: `[${i}]${question}`, truth: answer, demonstration: said };
  if (i % 4 === 0) {
    return { row: { messages: [user], images: [path], solution: said }, expected: { pictures: [i], asked: expected.asked, truth: answer } };
  }
  if (i % 4 === 1) {
    const two = { role: "user", content: `<image>${question}<image>` }, images = [path, `images/${other}.png`];
    return {
      row: { messages: [two, assistant], images },
      expected: { ...expected, pictures: [i, other], asked: `[${i}]${question}[${other}]` },
    };
  }
  const image = i % 4 === 2 ? { bytes: base64(bytes), path: null } : path;
  return { row: { messages: [{ role: "system", content: "Look well." }, user, assistant], images: [image] }, expected };
};

const llava: Writer = (i, { path }) => {
  const [question, answer] = FACTS[i]!, said = worked(answer, i), id = `row-${i}`;
  const first = { from: "human", value: `<image>\n${question}` }, gpt = { from: "gpt", value: said };
  const expected = { pictures: [i], asked: `[${i}]\n${question}`, truth: answer, demonstration: said };
  if (i % 3 === 0) return { row: { id, image: path, conversations: [first, gpt] }, expected };
  if (i % 3 === 1) {
    const more = [{ from: "human", value: "Are you sure?" }, { from: "gpt", value: said }];
    return {
      row: { id, image: path, conversations: [first, { from: "gpt", value: "Let me see." }, ...more] },
      expected: { ...expected, asked: "Are you sure?" },
    };
  }
  return {
    row: { id, image: [path], conversations: [{ from: "human", value: `${question}\n<image>` }, gpt] },
    expected: { ...expected, asked: `${question}\n[${i}]` },
  };
};

const WRITERS: Readonly<Record<FormatName, Writer>> = { easyr1, verl, trl, openai, swift, llava };

/** Returns the rows of a format, in order. @param folder The file's folder, for absolute paths. */
export async function formatRows(name: FormatName, folder: string): Promise<FormatRow[]> {
  const rows = Array.from({ length: ROWS }, async (_, i) => WRITERS[name](i, { path: `images/${i}.png`, bytes: await picture(i), folder }));
  return await Promise.all(rows);
}

/** Returns the path of a format's file in a folder. */
export function formatFile(name: FormatName, folder: string): string {
  return `${folder}/${name}.${name === "verl" ? "parquet" : name === "llava" ? "json" : "jsonl"}`;
}

/**
 * Writes a file of every format into a folder, with the pictures beside them. The Parquet file of verl is in this repository:
 * tests/data/verl.parquet.
 */
export async function writeFormats(folder: string, names: readonly FormatName[]): Promise<Record<string, FormatRow[]>> {
  Deno.mkdirSync(`${folder}/images`, { recursive: true });
  await Promise.all(FACTS.map(async (_, i) => Deno.writeFileSync(`${folder}/images/${i}.png`, await picture(i))));
  const entries = await Promise.all(names.map(async (name) => {
    const rows = await formatRows(name, folder), path = formatFile(name, folder), values = rows.map(({ row }) => row);
    if (name === "verl") Deno.copyFileSync(new URL("./verl.parquet", import.meta.url), path);
    else Deno.writeTextFileSync(path, name === "llava" ? JSON.stringify(values) : values.map((row) => `${JSON.stringify(row)}\n`).join(""));
    return [name, rows] as const;
  }));
  return Object.fromEntries(entries);
}
