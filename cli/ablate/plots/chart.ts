/**
 * Charts as SVG: axes with units, a legend, intervals. The ground is white and the text dark, so that a chart reads the same on a dark page.
 *
 * @module
 */

/** Colours that people with any colour vision tell apart (Okabe and Ito), darkened where they would be pale on white. */
const COLOURS = ["#000000", "#d55e00", "#0072b2", "#009e73", "#cc5f9b", "#8a6d00", "#3d8fc4", "#7f7f7f", "#7b3294"];
/** Dashes of lines, so that lines of similar colours differ too. */
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];

/** An axis. */
export interface Axis {
  /** What it shows, with its unit. */
  readonly label: string;
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly number[];
  readonly scale?: "linear" | "log";
  readonly format?: (value: number) => string;
}

/** A point of a line. */
export interface Point {
  readonly x: number;
  readonly y: number;
  /** Half the width of its interval; NaN or undefined: it has none. */
  readonly half?: number;
}

/** A line with its name in the legend. */
export interface Series {
  readonly label: string;
  readonly points: readonly Point[];
}

/** A chart of lines. */
export interface LineChart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Whether intervals are drawn as bars at the points, moved apart a little, or as a band. */
  readonly intervals: "bars" | "band";
  /** Whether the lines are those of bins, and go up and down in steps. */
  readonly isStepped?: boolean;
}

const LEFT = 62, RIGHT = 240, TOP = 34, BOTTOM = 52;
const INNER = { width: 560, height: 320 };

/** The size of a chart. */
const CHART = { width: LEFT + INNER.width + RIGHT, height: TOP + INNER.height + BOTTOM } as const;

/** Writes a text so that it is text in XML too. */
export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

const at = (value: number) => value.toFixed(1);
const line = (x1: number, y1: number, x2: number, y2: number, more: string) =>
  `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" ${more}/>`;

/** Writes a text at a place. */
export function label(
  text: string,
  { x, y, anchor = "start", more = "" }: { x: number; y: number; anchor?: string; more?: string },
): string {
  return `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}"${more && ` ${more}`}>${escaped(text)}</text>`;
}

/** Wraps parts into an SVG on white ground. */
export function svg(parts: readonly string[], { width, height }: { width: number; height: number }): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `font-family="system-ui, sans-serif" font-size="13" fill="#222">` +
    `<rect width="${width}" height="${height}" fill="#fff"/>${parts.join("")}</svg>\n`;
}

/** Returns the place of a value on an axis, from 0 to 1. */
function share({ low, high, scale }: Axis, value: number): number {
  return scale === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

/** Draws the axes and their grid. */
function frame({ title, x, y }: LineChart, place: { x(value: number): number; y(value: number): number }): string[] {
  const right = LEFT + INNER.width, bottom = TOP + INNER.height;
  return [
    label(title, { x: LEFT, y: 20, more: 'font-weight="600"' }),
    ...y.ticks.flatMap((tick) => [
      line(LEFT, place.y(tick), right, place.y(tick), 'stroke="#ddd"'),
      label(y.format?.(tick) ?? `${tick}`, { x: LEFT - 7, y: place.y(tick) + 4, anchor: "end" }),
    ]),
    ...x.ticks.flatMap((tick) => [
      line(place.x(tick), bottom, place.x(tick), bottom + 5, 'stroke="#666"'),
      label(x.format?.(tick) ?? `${tick}`, { x: place.x(tick), y: bottom + 19, anchor: "middle" }),
    ]),
    line(LEFT, bottom, right, bottom, 'stroke="#666"'),
    line(LEFT, TOP, LEFT, bottom, 'stroke="#666"'),
    label(x.label, { x: (LEFT + right) / 2, y: bottom + 41, anchor: "middle" }),
    label(y.label, { x: 0, y: 0, anchor: "middle", more: `transform="translate(15 ${(TOP + bottom) / 2}) rotate(-90)"` }),
  ];
}

/** Returns the corners of a line, or of its steps: then a point is a bin, which goes on to the next point. */
function corners(points: readonly (readonly [number, number])[], isStepped: boolean): string {
  const all = isStepped ? points.flatMap(([x, y], i) => [[x, y] as const, [points[i + 1]?.[0] ?? x, y] as const]) : points;
  return all.map(([x, y]) => `${at(x)},${at(y)}`).join(" ");
}

/** Draws a chart of lines. */
export function lineChart(chart: LineChart): string {
  const { x, y, series, intervals, isStepped = false } = chart;
  const place = {
    x: (value: number) => LEFT + INNER.width * share(x, value),
    y: (value: number) => TOP + INNER.height * (1 - Math.min(1, Math.max(0, share(y, value)))),
  };
  const parts = frame(chart, place);
  for (const [i, { label: name, points }] of series.entries()) {
    const colour = COLOURS[i % COLOURS.length]!, dash = DASHES[i % DASHES.length]!, stroke = `stroke="${colour}"`;
    // Bars of several lines would cover each other.
    const shift = intervals === "bars" ? (i - (series.length - 1) / 2) * 5 : 0;
    const placed = points.map((point) => [place.x(point.x) + shift, place.y(point.y)] as const);
    const sure = points.filter(({ half }) => half !== undefined && !Number.isNaN(half)) as Required<Point>[];
    if (intervals === "bars") {
      for (const { x: at, y: mean, half } of sure) {
        const middle = place.x(at) + shift;
        parts.push(line(middle, place.y(mean - half), middle, place.y(mean + half), `${stroke} stroke-width="1.2" opacity="0.65"`));
      }
    } else if (sure.length > 1) {
      const edge = (sign: number) => sure.map((point) => [place.x(point.x), place.y(point.y + sign * point.half)] as const);
      parts.push(`<polygon points="${corners([...edge(1), ...edge(-1).reverse()], false)}" fill="${colour}" opacity="0.08"/>`);
    }
    const more = `${stroke} stroke-width="2"${dash && ` stroke-dasharray="${dash}"`}`;
    parts.push(`<polyline points="${corners(placed, isStepped)}" fill="none" ${more}/>`);
    if (!isStepped && points.length <= 12) {
      for (const [px, py] of placed) parts.push(`<circle cx="${at(px)}" cy="${at(py)}" r="3" fill="${colour}"/>`);
    }
    const height = TOP + 12 + 20 * i, from = LEFT + INNER.width + 16;
    parts.push(line(from, height, from + 26, height, more), label(name, { x: from + 34, y: height + 4 }));
  }
  return svg(parts, CHART);
}

/** Returns round ticks that cover a range. */
export function ticks(low: number, high: number, most = 6): number[] {
  const raw = (high - low) / most, unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((one) => one >= raw * (1 - 1e-9))!;
  const first = Math.ceil(low / step - 1e-9), count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
