/**
 * NCCL through FFI: memory moves between the GPUs of ranks without passing through host memory.
 *
 * @module
 */
import { type Address, addressOf } from "./address.ts";
import type { CudaDevice } from "./cuda_device.ts";
import { KedgeError } from "./errors.ts";
import { firstLoaded } from "./libraries.ts";
import { type Foreign, loadLibrary, textAt } from "./load.ts";
import type { Part, World } from "./world.ts";

/** ncclUniqueId: 128 bytes, passed by value. */
const ID_BYTES = 128;
const ID = { struct: new Array<"u64">(ID_BYTES / 8).fill("u64") };
const MOVE = ["u64", "u64", "i32", "i32", "u64", "u64"] as const;

/** The functions of libnccl that are bound. */
export const NCCL_SYMBOLS = {
  ncclGetVersion: { parameters: ["buffer"], result: "i32" },
  ncclGetErrorString: { parameters: ["i32"], result: "pointer" },
  ncclGetUniqueId: { parameters: ["buffer"], result: "i32" },
  ncclCommInitRank: { parameters: ["buffer", "i32", ID, "i32"], result: "i32" },
  ncclCommDestroy: { parameters: ["u64"], result: "i32" },
  ncclGroupStart: { parameters: [], result: "i32" },
  ncclGroupEnd: { parameters: [], result: "i32" },
  ncclSend: { parameters: MOVE, result: "i32" },
  ncclRecv: { parameters: MOVE, result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const UINT8 = 1;
type Call = (...values: (number | BufferSource)[]) => number;

/** The ranks' GPUs, connected by NCCL. */
export interface GpuRanks extends Disposable {
  /**
   * Enqueues an exchange on the device's stream: sends memory of the device to each rank, and receives from it.
   *
   * @param to By rank: what is sent to it. undefined: nothing.
   * @param from By rank: where its bytes go, as many as it sends.
   */
  exchange(to: readonly (Part | undefined)[], from: readonly (Part | undefined)[]): void;
}

/** A loaded NCCL. */
export class Nccl {
  /** The name or path by which it was loaded. */
  readonly path: string;
  /** Such as "2.28.3". */
  readonly version: string;
  readonly #call: Readonly<Record<keyof typeof NCCL_SYMBOLS, Call>>;
  readonly #text: Foreign;

  private constructor(path: string) {
    const symbols = loadLibrary(path, NCCL_SYMBOLS), number = new Int32Array(1);
    this.path = path;
    this.#call = symbols as Readonly<Record<keyof typeof NCCL_SYMBOLS, Call>>;
    this.#text = symbols.ncclGetErrorString!;
    this.#check(this.#call.ncclGetVersion(number), "ask NCCL for its version");
    const code = number[0]!; // 22803 is 2.28.3
    this.version = [Math.floor(code / 10_000), Math.floor(code / 100) % 100, code % 100].join(".");
  }

  /** Loads NCCL from a path. @throws {Error} The loader's. */
  static load(path: string): Nccl {
    return new Nccl(path);
  }

  /** The first NCCL that loads. */
  static find(): Nccl | undefined {
    return firstLoaded("libnccl", ["2"], (path) => new Nccl(path));
  }

  /**
   * Connects the GPUs of all ranks. All of them call it together, each with its own device in use.
   *
   * @param world The ranks, over which the id of the connection goes.
   */
  connect(device: Pick<CudaDevice, "inStream">, world: World): GpuRanks {
    const { rank, size } = world.place, id = new Uint8Array(ID_BYTES), out = new BigUint64Array(1);
    if (rank === 0) this.#check(this.#call.ncclGetUniqueId(id), "begin a connection of GPUs");
    id.set(world.broadcast(rank === 0 ? id : undefined, 0));
    this.#check(device.inStream(() => this.#call.ncclCommInitRank(out, size, id, rank)), `connect the GPU of rank ${rank}`);
    const comm = addressOf(out[0]!);
    const move = (call: Call, parts: readonly (Part | undefined)[], { action, stream }: { action: string; stream: Address }) => {
      for (const [other, one] of parts.entries()) {
        if (!one || one.bytes === 0 || other === rank) continue;
        this.#check(call(one.address, one.bytes, UINT8, other, comm, stream), `${action} rank ${other}`);
      }
    };
    return {
      exchange: (to, from) => {
        world.exchange([], []); // NCCL would wait for ever for a rank that does not come
        device.inStream((stream) => {
          this.#check(this.#call.ncclGroupStart(), "begin an exchange of GPUs");
          move(this.#call.ncclSend, to, { action: "send to", stream });
          move(this.#call.ncclRecv, from, { action: "receive from", stream });
          this.#check(this.#call.ncclGroupEnd(), "exchange data of GPUs");
        });
      },
      [Symbol.dispose]: () => {
        this.#check(device.inStream(() => this.#call.ncclCommDestroy(comm)), "end a connection of GPUs");
      },
    };
  }

  #check(code: number, action: string): void {
    if (code === 0) return;
    throw new KedgeError("Device", `Cannot ${action} with NCCL: ${textAt(this.#text(code))}`, { nccl: code });
  }
}
