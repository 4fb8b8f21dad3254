import type { Outcome } from "./statistics.ts";

const WIDTH = 860, HEIGHT = 460, LEFT = 56, RIGHT = 190, TOP = 24, BOTTOM = 48;
const COLOURS = ["#4c566a", "#c0392b", "#e08e0b", "#2471a3", "#7d3c98", "#8a8a8a", "#1e8449"];

/** Draws the curves of held-out accuracy as an SVG: means over seeds with their range. */
export function plot(outcomes: readonly Outcome[]): string {
  const methods = [...new Set(outcomes.map(({ method }) => method))], last = Math.max(...outcomes.map(({ curve }) => curve.at(-1)![0]));
  const x = (step: number) => LEFT + step / last * (WIDTH - LEFT - RIGHT), y = (a: number) => HEIGHT - BOTTOM - a * (HEIGHT - TOP - BOTTOM);
  const points = (list: readonly (readonly [number, number])[]) => list.map(([s, a]) => `${x(s).toFixed(1)},${y(a).toFixed(1)}`).join(" ");
  const parts = [0, 0.2, 0.4, 0.6, 0.8, 1].map((a) =>
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(a)}" y2="${y(a)}" stroke="#ddd"/><text x="${LEFT - 8}" y="${
      y(a) + 4
    }" text-anchor="end">${a}</text>`
  );
  for (let i = 0; i <= 6; i++) {
    const step = Math.round(last * i / 6);
    parts.push(`<text x="${x(step)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${step}</text>`);
  }
  methods.forEach((method, m) => {
    const own = outcomes.filter((o) => o.method === method), colour = COLOURS[m % COLOURS.length]!;
    const at = own[0]!.curve.map(([step], i) => ({ step, values: own.map(({ curve }) => curve[i]![1]) }));
    const high = at.map(({ step, values }) => [step, Math.max(...values)] as const);
    const low = at.map(({ step, values }) => [step, Math.min(...values)] as const).reverse();
    const mean = at.map(({ step, values }) => [step, values.reduce((a, b) => a + b, 0) / values.length] as const);
    parts.push(`<polygon points="${points([...high, ...low])}" fill="${colour}" opacity="0.1"/>`);
    parts.push(`<polyline points="${points(mean)}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    const line = TOP + 20 + 22 * m;
    parts.push(
      `<line x1="${WIDTH - RIGHT + 16}" x2="${WIDTH - RIGHT + 40}" y1="${line}" y2="${line}" stroke="${colour}" stroke-width="3"/>`,
    );
    parts.push(`<text x="${WIDTH - RIGHT + 48}" y="${line + 4}">${method.replace(/[<&]/g, "")}</text>`);
  });
  parts.push(`<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">training steps</text>`);
  parts.push(`<text x="16" y="${TOP - 8}">held-out accuracy, sampled at temperature 1 (mean, and range over seeds)</text>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="13" fill="#333">` +
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>${parts.join("")}</svg>\n`;
}
