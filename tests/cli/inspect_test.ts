import { assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { anchorProfile, type InspectedToken, type Inspection } from "../../cli/inspect/inspection.ts";
import { answerPng, answerSvg } from "../../cli/inspect/answer_picture.ts";
import { drawHeatmap } from "../../cli/inspect/heatmap_picture.ts";
import { inspectionPage } from "../../cli/inspect/page.ts";
import { anchorsByCluster, harmless, terminalAnswer } from "../../cli/inspect/terminal.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { decodeImage } from "../../model/processor/image_decode.ts";
import { runChild } from "../child.ts";
import { ROOT } from "../root.ts";
import { MODEL_PERMISSIONS, withModel } from "./model.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads counts as a leak
await import("sharp"); // so does the picture decoder

const PICTURE = `${ROOT}/tests/golden/image_processor_synthetic/rgb_wide.png`;

const token = (text: string, more: Partial<InspectedToken> = {}): InspectedToken => ({
  text,
  special: false,
  connectivity: 0.1,
  anchor: false,
  cluster: 0,
  weight: 1,
  profile: [0.1, 0],
  ...more,
});
const anchor = { anchor: true, connectivity: 0.6, profile: [0.2, 0.4] };
/** An inspection with two regions. The right one is half as wide as the left one. */
const small: Inspection = {
  prompt: "<b>?",
  picture: { data: new Uint8Array(2 * 3 * 3).fill(100), width: 3, height: 2 },
  regions: [{ left: 0, top: 0, width: 2, height: 2 }, { left: 2, top: 0, width: 1, height: 2 }],
  tokens: [token("a"), token("</script><i>", anchor), token("", { cluster: 1 }), token("<|im_end|>", { special: true })],
  cut: false,
};

/** Returns the data for the page's script. */
function dataOf(html: string) {
  return JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)![1]!);
}

