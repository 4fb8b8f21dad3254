import type { InspectedToken } from "./inspection.ts";

/** Makes a text safe for a terminal: control characters become visible ones, such as ␛. */
export function harmless(text: string): string {
  return text.replace(/(?![\t\n])\p{Cc}/gu, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? "\u2421" : "\ufffd";
  });
}

/** Background shades of tokens, from pale yellow to red, as indices of the 256 terminal colours. */
const SHADES = [230, 228, 222, 215, 209, 203] as const;

/**
 * Formats an answer for a terminal with its anchors marked. With colours an anchor's background is the redder the higher its connectivity;
 * without colours anchors are in [[ ]]. Special tokens are omitted.
 */
export function terminalAnswer(tokens: readonly InspectedToken[], { colour }: { colour: boolean }): string {
  const seen = tokens.filter(({ anchor, special }) => anchor && !special).map(({ connectivity }) => connectivity);
  const least = Math.min(...seen), range = Math.max(...seen) - least;
  let out = "", open = false;
  for (const { text, special, anchor, connectivity } of tokens) {
    if (special) continue;
    const plain = harmless(text);
    if (!colour) {
      if (anchor !== open) out += anchor ? "[[" : "]]";
      open = anchor;
      out += plain;
    } else if (anchor && plain !== "") {
      const shade = SHADES[Math.min(SHADES.length - 1, Math.floor(SHADES.length * (connectivity - least) / (range || 1)))]!;
      // The background ends at each line break, because it would otherwise fill the rest of the line.
      out += plain.split("\n").map((piece) => piece && `\x1b[30;48;5;${shade}m${piece}\x1b[0m`).join("\n");
    } else out += plain;
  }
  return open ? `${out}]]` : out;
}

/**
 * Lists the anchors by cluster, one cluster per line, the largest first. They are not marked in the answer itself, because a number beside
 * a digit would change it. Special tokens are omitted.
 */
export function anchorsByCluster(tokens: readonly InspectedToken[]): string[] {
  const anchors = tokens.filter(({ anchor, special, text }) => anchor && !special && text !== "");
  const groups = [...Map.groupBy(anchors, ({ cluster }) => cluster)].sort(([, a], [, b]) => b.length - a.length);
  if (groups.length === 0) return [];
  return [
    "",
    "Anchors by cluster:",
    ...groups.map(([cluster, own]) => `  cluster ${cluster}: ${own.map(({ text }) => harmless(JSON.stringify(text))).join(" ")}`),
  ];
}
