import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import sharp from "sharp";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { FORMAT_NAMES, FORMATS } from "../../data/formats.ts";
import { openDataset, type OpenOptions } from "../../data/open.ts";
import type { Sample } from "../../data/sample.ts";
import { KedgeError } from "../../ffi/errors.ts";
import type { Part } from "../../model/processor/messages.ts";
import { Lines } from "../../actors/run/lines.ts";
import { littleConfig, littleRun, logged } from "../actors/little_run.ts";
import { withModel } from "../cli/model.ts";
import { colourOf, formatFile, formatRows, picture, ROWS, writeFormats } from "./format_rows.ts";
import { inFolder, userParts } from "./rows.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

/** Makes a function that returns the number of a picture from its bytes. */
async function numbers(): Promise<(bytes: unknown) => number> {
  const all = await Promise.all(Array.from({ length: ROWS }, async (_, i) => String(await picture(i))));
  return (bytes) => all.indexOf(String(bytes));
}

const parts = (sample: Sample): readonly Part[] =>
  sample.messages.flatMap(({ content }): readonly Part[] => typeof content === "string" ? [] : content);
const all = async (path: string, options?: OpenOptions) => {
  const dataset = await openDataset(path, options);
  return await Promise.all(Array.from({ length: dataset.size }, (_, i) => dataset.sample(i)));
};

Deno.test("twenty rows of every format are recognised: picture, text, truth, demonstration, further fields", () =>
  inFolder(async (folder) => {
    const rows = await writeFormats(folder, FORMAT_NAMES), number = await numbers();
    const seen = (part: Part) => part.type === "text" ? part.text : part.type === "image" ? `[${number(part.image)}]` : "[video]";
    for await (const name of FORMAT_NAMES) {
      const notes: string[] = [], path = formatFile(name, folder), samples = await all(path, { onNote: (note) => notes.push(note) });
      assertEquals(samples.length, ROWS, name);
      assertEquals(notes, [`${path.split("/").at(-1)}: rows of ${FORMATS.find((format) => format.name === name)!.says}`]);
      for (const [i, sample] of samples.entries()) {
        const { expected } = rows[name]![i]!, pictures = parts(sample).filter(({ type }) => type === "image").map(seen);
        assertEquals(
          { pictures, asked: userParts(sample).map(seen).join(""), truth: sample.truth, demonstration: sample.demonstration },
          {
            pictures: expected.pictures.map((n) => `[${n}]`),
            asked: expected.asked,
            truth: expected.truth,
            demonstration: expected.demonstration,
          },
          `${name} ${i}`,
        );
      }
      assertEquals(await all(path, { format: name }), samples, "a format that is named is read like one that is recognised");
    }
    const [sample] = await all(formatFile("verl", folder));
    assertEquals(sample!.messages[0], { role: "system", content: [{ type: "text", text: "Answer briefly." }] });
    assertEquals(sample!.fields, {
      "data_source": "charts",
      ability: "math",
      "reward_model": { style: "rule" },
      "extra_info": { split: "train", index: 0, question: "How many sides has the figure?" },
    });
    const [brief] = await all(formatFile("verl", folder), {
      systemPrompt: "Be exact.",
      idKey: "extra_info.index",
      answerKey: "extra_info.question",
    });
    assertEquals([brief!.messages[0]!.content, brief!.id, brief!.truth], ["Be exact.", "verl.parquet:0", "How many sides has the figure?"]);
  }));

Deno.test("verl's Parquet file holds the rows that the others are compared with", async () => {
  const rows = await formatRows("verl", "/"), dataset = await openDataset(new URL("./verl.parquet", import.meta.url).pathname);
  assertEquals(dataset.size, rows.length);
});

