import { type Address, plus } from "../ffi/address.ts";
import { CudaDevice } from "../ffi/cuda_device.ts";
import type { Device } from "../ffi/device.ts";
import { type GpuRanks, Nccl } from "../ffi/nccl.ts";
import { type Part, part, type World } from "../ffi/world.ts";
import { Tensor } from "./tensor.ts";

/** A tensor that one rank owns. Every rank has one of the same shape. */
export interface Owned {
  readonly tensor: Tensor;
  /** The rank that owns it. */
  readonly owner: number;
}

/** A part of a tensor that is sent at once. */
interface Piece {
  readonly tensor: Tensor;
  readonly start: number;
  readonly end: number;
}

const PIECE_BYTES = 2 ** 26;

/**
 * Divides things among ranks, whole ones, so that each has about as much: the largest first, each to the rank that has least.
 *
 * @param sizes The size of each thing.
 * @returns The rank of each thing.
 *
 * @example
 * ```ts
 * import { divide } from "./collectives.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(divide([3, 5, 2, 4], 2), [1, 0, 0, 1]);
 * ```
 */
export function divide(sizes: readonly number[], ranks: number): number[] {
  const held = new Array<number>(ranks).fill(0), owner = new Array<number>(sizes.length).fill(0);
  for (const i of sizes.map((_, i) => i).sort((a, b) => sizes[b]! - sizes[a]! || a - b)) {
    const least = held.indexOf(Math.min(...held));
    owner[i] = least;
    held[least]! += sizes[i]!;
  }
  return owner;
}

/**
 * Operations on tensors that all ranks make together. Sums are added as a binary tree in the order of the ranks, whatever MPI does, so
 * that they have the same bits as the same tree within one rank.
 *
 * @example
 * ```ts
 * import { Collectives } from "./collectives.ts";
 * import { CpuDevice } from "../ffi/cpu_device.ts";
 * import { World } from "../ffi/world.ts";
 * import { assertEquals } from "@std/assert";
 *
 * using device = CpuDevice.open();
 * using collectives = new Collectives(device, World.alone());
 * assertEquals(collectives.gather(Float64Array.of(1, 2)).map((numbers) => [...numbers]), [[1, 2]]);
 * ```
 */
export class Collectives implements Disposable {
  /** Bytes that this rank has sent of tensors. */
  sent = 0;
  readonly #pieceBytes: number;
  readonly #gpus: GpuRanks | undefined;
  #staging: Tensor | undefined;

  /**
   * @param options `pieceBytes`: the most bytes that go to a rank at once. Default 64 MiB. `nccl`: the path of an NCCL, which moves memory
   *   between GPUs; null: none. Default: the one that is installed, where all ranks have one.
   */
  constructor(readonly device: Device, readonly world: World, options: { pieceBytes?: number; nccl?: string | null | undefined } = {}) {
    this.#pieceBytes = options.pieceBytes ?? PIECE_BYTES;
    if (!(device instanceof CudaDevice) || world.place.size === 1) return;
    const { nccl: path } = options, nccl = path === null ? undefined : path === undefined ? Nccl.find() : Nccl.load(path);
    const everywhere = world.gather(Uint8Array.of(Number(nccl !== undefined))).every(([has]) => has === 1);
    if (nccl && everywhere) this.#gpus = nccl.connect(device, world);
  }

  /** The rank of this process. */
  get rank(): number {
    return this.world.place.rank;
  }

  /** The number of ranks. */
  get size(): number {
    return this.world.place.size;
  }

