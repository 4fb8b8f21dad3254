import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type ColumnOptions, Columns, type RawRow } from "../../data/columns.ts";
import { JsonLinesDataset } from "../../data/json_lines.ts";
import { openDataset } from "../../data/open.ts";
import { type BadRow, readSample } from "../../data/quarantine.ts";
import { KedgeError } from "../../ffi/errors.ts";
import type { Part } from "../../model/processor/messages.ts";
import { assertSameBytes, exists } from "../files.ts";
import { ROOT } from "../root.ts";
import { inFolder, lines, shown, userParts } from "./rows.ts";

const DATA = `${ROOT}/../shared/data/mathvision`, PARQUET = `${DATA}/test-00000-of-00001.parquet`;

/** Compares parts like assertEquals, which is slow for pictures. */
function assertSameParts(actual: readonly Part[], expected: readonly Part[], what: string): void {
  assertEquals(actual.length, expected.length, what);
  for (const [i, part] of actual.entries()) {
    const other = expected[i]!;
    if (part.type === "image" && other.type === "image") {
      assert(part.image instanceof Uint8Array && other.image instanceof Uint8Array, what);
      assertSameBytes(part.image, other.image, what);
      assertEquals({ ...part, image: [] }, { ...other, image: [] }, what);
    } else assertEquals(part, other, what);
  }
}

Deno.test({
  name: `MATH-Vision's JSONL and Parquet give the same samples${exists(DATA) ? "" : " (skipped: ../shared is not there)"}`,
  ignore: !exists(DATA),
  fn: async () => {
    const options = { formatPrompt: "boxed", maxPixels: 112 * 112 };
    const [jsonl, parquet] = await Promise.all([openDataset(`${DATA}/test.jsonl`, options), openDataset(PARQUET, options)]);
    const all = (dataset: typeof jsonl) => Promise.all(Array.from({ length: dataset.size }, (_, i) => dataset.sample(i)));
    const [texts, binaries] = await Promise.all([all(jsonl), all(parquet)]);
    assertEquals([texts.length, binaries.length], [64, 48]);
    for (const [i, sample] of binaries.entries()) {
      const { id, truth, fields } = sample;
      const same = texts.find((other) => shown(other) === shown(sample));
      assert(same !== undefined, id);
      assertSameParts(userParts(sample), userParts(same), id);
      assertEquals([id, truth, fields], [`test-00000-of-00001.parquet:${i}`, same.truth, {}]);
      assertEquals(Object.keys(same.fields), ["id", "level", "subject"]);
    }
    assertEquals(userParts(texts[0]!).filter(({ type }) => type === "image").map((part) => "maxPixels" in part && part.maxPixels), [
      112 * 112,
    ]);
  },
});

const PICTURES = { "a.png": 1, "b.png": 2 };

/** Opens a data set of rows, with pictures a.png of byte 1 and b.png of byte 2 in images/. */
async function opened(folder: string, rows: readonly unknown[], options: ColumnOptions = {}): Promise<JsonLinesDataset> {
  Deno.mkdirSync(`${folder}/images`, { recursive: true });
  for (const [name, byte] of Object.entries(PICTURES)) Deno.writeFileSync(`${folder}/images/${name}`, new Uint8Array([byte]));
  Deno.writeTextFileSync(`${folder}/rows.jsonl`, lines(rows));
  return await JsonLinesDataset.open(`${folder}/rows.jsonl`, options);
}

Deno.test("pictures are put at their markers, at their numbers, or before the text", () =>
  inFolder(async (folder) => {
    const images = ["images/a.png", "images/b.png"], base = { answer: "A" };
    const rows = [
      { ...base, problem: "x <image> y <image>", images },
      { ...base, problem: "x <image2> y <image1> z <image2>", images },
      { ...base, problem: "x", images },
      { ...base, problem: "x <image2>", images },
      { ...base, problem: "x <image> (A) <image2>", images: "images/a.png" },
      { ...base, problem: "x", images: [{ path: "images/b.png" }, "data:image/png;base64,AwA="] },
      { ...base, problem: "x", images: null, videos: "images/a.png" },
    ];
    const dataset = await opened(folder, rows);
    const samples = await Promise.all(rows.map((_, i) => dataset.sample(i)));
    const expected = ["x [1] y [2]", "x [2] y [1] z <image2>", "[1][2]x", "[1]x [2]", "x [1] (A) <image2>", "[2][3]x", "[video a.png]x"];
    assertEquals(samples.map(shown), expected);
    assertEquals(samples[3]!.id, "rows.jsonl:3");
  }));

