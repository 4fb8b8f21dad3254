import { assert, assertEquals, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { Tokenizer, TokenStream } from "../../model/processor/tokenizer.ts";
import { Random } from "../../tensor/random.ts";
import { ROOT } from "../root.ts";
import { exists } from "../files.ts";
import { littleTokenizer, withFolder } from "./little_tokenizer.ts";

const GOLDEN = `${ROOT}/../shared/golden/qwen25_tokenizer`;

let loaded: Tokenizer | undefined;
const golden = () => loaded ??= Tokenizer.fromFolder(GOLDEN);
const cases = () =>
  Deno.readTextFileSync(`${GOLDEN}/cases.jsonl`).trimEnd().split("\n").map((line) => JSON.parse(line) as { text: string; ids: number[] });

/** A test that needs the public tokenizer, which is not part of the project. */
function withGolden(name: string, run: () => void): void {
  Deno.test({ name: exists(GOLDEN) ? name : `${name} (skipped: ../shared is not there)`, ignore: !exists(GOLDEN), fn: run });
}

const ADDED = [
  { id: 258, content: "<|end|>", special: true },
  { id: 259, content: "<|end|>|x", special: true },
  { id: 260, content: "<plain>", special: false },
];
const little = () => littleTokenizer([["a", "b"], ["ab", "c"]], ADDED);

const fromFiles = (json: unknown, config?: unknown) =>
  withFolder(
    { "tokenizer.json": json, ...config === undefined ? {} : { "tokenizer_config.json": config } },
    (folder) => Tokenizer.fromFolder(folder),
  );

withGolden("texts have the ids of the public tokenizer", () => {
  assertEquals(cases().length, 93);
  for (const { text, ids } of cases()) assertEquals([...golden().encode(text)], ids, text);
});

withGolden("decoding gives a text back in its normal form", () => {
  for (const { text, ids } of cases()) assertEquals(golden().decode(ids), text.normalize("NFC"));
});

withGolden("the public tokenizer's facts", () => {
  assertEquals(golden().vocabSize, 151665);
  assertEquals(golden().idOf("<|image_pad|>"), 151655);
  assertEquals(golden().idOf("<tool_call>"), 151657);
  assertEquals(golden().idOf("Ġthe"), 279);
  assertEquals(golden().idOf("no such token"), undefined);
  assertEquals(golden().isSpecial(151645), true);
  assertEquals(golden().isSpecial(151657), false);
});

withGolden("the names of special tokens are text on request, and come back as they were", () => {
  const text = "a<|im_end|>b <|image_pad|><|im_start|>";
  const ids = golden().encode(text, { special: "text" });
  assertEquals([...ids].filter((id) => golden().isSpecial(id)), []);
  assertEquals(golden().decode(ids), text);
  assertEquals([...golden().encode(text)].filter((id) => golden().isSpecial(id)), [151645, 151655, 151644]);
});

withGolden("special tokens can be left out of a decoded text", () => {
  const ids = golden().encode("<|im_start|>user\nHi<|im_end|><tool_call>");
  assertEquals(golden().decode(ids, { skipSpecialTokens: true }), "user\nHi<tool_call>");
});

withGolden("ids without a token decode to nothing", () => {
  assertEquals(golden().decode([151935, 9707, -1, 151665]), "Hello");
});

withGolden("a stream yields whole characters, and together what decode gives", () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!, random = new Random(seed);
  const alphabet = [..."aé漢字🧑‍🚀 \n½\uFFFD\uFEFF가"];
  for (let round = 0; round < 200; round++) {
    const text = Array.from({ length: random.integer(0, 30) }, () => alphabet[random.integer(0, alphabet.length)]!).join("").normalize(
      "NFC",
    );
    const stream = new TokenStream(golden());
    const pieces = [...golden().encode(text)].map((id) => stream.push(id));
    assertEquals(pieces.join(""), text, `seed ${seed}`);
    for (const piece of pieces) assert(piece.isWellFormed(), `seed ${seed}: half a surrogate pair in ${JSON.stringify(text)}`);
    assertEquals(stream.end(), "");
  }
});

withGolden("a stream of any tokens is what decode gives", () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!, random = new Random(seed);
  const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  for (let round = 0; round < 50; round++) {
    const ids = Array.from({ length: 40 }, () => random.integer(0, 151936));
    const stream = new TokenStream(golden());
    const streamed = ids.map((id) => stream.push(id)).join("") + stream.end();
    assertEquals(streamed, golden().decode(ids), `seed ${seed}`);
    assertEquals(streamed, utf8.decode(Uint8Array.from(ids.flatMap((id) => [...golden().bytes(id)]))), `seed ${seed}`);
  }
});

