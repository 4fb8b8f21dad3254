/** Returns the properties of an object and of its prototypes, without those of built-in objects and arrays. */
function namesOf(object: object): Set<PropertyKey> {
  const names = new Set<PropertyKey>();
  for (let at: object | null = object; at !== null && at !== Object.prototype && at !== Array.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Reflect.ownKeys(at)) names.add(name);
  }
  return names;
}

const isPrimitive = (x: unknown) => x === null || !["object", "function"].includes(typeof x);
const isBasic = (prototype: object | null) => prototype === null || prototype === Object.prototype || prototype === Array.prototype;
const isTypedArray = (x: object): x is Uint8Array => ArrayBuffer.isView(x) && !(x instanceof DataView);
/** Compares as Map and Set do: NaN equals NaN, and 0 equals -0. */
const isSame = (a: unknown, b: unknown) => a === b || Object.is(a, b);
/** Classes whose objects are compared by their text. */
const TEXTUAL: readonly unknown[] = [RegExp, URL, URLSearchParams, Intl.Locale].map(({ prototype }) => prototype);

/**
 * Compares deeply, as `jsr:@std/assert` does: by prototype, by elements (NaN equals NaN, 0 equals -0), and by own and inherited properties.
 * The order of map keys and set elements does not matter.
 *
 * @throws {TypeError} for a WeakMap or WeakSet, whose contents cannot be read.
 */
export function equal(a: unknown, b: unknown): boolean {
  const pairs = new Map<unknown, unknown>();
  const elements = (one: ArrayLike<unknown>, other: ArrayLike<unknown>) => {
    if (one.length !== other.length) return false;
    for (let i = 0; i < one.length; i++) if (!isSame(one[i], other[i])) return false;
    return true;
  };
  const collections = (one: Map<unknown, unknown> | Set<unknown>, other: typeof one): boolean => {
    if (one.size !== other.size) return false;
    const entries = (of: typeof one) => of instanceof Map ? [...of] : Array.from(of, (element) => [element] as const);
    if ([...one.keys()].every(isPrimitive)) {
      return entries(one).every(([key, ...value]) =>
        other.has(key) && (value.length === 0 || compare(value[0], (other as Map<unknown, unknown>).get(key)))
      );
    }
    const others = entries(other);
    return entries(one).every(([key, ...value]) =>
      others.some(([otherKey, ...otherValue]) => compare(key, otherKey) && compare(value[0], otherValue[0]))
    );
  };
  const compare = (one: unknown, other: unknown): boolean => {
    if (isSame(one, other)) return true;
    if (one === null || other === null || typeof one !== "object" || typeof other !== "object") return false;
    if (one instanceof Date && other instanceof Date) return Object.is(one.getTime(), other.getTime());
    const prototype = Object.getPrototypeOf(one), otherPrototype = Object.getPrototypeOf(other);
    const isPlain = (of: unknown) => of === null || of === Object.prototype;
    if (prototype !== otherPrototype && !(isPlain(prototype) && isPlain(otherPrototype))) return false;
    if (isTypedArray(one)) return elements(one, other as Uint8Array);
    if (one instanceof ArrayBuffer || one instanceof SharedArrayBuffer) {
      return elements(new Uint8Array(one), new Uint8Array(other as ArrayBuffer));
    }
    if (one instanceof WeakMap || one instanceof WeakSet) throw new TypeError(`Cannot compare ${one.constructor.name} instances`);
    if (one instanceof WeakRef) return compare(one.deref(), (other as WeakRef<WeakKey>).deref());
    if (pairs.get(one) === other) return true; // a cycle
    if (Object.keys(one).length !== Object.keys(other).length) return false;
    pairs.set(one, other);
    if (one instanceof Map || one instanceof Set) return collections(one, other as typeof one);
    if (TEXTUAL.includes(prototype)) return String(one) === String(other);
    const names = isBasic(prototype) ? new Set(Reflect.ownKeys({ ...one, ...other })) : namesOf(one).union(namesOf(other));
    for (const name of names) {
      if (!compare(Reflect.get(one, name), Reflect.get(other, name)) || name in one !== name in other) return false;
    }
    return true;
  };
  return compare(a, b);
}
