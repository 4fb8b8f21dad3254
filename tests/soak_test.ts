// deno-lint-ignore-file no-await-in-loop -- a soak is one thing after another
/**
 * Tests a long run behind `deno task serve`, with twenty readers, some questions, and a stop and a start in the middle. The run must reach
 * its end, and memory and file handles of both processes must stay flat over the last half. It has 1,000 steps, or 20,000 with `--slow`;
 * `--steps=N` sets another number.
 */
import { assert, assertEquals } from "@std/assert";
import { Lines } from "../actors/run/lines.ts";
import { LITTLE, withRunDir } from "./actors/little_run.ts";
import { exists } from "./files.ts";
import { ROOT } from "./root.ts";

const SLOW = Deno.args.includes("--slow"), given = Deno.args.find((arg) => arg.startsWith("--steps="))?.slice(8);
const STEPS = Number(given ?? (SLOW ? 20_000 : 1000)), READERS = 20, CHAT_EVERY = SLOW ? 60_000 : 1000, LONG = STEPS >= 2000;
/** The limit of a file's size: low enough that files are rotated several times in a long soak. */
const FILE_BYTES = 64 * 2 ** 20;
const TOKEN = "soaking-token", HEADERS = { authorization: `Bearer ${TOKEN}` };
const SETS = [
  ...LITTLE,
  "threads=1",
  "data.rolloutBatchSize=2",
  "data.maxResponseLength=24",
  `trainer.maxSteps=${STEPS}`,
  `trainer.saveFreq=${Math.max(10, Math.floor(STEPS / 20))}`,
  `logging.maxFileBytes=${FILE_BYTES}`,
];

/** The resources that a process holds, from Linux's /proc. */
interface Held {
  readonly step: number;
  /** MiB. */
  readonly memory: number;
  readonly handles: number;
}

/** Finds the processes below this one by their command lines. */
async function processes(): Promise<{ run: number; serve: number } | undefined> {
  const { stdout } = await new Deno.Command("deno", {
    args: [
      "eval",
      `for (const { name } of Deno.readDirSync("/proc")) { try { console.log(name, Deno.readTextFileSync("/proc/" + name + "/cmdline").replaceAll("\\0", " ")); } catch {} }`,
    ],
  }).output();
  const lines = new TextDecoder().decode(stdout).split("\n").filter((line) => line.includes(TOKEN_MARK));
  const serve = Number(lines.find((line) => line.includes("cli/train/serve_run.ts"))?.split(" ")[0]);
  const lock = `${TOKEN_MARK}/board/lock`, run = exists(lock) ? Number(Deno.readTextFileSync(lock)) : 0;
  return run && serve ? { run, serve } : undefined;
}
let TOKEN_MARK = "";

/** Returns undefined if the process has ended meanwhile. */
async function heldBy(pid: number, step: number): Promise<Held | undefined> {
  const code =
    `const t = Deno.readTextFileSync("/proc/${pid}/status"); console.log(JSON.stringify({ memory: Number(/VmRSS:\\s+(\\d+)/.exec(t)[1]) / 1024, ` +
    `handles: [...Deno.readDirSync("/proc/${pid}/fd")].length }));`;
  const { stdout } = await new Deno.Command("deno", { args: ["eval", code] }).output();
  const text = new TextDecoder().decode(stdout);
  return text === "" ? undefined : { step, ...JSON.parse(text) };
}

/** Asserts that medians of memory and handles do not rise from the third quarter of the steps to the fourth. */
function flat(held: readonly Held[], what: string): void {
  const quarter = (i: number) => held.filter(({ step }) => step > STEPS * i / 4 && step <= STEPS * (i + 1) / 4);
  const median = (all: readonly Held[], of: "memory" | "handles") => all.map((one) => one[of]).sort((a, b) => a - b)[all.length >> 1]!;
  const [third, fourth] = [quarter(2), quarter(3)];
  assert(third.length >= 3 && fourth.length >= 3, `${what}: too few measures`);
  const [before, after] = [median(third, "memory"), median(fourth, "memory")],
    [few, many] = [median(third, "handles"), median(fourth, "handles")];
  const early = [0, 1].map((i) => median(quarter(i), "memory").toFixed(0)).join(" and ");
  const words = `${what}: ${before.toFixed(0)} MiB and ${few} handles in the third quarter, ${after.toFixed(0)} and ${many} in the last ` +
    `(${early} MiB in the first two)`;
  assert(after <= before * 1.1 + 32 && many <= few + 5, words);
  Deno.stdout.writeSync(new TextEncoder().encode(`  ${words}\n`));
}

