import type { InspectedToken } from "./inspection.ts";

/** Text that a terminal only shows: what would steer it becomes its picture, as ␛. */
export function harmless(text: string): string {
  return text.replace(/(?![\t\n])\p{Cc}/gu, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? "\u2421" : "\ufffd";
  });
}

/** Shades of a token's background, of the 256 colours of terminals: from a pale yellow to red. */
const SHADES = [230, 228, 222, 215, 209, 203] as const;

/**
 * An answer for a terminal, its anchors marked: on a coloured background, the redder the more they look at the picture among anchors, or in [[ ]] without colours. Special
 * tokens are left out.
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
      // A background that runs over a line's end would fill the rest of the line.
      out += plain.split("\n").map((piece) => piece && `\x1b[30;48;5;${shade}m${piece}\x1b[0m`).join("\n");
    } else out += plain;
  }
  return open ? `${out}]]` : out;
}

/** The anchors by cluster, a line for each, the most tokens first: apart from the answer, whose digits a number beside them would change. Special tokens are left out. */
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