Deno.test("a path that leaves the folder is refused", () =>
  inFolder(async (folder) => {
    Deno.mkdirSync(`${folder}/data`);
    Deno.writeFileSync(`${folder}/secret.png`, new Uint8Array([9]));
    const paths = ["../secret.png", `${folder}/secret.png`, "images/../../secret.png", "."];
    const rows = paths.flatMap((path) => ["images", "videos"].map((key) => ({ problem: "x", answer: "1", [key]: path })));
    const dataset = await opened(`${folder}/data`, rows);
    const words = (i: number) =>
      i >= 2 && i < 4 ? `is an absolute path outside of ${folder}/data; add its folder to imageRoots` : "leaves the folder";
    const errors = await Promise.all(rows.map((_, i) => assertRejects(() => dataset.sample(i), KedgeError, words(i))));
    for (const [i, { code, message, details }] of errors.entries()) {
      const key = i % 2 === 0 ? "images" : "videos";
      assertEquals([code, details.row, details.key, details.id], ["BadData", i, key, `rows.jsonl:${i}`]);
      assert(message.includes(`row ${i} of ${folder}/data/rows.jsonl: its "${key}"`), message);
    }
    const wider = await JsonLinesDataset.open(`${folder}/data/rows.jsonl`, { imageDir: folder });
    await assertRejects(() => wider.sample(0), KedgeError, "leaves the folder");
    Deno.writeTextFileSync(`${folder}/data/wide.jsonl`, lines([{ problem: "x", answer: "1", images: "secret.png" }]));
    assertEquals(shown(await (await JsonLinesDataset.open(`${folder}/data/wide.jsonl`, { imageDir: folder })).sample(0)), "[9]x");
  }));

Deno.test("a link that leads out of the folder is refused", () =>
  inFolder(async (folder) => {
    Deno.mkdirSync(`${folder}/data`);
    Deno.writeFileSync(`${folder}/secret.png`, new Uint8Array([9]));
    const dataset = await opened(
      `${folder}/data`,
      ["images/out.png", "images/in.png"].map((images) => ({ problem: "x", answer: "1", images })),
    );
    const link = ([from, to]: string[]) => `Deno.symlinkSync(${JSON.stringify(from)}, ${JSON.stringify(`${folder}/data/images/${to}`)});`;
    const code = [[`${folder}/secret.png`, "out.png"], ["a.png", "in.png"]].map(link).join("");
    // making a link needs more permissions than tests have
    const { success } = await new Deno.Command("deno", { args: ["eval", code] }).output();
    assert(success);
    await assertRejects(() => dataset.sample(0), KedgeError, "leaves the folder");
    assertEquals(shown(await dataset.sample(1)), "[1]x");
  }));

Deno.test("a bad row's error names file, row and key; it ends reading, or the row is skipped and reported", () =>
  inFolder(async (folder) => {
    const rows: [row: unknown, key: string | undefined][] = [
      [{ answer: "1" }, "problem"],
      [{ problem: "", answer: "1" }, "problem"],
      [{ problem: "x" }, "answer"],
      [{ problem: "x", answer: {} }, "answer"],
      [{ problem: "x", answer: "1", options: "A B" }, "options"],
      [{ problem: "x <image>", answer: "1" }, "images"],
      [{ problem: "x <image>", answer: "1", images: ["images/a.png", "images/b.png"] }, "images"],
      [{ problem: "x", answer: "1", images: "images/none.png" }, "images"],
      [{ problem: "x", answer: "1", images: [7] }, "images"],
      [{ problem: "x <video>", answer: "1" }, "videos"],
      ["no object", undefined],
    ];
    const dataset = await opened(folder, rows.map(([row]) => row)), bad: BadRow[] = [];
    const read = (badRows: "stop" | "quarantine", i: number) => readSample(dataset, i, { badRows, onBad: (row) => bad.push(row) });
    const errors = await Promise.all(
      rows.map((_, i) => assertRejects(() => read("stop", i), KedgeError, `row ${i} of ${folder}/rows.jsonl`)),
    );
    assertEquals(errors.map(({ code, details }) => [code, details.key]), rows.map(([, key]) => ["BadData", key]));
    assertEquals(bad, []);
    for await (const sample of rows.map((_, i) => read("quarantine", i))) assertEquals(sample, undefined);
    const reported = bad.toSorted((a, b) => Number(a.id.split(":")[1]) - Number(b.id.split(":")[1]));
    assertEquals(reported, errors.map(({ message }, i) => ({ id: `rows.jsonl:${i}`, reason: message })));
    await assertRejects(() => read("quarantine", 99), RangeError, "99");
  }));

