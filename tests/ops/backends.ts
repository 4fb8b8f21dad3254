import type { Device, DType } from "../../ffi/device.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";

/** A device on which op tests run. */
export interface Backend {
  readonly tier: "cpu" | "emu" | "fake" | "cuda";
  readonly dtypes: readonly DType[];
  /** Opens it, or gives the one that is open. */
  open(): Device;
}

let cpu: Device | undefined;

/** The backends of this run: `--tiers=cpu,emu` chooses among them. */
export function backends(): Backend[] {
  const tiers = (Deno.args.find((a) => a.startsWith("--tiers="))?.slice(8) ?? "cpu").split(",");
  const all: Backend[] = [{ tier: "cpu", dtypes: ["f32"], open: () => cpu ??= CpuDevice.open() }];
  return all.filter((backend) => tiers.includes(backend.tier));
}
