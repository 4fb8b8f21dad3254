import { KedgeError } from "../../ffi/errors.ts";
import type { Config } from "../config/schema.ts";

/**
 * Fails for what a configuration may say and the trainer does not do, rather than passing over it.
 *
 * @throws {KedgeError} `Unsupported` with all of it, and what to choose instead.
 */
export function checkSupported({ algorithm }: Config): void {
  const { kl } = algorithm;
  const faults = [
    (kl?.kind === "full") && 'algorithm.kl.kind "full": choose "k3", or "k3+" for an unbiased gradient',
  ].filter((fault) => fault !== false);
  if (faults.length > 0) throw new KedgeError("Unsupported", `Cannot train yet with ${faults.join("; ")}`, { faults: faults.length });
}
