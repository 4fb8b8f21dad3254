import { anchorProfile, type InspectedToken, type Inspection } from "./inspection.ts";
import { heatOf } from "./heat_map.ts";

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; }
h1 { font-size: 1.2rem; }
main { display: grid; grid-template-columns: minmax(16rem, 1fr) minmax(16rem, 1fr); gap: 1.5rem; align-items: start; }
@media (max-width: 48rem) { main { grid-template-columns: 1fr; } }
figure { margin: 0; position: sticky; top: 1rem; }
svg { width: 100%; height: auto; display: block; image-rendering: pixelated; }
rect { fill-opacity: 0; }
.answer { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 2.1; }
.token { border-radius: 3px; cursor: default; }
.token:hover, .token:focus { outline: 2px solid Highlight; outline-offset: 1px; }
.anchor { font-weight: 700; text-decoration: underline; text-decoration-thickness: 2px; text-underline-offset: 3px; }
.special { opacity: 0.6; font-size: 0.8em; }
sub { font-size: 0.6em; opacity: 0.7; user-select: none; }
.prompt { white-space: pre-wrap; border-left: 3px solid GrayText; padding-left: 0.75rem; }
.note { color: GrayText; font-size: 0.875rem; }
#facts { min-height: 3em; }
`;

// Draws the profile of the token under the pointer or with the focus, and the anchors' where there is none.
const SCRIPT = `
const { heats, mean, facts } = JSON.parse(document.getElementById("data").textContent);
const rects = document.querySelectorAll("rect"), words = document.getElementById("facts");
function draw(heat, text) {
  rects.forEach((rect, r) => {
    rect.style.fill = "rgb(255," + Math.round(220 * (1 - heat[r])) + ",30)";
    rect.style.fillOpacity = 0.75 * heat[r];
  });
  words.textContent = text;
}
const rest = () => draw(mean, "Mean profile of the anchors. Point at a token, or move to one with Tab, for its own.");
for (const token of document.querySelectorAll(".token")) {
  const i = Number(token.dataset.i), show = () => draw(heats[i], facts[i]);
  token.addEventListener("pointerenter", show);
  token.addEventListener("focus", show);
  token.addEventListener("pointerleave", rest);
  token.addEventListener("blur", rest);
}
rest();
`;

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text inside HTML, or a quoted attribute of it. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char]!);
}

function tokenHtml({ text, special, connectivity, anchor, cluster }: InspectedToken, { i, most }: { i: number; most: number }): string {
  const shade = most > 0 ? Math.round(70 * connectivity / most) : 0;
  const classes = ["token", ...anchor ? ["anchor"] : [], ...special ? ["special"] : []].join(" ");
  const shown = text === "" ? "\u25cc" : escapeHtml(text);
  return `<span class="${classes}" tabindex="0" data-i="${i}" style="background:color-mix(in srgb, #f60 ${shade}%, transparent)">${shown}</span><sub>${cluster}</sub>`;
}

/** A line about a token. */
function fact({ text, connectivity, anchor, cluster, weight }: InspectedToken): string {
  const name = text === "" ? "part of a character" : JSON.stringify(text);
  return `${name}${anchor ? ", an anchor" : ""}: connectivity ${connectivity.toFixed(3)}, cluster ${cluster}, weight ${weight.toFixed(2)}`;
}

/** Data inside a script element: no "<" in it can end the element. */
const embedded = (data: unknown) => JSON.stringify(data).replaceAll("<", "\\u003c");

/**
 * A page that needs nothing else: the picture, the answer's tokens coloured by connectivity with their clusters, and over the picture the profile of the token
 * that is looked at.
 *
 * @param png Of the picture.
 * @param title Names the model.
 */
export function inspectionPage(inspection: Inspection, { png, title }: { png: Uint8Array; title: string }): string {
  const { prompt, picture: { width, height }, regions, tokens, cut } = inspection;
  const round = (heat: readonly number[]) => heat.map((x) => Math.round(1000 * x) / 1000);
  const most = Math.max(0, ...tokens.map(({ connectivity }) => connectivity)), anchors = tokens.filter(({ anchor }) => anchor).length;
  const data = {
    heats: tokens.map(({ profile }) => round(heatOf(profile, regions))),
    mean: round(heatOf(anchorProfile(inspection), regions)),
    facts: tokens.map(fact),
  };
  const rects = regions.map((box) => `<rect x="${box.left}" y="${box.top}" width="${box.width}" height="${box.height}"/>`).join("");
  const policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
<p class="prompt">${escapeHtml(prompt)}</p>
<main>
<figure>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="The picture, with the profile drawn over it">
<image href="data:image/png;base64,${png.toBase64()}" width="${width}" height="${height}"/>${rects}
</svg>
<figcaption id="facts" class="note" aria-live="polite"></figcaption>
</figure>
<section>
<p class="answer">${tokens.map((token, i) => tokenHtml(token, { i, most })).join("")}</p>
<p class="note">${tokens.length} tokens${cut ? ", cut off there" : ""}; ${anchors} anchors, underlined. Colour: connectivity, up to ${
    most.toFixed(3)
  }. Small numbers: clusters.
Over the picture: share of attention for the area, over the largest.</p>
</section>
</main>
<script type="application/json" id="data">${embedded(data)}</script>
<script>${SCRIPT}</script>
</body>
</html>
`;
}
