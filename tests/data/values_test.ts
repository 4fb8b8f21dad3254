import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ColumnOptions } from "../../data/columns.ts";
import { openDataset } from "../../data/open.ts";
import type { FileOptions } from "../../data/json_lines.ts";
import { fetchPicture } from "../../data/remote.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { gradeChoice, gradeExact, gradeMath, gradeNumber } from "../../verify/mod.ts";
import { TINY_PNG } from "../actors/tiny_png.ts";
import type { Sample } from "../../data/sample.ts";
import type { ImageSource } from "../../model/processor/messages.ts";
import { inFolder, lines, shown, userParts } from "./rows.ts";

/** Reads rows in a folder with pictures a.png of byte 1 and b.png of byte 2. */
async function read(folder: string, rows: readonly unknown[], options: FileOptions = {}) {
  for (const [name, byte] of [["a", 1], ["b", 2]] as const) Deno.writeFileSync(`${folder}/${name}.png`, new Uint8Array([byte]));
  Deno.writeTextFileSync(`${folder}/rows.jsonl`, lines(rows));
  return await openDataset(`${folder}/rows.jsonl`, options);
}

/** Returns the first picture of a row. */
function firstPicture(sample: Sample): ImageSource | undefined {
  return userParts(sample).find((part) => part.type === "image")?.image;
}

Deno.test("pictures are put where their numbers are written, in every notation", () =>
  inFolder(async (folder) => {
    const two = { answer: "1", images: ["a.png", "b.png"] };
    const rows = [
      ["<image 1> and <image 2>?", "[1] and [2]?"],
      ["<image_2>, then <image_1>", "[2], then [1]"],
      ["<image1> <image2> <image 2>", "[1] [2] <image 2>"],
      ["Of <|image_1|> and <|image_2|>, which?", "Of [1] and [2], which?"],
      ["Only <image 2>", "[1]Only [2]"],
      ["<image 3> <image 1>", "[2]<image 3> [1]"],
      ["<|image|><|image|>x", "[1][2]x"],
      ["<image 1|> x", "[1][2]<image 1|> x"],
    ];
    const dataset = await read(folder, rows.map(([problem]) => ({ problem, ...two })));
    const samples = await Promise.all(rows.map((_, i) => dataset.sample(i)));
    assertEquals(samples.map(shown), rows.map(([, expected]) => expected));
  }));

Deno.test("a picture is read in every form; a value that is not a picture is named, and never echoed", () =>
  inFolder(async (folder) => {
    const base64 = TINY_PNG.toBase64(), url = `data:image/png;base64,${base64}`, base = { problem: "x", answer: "1" };
    const whole = [
      base64,
      url,
      { bytes: base64, path: null },
      { image: url },
      { url },
      { image_url: { url } },
      { data: base64 },
      { bytes: null, path: "tiny.png" },
      { image: { path: "tiny.png" } },
      `file://${folder}/tiny.png`,
      `${folder}/tiny.png`,
    ];
    Deno.writeFileSync(`${folder}/tiny.png`, TINY_PNG);
    const dataset = await read(folder, whole.map((images) => ({ ...base, images: [images] })));
    const samples = await Promise.all(whole.map((_, i) => dataset.sample(i)));
    for (const [i, sample] of samples.entries()) {
      assertEquals(firstPicture(sample), TINY_PNG, JSON.stringify(whole[i]).slice(0, 60));
    }
    const broken: [value: unknown, words: string][] = [
      [`${base64.slice(0, -9)}====`, "that cannot be read"],
      [`AAAA${base64}`, `a text of ${base64.length + 4} characters`],
      [`data:image/png;base64,${base64}!`, "that cannot be read"],
      ["data:image/png,x", "a data URL that is not in base64"],
      ["ftp://example.org/a.png", "only paths and file:, http: and https:"],
      [{ width: 3 }, "neither bytes, nor a path"],
      [[], "neither bytes, nor a path"],
      [7, "neither bytes, nor a path"],
      ["none.png", '"none.png" cannot be read in'],
    ];
    const bad = await read(folder, broken.map(([value]) => ({ ...base, images: [value] })));
    await Promise.all(broken.map(async ([, words], i) => {
      const { message } = await assertRejects(() => bad.sample(i), KedgeError, words);
      assert(message.length < 400 && !message.includes(base64.slice(20, 60)), message);
    }));
  }));

