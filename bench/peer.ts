// deno-lint-ignore-file no-console no-await-in-loop camelcase -- a command; runs take turns; names as printed
/**
 * Runs `bench:step` and a PyTorch program that does the same work, alternately on this machine, and prints the ratios of their medians.
 *
 *   deno run --allow-read --allow-run bench/peer.ts --python PATH [--script ../shared/bench/torch_step.py] [--config ../shared/bench/small] [--rounds 3]
 *
 * @module
 */
import { benchLine } from "./options.ts";
import { median } from "./report.ts";

const line = benchLine({
  name: "deno run bench/peer.ts",
  does: "Runs bench:step and a PyTorch program that does the same work, alternately.",
  values: {
    python: ["PATH", "default python3"],
    script: ["FILE", "the program (default ../shared/bench/torch_step.py)"],
    config: ["DIR", "the folder of its model (default ../shared/bench/small)"],
    rounds: ["N", "repetitions of each (default 3)"],
  },
});
const script = line.path("script", "file") ?? "../shared/bench/torch_step.py",
  config = line.path("config", "folder") ?? "../shared/bench/small";

interface Times {
  rollout_s: number;
  update_s: number;
  step_s: number;
  new_tokens_per_s: number;
}

/** Returns the last line that a command prints, as JSON. */
async function times(command: string, args: string[]): Promise<Times> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args, stdout: "piped", stderr: "piped" }).output();
  if (!success) throw new Error(`${command} failed: ${new TextDecoder().decode(stderr).slice(-2000)}`);
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
}

const own: Times[] = [], peers: Times[] = [];
for (let round = 0; round < (line.number("rounds", { min: 1 }) ?? 3); round++) {
  peers.push(await times(line.text("python") ?? "python3", [script, config]));
  own.push(await times(Deno.execPath(), ["task", "bench:step"]));
}
const column = (key: keyof Times) => {
  const [peer, kedge] = [median(peers.map((t) => t[key])), median(own.map((t) => t[key]))];
  return { peer, kedge, "peer / kedge": peer / kedge };
};
console.table({ "rollout s": column("rollout_s"), "update s": column("update_s"), "step s": column("step_s") });
