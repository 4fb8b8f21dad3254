import { z } from "zod";
import { configSchema } from "./schema.ts";

/** The parts of a JSON schema that Kedge reads. */
export interface JsonSchema {
  /** The schemas of an object's keys. */
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  /** Whether an object may have other keys, or their schema. */
  readonly additionalProperties?: boolean | JsonSchema;
  /** Alternatives, of which at least one matches. */
  readonly anyOf?: readonly JsonSchema[];
  /** Alternatives, of which exactly one matches. */
  readonly oneOf?: readonly JsonSchema[];
  /** The description of the key. */
  readonly description?: string;
  /** All other keywords. */
  readonly [keyword: string]: unknown;
}

/**
 * Returns the JSON schema of a configuration file, for editors. `docs/config.schema.json` is generated from it. It has no rules between
 * keys.
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

/** Returns the text of `docs/config.schema.json`. */
export function configJsonSchemaText(): string {
  return `${JSON.stringify({ title: "A run of Kedge", ...configJsonSchema() }, null, 2)}\n`;
}

/** Returns a schema and all of its alternatives. */
function members(schema: JsonSchema): JsonSchema[] {
  return [schema, ...[...schema.anyOf ?? [], ...schema.oneOf ?? []].flatMap(members)];
}

/** Returns the schemas of a key; none if the key is not allowed. */
export function under(schemas: readonly JsonSchema[], key: string): JsonSchema[] {
  return schemas.flatMap(members).flatMap(({ properties, additionalProperties: others }) =>
    properties && Object.hasOwn(properties, key) ? [properties[key]!] : others === true ? [{}] : typeof others === "object" ? [others] : []
  );
}

/** Returns the valid keys of schemas. */
export function keysUnder(schemas: readonly JsonSchema[]): string[] {
  return [...new Set(schemas.flatMap(members).flatMap(({ properties = {} }) => Object.keys(properties)))];
}

/** Returns every path of a schema, such as "algorithm.kl.kind". */
export function paths(schemas: readonly JsonSchema[], prefix = ""): string[] {
  return keysUnder(schemas).flatMap((key) => {
    const path = prefix === "" ? key : `${prefix}.${key}`;
    return [path, ...paths(under(schemas, key), path)];
  });
}
