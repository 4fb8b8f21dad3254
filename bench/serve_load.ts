// deno-lint-ignore-file no-console no-await-in-loop -- a bench
/**
 * Measures what clients of the control endpoint cost a training step. 50 readers of events and 200 requests per second alternate with
 * periods without clients, while a run trains on one thread. The clients run on the last core. It prints the median seconds of a step with
 * clients divided by the median without.
 *
 *   deno run -A bench/serve_load.ts [--window=20] [--turns=6] [--rate=200] [--readers=50]
 *
 * @module
 */
import { benchLine } from "./options.ts";

const line = benchLine({
  name: "deno run -A bench/serve_load.ts",
  does: "Measures what clients of the control endpoint cost a training step.",
  values: {
    window: ["S", "seconds of a period (default 20)"],
    turns: ["N", "periods with clients, and as many without (default 6)"],
    rate: ["N", "requests a second (default 200)"],
    readers: ["N", "readers of events (default 50)"],
  },
  rest: { name: "clients URL", most: 2, words: "runs only the clients; the benchmark uses it itself" },
});
const number = (name: "window" | "turns" | "rate" | "readers", otherwise: number) => line.number(name) ?? otherwise;
const WINDOW = number("window", 20), TURNS = number("turns", 6), RATE = number("rate", 200), READERS = number("readers", 50);
const TOKEN = "a-token-for-the-bench", sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** The paths that each client requests, in turn. */
const PATHS = ["/v1/status", "/metrics", "/v1/metrics?since=0&limit=50", "/v1/config", "/v1/checkpoints", "/healthz", "/v1/rollouts"];

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length % 2 === 1 ? sorted[sorted.length >> 1]! : (sorted[sorted.length / 2 - 1]! + sorted[sorted.length / 2]!) / 2;
}

/** Runs the clients. They work after "on" and rest after "off". */
async function clients(base: string): Promise<void> {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const readers: ReadableStreamDefaultReader<Uint8Array>[] = [], decoder = new TextDecoder();
  let asked = 0, failed = 0, events = 0, timer: ReturnType<typeof setInterval> | undefined;
  const read = async () => {
    const response = await fetch(`${base}/v1/events`, { headers }), reader = response.body!.getReader();
    readers.push(reader);
    for (let { value } = await reader.read(); value; { value } = await reader.read()) {
      events += decoder.decode(value).match(/^id:/gm)?.length ?? 0;
    }
  };
  const ask = async () => {
    try {
      const response = await fetch(`${base}${PATHS[asked++ % PATHS.length]}`, { headers });
      if (!response.ok) failed++;
      await response.arrayBuffer();
    } catch {
      failed++;
    }
  };
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    for (const word of text.split("\n").filter(Boolean)) {
      if (word === "on") {
        for (let i = 0; i < READERS; i++) void read();
        const start = performance.now(), before = asked;
        timer = setInterval(() => {
          while (asked - before < RATE * (performance.now() - start) / 1000) void ask();
        }, 5);
      } else {
        clearInterval(timer);
        for (const reader of readers.splice(0)) await reader.cancel(); // this ends its connection
      }
    }
  }
  console.log(JSON.stringify({ asked, failed, events }));
}

async function bench(): Promise<void> {
  const folder = Deno.makeTempDirSync(), port = 18_787, base = `http://127.0.0.1:${port}`, core = navigator.hardwareConcurrency - 1;
  const sets = [
    "threads=1",
    "sft.steps=100",
    "val.limit=16",
    "trainer.maxSteps=100000",
    "trainer.valFreq=0",
    "trainer.saveFreq=0",
    "optim.lr=0",
  ];
  const server = new Deno.Command("deno", {
    args: [
      "run",
      "-A",
      new URL("../cli/serve.ts", import.meta.url).pathname,
      String(port),
      "--start",
      ...sets.flatMap((set) => ["--set", set]),
    ],
    cwd: folder,
    env: { "KEDGE_TOKEN": TOKEN },
    stdout: "null",
  }).spawn();
  const own = ["deno", "run", "-A", new URL(import.meta.url).pathname, "clients", base, `--rate=${RATE}`, `--readers=${READERS}`];
  const others = new Deno.Command("taskset", { args: ["-c", String(core), ...own], stdin: "piped", stdout: "piped" }).spawn();
  const writer = others.stdin.getWriter(), tell = (word: string) => writer.write(new TextEncoder().encode(`${word}\n`));
  const get = async (path: string) => await (await fetch(`${base}${path}`, { headers: { authorization: `Bearer ${TOKEN}` } })).json();
  const connected = async () => {
    const text = await (await fetch(`${base}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })).text();
    return { readers: Number(/^kedge_event_clients (\d+)$/m.exec(text)![1]) };
  };
  try {
    for (;;) {
      if ((await get("/v1/status").catch(() => ({}))).step >= 5) break;
      await sleep(500);
    }
    console.log("training");
    const windows: { on: boolean; start: number; end: number }[] = [];
    for (let turn = 0; turn < 2 * TURNS; turn++) {
      const on = turn % 2 === 0;
      if (on) await tell("on");
      await sleep(1000);
      const start = Date.now();
      await sleep(1000 * WINDOW);
      windows.push({ on, start, end: Date.now() });
      const { readers } = await connected();
      console.log(
        `window ${turn + 1} of ${2 * TURNS}, ${on ? "with" : "without"} clients: step ${
          (await get("/v1/status")).step
        }, ${readers} readers`,
      );
      if (on) await tell("off");
      await sleep(500);
    }
    await writer.close();
    const { lines } = await get("/v1/metrics?since=0&limit=100000") as { lines: Record<string, string & number>[] };
    const within = (on: boolean, turn?: number) =>
      lines.filter((line) => {
        const end = Date.parse(line["time"]!), start = end - 1000 * line["timing_s/step"]!;
        return windows.some((one, i) => one.on === on && (turn === undefined || i >> 1 === turn) && start >= one.start && end <= one.end);
      }).map((line) => line["timing_s/step"]! as number);
    const [busy, quiet] = [within(true), within(false)];
    const pairs = Array.from({ length: TURNS }, (_, turn) => median(within(true, turn)) / median(within(false, turn)));
    console.log(new TextDecoder().decode((await others.output()).stdout).trim());
    console.log(
      `steps with clients ${busy.length}, median ${median(busy).toFixed(4)} s; without ${quiet.length}, ${median(quiet).toFixed(4)} s`,
    );
    console.log(`ratio of medians ${(median(busy) / median(quiet)).toFixed(4)}; by turn ${pairs.map((pair) => pair.toFixed(3)).join(" ")}`);
  } finally {
    server.kill("SIGTERM");
    await server.status;
    Deno.removeSync(folder, { recursive: true });
  }
}

if (line.rest[0] === "clients") await clients(line.rest[1]!);
else await bench();
