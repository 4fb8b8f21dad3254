/**
 * A page that holds all it needs.
 *
 * @module
 */
import { createHash } from "node:crypto";

/**
 * Modules as one script. Each is a function of its own, whose exports are constants that all see: no two modules may export the same name, and none may rename
 * what it imports.
 *
 * @param modules Their texts, each after those that it needs while it loads.
 */
export function scriptOf(modules: readonly string[]): string {
  const EXPORT = /^export (?=(?:async )?(?:const|class|function)\b(?:\* )? ?(\w+))/gm;
  const bodies = modules.map((text) => {
    const names = [...text.matchAll(EXPORT)].map(([, name]) => name);
    return `const { ${names.join(", ")} } = (() => {\n${text.replace(/^import [^;]*;\n/gm, "").replace(EXPORT, "")}return { ${
      names.join(", ")
    } };\n})();`;
  });
  return `"use strict";\n{\n${bodies.join("\n")}\n}\n`;
}

/** Data inside a script element: no "<" in it can end the element. Six digits of a number are enough to look at. */
function embedded(data: unknown): string {
  const short = (_: string, value: unknown) => typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  return JSON.stringify(data, short).replaceAll("<", "\\u003c");
}

/** Sources of a content security policy: these texts and no others, known by their hashes. */
export function hashesOf(texts: readonly string[]): string {
  return texts.map((text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`).join(" ");
}

/** What a page is made of. */
export interface PageParts {
  readonly title: string;
  /** Goes into the head as it is. */
  readonly head: string;
  readonly styles: readonly string[];
  /** Goes into the body as it is. */
  readonly body: string;
  /** What the scripts find under the id "data". */
  readonly data: unknown;
  readonly scripts: readonly string[];
}

/** The page's text. */
export function htmlOf({ title, head, styles, body, data, scripts }: PageParts): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
${head}
<title>${title}</title>
${styles.map((style) => `<style>${style}</style>`).join("\n")}
</head>
<body>
${body}
<script type="application/json" id="data">${embedded(data)}</script>
${scripts.map((script) => `<script>${script}</script>`).join("\n")}
</body>
</html>
`;
}

/** A page that opens from disk: only its own scripts and styles run, and nothing is loaded; pictures are in its data. */
export function sealedPage(parts: Omit<PageParts, "head">): string {
  const { scripts, styles } = parts;
  const policy = `default-src 'none'; img-src data:; script-src ${hashesOf(scripts)}; style-src ${
    hashesOf(styles)
  }; base-uri 'none'; form-action 'none'`;
  return htmlOf({ ...parts, head: `<meta http-equiv="Content-Security-Policy" content="${policy}">` });
}
