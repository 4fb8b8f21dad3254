import { z } from "zod";
import { configSchema } from "./schema.ts";

/** What Kedge reads of a JSON schema. */
export interface JsonSchema {
  /** Of an object, by key. */
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  /** Whether, or as what, an object may have other keys. */
  readonly additionalProperties?: boolean | JsonSchema;
  /** One of these. */
  readonly anyOf?: readonly JsonSchema[];
  /** One of these, and no two. */
  readonly oneOf?: readonly JsonSchema[];
  /** What the key does. */
  readonly description?: string;
  /** Everything else. */
  readonly [keyword: string]: unknown;
}

/**
 * The JSON schema of a configuration file, for editors; `docs/config.schema.json` is written from it. It knows no rule between keys.
 *
 * @example
 * ```ts
 * import { configJsonSchema } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(configJsonSchema().properties!.rollout!.properties!.n!.default, 8);
 * ```
 */
export function configJsonSchema(): JsonSchema {
  return z.toJSONSchema(configSchema, { io: "input" }) as JsonSchema;
}

/** The text of `docs/config.schema.json`. */
export function configJsonSchemaText(): string {
  return `${JSON.stringify({ title: "A run of Kedge", ...configJsonSchema() }, null, 2)}\n`;
}

/** A schema and, where it is a choice, its members. */
function members(schema: JsonSchema): JsonSchema[] {
  return [schema, ...[...schema.anyOf ?? [], ...schema.oneOf ?? []].flatMap(members)];
}

/** What may stand under a key; none: nothing may. */
export function under(schemas: readonly JsonSchema[], key: string): JsonSchema[] {
  return schemas.flatMap(members).flatMap(({ properties, additionalProperties: others }) =>
    properties && Object.hasOwn(properties, key) ? [properties[key]!] : others === true ? [{}] : typeof others === "object" ? [others] : []
  );
}

/** The keys that are known under a path; none where nothing is. */
export function keysUnder(schemas: readonly JsonSchema[]): string[] {
  return [...new Set(schemas.flatMap(members).flatMap(({ properties = {} }) => Object.keys(properties)))];
}

/** Every path of a schema, such as "algorithm.kl.kind". */
export function paths(schemas: readonly JsonSchema[], prefix = ""): string[] {
  return keysUnder(schemas).flatMap((key) => {
    const path = prefix === "" ? key : `${prefix}.${key}`;
    return [path, ...paths(under(schemas, key), path)];
  });
}