Deno.test("every format is trained on for two steps and evaluated, each row with its picture and its truth", () =>
  withModel(async (folder) => {
    const rows = await writeFormats(`${folder}/data`, FORMAT_NAMES), notes: string[] = [];
    const paths = FORMAT_NAMES.map((name) => formatFile(name, `${folder}/data`)), count = ROWS * FORMAT_NAMES.length;
    const config = littleConfig(folder, [
      `model.path=${folder}/model`,
      "data.task=files",
      "sft=null",
      `data.trainFiles=${JSON.stringify(paths)}`,
      `data.valFiles=${JSON.stringify(paths)}`,
      `data.rolloutBatchSize=${count / 2}`,
      "data.maxResponseLength=2",
      "rollout.n=2",
      "trainer.maxSteps=2",
      `val.limit=${count}`,
      `logging.rolloutSamples=${count}`,
      "batch.microTokens=4096",
    ]);
    const { step } = await littleRun(config, { onEvent: (event) => event.kind === "note" && notes.push(event.text) });
    assertEquals([step, notes.filter((note) => note.includes(": rows of ")).length], [2, 2 * FORMAT_NAMES.length]); // to train and to evaluate
    const run = `${folder}/board`, steps = logged(run).filter((line) => "reward/overall" in line);
    assertEquals(steps.map((line) => [line["data/bad"], line["data/overlong"], line["reward/failures"]]), [[0, 0, 0], [0, 0, 0]]);
    assertEquals(logged(run).findLast((line) => "val/dropped" in line)!["val/dropped"], 0);
    const lines = new Lines(`${run}/rollouts.jsonl`).read().filter((line) => "image" in line), seen = new Set<string>();
    for await (const line of lines) {
      const [, name, i] = /^(\w+)\.\w+:(\d+)$/u.exec(line["prompt_id"] as string)!, { expected } = rows[name!]![Number(i)]!;
      seen.add(line["prompt_id"] as string);
      assertEquals(line["truth"], expected.truth, line["prompt_id"] as string);
      const png = Uint8Array.fromBase64((line["image"] as string).split(",")[1]!);
      const { data } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
      assertEquals([...data.subarray(0, 3)], colourOf(expected.pictures[0]!), line["prompt_id"] as string);
    }
    assertEquals(seen.size, count, "every row was trained on, with its picture");
  }));

Deno.test("rows with assistant turns serve as demonstrations without a column for them", () =>
  withModel(async (folder) => {
    await writeFormats(`${folder}/data`, ["llava"]);
    const sets = [`model.path=${folder}/model`, "data.task=files", `data.trainFiles=${formatFile("llava", `${folder}/data`)}`];
    const config = littleConfig(folder, [...sets, 'sft={"steps":2,"batchSize":10,"warmupSteps":1}', 'reward={"use":"exact"}']);
    await littleRun(config, { warmStartOnly: true });
    const losses = logged(`${folder}/board`).map((line) => line["sft/loss"] as number);
    assert(losses.length === 2 && losses.every((loss) => loss > 1), `${losses}`);
  }));

Deno.test("errors name what a conversation must not contain", () =>
  inFolder(async (folder) => {
    const user = { role: "user", content: "x" };
    const rows: [messages: unknown, words: string][] = [
      [[{ role: "tool", content: "x" }, user], 'has a turn 0 of the role "tool"'],
      [[{ role: "system", content: "x" }], "has no turn of the user"],
      [[user, { role: "assistant", content: "" }], "has an answer without words"],
      [[{ role: "user", content: [{ type: "audio", audio: "a.wav" }] }], 'has a part of the type "audio" in its turn 0'],
      [[user, { role: "assistant", content: [{ type: "image", image: "a.png" }] }], "holds a picture: answers are texts"],
      [[{ role: "user", content: [{ type: "image" }] }], "the text has 1 marker for images"],
    ];
    Deno.writeTextFileSync(`${folder}/a.jsonl`, rows.map(([messages]) => `${JSON.stringify({ messages, answer: "1" })}\n`).join(""));
    const dataset = await openDataset(`${folder}/a.jsonl`);
    await Promise.all(rows.map(async ([, words], i) => {
      const { message } = await assertRejects(() => dataset.sample(i), KedgeError, words);
      assert(message.startsWith(`Cannot read row ${i} of ${folder}/a.jsonl: its "`), message);
    }));
    await assertRejects(() => openDataset(`${folder}/a.jsonl`, { format: "verls" as "verl" }), RangeError, "choose auto, easyr1, verl");
    assertThrows(() => littleConfig(folder, ["data.format=verls"]), RangeError, "data.format");
  }));
