// deno-lint-ignore-file no-console no-await-in-loop -- a program
/**
 * Makes a run on two ranks as a user does, and ends or stops one of its processes on the way. Tests start it, because they may not send
 * signals themselves. It prints what came of it as JSON.
 */
import { ROOT } from "../root.ts";

/** What is done to a run. */
export interface Fault {
  /** The process: a rank, the launcher, or the command itself. */
  readonly victim: 0 | 1 | "mpirun" | "command";
  readonly signal: "SIGKILL" | "SIGSTOP" | "SIGUSR2";
  /** The configuration's file, and the run's folder. */
  readonly config: string;
  readonly run: string;
}

/** How it ended. */
export interface FaultEnd {
  readonly code: number;
  readonly stderr: string;
  /** Command lines of processes that were left after the end. */
  readonly left: readonly string[];
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const mark = crypto.randomUUID();

interface Process {
  readonly pid: number;
  readonly command: string;
  readonly rank: string | undefined;
}

/** The live processes that this one has started, at any distance: they have its mark in their environment. */
function processes(): Process[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const variables = Deno.readTextFileSync(`/proc/${name}/environ`).split("\0");
      if (!variables.includes(`KEDGE_TEST_MARK=${mark}`) || / Z /.test(Deno.readTextFileSync(`/proc/${name}/stat`))) return [];
      const rank = variables.find((each) => /^(OMPI_COMM_WORLD_RANK|PMI_RANK)=/.test(each))?.split("=")[1];
      return [{ pid: Number(name), command: Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " "), rank }];
    } catch {
      return []; // it has ended
    }
  });
}

function isVictim({ command, rank }: Process, victim: Fault["victim"]): boolean {
  if (victim === "command") return command.includes("cli/train.ts");
  if (victim === "mpirun") return rank === undefined && /^\S*(mpirun|mpiexec)\S* /.test(command);
  return rank === String(victim) && command.includes("cli/train/run.ts");
}

async function main({ victim, signal, config, run }: Fault): Promise<FaultEnd> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", `${ROOT}/cli/train.ts`, "--ranks", "2", "--config", config],
    env: { KEDGE_TEST_MARK: mark },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const words = new Response(child.stderr).text(),
    isUnderWay = () => {
      try {
        return Deno.readTextFileSync(`${run}/metrics.jsonl`).includes('"step":1,');
      } catch {
        return false;
      }
    };
  while (!isUnderWay()) await pause(50);
  const found = processes().filter((process) => isVictim(process, victim));
  if (found.length !== 1) throw new Error(`Cannot find ${victim} among ${JSON.stringify(processes())}`);
  Deno.kill(found[0]!.pid, signal);
  const { code } = await child.status;
  let left = processes();
  for (let i = 0; i < 100 && left.length > 0; i++, left = processes()) await pause(100);
  for (const { pid } of left) Deno.kill(pid, "SIGKILL");
  return { code, stderr: await words, left: left.map(({ command }) => command) };
}

if (import.meta.main) {
  console.log(JSON.stringify(await main(JSON.parse(Deno.args[0]!) as Fault)));
  Deno.exit(0);
}
