/**
 * The text to paste into a bug report: versions, the machine, what Kedge found on it, and a run's configuration and last lines, without secrets.
 *
 * @module
 */
import project from "../../deno.json" with { type: "json" };
import type { Diagnosis } from "./diagnosis.ts";

/** The text that replaces a secret. */
const REMOVED = "(removed)";
const SECRET_KEY = /authorization|cookie|password|secret|credential|api[-_]?key|(^|[-_])key$|token$/i;
const SECRET_TEXT = /\b(?:hf_|sk-|gh[pousr]_|xox[abp]-)[\w-]{8,}|\bBearer\s+[^\s"']+/g;

/** Returns a text without what looks like a secret: tokens, and the credentials and queries of URLs. `home` becomes "~". */
function withoutSecrets(text: string, home: string | undefined): string {
  const plain = text.replace(SECRET_TEXT, REMOVED)
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^/\s@"']+@/gi, `$1${REMOVED}@`)
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/[^\s?#"']+)\?[^\s#"']+/gi, `$1?${REMOVED}`);
  return home ? plain.replaceAll(home, "~") : plain;
}

/**
 * Returns a value of a configuration without its secrets: values of keys such as "password", all HTTP headers, and what looks like a token or
 * credentials in a text.
 *
 * @param options `home`: the user's home directory, which becomes "~".
 */
export function redacted(value: unknown, options: { home?: string | undefined } = {}): unknown {
  if (typeof value === "string") return withoutSecrets(value, options.home);
  if (Array.isArray(value)) return value.map((item) => redacted(item, options));
  if (typeof value !== "object" || value === null) return value;
  const entry = ([key, item]: [string, unknown]): [string, unknown] => {
    if (key === "headers" && typeof item === "object" && item !== null) {
      return [key, Object.fromEntries(Object.keys(item).map((name) => [name, REMOVED]))];
    }
    return [key, SECRET_KEY.test(key) && typeof item === "string" ? REMOVED : redacted(item, options)];
  };
  return Object.fromEntries(Object.entries(value).map(entry));
}

/** Returns a file's text, or undefined if it cannot be read. */
function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

/** Returns the last lines of a file of JSON lines, with a step's numbers but without its long texts. */
function lastLines(path: string, { count, home }: { count: number; home: string | undefined }): string[] {
  const lines = textOf(path)?.split("\n").filter((line) => line.trim() !== "").slice(-count) ?? [];
  return lines.map((line) => {
    const plain = withoutSecrets(line, home);
    return plain.length > 2000 ? `${plain.slice(0, 2000)} ...` : plain;
  });
}

const fenced = (info: string, lines: readonly string[]) => ["```" + info, ...lines.map((line) => line.replaceAll("```", "'''")), "```"];

/** Returns the part about a run. */
function aboutRun(run: string, home: string | undefined): string[] {
  const config = textOf(`${run}/config.json`), name = withoutSecrets(run, home);
  if (config === undefined) return ["", "### Run", "", `${name} has no \`config.json\`: it is not the directory of a run.`];
  const lines = ["", "### Run", "", `Directory: \`${name}\``];
  const checkpoints = (() => {
    try {
      return Array.from(Deno.readDirSync(`${run}/checkpoints`), (entry) => entry.name).sort();
    } catch {
      return [];
    }
  })();
  lines.push(`Checkpoints: ${checkpoints.join(", ") || "none"}`, "", "Configuration:", "");
  try {
    lines.push(...fenced("json", JSON.stringify(redacted(JSON.parse(config), { home }), null, 2).split("\n")));
  } catch {
    lines.push("`config.json` is not JSON.");
  }
  const shown = [["metrics.jsonl", 2], ["tuning.jsonl", 5], ["quarantine.jsonl", 3]] as const;
  for (const [file, count] of shown) {
    const last = lastLines(`${run}/${file}`, { count, home });
    if (last.length > 0) lines.push("", `The last lines of \`${file}\`:`, "", ...fenced("json", last));
  }
  return lines;
}

/** Returns the name of the operating system. */
function system(): string {
  const name = /^PRETTY_NAME="?([^"\n]+)/m.exec(textOf("/etc/os-release") ?? "")?.[1];
  return `${name ?? Deno.build.os}, ${Deno.build.arch}`;
}

/**
 * Returns the report as Markdown.
 *
 * @param options `run`: the directory of a run to describe too. `home`: the user's home directory, which becomes "~".
 */
export function bugReport(
  { found, missing, works }: Diagnosis,
  options: { run?: string | undefined; home?: string | undefined } = {},
): string {
  const { run, home } = options;
  const rows: (readonly [string, string])[] = [
    ["Kedge", project.version],
    ["system", system()],
    ["cores", `${navigator.hardwareConcurrency}`],
    ["V8, TypeScript", `${Deno.version.v8}, ${Deno.version.typescript}`],
    ...found,
    ["works", works ? "yes" : "no"],
  ];
  const cell = (text: string) => withoutSecrets(text, home).replaceAll("|", "\\|").replaceAll("\n", " ");
  const lines = [
    "### What happened",
    "",
    "The command, what you expected, and the error message with the lines before it:",
    "",
    ...fenced("text", [""]),
    "",
    "### Machine",
    "",
    "| | |",
    "|---|---|",
    ...rows.map((row) => `| ${row.map(cell).join(" | ")} |`),
  ];
  if (missing.length > 0) lines.push("", "Missing:", "", ...missing.map((line) => `- ${cell(line)}`));
  if (run !== undefined) lines.push(...aboutRun(run, home));
  return `${lines.join("\n")}\n`;
}
