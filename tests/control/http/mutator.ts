/** Random draws from a seed. */
export class Draws {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number in [0, n). */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 2 ** 32 * n);
  }

  one<T>(of: readonly T[]): T {
    return of[this.below(of.length)]!;
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  bytes(count: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: count }, () => this.below(256));
  }
}

const ODD_TEXTS = [
  "",
  "\0",
  "../../etc/passwd",
  "\ud800",
  "__proto__",
  "constructor",
  "🙂".repeat(50),
  "a".repeat(5000),
  "%00",
  "${7*7}",
  "<script>",
  "data:image/png;base64,AAAA",
];
const ODD_NUMBERS = [0, -0, -1, 1e308, -1e308, 1e-320, 2 ** 53, 2 ** 64, 0.1, 4096, 4097, 8, 9];

/** Draws any JSON value. */
function anyValue(draws: Draws, depth = 0): unknown {
  switch (draws.below(depth > 3 ? 4 : 7)) {
    case 0:
      return draws.one(ODD_TEXTS);
    case 1:
      return draws.one(ODD_NUMBERS);
    case 2:
      return draws.one([true, false, null]);
    case 3:
      return [];
    case 4:
      return Array.from({ length: draws.below(20) }, () => anyValue(draws, depth + 1));
    case 5:
      return Object.fromEntries(Array.from({ length: draws.below(6) }, () => [draws.one(ODD_TEXTS), anyValue(draws, depth + 1)]));
    default: {
      // A value that is nested very deeply.
      let nested: unknown = 1;
      for (let i = 0; i < 200; i++) nested = i % 2 ? [nested] : { a: nested };
      return nested;
    }
  }
}

/** Returns a value with some random changes. */
export function mutated(value: unknown, draws: Draws): unknown {
  if (draws.chance(6)) return anyValue(draws);
  if (Array.isArray(value)) {
    const all = value.map((each) => draws.chance(2) ? mutated(each, draws) : each);
    if (draws.chance(6)) all.push(anyValue(draws));
    if (draws.chance(8)) all.length = 0;
    return all;
  }
  if (typeof value !== "object" || value === null) return draws.chance(2) ? anyValue(draws) : value;
  const entries = Object.entries(value).filter(() => !draws.chance(8)).map((
    [key, inner],
  ) => [key, draws.chance(2) ? mutated(inner, draws) : inner]);
  if (draws.chance(5)) entries.push([draws.one([...ODD_TEXTS, "stream", "n", "tools", "lr"]), anyValue(draws)]);
  return Object.fromEntries(entries);
}

/** Returns a JSON text with some of its characters changed. */
export function garbled(text: string, draws: Draws): string {
  const letters = [...text];
  for (let i = draws.below(4); i >= 0; i--) {
    letters[draws.below(letters.length)] = draws.one(["{", "}", '"', ",", "\\", "\0", "9", "e", ""]);
  }
  return letters.join("").slice(0, draws.chance(4) ? draws.below(text.length + 1) : undefined);
}