Deno.test("an absolute path is read below the file's folder, imageDir, or a folder of imageRoots; elsewhere the reason is true", () =>
  inFolder(async (folder) => {
    for (const name of ["data", "pictures", "other"]) Deno.mkdirSync(`${folder}/${name}`);
    for (const name of ["pictures", "other"]) Deno.writeFileSync(`${folder}/${name}/c.png`, new Uint8Array([3]));
    const row = (images: string) => ({ problem: "q", answer: "1", images: [images] });
    const rows = [`${folder}/data/a.png`, `${folder}/pictures/c.png`, "../pictures/c.png", `${folder}/other/c.png`].map(row);
    const plain = await read(`${folder}/data`, rows), wide = await read(`${folder}/data`, rows, { imageRoots: [`${folder}/pictures`] });
    assertEquals(shown(await plain.sample(0)), "[1]q");
    await assertRejects(() => plain.sample(1), KedgeError, `is an absolute path outside of ${folder}/data; add its folder to imageRoots`);
    await assertRejects(() => plain.sample(2), KedgeError, "leaves the folder");
    const samples = await Promise.all([0, 1, 2].map((i) => wide.sample(i)));
    assertEquals(samples.map(shown), ["[1]q", "[3]q", "[3]q"]);
    await assertRejects(() => wide.sample(3), KedgeError, `outside of ${folder}/data, ${folder}/pictures`);
    const moved = await read(`${folder}/data`, rows, { imageDir: `${folder}/pictures` });
    assertEquals(shown(await moved.sample(1)), "[3]q");
  }));

/** Returns the texts of a row's prompt, and the notes. */
async function asked(folder: string, row: Record<string, unknown>, options: ColumnOptions = {}) {
  const notes: string[] = [], sample = await (await read(folder, [row], { ...options, onNote: (note) => notes.push(note) })).sample(0);
  return { text: shown(sample), notes: notes.filter((note) => !note.includes(": rows of ")), sample };
}

Deno.test("choices reach the prompt once, without their own labels; if they cannot, a note says so", () =>
  inFolder(async (folder) => {
    const row = { problem: "q", answer: "B", options: ["10", "12"] }, BOXED = "Reason step by step, and put the final answer in \\boxed{}.";
    const behind = "rows.jsonl: choices are added after the problem";
    assertEquals(await asked(folder, row, { formatPrompt: "boxed" }).then(({ text, notes }) => [text, notes]), [
      `q\n(A) 10\n(B) 12\n\n${BOXED}`,
      [behind],
    ]);
    for await (
      const options of [["A. 10", "B. 12"], ["(A) 10", "(B) 12"], ["A) 10", "B) 12"], { A: "10", B: 12 }, ["Ａ．10", "Ｂ．12"], [
        "A、10",
        "B、12",
      ]]
    ) {
      const { text, sample } = await asked(folder, { ...row, options });
      assertEquals(text, "q\n(A) 10\n(B) 12");
      assertEquals([gradeMath({ response: "\\boxed{B}", truth: sample.truth, options: sample.options! }).score], [1]);
    }
    for await (const problem of ["q\n(A) 10\n(B) 12", "q\nA. 10\nB. $12$", "q A) 10 B) 12", "q\n**A.** 10\n**B.** 12"]) {
      assertEquals(await asked(folder, { ...row, problem }).then(({ text, notes }) => [text, notes]), [problem, []]);
    }
    assertEquals((await asked(folder, { ...row, problem: "Is it 10 or 12?" })).text, "Is it 10 or 12?\n(A) 10\n(B) 12");
    assertEquals((await asked(folder, { ...row, options: ["A", "B"] })).notes, [], "the picture has them");
    const inside = await asked(folder, { ...row, options: ["A. 10", "B. 12"] }, { formatPrompt: "{content}\n{options}\n!" });
    assertEquals([inside.text, inside.notes], ["q\n(A) 10\n(B) 12\n!", []]);
    const nowhere = await asked(folder, row, { formatPrompt: "Q: {content}" });
    assertEquals([nowhere.text, nowhere.notes], [
      "Q: q",
      ["rows.jsonl: choices are graded and do not reach the prompt; put {options} into formatPrompt"],
    ]);
  }));

Deno.test("a number as truth is a choice's index or value; if it is ambiguous or neither, it is refused", () =>
  inFolder(async (folder) => {
    const cases: [answer: unknown, options: unknown[], truth: unknown][] = [
      [0, ["x", "y"], "A"],
      ["1", ["x", "y"], "B"],
      [12, ["10", "12"], 12],
      [10, [10, 12], 10],
      [1, ["2", "3"], "B"],
      ["12", ["10 cm", "12 cm"], "12"],
      [12, ["10 cm", "12 cm"], "B"],
      ["B", ["x", "y"], "B"],
    ];
    const dataset = await read(folder, cases.map(([answer, options]) => ({ problem: "q", answer, options })));
    const samples = await Promise.all(cases.map((_, i) => dataset.sample(i)));
    for (const [i, [, , truth]] of cases.entries()) {
      const sample = samples[i]!;
      assertEquals(sample.truth, truth);
      const scores = ["A", "B"].map((response) =>
        gradeChoice({ response: `\\boxed{${response}}`, truth: sample.truth, options: sample.options! }).score
      );
      assertEquals(scores.toSorted(), i === 5 ? scores : [0, 1], JSON.stringify(cases[i]));
    }
    const refused = [[1, ["1", "2"]], [2, ["x", "y"]], [-1, ["x", "y"]], [0.5, ["x", "y"]], ["7", ["x", "y"]]];
    const bad = await read(folder, refused.map(([answer, options]) => ({ problem: "q", answer, options })));
    await Promise.all(refused.map((_, i) => assertRejects(() => bad.sample(i), KedgeError, 'write the letter, such as "A"')));
    await assertRejects(() => bad.sample(0), KedgeError, "may be A or B, by its index (from 0) or by its value");
    const beyond = await read(folder, [{ problem: "q", answer: "C", options: ["x", "y"] }]);
    await assertRejects(() => beyond.sample(0), KedgeError, 'its "answer" is "C", but there are 2 choices, A to B');
  }));

