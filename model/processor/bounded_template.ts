/**
 * Renders a Jinja template with a bound on its work and on its values: the library has none, and templates come from folders of others.
 *
 * @module
 */
import { Environment, Interpreter, Template } from "@huggingface/jinja";

/** Limits of a rendering. */
export const TEMPLATE_LIMITS = {
  /** Characters of the template. */
  source: 2 ** 20,
  /** Nodes that are evaluated, and what they read and make: an item of a list, or 64 characters, is a step. */
  steps: 1_000_000,
  /** The size of one value, counted as steps are. */
  value: 2 ** 18,
} as const;

const CHARACTERS = 64; // of a step
const WIDEST = 1000; // columns that a filter may indent

type Node = NonNullable<Parameters<Interpreter["evaluate"]>[0]>;
type Value = ReturnType<Interpreter["evaluate"]>;

/** Says that a template does too much. */
class TemplateLimit extends RangeError {}

/**
 * An interpreter that counts. All that the library evaluates goes through `evaluate`, and no step of its own takes longer than its operands and its result
 * are large; so a bound on the sum of these bounds the time. Steps are counted, and no clock is read: a rendering fails everywhere or nowhere.
 */
class CountingInterpreter extends Interpreter {
  #left: number = TEMPLATE_LIMITS.steps;
  #parent: Node | undefined;
  // Lists and objects never change; but a namespace does, which they may hold.
  #sizes = new WeakMap<object, number>();

  override evaluate(node: Node | undefined, environment: Environment): Value {
    const parent = this.#parent;
    this.#take(1);
    this.#parent = node;
    const value = super.evaluate(node, environment);
    this.#parent = parent;
    if (parent?.type === "FilterExpression") checkWidth(parent as Filtering, { node, value });
    if (node?.type === "Set") this.#sizes = new WeakMap();
    // To take a member of a list reads that member only.
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

/** These two filters make as many spaces as an argument says. */
function checkWidth({ operand, filter }: Filtering, { node, value }: { node: Node | undefined; value: Value }): void {
  const name = filter.callee?.value;
  if (node === operand || (name !== "indent" && name !== "tojson")) return;
  const content: unknown = value.value,
    arguments_ = content instanceof Map ? [...content.values()] : Array.isArray(content) ? content : [value];
  if (arguments_.some((each) => typeof each.value === "number" && each.value > WIDEST)) {
    throw new TemplateLimit(`${name} is asked for more than ${WIDEST} columns`);
  }
}

/** Python's range, with a bound: the library's makes a list of any length, and does not end where adding changes nothing. */
function range(start: number, stop?: number, step = 1): number[] {
  if (stop === undefined) return range(0, start, step);
  if (step === 0) throw new Error("range() step must not be zero");
  const count = Math.ceil((stop - start) / step);
  return count > 0 ? Array.from({ length: bounded(count) }, (_, i) => start + i * step) : [];
}

/** The names that the library gives every template. */
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
 * The text that a parsed template makes of its variables, as `Template.render` has it.
 *
 * @throws {TemplateLimit} For a template that does more than {@linkcode TEMPLATE_LIMITS} let it.
 * @throws {Error} if the template fails, or raises an exception.
 */
export function renderBounded({ parsed }: Template, variables: Readonly<Record<string, unknown>>): string {
  const environment = new Environment();
  for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) environment.set(name, value);
  return new CountingInterpreter(environment).run(parsed).value as string;
}
