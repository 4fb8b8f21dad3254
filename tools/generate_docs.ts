/**
 * Writes `docs/config.md`, the reference of every configuration key, and `docs/config.schema.json` for editors, from the schema; and the
 * tables of `docs/gpu.md`. With `--check` it writes nothing, and fails if a file differs.
 *
 * @module
 */
import { configJsonSchema, configJsonSchemaText, type JsonSchema } from "../actors/config/json_schema.ts";
import { EASYR1 } from "../actors/config/other_names.ts";
import { MAY_CHANGE } from "../actors/config/resume.ts";
import { TUNABLE } from "../actors/config/tunable.ts";
import { withRoofline } from "../bench/roofline.ts";
import { runCommand } from "../cli/command.ts";
import { REWARD_NAMES } from "../verify/registry.ts";
import { writeGenerated } from "./write_generated.ts";

/** A key under a path. `kinds` lists the members of a choice by `kind` that have the key, if not all do. */
interface Row {
  readonly path: string;
  readonly schema: JsonSchema;
  readonly kinds: readonly string[];
}

const choices = (schema: JsonSchema): JsonSchema[] => [...schema.anyOf ?? [], ...schema.oneOf ?? []];
const members = (schema: JsonSchema): JsonSchema[] => choices(schema).length === 0 ? [schema] : choices(schema).flatMap(members);
const values = ({ enum: many, const: one }: JsonSchema): unknown[] => Array.isArray(many) ? many : one === undefined ? [] : [one];

/** Returns every key under a section, without the sections themselves. The members of a choice by `kind` are combined. */
function rows(schema: JsonSchema, path: string): Row[] {
  const objects = members(schema).filter(({ properties }) => properties !== undefined);
  const byKind = objects.length > 1 && objects.every(({ properties }) => properties!.kind !== undefined);
  const byId = new Map<string, { schema: JsonSchema; key: string; kinds: string[] }>();
  for (const { properties } of objects) {
    const kinds = byKind ? values(properties!.kind!).map(String) : [];
    for (const [key, property] of Object.entries(properties!)) {
      const id = key === "kind" && byKind ? key : `${key} ${JSON.stringify(property)}`, existing = byId.get(id);
      if (existing) existing.kinds.push(...kinds);
      else byId.set(id, { schema: property, key, kinds: [...kinds] });
    }
  }
  return [...byId.values()].flatMap(({ schema: property, key, kinds }) => {
    const at = path === "" ? key : `${path}.${key}`, whole = key === "kind" && byKind;
    const row = { path: at, schema: whole ? { type: "string", enum: kinds, description: "Which." } : property, kinds: whole ? [] : kinds };
    return [row, ...rows(property, at)];
  });
}

const code = (value: unknown) => `\`${JSON.stringify(value)}\``;

/** Describes the type of a value. */
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

A configuration is JSON with comments (\`deno task train --config FILE\`). \`--set a.b=value\` sets one
key and takes precedence over the file. Every key has a default, so that an empty file is the
built-in task. Paths in a file are relative to the file; those of \`--set\` are relative to the
working directory. An unknown key is an error that names the nearest known one. The error also knows
the names that EasyR1, verl and TRL use. Editors can check a file against
[config.schema.json](config.schema.json): \`"$schema": "docs/config.schema.json"\`.

- default: empty for a section, for keys that may be absent, and for keys that are required in their
  section.
- may change: "resume" means that the key may differ when a run resumes from a checkpoint. Any other
  difference is refused ([\`deno task train --no-resume\`](quick_start.md#resume)). "live" means that
  it may change during the run ([http.md](http.md)).
- EasyR1: the corresponding key of EasyR1's configuration. Its values may be written differently:
  [algorithms.md](algorithms.md).

An error names a combination of keys that is refused. \`--dry-run\` prints the configuration with all
defaults.
`;

const REWARD = `It has one of three forms:

- \`"math_format"\`: a name or a module. The names are ${
  REWARD_NAMES.map((name) => `\`${name}\``).join(", ")
}. A module is a path that begins with \`./\`, \`../\` or \`/\`
  (relative to the configuration's file), or a \`file:\` or \`https:\` URL.
- \`{ "use": "math", "options": { "units": "required" } }\`: a name or a module with its options.
- \`{ "parts": { "accuracy": { "use": "math", "weight": 0.9 }, "style": { "use": "./style.ts", "weight": 0.1, "options": {} } } }\`: the weighted sum of named parts.
  \`weight\` is 1 by default. A part of weight 0 is only reported.

[algorithms.md](algorithms.md#rewards) describes each name and its options.`;

/** Makes the text of `docs/config.md`. */
export function configReference(): string {
  const { properties = {} } = configJsonSchema();
  const sections = Object.entries(properties).filter(([, schema]) => members(schema).some((member) => member.properties !== undefined));
  const plain = Object.entries(properties).filter(([key]) => !sections.some(([name]) => name === key));
  const parts = [INTRO, `## The run\n\n${HEAD}\n${plain.map(([path, schema]) => line({ path, schema, kinds: [] })).join("\n")}\n`];
  for (const [path, schema] of sections) {
    const ownRows = members(schema).length > 1 ? [line({ path, schema, kinds: [] })] : [];
    const inner = path === "reward" ? [] : rows(schema, path).map(line), more = path === "reward" ? `\n${REWARD}\n` : "";
    parts.push(`## \`${path}\`\n\n${schema.description}\n\n${HEAD}\n${[...ownRows, ...inner].join("\n")}\n${more}`);
  }
  return parts.join("\n");
}

/** Returns the generated files, by their paths in the project. */
export function generated(): Record<string, string> {
  const gpu = Deno.readTextFileSync(new URL("../docs/gpu.md", import.meta.url));
  return { "docs/config.md": configReference(), "docs/config.schema.json": configJsonSchemaText(), "docs/gpu.md": withRoofline(gpu) };
}

if (import.meta.main) await runCommand((args) => writeGenerated(args, generated));
