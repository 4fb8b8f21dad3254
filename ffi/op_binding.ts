import type { Address } from "./address.ts";
import { Context, Status } from "./context.ts";
import { KedgeError } from "./errors.ts";
import { bindHost, bindOps, type Host, type hostSymbols, type Ops, type opSymbols, type Symbols } from "./generated/bindings.ts";

/** Allocates the workspace of an {@linkcode OpBinding}. */
interface WorkspaceSource {
  /** @throws {KedgeError} `OutOfMemory`. */
  alloc(bytes: number): Address;
  free(address: Address): void;
}

/** One thread's and stream's way into loaded kernels: a context, a status, and a workspace that grows when an op asks for more. */
export class OpBinding {
  readonly ops: Ops;
  readonly context: Context;
  readonly status = new Status();
  /** Whether ops are recorded, and not run: the workspace cannot grow then. */
  recording = false;
  readonly #memory: WorkspaceSource;

  /** @param options `ordinal` as of `kedge_context.device`; `memory`: where the workspace comes from. */
  constructor(symbols: Symbols<typeof opSymbols>, options: { ordinal: number; memory: WorkspaceSource }) {
    this.context = new Context(options.ordinal);
    this.#memory = options.memory;
    this.ops = bindOps(symbols, this.context.bytes, this.status.bytes, (name) => this.failed(name));
  }

  /** The host functions, over this context and status. */
  bindHost(symbols: Symbols<typeof hostSymbols>): Host {
    return bindHost(symbols, this.context.bytes, this.status.bytes, (name) => this.failed(name));
  }

  /** Grows the workspace and returns, for the call to be made again; throws whatever else went wrong. */
  failed(name: string): void {
    if (this.status.code !== "WORKSPACE") throw this.status.error(name);
    const needed = this.status.needed, { bytes } = this.context.workspace;
    if (!(needed > bytes)) throw new KedgeError("Device", `Cannot run ${name}: it asks for ${needed} bytes of workspace and has ${bytes}`);
    if (this.recording) throw new KedgeError("Device", `Cannot record ${name}: it asks for ${needed} bytes of workspace and has ${bytes}`);
    this.release();
    const grown = Math.max(needed, Math.min(2 * bytes, bytes + 2 ** 26));
    this.context.setWorkspace(this.#memory.alloc(grown), grown);
  }

  /** Gives the workspace back. */
  release(): void {
    const { address } = this.context.workspace;
    this.context.setWorkspace(0, 0);
    if (address) this.#memory.free(address);
  }
}
