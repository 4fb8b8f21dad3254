/**
 * Writes `docs/config.md`, the reference of every key of a configuration, and `docs/config.schema.json`, for editors, from the schema. `--check` writes nothing and fails
 * where a file on disk differs.
 *
 * @module
 */
import { configJsonSchema, configJsonSchemaText, type JsonSchema } from "../actors/config/json_schema.ts";
import { EASYR1 } from "../actors/config/other_names.ts";
import { MAY_CHANGE } from "../actors/config/resume.ts";
import { TUNABLE } from "../actors/config/tunable.ts";
import { runCommand } from "../cli/command.ts";
import { REWARD_NAMES } from "../verify/registry.ts";
import { writeGenerated } from "./write_generated.ts";

/** A key under a path. `kinds`: those that have it, where it stands in some members of a choice by `kind`. */
interface Row {
  readonly path: string;
  readonly schema: JsonSchema;
  readonly kinds: readonly string[];
}

const choices = (schema: JsonSchema): JsonSchema[] => [...schema.anyOf ?? [], ...schema.oneOf ?? []];
const members = (schema: JsonSchema): JsonSchema[] => choices(schema).length === 0 ? [schema] : choices(schema).flatMap(members);
const values = ({ enum: many, const: one }: JsonSchema): unknown[] => Array.isArray(many) ? many : one === undefined ? [] : [one];

/** Every key under a section, the sections' own left out. The members of a choice by `kind` are told together. */
function rows(schema: JsonSchema, path: string): Row[] {
  const objects = members(schema).filter(({ properties }) => properties !== undefined);
  const byKind = objects.length > 1 && objects.every(({ properties }) => properties!.kind !== undefined);
  const found = new Map<string, { schema: JsonSchema; key: string; kinds: string[] }>();
  for (const { properties } of objects) {
    const kinds = byKind ? values(properties!.kind!).map(String) : [];
    for (const [key, own] of Object.entries(properties!)) {
      const id = key === "kind" && byKind ? key : `${key} ${JSON.stringify(own)}`, known = found.get(id);
      if (known) known.kinds.push(...kinds);
      else found.set(id, { schema: own, key, kinds: [...kinds] });
    }
  }
  return [...found.values()].flatMap(({ schema: own, key, kinds }) => {
    const at = path === "" ? key : `${path}.${key}`, whole = key === "kind" && byKind;
    const row = { path: at, schema: whole ? { type: "string", enum: kinds, description: "Which." } : own, kinds: whole ? [] : kinds };
    return [row, ...rows(own, at)];
  });
}

const code = (value: unknown) => `\`${JSON.stringify(value)}\``;

/** What a value may be. */
function typeOf(schema: JsonSchema): string {
  const given = values(schema), { type, properties, additionalProperties, items } = schema;
  if (given.length > 0) return given.map(code).join(", ");
  if (choices(schema).length > 0) return [...new Set(choices(schema).map(typeOf))].join(" or ");
  if (properties !== undefined || additionalProperties !== undefined) return "object";
  if (type === "array") return `list of ${typeOf(items as JsonSchema)}`;
  if (type === undefined) return "any";
  if (Array.isArray(type)) return type.join(" or ");
  const { minimum: least, exclusiveMinimum: above, maximum: most, exclusiveMaximum: below } = schema, words = String(type);
  const bounds = [
    ...(typeof least === "number"
      ? [`>= ${least}`]
      : typeof above === "number"
      ? [type === "integer" ? `>= ${above + 1}` : `> ${above}`]
      : []),
    ...(typeof most === "number" && most < Number.MAX_SAFE_INTEGER ? [`<= ${most}`] : typeof below === "number" ? [`< ${below}`] : []),
  ];
  return [words, bounds.join(", ")].filter((part) => part !== "").join(" ");
}