Deno.test({
  name: `a soak of ${STEPS} steps behind serve, with ${READERS} readers, questions and a resume in the middle`,
  fn: () =>
    withRunDir(async (folder) => {
      TOKEN_MARK = folder;
      const child = new Deno.Command("deno", {
        args: [
          ...[
            "run",
            "--no-prompt",
            "--allow-read",
            "--allow-run",
            "--allow-env=PATH,HOME,DENO_DIR,KEDGE_TOKEN",
            `${ROOT}/cli/serve.ts`,
            ":0",
          ],
          ...[...SETS, `runDir=${folder}`].flatMap((set) => ["--set", set]),
          "--start",
        ],
        cwd: ROOT,
        env: { KEDGE_TOKEN: TOKEN },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      let said = "";
      const reading = [child.stdout, child.stderr].map(async (stream) => {
        for await (const text of stream.pipeThrough(new TextDecoderStream())) said = (said + text).slice(-20_000);
      });
      const over = new AbortController(), held: { run: Held[]; serve: Held[] } = { run: [], serve: [] };
      let readers: Promise<void>[] = [], measured = Promise.resolve(), chats = 0, events = 0, answers = 0;
      try {
        let base = "";
        for (let i = 0; base === ""; i++) {
          base = /Control: (http:\S+?)\/(?:\s|#|$)/.exec(said)?.[1] ?? "";
          assert(i < 3000, said);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        const ask = async (path: string, init: RequestInit = {}) => {
          const all = { headers: { ...HEADERS, "content-type": "application/json" }, signal: over.signal, ...init };
          for (let tries = 1;; tries++) {
            try {
              const response = await fetch(`${base}${path}`, all);
              return { status: response.status, body: await response.json() };
            } catch (error) {
              // On a busy machine the endpoint, which has the lowest priority, may exceed a connection's time limit.
              if (tries === 20 || over.signal.aborted) throw error;
              await new Promise((resolve) => setTimeout(resolve, 500));
            }
          }
        };
        const until = async (is: (status: { state: string; step: number }) => boolean) => {
          for (;;) {
            const { body } = await ask("/v1/status");
            if (is(body)) return body as { state: string; step: number };
            assert(body.state !== "failed", JSON.stringify(body));
            await new Promise((resolve) => setTimeout(resolve, 250));
          }
        };
        // A third of the readers follow events; the others request new records and answers.
        const loop = async (work: () => Promise<void>) => {
          while (!over.signal.aborted) {
            await work().catch((error) => {
              if (!over.signal.aborted) said += `\nreader: ${error}`;
            });
            await new Promise((resolve) => setTimeout(resolve, 200));
          }
        };
        readers = Array.from({ length: READERS }, (_, i) =>
          loop(async () => {
            if (i % 3 === 0) {
              const response = await fetch(`${base}/v1/events`, { headers: HEADERS, signal: over.signal });
              // A body that is read for long loses its request's signal.
              const reader = response.body!.getReader(), cancel = () => void reader.cancel().catch(() => {});
              over.signal.addEventListener("abort", cancel, { once: true });
              while (!(await reader.read()).done) events++;
              over.signal.removeEventListener("abort", cancel);
            } else if (i % 3 === 1) {
              const { body } = await ask("/v1/status");
              answers += (await ask(`/v1/metrics?since=${Math.max(0, body.step - 20)}&limit=50`)).body.lines.length;
            } else answers += (await ask("/v1/rollouts")).body.samples?.length ?? 0;
          }));
        const chat = loop(async () => {
          const { status } = await ask("/v1/chat/completions", {
            method: "POST",
            body: JSON.stringify({ model: "board", messages: [{ role: "user", content: "what is the red number ?" }], "max_tokens": 8 }),
          });
          if (status === 200) chats++;
          await new Promise((resolve) => {
            const timer = setTimeout(resolve, CHAT_EVERY);
            over.signal.addEventListener("abort", () => (clearTimeout(timer), resolve(undefined)), { once: true });
          });
        });
        readers.push(chat);
        const watch = async (last: (status: { state: string; step: number }) => boolean) => {
          let next = 0;
          return await until((status) => {
            if (LONG && status.step >= next) {
              next = status.step + STEPS / 80;
              measured = measured.then(async () => {
                const found = await processes();
                for (const which of ["run", "serve"] as const) {
                  const one = found && await heldBy(found[which], status.step);
                  if (one) held[which].push(one);
                }
              });
            }
            return last(status);
          });
        };
        await watch(({ step }) => step >= STEPS * 0.4);
        await ask("/v1/stop", { method: "POST", body: "{}" });
        const { step: stopped } = await until(({ state }) => state === "stopped");
        assert(stopped < STEPS, "it is stopped in the middle");
        await ask("/v1/start", { method: "POST", body: "{}" });
        const { step, state } = await watch((status) => status.state === "done");
        assertEquals([state, step], ["done", STEPS]);
        await measured;
      } catch (error) {
        throw new Error(`${(error as Error).message}\n${said}`, { cause: error });
      } finally {
        over.abort();
        await Promise.allSettled(readers);
        child.kill("SIGTERM");
        await child.status;
        await Promise.all(reading);
      }
      assert(chats > 0 && events > 0 && answers > 0, `${chats} chats, ${events} pieces of events, ${answers} lines read`);
      const steps = new Set(new Lines(`${folder}/board/metrics.jsonl`).entries().map((line) => line.step));
      assert(steps.has(STEPS), "the last step is logged");
      if (STEPS < 5000) assertEquals(steps.size, STEPS + 1, "every step is logged once"); // with step 0
      for (const { name } of Deno.readDirSync(`${folder}/board`)) {
        const { size, isFile } = Deno.statSync(`${folder}/board/${name}`);
        assert(!isFile || size <= FILE_BYTES, `${name} has ${size} bytes`);
      }
      if (!LONG) return;
      flat(held.run, "the training process");
      flat(held.serve, "the process that serves");
    }),
});
