// deno-lint-ignore-file no-await-in-loop -- one run after the other
import { assertEquals, assertMatch } from "@std/assert";
import { LITTLE, logged } from "../actors/little_run.ts";
import { loadConfig } from "../../actors/config/load.ts";
import { runDeno } from "../deno.ts";
import { ROOT } from "../root.ts";
import type { Fault, FaultEnd } from "./faults.ts";
import { MPI, WITHOUT } from "./ranks.ts";

const SLOW = Deno.args.includes("--slow"), SKIPPED = WITHOUT || (SLOW ? "" : " (skipped: runs with --slow)");

interface Case extends Pick<Fault, "victim" | "signal"> {
  readonly what: string;
  /** What the command says. */
  readonly words: RegExp;
  readonly code: number;
}

const CASES: readonly Case[] = [
  { what: "rank 1 is killed", victim: 1, signal: "SIGKILL", words: /resuming from its last checkpoint/, code: 0 },
  { what: "rank 0 is killed", victim: 0, signal: "SIGKILL", words: /resuming from its last checkpoint/, code: 0 },
  { what: "rank 1 stands still", victim: 1, signal: "SIGSTOP", words: /rank 1 did not come within 20 s[^]*resuming/, code: 0 },
  { what: "the launcher is killed", victim: "mpirun", signal: "SIGKILL", words: /resuming from its last checkpoint/, code: 0 },
  { what: "the launcher is asked to end in order", victim: "mpirun", signal: "SIGUSR2", words: /(?:)/, code: 130 },
  { what: "the command is killed", victim: "command", signal: "SIGKILL", words: /(?:)/, code: 137 },
];

for (const { what, words, code, ...fault } of CASES) {
  Deno.test({
    name: `${what}: no process is left, and the run, resumed where it must be, has the numbers of an uninterrupted one${SKIPPED}`,
    ignore: MPI.found.length === 0 || !SLOW,
    async fn() {
      const runDir = Deno.makeTempDirSync(), config = `${runDir}/config.json`;
      try {
        const sets = [
          ...LITTLE,
          "name=w",
          "threads=1",
          "world.lanes=2",
          "world.timeoutSeconds=20",
          "trainer.maxSteps=8",
          "trainer.saveFreq=1",
        ];
        const write = () => Deno.writeTextFileSync(config, JSON.stringify(loadConfig({ sets: [...sets, `runDir=${runDir}/runs`] }).config));
        write();
        const request: Fault = { ...fault, config, run: `${runDir}/runs/w` };
        const ended = await runDeno(["run", "-A", "--quiet", `${ROOT}/tests/world/faults.ts`, JSON.stringify(request)], { cwd: ROOT });
        assertEquals(ended.code, 0, ended.stderr);
        const end = JSON.parse(ended.stdout) as FaultEnd;
        assertEquals([end.code, end.left], [code, []], end.stderr);
        assertMatch(end.stderr, words);
        const again = (folder: string) =>
          runDeno(["run", "-A", "--quiet", `${ROOT}/tests/world/train_ranks.ts`, "--alone", folder, ...sets], { cwd: ROOT });
        if (code !== 0) assertEquals((await again(`${runDir}/runs`)).code, 0);
        assertEquals((await again(`${runDir}/whole`)).code, 0);
        assertEquals(logged(`${runDir}/runs/w`), logged(`${runDir}/whole/w`));
      } finally {
        Deno.removeSync(runDir, { recursive: true });
      }
    },
  });
}