const changes = (list: readonly string[], path: string) => list.some((one) => path === one || path.startsWith(`${one}.`));
const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function line({ path, schema, kinds }: Row): string {
  const { default: standard, description = "" } = schema, isObject = standard !== undefined && JSON.stringify(standard) === "{}";
  const may = [...(changes(MAY_CHANGE, path) ? ["resume"] : []), ...(TUNABLE.includes(path) ? ["live"] : [])].join(", ");
  const easy = Object.hasOwn(EASYR1, path) ? `\`${EASYR1[path]}\`` : "";
  const meaning = kinds.length > 0 ? `${description} Of ${kinds.join(", ")}.` : description;
  const cells = [`\`${path}\``, typeOf(schema), standard === undefined || isObject ? "" : code(standard), meaning.trim(), may, easy];
  return `| ${cells.map(cell).join(" | ")} |`;
}

const HEAD = "| key | value | default | meaning | may change | EasyR1 |\n|---|---|---|---|---|---|";

const INTRO = `# Configuration

<!-- Written by tools/generate_docs.ts from actors/config/; edit the schema, not this file. -->

A configuration is JSON with comments (\`deno task train --config FILE\`); \`--set a.b=value\` sets one key over it. Every key has a default: an empty file is the built-in
task. Paths in a file are relative to the file, those of \`--set\` to the working directory. An unknown key is an error that names the nearest known one, also for the
names that EasyR1, verl and TRL have for it. [config.schema.json](config.schema.json) is the same for editors: \`"$schema": "docs/config.schema.json"\`.

- default: empty for a section, and for keys that may be left out or must be given where their section is.
- may change: "resume", it may differ when a run goes on from a checkpoint (any other difference is refused, see
  [\`deno task train --no-resume\`](quick_start.md#go-on)); "live", it may change while the run goes on ([http.md](http.md)).
- EasyR1: the key that EasyR1's configuration has for it. The values may be spelt otherwise: [algorithms.md](algorithms.md).

Which combinations are refused is said by the error; \`--dry-run\` shows the configuration as it is used.
`;

const REWARD = `One of three forms:

- \`"math_format"\`: a name, or a module. Names: ${
  REWARD_NAMES.map((name) => `\`${name}\``).join(", ")
}. A module is a path that begins with \`./\`, \`../\` or \`/\`
  (relative to the configuration's file), or a \`file:\` or \`https:\` URL.
- \`{ "use": "math", "options": { "units": "required" } }\`: one with its options.
- \`{ "parts": { "accuracy": { "use": "math", "weight": 0.9 }, "style": { "use": "./style.ts", "weight": 0.1, "options": {} } } }\`: the weighted sum of named parts;
  \`weight\` is 1 by default, and a part of weight 0 is only reported.

What each name does, with its options: [algorithms.md](algorithms.md#rewards).`;

/** The text of `docs/config.md`. */
export function configReference(): string {
  const { properties = {} } = configJsonSchema();
  const sections = Object.entries(properties).filter(([, schema]) => members(schema).some((own) => own.properties !== undefined));
  const plain = Object.entries(properties).filter(([key]) => !sections.some(([name]) => name === key));
  const parts = [INTRO, `## The run\n\n${HEAD}\n${plain.map(([path, schema]) => line({ path, schema, kinds: [] })).join("\n")}\n`];
  for (const [path, schema] of sections) {
    const own = members(schema).length > 1 ? [line({ path, schema, kinds: [] })] : [];
    const inner = path === "reward" ? [] : rows(schema, path).map(line), more = path === "reward" ? `\n${REWARD}\n` : "";
    parts.push(`## \`${path}\`\n\n${schema.description}\n\n${HEAD}\n${[...own, ...inner].join("\n")}\n${more}`);
  }
  return parts.join("\n");
}

/** The files that are written, by their path in the project. */
export function generated(): Record<string, string> {
  return { "docs/config.md": configReference(), "docs/config.schema.json": configJsonSchemaText() };
}

if (import.meta.main) await runCommand((args) => writeGenerated(args, generated));