Deno.test("a stream waits for the rest of a character, and ends with a replacement character if none came", () => {
  const tokenizer = fromFiles(little());
  const stream = new TokenStream(tokenizer), euro = [0xe2, 0x82, 0xac];
  assertEquals(euro.map((id) => stream.push(id)), ["", "", "€"]);
  assertEquals(stream.push(0xe2), "");
  assertEquals(stream.end(), "\uFFFD");
  assertEquals(stream.push(0x61), "a");
});

Deno.test("a stream that leaves special tokens out joins the bytes around them, as decode does", () => {
  const tokenizer = fromFiles(little()), ids = [0xc3, 258, 0xa9];
  const stream = new TokenStream(tokenizer, { skipSpecialTokens: true });
  assertEquals(ids.map((id) => stream.push(id)), ["", "", "é"]);
  assertEquals(tokenizer.decode(ids, { skipSpecialTokens: true }), "é");
});

Deno.test("merges, and at one position the longest special token", () => {
  const tokenizer = fromFiles(little());
  assertEquals([...tokenizer.encode("abcab<|end|>a<|end|>|x<plain>")], [257, 256, 258, 97, 259, 260]);
  assertEquals(tokenizer.split("a<|end|>|x<|end|>"), ["a", "<|end|>|x", "", "<|end|>", ""]);
});

Deno.test("an empty text has no tokens, and no tokens give an empty text", () => {
  const tokenizer = fromFiles(little());
  assertEquals(tokenizer.encode("").length, 0);
  assertEquals(tokenizer.decode([]), "");
});

Deno.test("a byte order mark is an ordinary character", () => {
  const tokenizer = fromFiles(little());
  assertEquals(tokenizer.decode(tokenizer.encode("\uFEFFa\uFEFF")), "\uFEFFa\uFEFF");
});

Deno.test("a lone surrogate is read as U+FFFD", () => {
  const tokenizer = fromFiles(little());
  assertEquals(tokenizer.decode(tokenizer.encode("a\uD800b")), "a\uFFFDb");
});

Deno.test("tokens of tokenizer_config.json are used: added ones, and those with a role", () => {
  const tokenizer = fromFiles(little(), {
    added_tokens_decoder: { 258: { content: "<|end|>", special: true }, 300: { content: "<|loc|>", special: true } },
    eos_token: "<plain>",
    pad_token: { content: "<|end|>" },
    bos_token: null,
  });
  assertEquals([...tokenizer.encode("a<|loc|>")], [97, 300]);
  assertEquals(tokenizer.vocabSize, 301);
  assertEquals(tokenizer.isSpecial(260), true);
  assertEquals(tokenizer.namedTokens, new Map([["eos_token", "<plain>"], ["pad_token", "<|end|>"]]));
});

Deno.test("a long text is encoded in time", () => {
  const tokenizer = fromFiles(little());
  const text = "abc ".repeat(50_000) + "a".repeat(100_000) + " ".repeat(100_000);
  const start = performance.now();
  assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
  assert(performance.now() - start < 60_000);
});

Deno.test("a folder that holds no such tokenizer is refused with the file's name", () => {
  const refused = (json: unknown, words: string, config?: unknown) => {
    const error = assertThrows(() => fromFiles(json, config), KedgeError, words);
    assertEquals(error.code, "BadCheckpoint");
    assert(error.message.includes(config === undefined ? "/tokenizer.json" : "/tokenizer_config.json"), error.message);
  };
  const { model } = little();
  const missing = assertThrows(() => Tokenizer.fromFolder("/no/such"), KedgeError, "/no/such/tokenizer.json: there is no such file");
  assertEquals(missing.code, "BadCheckpoint");
  refused("{", "JSON");
  refused("[]", "not an object");
  refused({}, "model.vocab or model.merges is missing");
  refused({ ...little(), model: { ...model, type: "Unigram" } }, 'model.type is "Unigram"');
  refused({ ...little(), model: { ...model, dropout: 0.1 } }, "dropout");
  refused({ ...little(), model: { ...model, merges: [["a"]] } }, "model.merges[0] is no pair");
  refused({ ...little(), model: { ...model, merges: ["a b", "x y"] } }, "model.merges[1] makes a token that is not in model.vocab");
  refused({ ...little(), model: { ...model, vocab: { a: 0 } } }, "no token for byte");
  refused({ ...little(), model: { ...model, vocab: { ...model.vocab as object, ab: -1 } } }, 'the id of "ab" is -1');
  refused({ ...little(), decoder: { type: "Metaspace" } }, "decoder");
  refused({ ...little(), added_tokens: [{ id: 1 }] }, "an added token has no content, or no id below 4194304");
  refused({ ...little(), added_tokens: [{ ...ADDED[0], lstrip: true }] }, '"<|end|>" has lstrip set');
  refused({ ...little(), pre_tokenizer: { type: "Wrong" } }, "Wrong");
  refused(little(), "JSON", "{");
});