  /** Gives numbers of each rank to all: returns them by rank. */
  gather(own: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer>[] {
    return this.world.gather(new Uint8Array(own.buffer, own.byteOffset, own.byteLength)).map((bytes, k) =>
      k === this.rank ? own : new Float64Array(bytes.buffer)
    );
  }

  /** Adds up f32 tensors over the ranks. The owner of each has the sum afterwards; the others keep what they had. */
  sumTo(all: readonly Owned[]): void {
    if (this.size === 1) return;
    this.#rounds(all, (pieces) => {
      const own = pieces[this.rank], count = own ? own.end - own.start : 0, room = this.#room(count * this.size);
      const slot = (k: number) => room.slice(k * count, (k + 1) * count);
      this.#exchange(
        pieces.map((piece, k) => piece && k !== this.rank ? span(piece) : undefined),
        pieces.map((_, k) => {
          using into = slot(k);
          return own && k !== this.rank ? { address: into.address, bytes: into.byteLength } : undefined;
        }),
      );
      if (!own) return;
      using mine = slot(this.rank), target = sliceOf(own);
      mine.copyFrom(target);
      for (let stride = 1; stride < this.size; stride *= 2) {
        for (let k = 0; k + stride < this.size; k += 2 * stride) {
          using left = slot(k), right = slot(k + stride);
          this.device.ops.add(0, left.address, left.address, right.address, count);
        }
      }
      using sum = slot(0);
      target.copyFrom(sum);
    });
  }

  /** Copies each tensor from its owner to the other ranks. */
  tell(all: readonly Owned[]): void {
    if (this.size === 1) return;
    this.#rounds(all, (pieces) => {
      const own = pieces[this.rank];
      this.#exchange(
        pieces.map((_, k) => own && k !== this.rank ? span(own) : undefined),
        pieces.map((piece, k) => piece && k !== this.rank ? span(piece) : undefined),
      );
      for (const [k, piece] of pieces.entries()) if (piece && k !== this.rank) piece.tensor.storage.version++;
    });
  }

  /** Calls back with a piece of each owner at a time, or undefined for one that has no more. */
  #rounds(all: readonly Owned[], round: (pieces: readonly (Piece | undefined)[]) => void): void {
    const lists: Piece[][] = Array.from({ length: this.size }, () => []);
    for (const { tensor, owner } of all) {
      const most = Math.max(1, Math.floor(this.#pieceBytes * tensor.size / tensor.byteLength));
      for (let start = 0; start < tensor.size; start += most) {
        lists[owner]!.push({ tensor, start, end: Math.min(tensor.size, start + most) });
      }
    }
    for (let r = 0; r < Math.max(...lists.map(({ length }) => length)); r++) round(lists.map((list) => list[r]));
  }

  #room(elements: number): Tensor {
    if (this.#staging && this.#staging.size >= elements) return this.#staging;
    this.#staging?.[Symbol.dispose]();
    return this.#staging = Tensor.empty(this.device, [Math.max(1, elements)]);
  }

  /** Exchanges memory of the device. Without NCCL, what lies on a GPU goes through host memory. */
  #exchange(to: readonly (Part | undefined)[], from: readonly (Part | undefined)[]): void {
    this.sent += to.reduce((sum, one) => sum + (one?.bytes ?? 0), 0);
    if (this.device.kind === "cpu") return this.world.exchange(to, from);
    if (this.#gpus) return this.#gpus.exchange(to, from);
    const host = new Map<Address, Uint8Array<ArrayBuffer>>();
    const read = (one: Part) => {
      const bytes = host.get(one.address) ?? new Uint8Array(one.bytes);
      if (!host.has(one.address)) this.device.read(bytes, one.address);
      host.set(one.address, bytes);
      return part(bytes);
    };
    const outgoing = to.map((one) => one && read(one)), incoming = from.map((one) => one && new Uint8Array(one.bytes));
    this.world.exchange(outgoing, incoming.map((bytes) => bytes && part(bytes)));
    for (const [k, bytes] of incoming.entries()) if (bytes) this.device.write(from[k]!.address, bytes);
  }

  /** Frees the memory that sums need, and ends the connection of GPUs. */
  [Symbol.dispose](): void {
    this.#gpus?.[Symbol.dispose]();
    this.#staging?.[Symbol.dispose]();
    this.#staging = undefined;
  }
}

function span({ tensor, start, end }: Piece): Part {
  const bytes = tensor.byteLength / tensor.size;
  return { address: plus(tensor.address, start * bytes), bytes: (end - start) * bytes };
}

/** The piece as a tensor of one row. */
function sliceOf({ tensor, start, end }: Piece): Tensor {
  using flat = tensor.reshape([tensor.size]);
  return flat.slice(start, end);
}
