import { ALONE, type CHANNELS, type Place, World } from "../../ffi/world.ts";

/** JSON has no NaN and no infinities; these stand for them. */
const NUMBERS: Readonly<Record<string, number>> = { "NaN": NaN, "Infinity": Infinity, "-Infinity": -Infinity };

/** Turns a plain value into bytes. Unlike in JSON alone, no number is lost. */
function encoded(value: unknown): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(
    { value },
    (_, part) => typeof part === "number" && !Number.isFinite(part) ? { "$number": String(part) } : part,
  );
  return new TextEncoder().encode(text);
}

function decoded<T>(bytes: Uint8Array<ArrayBuffer>): T {
  const revive = (_: string, part: unknown) =>
    typeof part === "object" && part !== null && "$number" in part ? NUMBERS[part.$number as string] : part;
  return JSON.parse(new TextDecoder().decode(bytes), revive).value;
}

/**
 * The ranks of a run, as an actor sees them that exchanges plain values with its like on other ranks. Every rank makes the same calls in
 * the same order. The actor goes on answering messages meanwhile.
 *
 * @example
 * ```ts
 * import { Ranks } from "./ranks.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const ranks = Ranks.at(undefined, "trainer"); // a run of one process
 * assertEquals([ranks.isFirst, ranks.size], [true, 1]);
 * assertEquals(await ranks.gather({ x: NaN }), [{ x: NaN }]);
 * assertEquals(await ranks.first(() => 7), 7);
 * ```
 */
export class Ranks {
  readonly #world: World;

  private constructor(world: World) {
    this.#world = world;
  }

  /** The ranks that a process has joined. @param place undefined: a run of one process. */
  static at(place: Place | undefined, channel: keyof typeof CHANNELS): Ranks {
    return new Ranks(World.at(place ?? ALONE, channel));
  }

  /** The number of ranks. */
  get size(): number {
    return this.#world.place.size;
  }

  /** Whether this is rank 0, which writes the run's files and takes its commands. */
  get isFirst(): boolean {
    return this.#world.place.rank === 0;
  }

  /** Returns this rank's part of a list: a piece of it, so that the parts of all ranks in their order are the list. */
  share<T>(all: readonly T[]): T[] {
    const { rank, size } = this.#world.place, at = (k: number) => Math.floor(k * all.length / size);
    return all.slice(at(rank), at(rank + 1));
  }

  /** Gives the value of rank 0 to all. The others' is not read. */
  async tell<T>(value?: T): Promise<T> {
    if (this.size === 1) return value as T;
    const bytes = await this.#world.broadcastLater(this.isFirst ? encoded(value) : undefined, 0);
    return this.isFirst ? value as T : decoded(bytes);
  }

  /** Lets rank 0 do something, such as writing a file. The others wait for it, and get its result. */
  async first<T>(work: () => T | Promise<T>): Promise<T> {
    return await this.tell(this.isFirst ? await work() : undefined) as T;
  }

  /** Gives the values of all ranks to all: returns them by rank. */
  async gather<T>(own: T): Promise<T[]> {
    if (this.size === 1) return [own];
    return (await this.#world.gatherLater(encoded(own))).map((bytes) => decoded<T>(bytes));
  }

  /** Gives the bytes of all ranks to all: returns them by rank. */
  async gatherBytes(own: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>[]> {
    return await this.#world.gatherLater(own);
  }
}
