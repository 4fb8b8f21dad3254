/**
 * The stages of `bench/gpu_check.ts`, in the order in which a fault matters: wrong, crash, slow.
 *
 * @module
 */
/** A stage: a program, with a limit. */
export interface Stage {
  readonly name: string;
  readonly command: readonly string[];
  /** The most seconds that it may take. */
  readonly seconds: number;
  readonly env?: Readonly<Record<string, string>>;
  /** The stages that must have passed before. */
  readonly needs?: readonly string[];
  /** A program without which the stage is skipped. */
  readonly program?: string;
}

/** What the stages are made for. */
export interface StageOptions {
  /** Whether the tests' fake of CUDA takes the place of a GPU, with a model of a few thousand parameters. */
  readonly isFake: boolean;
  /** A folder for the model. */
  readonly dir: string;
  /** The Python with PyTorch and transformers. */
  readonly python: string;
}

const path = (name: string) => new URL(`../../${name}`, import.meta.url).pathname;

/** Lists the stages. */
export function stagesOf({ isFake, dir, python }: StageOptions): Stage[] {
  const fake = isFake ? ["--fake"] : [], device = isFake ? "cpu" : "cuda", tier = isFake ? "fake" : "cuda";
  const deno = (file: string, ...args: string[]) => ["deno", "run", "--quiet", "-A", path(file), ...args, ...fake];
  const test = (...args: string[]) => ["deno", "test", "--quiet", "--no-check", "--parallel", "-A", ...args, "--", `--tiers=${tier}`];
  const sanitizer = (
    tool: string,
  ) => ["compute-sanitizer", "--tool", tool, "--target-processes", "all", "--error-exitcode", "9", ...deno("bench/gpu/small_step.ts")];
  const size = isFake
    ? ["--preset=tiny", "--prompts=2", "--answers=2", "--tokens=8", "--grid=4"]
    : ["--preset=3b", "--prompts=2", "--answers=8", "--tokens=512", "--grid=64"];
  const asked = isFake ? ["--tokens=4", "--sequences=2,4"] : ["--tokens=32", "--sequences=32,256,1024"];
  const sync = { KEDGE_SYNC: "1" };
  const stages: Stage[] = [
    { name: "build", command: isFake ? deno("bench/gpu/small_step.ts") : deno("cli/build.ts", "--cuda"), seconds: 200 },
    {
      name: "doctor",
      command: isFake ? deno("cli/doctor.ts").slice(0, -1) : deno("cli/doctor.ts", "--gpu"),
      seconds: 60,
      needs: ["build"],
    },
    { name: "ceilings", command: deno("bench/gpu/ceilings.ts"), seconds: 40, needs: ["doctor"] },
    { name: "small step", command: deno("bench/gpu/small_step.ts"), seconds: 40, env: sync, needs: ["doctor"] },
    { name: "two threads", command: deno("bench/gpu/two_threads.ts"), seconds: 40, needs: ["doctor"] },
    { name: "ops against float64", command: test(path("tests/ops/"), path("tests/tensor/")), seconds: 110, env: sync, needs: ["doctor"] },
    { name: "models against golden values", command: test(path("tests/model/"), path("tests/rl/")), seconds: 110, needs: ["doctor"] },
    { name: "memcheck", command: sanitizer("memcheck"), seconds: 60, needs: ["small step"], program: "compute-sanitizer" },
    { name: "racecheck", command: sanitizer("racecheck"), seconds: 75, needs: ["small step"], program: "compute-sanitizer" },
    { name: "inputs", command: deno("bench/gpu/inputs.ts", `--dir=${dir}`, ...size), seconds: 20, needs: ["doctor"] },
    {
      name: "transformers",
      command: [python, path("bench/gpu/transformers_peer.py"), dir, "--device", device, "--tokens", isFake ? "4" : "32"],
      seconds: 120,
      needs: ["inputs"],
      program: python,
    },
    { name: "model", command: deno("bench/gpu/model.ts", `--dir=${dir}`, ...asked), seconds: 150, needs: ["transformers"] },
  ];
  // A machine without a GPU may be a slow one, and there no time is short.
  return isFake ? stages.map((stage) => ({ ...stage, seconds: 10 * stage.seconds })) : stages;
}
