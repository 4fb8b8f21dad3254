import { assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { drawHeat, heatOf } from "../../cli/inspect/heat_map.ts";
import { anchorProfile, type InspectedToken, type Inspection } from "../../cli/inspect/inspection.ts";
import { inspectionPage } from "../../cli/inspect/page.ts";
import { harmless, terminalAnswer } from "../../cli/inspect/terminal.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { decodeImage } from "../../model/processor/image_decode.ts";
import { runChild } from "../child.ts";
import { ROOT } from "../root.ts";
import { MODEL_PERMISSIONS, withModel } from "./model.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads counts as its leak
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
/** Two regions, the right one half as wide. */
const small: Inspection = {
  prompt: "<b>?",
  picture: { data: new Uint8Array(2 * 3 * 3).fill(100), width: 3, height: 2 },
  regions: [{ left: 0, top: 0, width: 2, height: 2 }, { left: 2, top: 0, width: 1, height: 2 }],
  tokens: [token("a"), token("</script><i>", anchor), token("", { cluster: 1 }), token("<|im_end|>", { special: true })],
  cut: false,
};

/** What the page's script reads and writes. */
function openPage(html: string) {
  const [, data] = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)!;
  const [, script] = /<script>(.*?)<\/script>/s.exec(html)!;
  const rects = Array.from(html.matchAll(/<rect /g), () => ({ style: { fill: "", fillOpacity: NaN } }));
  const facts = { textContent: "" }, listeners: Record<string, () => void>[] = [];
  const tokens = Array.from(html.matchAll(/data-i="(\d+)"/g), ([, i]) => {
    const own: Record<string, () => void> = {};
    listeners.push(own);
    return { dataset: { i }, addEventListener: (name: string, listener: () => void) => own[name] = listener };
  });
  const document = {
    getElementById: (id: string) => id === "data" ? { textContent: data } : facts,
    querySelectorAll: (query: string) => query === "rect" ? rects : tokens,
  };
  new Function("document", script!)(document);
  return { facts, listeners, opacities: () => rects.map(({ style }) => style.fillOpacity) };
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
    const html = Deno.readTextFileSync(`${folder}/seen/inspect.html`), page = openPage(html);
    assertEquals(page.listeners.length, Number(tokens));
    assertEquals(html.match(/class="token anchor/g)!.length, Number(anchors));
    assertStringIncludes(html, "How many &lt;b&gt;?");
    assertEquals(/(?:src|href)="(?!data:)/.test(html), false, "the page must need nothing else");
    const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(html)!.map(Number);
    const [, png] = /base64,([^"]+)"/.exec(html)!;
    const [seen, heat] = await Promise.all(
      [Uint8Array.fromBase64(png!), Deno.readFileSync(`${folder}/seen/heat_map.png`)].map((b) => decodeImage(b)),
    );
    assertEquals([seen!.width, seen!.height, heat!.width, heat!.height], [width, height, width, height]);
    assertEquals(heat!.data.some((byte, i) => byte !== seen!.data[i]), true);
    const area = Array.from(html.matchAll(/<rect x="\d+" y="\d+" width="(\d+)" height="(\d+)"/g), ([, w, h]) => Number(w) * Number(h));
    assertEquals(area.reduce((a, b) => a + b, 0), width! * height!, "regions cover the picture");
  }));

Deno.test("the page draws the profile of the token that is pointed at, and the anchors' otherwise", () => {
  const { facts, listeners, opacities } = openPage(inspectionPage(small, { png: new Uint8Array(), title: "t" }));
  // 0.2 over 4 pixels and 0.4 over 2: a quarter of the strength.
  const rest = opacities();
  [0.75 / 4, 0.75].forEach((x, i) => assertAlmostEquals(rest[i]!, x, 1e-9));
  listeners[0]!["focus"]!();
  assertEquals(opacities(), [0.75, 0]);
  assertEquals(facts.textContent, '"a": connectivity 0.100, cluster 0, weight 1.00');
  listeners[1]!["pointerenter"]!();
  assertEquals(facts.textContent, '"</script><i>", an anchor: connectivity 0.600, cluster 0, weight 1.00');
  listeners[1]!["pointerleave"]!();
  assertEquals(opacities(), rest);
});

Deno.test("what a model or user writes stays text in the page", () => {
  const html = inspectionPage({ ...small, prompt: "<img src=x onerror=1>" }, { png: new Uint8Array(), title: "<m>" });
  assertEquals(html.match(/<\/script>/g)!.length, 2);
  assertEquals(html.includes("<img") || html.includes("<m>") || html.includes("<i>"), false);
});

Deno.test("a heat map colours regions by their share for their area; no anchors leave the picture as it is", () => {
  assertEquals(heatOf([0.2, 0.4], small.regions), [0.25, 1]);
  const drawn = drawHeat(small, anchorProfile(small));
  assertEquals([...drawn.subarray(6, 9)], [216, 25, 48]); // a quarter of 100, and three of red
  assertEquals(drawn[0]! > 100 && drawn[0]! < 216, true);
  const none = { ...small, tokens: [token("a")] };
  assertEquals(drawHeat(none, anchorProfile(none)), small.picture.data);
});

Deno.test("the terminal's answer: brackets or colours around anchors, no special tokens, no escape sequences", () => {
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
  assertEquals(harmless("a\tb\n\r\x7f\x9b"), "a\tb\n\u240d\u2421\ufffd");
});
