import { escaped } from "./plots/chart.ts";
import type { Figure } from "./plots/figures.ts";
import type { Table } from "./tables.ts";

const STYLE = `:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem}
figure{margin:2rem 0}figure svg{max-width:100%;height:auto;border:1px solid #8884}
figcaption,p.note{font-size:.9rem;opacity:.85}
div{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;margin:.5rem 0 1.5rem;font-variant-numeric:tabular-nums}
th,td{border:1px solid #8886;padding:.25rem .6rem;text-align:left;white-space:nowrap}h2{margin-top:2.5rem}h3{font-size:1rem;margin:1.5rem 0 .3rem}`;

/** Writes a comparison as one HTML page that needs no other file. */
export function page({ title, notes, figures, tables }: {
  title: string;
  /** Paragraphs at the top. */
  notes: readonly string[];
  figures: readonly Figure[];
  tables: readonly Table[];
}): string {
  const row = (cell: "th" | "td", cells: readonly string[]) =>
    `<tr>${cells.map((text) => `<${cell}>${escaped(text)}</${cell}>`).join("")}</tr>`;
  const drawn = figures.map(({ svg, caption }) => `<figure>${svg}<figcaption>${escaped(caption)}</figcaption></figure>`);
  const written = tables.map(({ title, head, rows }) =>
    `<h3>${escaped(title)}</h3><div><table>${row("th", head)}${rows.map((cells) => row("td", cells)).join("")}</table></div>`
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title>
<style>${STYLE}</style></head><body><h1>${escaped(title)}</h1>
${notes.map((note) => `<p class="note">${escaped(note)}</p>`).join("\n")}
${drawn.join("\n")}
<h2>Tables</h2>
${written.join("\n")}
</body></html>
`;
}