Deno.test("columns are named by options; choices, demonstration and other fields are kept", async () => {
  const values = {
    q: "2 + 2?",
    a: 4n,
    choices: ["3", 4],
    how: "It is B.",
    key: "k7",
    level: 3n,
    raw: new Uint8Array(1),
    picture: { bytes: new Uint8Array([5, 0]), path: null },
  };
  const row: RawRow = { file: "/x/a.parquet", name: "a.parquet", row: 2, values };
  const columns = new Columns({
    promptKey: "q",
    answerKey: "a",
    optionsKey: "choices",
    demonstrationKey: "how",
    idKey: "key",
    imageKey: "picture",
    systemPrompt: "Be brief.",
    formatPrompt: "Q: {content}\n{options}",
    minPixels: 784,
  });
  assertEquals(await columns.sample(row, { resolve: (path) => path }), {
    id: "a.parquet:k7",
    messages: [
      { role: "system", content: "Be brief." },
      {
        role: "user",
        content: [
          { type: "text", text: "Q: " },
          { type: "image", image: new Uint8Array([5, 0]), minPixels: 784 },
          { type: "text", text: "2 + 2?\n(A) 3\n(B) 4" },
        ],
      },
    ],
    truth: 4,
    options: ["3", "4"],
    demonstration: "It is B.",
    fields: { key: "k7", level: 3 },
  });
  const learning = new Columns({ promptKey: "q", demonstrationKey: "how" });
  assertEquals((await learning.sample(row, { resolve: (path) => path })).truth, "It is B.");
  assertThrows(() => new Columns({ formatPrompt: "boxes" }), RangeError, "{content}");
});

Deno.test("each instruction asks for what its format reward looks for", async () => {
  const row: RawRow = { file: "/x", name: "x", row: 0, values: { problem: "$& {content}", answer: "1" } };
  const ask = async (formatPrompt: string) => shown(await new Columns({ formatPrompt }).sample(row, { resolve: (path) => path }));
  const [none, boxed, thinkBoxed, thinkAnswer] = await Promise.all(["none", "boxed", "think_boxed", "think_answer"].map(ask));
  assertEquals(none, "$& {content}");
  for (const text of [boxed!, thinkBoxed!, thinkAnswer!]) assert(text.startsWith("$& {content}\n\n"));
  const has = (text: string) => ["\\boxed{", "<think>", "</think>", "<answer>", "</answer>"].map((word) => text.includes(word));
  assertEquals([boxed!, thinkBoxed!, thinkAnswer!].map(has), [
    [true, false, false, false, false],
    [true, true, true, false, false],
    [false, true, true, true, true],
  ]);
});

Deno.test("JSON lists and lines of any spacing give the same rows", () =>
  inFolder(async (folder) => {
    const rows = Array.from({ length: 30 }, (_, i) => ({ problem: `é "[{,}]\\\n${i}`, answer: [i, [i]][i % 2], note: [{ a: [] }] }));
    const write = (name: string, text: string) => {
      Deno.writeTextFileSync(`${folder}/${name}`, text);
      return `${folder}/${name}`;
    };
    const files = [
      write("a.jsonl", lines(rows)),
      write("b.jsonl", `\uFEFF\r\n${rows.map((row) => JSON.stringify(row)).join("\r\n \r\n")}`),
      write("c.json", JSON.stringify(rows)),
      write("d.json", ` \n${JSON.stringify(rows, null, 2)}\n`),
      write("e.json", lines(rows)),
    ];
    const datasets = await Promise.all(files.map((file) => openDataset(file)));
    const all = await Promise.all(
      datasets.map((dataset) => Promise.all(Array.from({ length: dataset.size }, (_, i) => dataset.sample(i)))),
    );
    const plain = (samples: typeof all[number]) => samples.map(({ messages, truth, fields }) => ({ messages, truth, fields }));
    assertEquals(all[0]!.map(shown), rows.map(({ problem }) => problem));
    for (const samples of all) assertEquals(plain(samples), plain(all[0]!));
    const joined = await openDataset(files.slice(0, 2));
    assertEquals([joined.size, (await joined.sample(31)).id, joined.name], [60, "b.jsonl:1", "a.jsonl + b.jsonl"]);
    const broken = ["[1,]", "[1", "[1] 2", "[,1]", "[]", ""].map((text, i) => write(`broken${i}.json`, text));
    await Promise.all(broken.map((file) => assertRejects(() => openDataset(file), KedgeError, file)));
    await assertRejects(() => openDataset(`${folder}/none.jsonl`), KedgeError, "none.jsonl");
    await assertRejects(() => openDataset(folder), KedgeError, "name the files in it");
    await assertRejects(() => openDataset([files[0]!, files[0]!]), RangeError, "twice");
  }));

Deno.test("files of the same name in two folders have distinct row ids", () =>
  inFolder(async (folder) => {
    for (const name of ["a", "b"]) {
      Deno.mkdirSync(`${folder}/${name}`);
      Deno.writeTextFileSync(`${folder}/${name}/rows.jsonl`, lines([{ problem: "x", answer: name }]));
    }
    const dataset = await openDataset(["a", "b"].map((name) => `${folder}/${name}/rows.jsonl`));
    assertEquals((await dataset.sample(0)).id, `${folder}/a/rows.jsonl:0`);
    assertEquals((await dataset.sample(1)).id, `${folder}/b/rows.jsonl:0`);
  }));