Deno.test("inspect answers, marks anchors, and writes a page and a heat map of the picture's size", () =>
  withModel(async (folder) => {
    const args = ["--model", `${folder}/model`, "--image", PICTURE, "--prompt", "How many <b>?", "--max-tokens", "40"];
    const run = (out: string) =>
      runChild("cli/inspect.ts", { permissions: MODEL_PERMISSIONS, args: [...args, "--out", `${folder}/${out}`] });
    const [first, again] = [await run("seen"), await run("again")];
    assertEquals([first.code, again.stdout], [0, first.stdout], first.stderr);
    const [, tokens, anchors] = /(\d+) tokens, (\d+) anchors/.exec(first.stderr)!;
    assertEquals(Number(anchors) >= Math.floor(Number(tokens) * 0.15), true, first.stderr);
    assertStringIncludes(first.stdout, "[[");
    assertEquals(first.stdout.includes("\x1b"), false);
    assertStringIncludes(first.stdout, "\nAnchors by cluster:\n  cluster ");
    const html = Deno.readTextFileSync(`${folder}/seen/inspect.html`), page = dataOf(html);
    assertEquals([page.tokens.length, page.looks.profiles.length], [Number(tokens), Number(tokens)]);
    assertEquals(page.anchor.filter(Boolean).length, Number(anchors));
    assertEquals(page.prompt, "How many <b>?");
    assertEquals(/(?:src|href)="(?!data:)/.test(html), false, "the page must need nothing else");
    const [seen, look] = await Promise.all(
      [Uint8Array.fromBase64(page.image.split(",")[1]), Deno.readFileSync(`${folder}/seen/heat_map.png`)].map((b) => decodeImage(b)),
    );
    const times = (look!.width - 8) / 2 / seen!.width, edge = 5 * times; // a point inside the picture's corner
    assertEquals([Number.isInteger(times), look!.height >= seen!.height * times], [true, true]);
    const at = (
      image: { data: Uint8Array; width: number },
      x: number,
      y: number,
    ) => [...image.data.subarray(3 * (y * image.width + x)).slice(0, 3)];
    assertEquals(at(look!, edge, edge), at(seen!, 5, 5), "the left half is the unchanged picture");
    const area = page.looks.regions.reduce((sum: number, { width, height }: { width: number; height: number }) => sum + width * height, 0);
    assertAlmostEquals(area, 1, 1e-9, "regions cover the picture");
  }));

Deno.test("text of a model or user stays text in the page", () => {
  const html = inspectionPage({ ...small, prompt: "<img src=x onerror=1>" }, { png: new Uint8Array(), title: "<m>" });
  assertEquals(html.match(/<\/script>/g)!.length, 2);
  const [, body] = /<body>(.*?)<script>/s.exec(html)!;
  assertEquals(body!.includes("<img") || body!.includes("<m>") || body!.includes("<i>"), false);
  assertEquals([dataOf(html).prompt, dataOf(html).title], ["<img src=x onerror=1>", "<m>"]);
});

/** Returns the hue in degrees. */
function hueOf([r, g, b]: number[]): number {
  const light = Math.max(r!, g!, b!), span = light - Math.min(r!, g!, b!);
  return 60 * (light === r ? (g! - b!) / span : light === g ? 2 + (b! - r!) / span : 4 + (r! - g!) / span);
}

Deno.test("a heat map darkens regions without attention and keeps every hue; the original picture is beside it", () => {
  const colours = [[40, 80, 220], [220, 40, 30], [240, 220, 50], [40, 200, 90]];
  const picture = {
    data: Uint8Array.from({ length: 40 * 20 * 3 }, (_, i) => colours[Math.floor(i / 3) % 4]![i % 3]!),
    width: 40,
    height: 20,
  };
  const regions = [{ left: 0, top: 0, width: 20, height: 20 }, { left: 20, top: 0, width: 20, height: 20 }];
  const { data, width, times } = drawHeatmap({ picture, regions }, [0.04, 0.4]), right = picture.width * times + 8;
  const at = (x: number, y: number) => [...data.subarray(3 * (y * width + x)).slice(0, 3)];
  assertEquals(width, 2 * picture.width * times + 8);
  for (const x of [5, 6, 7, 8, 25, 26, 27, 28]) {
    const plain = colours[x % 4]!, drawn = at(right + x * times + 1, 10 * times + 1);
    assertEquals(at(x * times + 1, 10 * times + 1), plain);
    assertAlmostEquals(hueOf(drawn), hueOf(plain), 3, `hue of ${plain} became ${drawn}`);
    const light = x < 20 ? 1 - 0.8 * 0.9 : 1;
    assertEquals(drawn, plain.map((byte) => Math.round(light * byte)));
  }
  assertEquals(at(right + 20 * times, 10 * times), [255, 255, 255], "the border of what got at least half of the most");
});

Deno.test("uniform attention, or no anchors, leaves the picture unchanged and without a scale", () => {
  for (const inspection of [{ ...small, tokens: [token("a")] }, { ...small, tokens: [token("a", { ...anchor, profile: [0.4, 0.21] })] }]) {
    const { data, width, height, times } = drawHeatmap(inspection, anchorProfile(inspection));
    assertEquals([height, data.slice(3 * (width - 1)).every((byte) => byte === 100 || byte === 255)], [small.picture.height * times, true]);
    assertEquals(data.subarray(3 * (width - 1), 3 * width), Uint8Array.of(100, 100, 100));
  }
});

Deno.test("the answer as one picture has the tokens in order, the anchors bold, and stays text", async () => {
  const tokens = [...small.tokens, ...Array.from({ length: 40 }, (_, i) => token(` word${i}`)), token(" 7", anchor)];
  const { svg, width, height } = await answerSvg({ ...small, tokens });
  const texts = [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
  assertEquals(texts.slice(0, 4), ["&lt;b&gt;?", "a", "&lt;/script&gt;&lt;i&gt;", " word0"]);
  assertEquals(texts.at(-1), " 7");
  assertEquals([...svg.matchAll(/<text [^>]*font-weight="bold">([^<]*)/g)].map(([, text]) => text), ["&lt;/script&gt;&lt;i&gt;", " 7"]);
  for (const [, x, wide] of svg.matchAll(/<text x="([\d.]+)" y="[\d.]+" textLength="([\d.]+)"/g)) {
    assertEquals(Number(x) + Number(wide) <= width - 20, true, "a line is not wider than the picture");
  }
  const drawn = await answerPng({ ...small, tokens }).then(decodeImage, (error) => error);
  if (drawn instanceof Error) assertStringIncludes(drawn.message, "this machine has no font");
  else assertEquals([drawn.width, drawn.height], [width, height]);
});

Deno.test("an answer in the terminal has brackets or colours around anchors, no special tokens and no escape sequences", () => {
  const tokens = [
    token("on "),
    token("the", anchor),
    token(" \nred\x1b[31m", { ...anchor, connectivity: 0.9 }),
    token("."),
    token("<|im_end|>", { special: true }),
  ];
  assertEquals(terminalAnswer(tokens, { colour: false }), "on [[the \nred\u241b[31m]].");
  const on = (shade: number, text: string) => `\x1b[30;48;5;${shade}m${text}\x1b[0m`;
  assertEquals(terminalAnswer(tokens, { colour: true }), `on ${on(230, "the")}${on(203, " ")}\n${on(203, "red\u241b[31m")}.`);
  assertEquals(terminalAnswer([token("a", anchor)], { colour: false }), "[[a]]");
  assertEquals(anchorsByCluster([...tokens, token("7", { ...anchor, cluster: 3 })]), [
    "",
    "Anchors by cluster:",
    '  cluster 0: "the" " \\nred\\u001b[31m"',
    '  cluster 3: "7"',
  ]);
  assertEquals(anchorsByCluster([token("a")]), []);
  assertEquals(harmless("a\tb\n\r\x7f\x9b"), "a\tb\n\u240d\u2421\ufffd");
});
