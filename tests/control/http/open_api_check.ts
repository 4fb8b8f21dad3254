import { assert } from "@std/assert";
import { z } from "zod";

interface Answer {
  content?: Record<string, { schema: object }>;
}

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Answer> }>>;
  components: { schemas: Record<string, object> };
}

/** Checks answers against the server's own document. */
export class OpenApiCheck {
  readonly #document: Document;
  readonly #schemas = new Map<object, z.ZodType>();
  /** The statuses so far, such as "GET /v1/status 200". */
  readonly seen = new Set<string>();

  constructor(document: unknown) {
    this.#document = document as Document;
  }

  /** Paths with their methods. */
  get routes(): { path: string; method: string }[] {
    return Object.entries(this.#document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => ({ path, method: method.toUpperCase() }))
    );
  }

  /** Checks one answer, whose body is read. */
  check(route: { path: string; method: string }, answer: { status: number; type: string | null; text: string }): void {
    const { path, method } = route, { status, type, text } = answer, where = `${method} ${path} ${status}`;
    const found = this.#document.paths[path]?.[method.toLowerCase()]?.responses[status];
    assert(found, `${where} is not in the document: ${text.slice(0, 200)}`);
    const media = (type ?? "").split(";")[0]!.trim(), content = found.content?.[media];
    assert(content, `${where} is not in the document as ${media}`);
    this.seen.add(where);
    const value = media === "application/json" ? JSON.parse(text) : text;
    const result = this.#schema(content.schema).safeParse(value);
    assert(result.success, `${where} is not as the document says: ${result.error} in ${text.slice(0, 300)}`);
  }

  /** Checks a value against a named schema. */
  checkNamed(name: string, value: unknown): void {
    const result = this.#schema(this.#document.components.schemas[name]!).safeParse(value);
    assert(result.success, `it is no ${name}: ${result.error} in ${JSON.stringify(value).slice(0, 300)}`);
  }

  #schema(schema: object): z.ZodType {
    const known = this.#schemas.get(schema);
    if (known) return known;
    const local = JSON.parse(
      JSON.stringify({ ...schema, $defs: this.#document.components.schemas }).replaceAll("#/components/schemas/", "#/$defs/"),
    );
    const made = z.fromJSONSchema(local);
    this.#schemas.set(schema, made);
    return made;
  }
}
