import { KedgeError } from "../../ffi/errors.ts";
import { columnsOf } from "../train/columns.ts";
import { anchorProfile, type Inspection } from "./inspection.ts";
import { drawHeatmap, encodePng } from "./heatmap_picture.ts";
import { harmless } from "./terminal.ts";

/** Sizes of the text in pixels. A letter of a monospaced font is 0.6 times the font size wide. */
const SIZE = 20, LETTER = 0.6 * SIZE, LINE = 34, EDGE = 20;
/** The minimum width of the whole picture. */
const WIDTH = 760;

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escaped = (text: string) => text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);

/** Draws text at a position, stretched to its reserved width. */
function written(text: string, { x, y, style = "" }: { x: number; y: number; style?: string }): string {
  const wide = columnsOf(text) * LETTER;
  return `<text x="${x}" y="${y}" textLength="${wide}" lengthAdjust="spacingAndGlyphs" xml:space="preserve" ${style}>${
    escaped(text)
  }</text>`;
}

/** Wraps text to lines of a number of columns. */
function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [""];
  for (const word of text.trim().split(/\s+/)) {
    const longer = lines.at(-1) === "" ? word : `${lines.at(-1)} ${word}`;
    if (columnsOf(longer) <= columns || lines.at(-1) === "") lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/**
 * Draws an answer as one picture. It contains the original picture, the heat map of the anchors, the question, and the tokens. Anchors are
 * bold and underlined. A token's background is stronger if its connectivity is higher.
 *
 * @returns An SVG, which needs a font, and its size in pixels.
 */
export async function answerSvg(inspection: Inspection): Promise<{ svg: string; width: number; height: number }> {
  const map = drawHeatmap(inspection, anchorProfile(inspection)), png = await encodePng(map);
  const width = Math.max(WIDTH, map.width + 2 * EDGE), columns = Math.floor((width - 2 * EDGE) / LETTER);
  const most = Math.max(...inspection.tokens.map(({ connectivity }) => connectivity), Number.MIN_VALUE), out: string[] = [];
  let y = EDGE + map.height + LINE;
  for (const line of wrapped(harmless(inspection.prompt), columns)) {
    out.push(written(line, { x: EDGE, y, style: 'fill="#5c656e"' }));
    y += LINE;
  }
  y += LINE / 4;
  let at = 0;
  for (const { text, special, anchor, connectivity } of inspection.tokens) {
    if (special || text === "") continue;
    const shown = harmless(text).replaceAll(/\s/g, " "), own = columnsOf(shown);
    if (at > 0 && at + own > columns) [at, y] = [0, y + LINE];
    const x = EDGE + at * LETTER, opacity = (0.75 * connectivity / most).toFixed(2);
    out.push(
      `<rect x="${x}" y="${y - 0.95 * SIZE}" width="${own * LETTER}" height="${
        1.35 * SIZE
      }" rx="3" fill="#ff7a1a" fill-opacity="${opacity}"/>`,
    );
    out.push(written(shown, { x, y, style: anchor ? 'font-weight="bold"' : "" }));
    if (anchor) {
      const from = shown.length - shown.trimStart().length;
      out.push(`<rect x="${x + from * LETTER}" y="${y + 5}" width="${(own - from) * LETTER}" height="2"/>`);
    }
    at += own;
  }
  const height = Math.ceil(y + EDGE);
  const picture =
    `<image x="${EDGE}" y="${EDGE}" width="${map.width}" height="${map.height}" href="data:image/png;base64,${png.toBase64()}"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<rect width="${width}" height="${height}" fill="#fff"/>
${picture}
<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="${SIZE}" fill="#1c2024">
${out.join("\n")}
</g>
</svg>
`;
  return { svg, width, height };
}

/**
 * Renders {@linkcode answerSvg} as a PNG.
 *
 * @throws {KedgeError} `Unsupported` if the machine has no font.
 */
export async function answerPng(inspection: Inspection): Promise<Uint8Array<ArrayBuffer>> {
  const { svg, height } = await answerSvg(inspection), { default: sharp } = await import("sharp");
  const drawn = sharp(new TextEncoder().encode(svg)),
    { data, info } = await drawn.clone().removeAlpha().greyscale().raw().toBuffer({ resolveWithObject: true });
  // Below the picture only text is dark, so that no dark pixel there means no font.
  const text = data.subarray(info.width * Math.floor(height - EDGE - LINE)).some((light) => light < 100);
  if (!text) throw new KedgeError("Unsupported", "Cannot draw the answer: this machine has no font; install one, as fonts-dejavu-core");
  return new Uint8Array(await drawn.png({ compressionLevel: 9 }).toBuffer());
}
