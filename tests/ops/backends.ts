/**
 * The devices on which op tests run, by tier: "cpu"; "emu", the CUDA kernels' code without CUDA; "fake", the CPU kernels behind `CudaDevice` and a
 * fake libcudart; "races", as "emu" with a check for races between threads; "cuda", a real device. `--tiers=cpu,emu` chooses; without it, all that need no GPU; "races" with `--slow`.
 *
 * @module
 */
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { CudaDevice } from "../../ffi/cuda_device.ts";
import type { Device, DType } from "../../ffi/device.ts";
import { FakeCuda } from "../fake_cuda/fake_cuda.ts";
import { EmulatedDevice } from "./emulated_device.ts";

/** A device on which op tests run. */
export interface Backend {
  readonly tier: "cpu" | "emu" | "fake" | "races" | "cuda";
  /** The tier whose exceptions hold for it. */
  readonly as: "cpu" | "emu" | "fake" | "cuda";
  readonly dtypes: readonly DType[];
  /** Opens it, or gives the one that is open. */
  open(): Device;
  /** Throws if the tests so far misused the device in a way that their results do not show. */
  check?(): void;
}

/** A tier that does not run, and why. */
export interface SkippedTier {
  readonly tier: Backend["tier"];
  readonly why: string;
}

let fake: FakeCuda | undefined;

function checkFake(): void {
  const violations = fake?.violations() ?? [];
  if (violations.length > 0) {
    throw new Error(`The CUDA path was misused: ${violations.slice(0, 5).join("; ")} (${violations.length} in all)`);
  }
}

let racing: EmulatedDevice | undefined;

function checkRaces(): void {
  const races = racing?.races() ?? [];
  if (races.length > 0) throw new Error(`Threads race: ${races.slice(0, 5).join("; ")} (${races.length} in all)`);
}

const once = (open: () => Device) => {
  let device: Device | undefined;
  return () => device ??= open();
};

const ALL: readonly Backend[] = [
  { tier: "cpu", as: "cpu", dtypes: ["f32"], open: once(() => CpuDevice.open()) },
  { tier: "emu", as: "emu", dtypes: ["f32", "bf16"], open: once(() => EmulatedDevice.open()) },
  { tier: "fake", as: "fake", dtypes: ["f32"], open: once(() => (fake = FakeCuda.load()).open()), check: checkFake },
  { tier: "races", as: "emu", dtypes: ["f32", "bf16"], open: once(() => racing = EmulatedDevice.open({ races: true })), check: checkRaces },
  { tier: "cuda", as: "cuda", dtypes: ["f32", "bf16"], open: once(() => CudaDevice.open()) },
];

function chosenTiers(): readonly string[] | undefined {
  const given = Deno.args.find((a) => a.startsWith("--tiers="))?.slice(8).split(",");
  const unknown = given?.filter((name) => !ALL.some(({ tier }) => tier === name)) ?? [];
  if (unknown.length > 0) {
    throw new RangeError(`Cannot run the tiers ${unknown.join(", ")}: they are ${ALL.map(({ tier }) => tier).join(", ")}`);
  }
  return given;
}

/** The backends of this run. */
export function backends(): Backend[] {
  const tiers = chosenTiers();
  return ALL.filter(({ tier }) => tiers ? tiers.includes(tier) : tier !== "cuda" && (tier !== "races" || Deno.args.includes("--slow")));
}

/** The tiers that this run leaves out. */
export function skippedTiers(): SkippedTier[] {
  const running = backends();
  return ALL.filter((backend) => !running.includes(backend)).map(({ tier }) => ({
    tier,
    why: chosenTiers() ? "not among --tiers" : tier === "races" ? 'slow: "deno task test:slow"' : 'needs a GPU: "deno task test:gpu"',
  }));
}
