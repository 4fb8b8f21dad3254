import type { Figure } from "./figures.ts";
import { label, svg } from "./chart.ts";

/** How well one head of one layer tells readings from other tokens. */
export interface HeadArea {
  /** The layer, from 0. */
  readonly layer: number;
  /** The query head of the layer, from 0. */
  readonly head: number;
  /** The area under the ROC curve of the head's connectivity for "is a reading". */
  readonly auc: number;
}

/** Reads a list of such figures. @throws {RangeError} if the file holds something else. */
export function readHeads(path: string): HeadArea[] {
  const value: unknown = JSON.parse(Deno.readTextFileSync(path));
  const isHead = (one: unknown): one is HeadArea =>
    typeof one === "object" && one !== null &&
    ["layer", "head", "auc"].every((key) => typeof (one as Record<string, unknown>)[key] === "number");
  if (Array.isArray(value) && value.length > 0 && value.every(isHead)) return value;
  throw new RangeError(`Cannot read ${path}: it is no list of {layer, head, auc}`);
}

const CELL = 56, LEFT = 70, TOP = 62;

/** Returns the colour of an area: white at 0.5, blue above, orange below. */
function colourOf(auc: number): string {
  const [from, share] = auc >= 0.5 ? [[0, 114, 178], (auc - 0.5) * 2] as const : [[213, 94, 0], (0.5 - auc) * 2] as const;
  return `rgb(${from.map((channel) => Math.round(255 + (channel - 255) * share)).join(", ")})`;
}

/** Draws the areas as a table of coloured cells, a row for each layer. */
export function headsFigure(heads: readonly HeadArea[]): Figure {
  const layers = 1 + Math.max(...heads.map(({ layer }) => layer)), count = 1 + Math.max(...heads.map(({ head }) => head));
  const size = { width: Math.max(430, LEFT + count * CELL + 20), height: TOP + layers * CELL * 0.6 + 44 };
  const cells = heads.map(({ layer, head, auc }) => {
    const x = LEFT + head * CELL, y = TOP + layer * CELL * 0.6;
    return `<rect x="${x}" y="${y}" width="${CELL - 2}" height="${CELL * 0.6 - 2}" fill="${colourOf(auc)}" stroke="#999"/>` +
      label(auc.toFixed(2), {
        x: x + CELL / 2 - 1,
        y: y + CELL * 0.3 + 4,
        anchor: "middle",
        more: `fill="${Math.abs(auc - 0.5) > 0.33 ? "#fff" : "#222"}"`,
      });
  });
  const parts = [
    label("How well each head tells readings from other tokens", { x: 14, y: 20, more: 'font-weight="600"' }),
    ...Array.from(
      { length: count },
      (_, head) => label(`head ${head}`, { x: LEFT + (head + 0.5) * CELL, y: TOP - 8, anchor: "middle", more: 'font-size="11"' }),
    ),
    ...Array.from(
      { length: layers },
      (_, layer) => label(`layer ${layer}`, { x: LEFT - 8, y: TOP + (layer + 0.5) * CELL * 0.6 + 4, anchor: "end" }),
    ),
    ...cells,
    label("area under the ROC curve; 0.5 is chance, 1 is perfect", { x: 14, y: size.height - 14 }),
  ];
  return {
    name: "heads",
    svg: svg(parts, size),
    caption: `Area under the ROC curve for "is a reading" of the connectivity of each of ${heads.length} heads.`,
  };
}
