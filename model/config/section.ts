import { type Field, type Kind, SECTION } from "./kinds.ts";

/** A value as text for a message, cut if it is long. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

/** Collects what is wrong with a file, and at which keys. */
export class Faults {
  readonly words: string[] = [];
  readonly #keys = new Set<string>();

  add(key: string, words: string): void {
    this.words.push(`${key} ${words}`);
    this.#keys.add(key);
  }

  /** Checks a relation between keys, unless one of them, or its section, is at fault already. */
  check(keys: readonly string[], holds: boolean, words: string): void {
    const faulty = (key: string) => key.split(".").some((_, i, parts) => this.#keys.has(parts.slice(0, i + 1).join(".")));
    if (!holds && !keys.some(faulty)) this.add(keys[0]!, words);
  }
}

/** One object of the file. */
export class Section {
  constructor(readonly json: Record<string, unknown>, readonly prefix: string, readonly faults: Faults) {}

  /** The value of the first key that is set; null counts as not set. A value of the wrong kind is a fault, and the fallback is returned. */
  take<T, F>(keys: readonly string[], kind: Kind<T>, fallback: F): T | F {
    for (const key of keys) {
      const value = this.json[key];
      if (value === undefined || value === null) continue;
      const parsed = kind.schema.safeParse(value);
      if (parsed.success) return parsed.data;
      this.faults.add(this.prefix + key, `is ${show(value)}, not ${kind.words}`);
      return fallback;
    }
    return fallback;
  }

  fields<K extends string>(fields: Readonly<Record<K, Field>>): Record<K, number> {
    const entries = Object.entries<Field>(fields).map(([name, { keys, kind, fallback }]) => [name, this.take(keys, kind, fallback)]);
    return Object.fromEntries(entries) as Record<K, number>;
  }

  child(key: string): Section {
    return new Section(this.take([key], SECTION, {}), `${this.prefix}${key}.`, this.faults);
  }

  /** Checks a relation between keys of this section. */
  check(keys: string, holds: boolean, words: string): void {
    this.faults.check(keys.split(" ").map((key) => this.prefix + key), holds, words);
  }

  /** Refuses values of a key that change what a model computes in ways that Kedge does not implement. */
  only(key: string, allowed: unknown, words: string): void {
    const value = this.json[key];
    if (value !== undefined && value !== null && value !== allowed) this.faults.add(this.prefix + key, `is ${show(value)}: ${words}`);
  }
}

/** The decoder's keys: in `text_config`, or at the top. */
export const textSection = (top: Section): Section => top.json["text_config"] ? top.child("text_config") : top;