Deno.test("truths may be true, false and objects; whole numbers beyond 2^53 keep their digits", () =>
  inFolder(async (folder) => {
    Deno.writeTextFileSync(
      `${folder}/rows.jsonl`,
      [
        '{"problem":"q","answer":12345678901234567890,"level":9007199254740993,"size":1e3}',
        '{"problem":"q","answer":true}',
        '{"problem":"q","answer":{"target":24,"numbers":[1,2]}}',
        '{"problem":"q","answer":[9007199254740993, 2]}',
        '{"problem":"q","answer":-0.12345678901234567}',
      ].join("\n"),
    );
    const dataset = await openDataset(`${folder}/rows.jsonl`), samples = await Promise.all([0, 1, 2, 4].map((i) => dataset.sample(i)));
    const [whole, yes, object, decimal] = samples.map(({ truth }) => truth);
    assertEquals([whole, samples[0]!.fields], ["12345678901234567890", { level: "9007199254740993", size: 1000 }]);
    assertEquals([yes, object, decimal], [true, { target: 24, numbers: [1, 2] }, -0.12345678901234567]);
    assertEquals([gradeMath, gradeExact].map((grade) => grade({ response: "\\boxed{12345678901234567890}", truth: whole! }).score), [1, 1]);
    assertEquals(["Yes", "true", "No"].map((answer) => gradeExact({ response: `The answer is ${answer}.`, truth: yes! }).score), [1, 1, 0]);
    const error = await assertRejects(async () => await Promise.resolve(gradeNumber({ response: "24", truth: object! })), RangeError);
    assert(error.message.includes("an object with target, numbers: only reward modules accept one"), error.message);
  }));

Deno.test("pictures are fetched only from permitted hosts, within limits of size and time", async () => {
  const other = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response(TINY_PNG));
  let tries = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async ({ url }) => {
    const { pathname } = new URL(url);
    if (pathname === "/away.png") return Response.redirect(`http://127.0.0.1:${other.addr.port}/a.png`);
    if (pathname === "/round.png") return Response.redirect(url);
    if (pathname === "/busy.png") return ++tries < 2 ? new Response("", { status: 503 }) : new Response(TINY_PNG);
    if (pathname === "/slow.png") await new Promise((done) => setTimeout(done, 400));
    if (pathname === "/long.png") return new Response(new ReadableStream({ pull: (to) => to.enqueue(new Uint8Array(1000)) }));
    return pathname === "/none.png" ? new Response("", { status: 404 }) : new Response(TINY_PNG);
  });
  const host = `127.0.0.1:${server.addr.port}`, at = (name: string) => `http://${host}/${name}?key=secret`;
  try {
    await inFolder(async (folder) => {
      const rows = [at("a.png"), { url: at("a.png") }, at("none.png")].map((images) => ({ problem: "x", answer: "1", images }));
      const [closed, named, open] = await Promise.all([false, [host], true].map((allowRemote) => read(folder, rows, { allowRemote })));
      const { message } = await assertRejects(() => closed!.sample(0), KedgeError, `set data.allowRemote to true or to ["${host}"]`);
      assert(!message.includes("secret"), message);
      for await (const sample of [named!.sample(0), open!.sample(1)]) {
        assertEquals(firstPicture(sample), TINY_PNG);
      }
      await assertRejects(() => open!.sample(2), KedgeError, "/none.png answers 404");
    });
    await assertRejects(() => fetchPicture(at("away.png"), [host]), Error, `it is on 127.0.0.1:${other.addr.port}, and it allows ${host}`);
    assertEquals(await fetchPicture(at("away.png"), ["127.0.0.1"]), TINY_PNG);
    assertEquals([await fetchPicture(at("busy.png"), true), tries], [TINY_PNG, 2]);
    await assertRejects(() => fetchPicture(at("round.png"), true), Error, "redirects more than 5 times");
    await assertRejects(() => fetchPicture(at("long.png"), true, { bytes: 5000 }), Error, "has more than 5000 bytes");
    await assertRejects(() => fetchPicture(at("slow.png"), true, { time: 100 }), Error, "did not answer in 0.1 s");
  } finally {
    await Promise.all([server.shutdown(), other.shutdown()]);
  }
});
