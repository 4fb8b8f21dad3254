/**
 * The processes of a run that computes on several ranks: MPI, through a small library of plain functions that the machine's own `mpicxx`
 * compiles (kernels/world/world.cpp).
 *
 * @module
 */
import type { Address } from "./address.ts";
import { type Build, buildLibrary, type BuildOptions, findCompiler } from "./build.ts";
import { CXX } from "./cpu_library.ts";
import { KedgeError } from "./errors.ts";
import { kernelSources } from "./generated/sources.ts";
import { loadLibrary } from "./load.ts";

const WORDS = ["buffer", "i32"] as const;
const EXCHANGE = ["i32", "buffer", "buffer", "buffer", "buffer", "i64", ...WORDS] as const;
const BROADCAST = ["i32", "u64", "i64", "i32", "i64", ...WORDS] as const;
/** The functions of the library of ranks. */
export const WORLD_SYMBOLS = {
  kw_init: { parameters: ["buffer", ...WORDS], result: "i32" },
  kw_version: { parameters: WORDS, result: "void" },
  kw_exchange: { parameters: EXCHANGE, result: "i32" },
  kw_broadcast: { parameters: BROADCAST, result: "i32" },
  exchangeLater: { name: "kw_exchange", parameters: EXCHANGE, result: "i32", nonblocking: true },
  broadcastLater: { name: "kw_broadcast", parameters: BROADCAST, result: "i32", nonblocking: true },
  kw_stop: { parameters: [], result: "void" },
  kw_abort: { parameters: ["i32"], result: "void" },
  kw_finalize: { parameters: [], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;
const LATE = -1, STOPPED = -2, CAPACITY = 1024;

/** Those who talk with their like on other ranks, each on a channel of its own. */
export const CHANNELS = { trainer: 0, policy: 1, evaluator: 2, reference: 3, process: 4 } as const;

/** The place of a process among those of a run. It can be sent to a worker, which opens its own {@linkcode World} with it. */
export interface Place {
  /** From 0 on. Rank 0 writes a run's files and takes its commands. */
  readonly rank: number;
  /** The number of ranks. */
  readonly size: number;
  /** The rank among those on this machine. */
  readonly localRank: number;
  /** The number of ranks on this machine. */
  readonly localSize: number;
  /** The path of the library; "" where there is one rank only, and no MPI. */
  readonly library: string;
  /** How long a rank waits for others, in seconds. */
  readonly timeoutSeconds: number;
}

/** Memory that is sent to another rank, or that its bytes are written to. */
export interface Part {
  readonly address: Address;
  readonly bytes: number;
}

/** A run of one process, without MPI. */
export const ALONE: Place = { rank: 0, size: 1, localRank: 0, localSize: 1, library: "", timeoutSeconds: 0 };
const NOTHING: Part = { address: 0, bytes: 0 };

/** The build of the library. */
function worldBuild(): Build {
  const sources = Object.fromEntries(Object.entries(kernelSources).filter(([path]) => path.startsWith("kernels/world/")));
  return {
    ...CXX,
    compilers: ["mpicxx"],
    advice: 'Install an MPI: "apt-get install openmpi-bin libopenmpi-dev" (Debian, Ubuntu), or load its module on a cluster.',
    name: "kedge_world",
    label: "library of ranks",
    sources,
    units: Object.keys(sources).filter((path) => path.endsWith(".cpp")),
    compileFlags: ["-std=c++17", "-O2", "-pthread", "-fPIC", "-fvisibility=hidden"],
    identify: ["-dM", "-E", "-x", "c++", "-include", "mpi.h", "/dev/null"],
  };
}

/** Returns whether the library of ranks can be compiled, or why not. */
export function worldCompiler(): { readonly command: string } | { readonly missing: string } {
  return findCompiler(worldBuild());
}

type Words = [words: Uint8Array<ArrayBuffer>, capacity: number];
type Result = number | Promise<number>;
type Call = (...values: unknown[]) => Result;

/**
 * The ranks of a run, as one of a process's threads sees them. Every rank makes the same operations on a channel in the same order.
 *
 * @example
 * ```ts
 * import { World } from "./world.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const world = World.alone();
 * assertEquals([world.place.rank, world.place.size], [0, 1]);
 * assertEquals(world.gather(Uint8Array.of(7)).map((bytes) => [...bytes]), [[7]]);
 * ```
 */
export class World {
  readonly #call: Readonly<Record<string, Call>> | undefined;
  readonly #channel: number;

  private constructor(readonly place: Place, channel: number) {
    this.#channel = channel;
    this.#call = place.library === "" ? undefined : loadLibrary(place.library, WORLD_SYMBOLS) as unknown as Readonly<Record<string, Call>>;
  }

  /** A world of one rank. */
  static alone(): World {
    return new World(ALONE, 0);
  }

  /** Starts MPI in this process, which a launcher such as mpirun has started. It can be done once in a process. @throws {KedgeError} `World`. */
  static join(options: { timeoutSeconds: number; build?: BuildOptions }): World {
    const library = buildLibrary(worldBuild(), options.build), out = new Int32Array(4);
    const world = new World({ ...ALONE, library, timeoutSeconds: options.timeoutSeconds }, CHANNELS.process), [words] = newWords();
    check(world.#call!.kw_init!(out, words, CAPACITY) as number, words, { action: "join the other ranks", place: world.place });
    const [rank, size, localRank, localSize] = out as unknown as [number, number, number, number];
    return new World({ ...world.place, rank, size, localRank, localSize }, CHANNELS.process);
  }

  /** The world of a process that has joined it, on a channel. */
  static at(place: Place, channel: keyof typeof CHANNELS): World {
    return new World(place, CHANNELS[channel]);
  }

  /** The MPI library and its version, such as "Open MPI v4.1.4"; undefined where there is one rank only. */
  get version(): string | undefined {
    if (!this.#call) return undefined;
    const [words] = newWords();
    this.#call.kw_version!(words, CAPACITY);
    return textOf(words).split(/[,\n]/)[0]!.trim();
  }

  /**
   * Sends memory to each rank, and receives from it. The entries of this rank are not read.
   *
   * @param to By rank: what is sent to it. undefined: nothing.
   * @param from By rank: where its bytes go, as many as it sends.
   */
  exchange(to: readonly (Part | undefined)[], from: readonly (Part | undefined)[]): void {
    if (!this.#call) return;
    const [words] = newWords();
    check(this.#call.kw_exchange!(...this.#exchangeArguments(to, from, words)) as number, words, this.#about("exchange data"));
  }

  #exchangeArguments(to: readonly (Part | undefined)[], from: readonly (Part | undefined)[], words: Words[0]): unknown[] {
    const { size, timeoutSeconds } = this.place,
      parts = (all: readonly (Part | undefined)[]) => Array.from({ length: size }, (_, k) => all[k] ?? NOTHING);
    const arrays = [parts(to), parts(from)].flatMap((all) => [
      BigUint64Array.from(all, ({ address }) => BigInt(address)),
      BigInt64Array.from(all, ({ bytes }) => BigInt(bytes)),
    ]);
    return [this.#channel, ...arrays, timeoutSeconds * 1000, words, CAPACITY];
  }

  /** Gives a rank's bytes to all: returns those of rank `root`. The others pass as many bytes, or undefined where the length is not known. */
  broadcast(bytes: Uint8Array<ArrayBuffer> | undefined, root: number): Uint8Array<ArrayBuffer> {
    if (!this.#call) return bytes!;
    const isRoot = this.place.rank === root, length = Float64Array.of(isRoot ? bytes!.length : 0), [words] = newWords();
    const tell = (memory: Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer>) =>
      check(this.#call!.kw_broadcast!(...this.#broadcastArguments(memory, root, words)) as number, words, this.#about("tell all ranks"));
    tell(length);
    const out = isRoot ? bytes! : new Uint8Array(length[0]!);
    if (out.length > 0) tell(out);
    return out;
  }

  /** As `broadcast`, without blocking this thread. */
  async broadcastLater(bytes: Uint8Array<ArrayBuffer> | undefined, root: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!this.#call) return bytes!;
    const isRoot = this.place.rank === root, length = Float64Array.of(isRoot ? bytes!.length : 0), [words] = newWords();
    const tell = async (memory: Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer>) =>
      keeping(
        await this.#call!.broadcastLater!(...this.#broadcastArguments(memory, root, words)),
        [memory],
        (code) => check(code, words, this.#about("tell all ranks")),
      );
    await tell(length);
    const out = isRoot ? bytes! : new Uint8Array(length[0]!);
    if (out.length > 0) await tell(out);
    return out;
  }

  #broadcastArguments(memory: Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer>, root: number, words: Words[0]): unknown[] {
    return [this.#channel, hostAddress(memory), memory.byteLength, root, this.place.timeoutSeconds * 1000, words, CAPACITY];
  }

  /** Gives the bytes of every rank to all: returns them by rank. */
  gather(own: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
    if (!this.#call) return [own];
    const lengths = Float64Array.of(own.length), all = this.#room(lengths.byteLength);
    this.#swap(new Uint8Array(lengths.buffer), all);
    const out = all.map((bytes, k) => k === this.place.rank ? own : new Uint8Array(new Float64Array(bytes.buffer)[0]!));
    this.#swap(own, out);
    return out;
  }

  /** As `gather`, without blocking this thread. */
  async gatherLater(own: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>[]> {
    if (!this.#call) return [own];
    const lengths = Float64Array.of(own.length), all = this.#room(lengths.byteLength), [words] = newWords();
    const swap = async (mine: Uint8Array<ArrayBuffer>, out: readonly Uint8Array<ArrayBuffer>[]) => {
      const [to, from] = this.#swapped(mine, out);
      const code = await this.#call!.exchangeLater!(...this.#exchangeArguments(to, from, words));
      keeping(code, [mine, ...out], (code) => check(code, words, this.#about("gather from all ranks")));
    };
    await swap(new Uint8Array(lengths.buffer), all);
    const out = all.map((bytes, k) => k === this.place.rank ? own : new Uint8Array(new Float64Array(bytes.buffer)[0]!));
    await swap(own, out);
    return out;
  }

  #room(bytes: number): Uint8Array<ArrayBuffer>[] {
    return Array.from({ length: this.place.size }, () => new Uint8Array(bytes));
  }

  #swapped(own: Uint8Array<ArrayBuffer>, out: readonly Uint8Array<ArrayBuffer>[]): [to: Part[], from: Part[]] {
    const mine = part(own);
    return [out.map(() => mine), out.map(part)];
  }

  #swap(own: Uint8Array<ArrayBuffer>, out: readonly Uint8Array<ArrayBuffer>[]): void {
    this.exchange(...this.#swapped(own, out));
  }

  #about(action: string): { action: string; place: Place } {
    return { action, place: this.place };
  }

  /** Makes the waits of all threads of this process end with an error. */
  stop(): void {
    this.#call?.kw_stop?.();
  }

  /** Ends the processes of all ranks at once, this one with an exit code. */
  abort(code: number): void {
    this.#call?.kw_abort?.(code);
  }

  /** Ends MPI in this process, when all ranks have come to their end. */
  leave(): void {
    this.#call?.kw_finalize?.();
  }
}

const newWords = (): Words => [new Uint8Array(CAPACITY), CAPACITY];

function textOf(words: Uint8Array): string {
  return new TextDecoder().decode(words.slice(0, words.indexOf(0)));
}

/** The address of host memory. The caller keeps the array until the operation is done. */
function hostAddress(memory: Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer>): Address {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory))) as Address;
}

/** Describes host memory. The caller keeps the array until the operation is done. */
export function part(memory: Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer>): Part {
  return memory.byteLength === 0 ? NOTHING : { address: hostAddress(memory), bytes: memory.byteLength };
}

/** Checks a result of a call that did not block. Memory whose address it had is named here, so that it was not collected before. */
function keeping(code: number, memory: readonly ArrayBufferView[], check: (code: number) => void): void {
  if (memory.length > 0) check(code);
}

function check(code: number, words: Uint8Array, { action, place }: { action: string; place: Place }): void {
  if (code === 0) return;
  const said = textOf(words), { rank, timeoutSeconds } = place;
  const why = code === LATE
    ? `${said} did not come within ${timeoutSeconds} s (world.timeoutSeconds)`
    : code === STOPPED
    ? said
    : said || `MPI's error ${code}`;
  throw new KedgeError("World", `Cannot ${action} on rank ${rank}: ${why}`, { rank, ...(code === LATE && { late: said }) });
}
