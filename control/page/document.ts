/**
 * Makes pages that contain everything they need.
 *
 * @module
 */
import { createHash } from "node:crypto";

/**
 * Joins modules to one script. Each becomes a function whose exports are constants that all modules see. Two modules must not export the
 * same name, and none may rename an import.
 *
 * @param modules The modules' texts. Each comes after those that it needs while it loads.
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

/** Encodes data for a script element, so that no "<" in it can end the element. Numbers are rounded to six digits. */
function embedded(data: unknown): string {
  const short = (_: string, value: unknown) => typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  return JSON.stringify(data, short).replaceAll("<", "\\u003c");
}

/** Returns the sources of a content security policy that allow only these texts, by their hashes. */
export function hashesOf(texts: readonly string[]): string {
  return texts.map((text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`).join(" ");
}

/** The parts of a page. */
export interface PageParts {
  readonly title: string;
  /** Raw text for the head. */
  readonly head: string;
  readonly styles: readonly string[];
  /** Raw text for the body. */
  readonly body: string;
  /** The data that the scripts find under the id "data". */
  readonly data: unknown;
  readonly scripts: readonly string[];
}

/** Returns the page's text. */
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

/** Makes a page that opens from disk. Only its own scripts and styles run, and nothing is loaded, because pictures are in its data. */
export function sealedPage(parts: Omit<PageParts, "head">): string {
  const { scripts, styles } = parts;
  const policy = `default-src 'none'; img-src data:; script-src ${hashesOf(scripts)}; style-src ${
    hashesOf(styles)
  }; base-uri 'none'; form-action 'none'`;
  return htmlOf({ ...parts, head: `<meta http-equiv="Content-Security-Policy" content="${policy}">` });
}
