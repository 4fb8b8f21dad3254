/**
 * Renders a Jinja template with bounds on its work and on the size of its values. The library has no bounds, and templates come from folders of others.
 *
 * @module
 */
import { Environment, Interpreter, Template } from "@huggingface/jinja";

/** Limits of a rendering. */
export const TEMPLATE_LIMITS = {
  /** Characters of the template. */
  source: 2 ** 20,
  /** Steps of an evaluation: each node, each item of a list and each 64 characters that it reads or makes is one. */
  steps: 1_000_000,
  /** The size of one value, in the same unit as steps. */
  value: 2 ** 18,
} as const;

const CHARACTERS = 64; // of a step
const WIDEST = 1000; // columns that a filter may indent

type Node = NonNullable<Parameters<Interpreter["evaluate"]>[0]>;
type Value = ReturnType<Interpreter["evaluate"]>;

/** The error of a template that does too much. */
class TemplateLimit extends RangeError {}

/**
 * An interpreter that counts steps. The library evaluates everything through `evaluate`, and no step takes longer than its operands and its result
 * are large, so that a bound on the sum of their sizes bounds the time. No clock is read, so that a rendering fails on every machine or on none.
 */
class CountingInterpreter extends Interpreter {
  #left: number = TEMPLATE_LIMITS.steps;
  #parent: Node | undefined;
  // Lists and objects never change, but they may hold a namespace, which does.
  #sizes = new WeakMap<object, number>();

  override evaluate(node: Node | undefined, environment: Environment): Value {
    const parent = this.#parent;
    this.#take(1);
    this.#parent = node;
    const value = super.evaluate(node, environment);
    this.#parent = parent;
    if (parent?.type === "FilterExpression") checkWidth(parent as Filtering, { node, value });
    if (node?.type === "Set") this.#sizes = new WeakMap();
    // Taking a member of a list reads only that member.
    const size = this.#sizeOf(value);
    if (parent?.type !== "MemberExpression") this.#take(size);
    return value;
  }

  #take(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new TemplateLimit(`it takes more than ${TEMPLATE_LIMITS.steps} steps; does a loop of it never end?`);
  }

  /** The size of a value as it would be written out. A part that occurs twice counts twice. */
  #sizeOf({ type, value }: Value): number {
    if (typeof value === "string") return bounded(Math.floor(value.length / CHARACTERS));
    const children: Iterable<Value> | undefined = Array.isArray(value) ? value : value instanceof Map ? value.values() : undefined;
    if (children === undefined) return 0;
    const key = value as object, cached = this.#sizes.get(key);
    if (cached !== undefined) return cached;
    this.#sizes.set(key, 0); // a namespace may hold itself
    let size = 0;
    for (const child of children) size = bounded(size + 1 + this.#sizeOf(child));
    if (type === "NamespaceValue") this.#sizes.delete(key);
    else this.#sizes.set(key, size);
    return size;
  }
}

function bounded(size: number): number {
  if (size > TEMPLATE_LIMITS.value) {
    throw new TemplateLimit(`a value in it has more than ${TEMPLATE_LIMITS.value} items, or ${CHARACTERS} times as many characters`);
  }
  return size;
}

/** The library's nodes for `operand | filter` and `operand | filter(...)`. */
interface Filtering extends Node {
  readonly operand: Node;
  readonly filter: { readonly callee?: { readonly value: string } };
}

/** An argument of these two filters says how many spaces they make. */
function checkWidth({ operand, filter }: Filtering, { node, value }: { node: Node | undefined; value: Value }): void {
  const name = filter.callee?.value;
  if (node === operand || (name !== "indent" && name !== "tojson")) return;
  const content: unknown = value.value,
    arguments_ = content instanceof Map ? [...content.values()] : Array.isArray(content) ? content : [value];
  if (arguments_.some((each) => typeof each.value === "number" && each.value > WIDEST)) {
    throw new TemplateLimit(`${name} is asked for more than ${WIDEST} columns`);
  }
}

/** Python's range, with a bound. The library's makes a list of any length, and never ends if adding the step changes nothing. */
function range(start: number, stop?: number, step = 1): number[] {
  if (stop === undefined) return range(0, start, step);
  if (step === 0) throw new Error("range() step must not be zero");
  const count = Math.ceil((stop - start) / step);
  return count > 0 ? Array.from({ length: bounded(count) }, (_, i) => start + i * step) : [];
}

/** The names that the library defines for every template. */
const GLOBALS: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range,
  "raise_exception": (words: string) => {
    throw new Error(words);
  },
  "strftime_now": (format: string) => new Template("{{ strftime_now(format) }}").render({ format }),
};

/**
 * Renders a parsed template with its variables, as `Template.render` does.
 *
 * @throws {TemplateLimit} for a template that exceeds {@linkcode TEMPLATE_LIMITS}.
 * @throws {Error} if the template fails, or raises an exception.
 */
export function renderBounded({ parsed }: Template, variables: Readonly<Record<string, unknown>>): string {
  const environment = new Environment();
  for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) environment.set(name, value);
  return new CountingInterpreter(environment).run(parsed).value as string;
}
