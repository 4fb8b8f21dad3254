import type { World } from "../../ffi/world.ts";
import { type SafetensorsEntry, writeSafetensors } from "../../tensor/safetensors_writer.ts";

/**
 * A checkpoint that several ranks write. Rank 0 tells the others the folder that it has begun, and goes on when all of them have written
 * their files. It alone seals the folder and gives it its name.
 */
export class SharedSave {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Whether this is rank 0. */
  get isFirst(): boolean {
    return this.#world.place.rank === 0;
  }

  /** Rank 0: lets the others write into a folder. It returns when they have done so. */
  lead(folder: string): void {
    this.#world.broadcast(new TextEncoder().encode(folder), 0);
    this.#world.gather(new Uint8Array(1));
  }

  /** Rank 0: tells the others that the checkpoint is whole. @param path Its path. */
  end(path: string): void {
    this.#world.broadcast(new TextEncoder().encode(path), 0);
  }

  /** Another rank: writes its part, and waits until the checkpoint is whole. @returns The checkpoint's path. */
  follow(tensors: readonly SafetensorsEntry[]): string {
    const told = () => new TextDecoder().decode(this.#world.broadcast(undefined, 0)), folder = told();
    if (tensors.length > 0) writeSafetensors(`${folder}/trainer-${this.#world.place.rank}.safetensors`, tensors);
    this.#world.gather(new Uint8Array(1));
    return told();
  }
}
