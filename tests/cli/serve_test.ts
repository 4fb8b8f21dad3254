// Tests `deno task serve` and `deno task train --serve` as processes.
import { assert, assertEquals } from "@std/assert";
import { Checkpoints } from "../../actors/run/checkpoints.ts";
import { LITTLE, withRunDir } from "../actors/little_run.ts";
import { parseAddress } from "../../cli/train/address.ts";
import { CliProcess, evaluated, send, until } from "../cli_process.ts";
import { assertThrows } from "@std/assert";

/** Sends a request to an endpoint. */
async function ask(base: string, given: { path: string; token?: string; method?: string; body?: unknown }) {
  const { path, token, method = "GET", body } = given;
  const response = await fetch(`${base}${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body) }),
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { "content-type": "application/json" }),
    },
  });
  return { status: response.status, body: await response.json() as Record<string, unknown> };
}

const sets = (folder: string, ...own: readonly string[]) => [...LITTLE, `runDir=${folder}`, ...own].flatMap((set) => ["--set", set]);
const ADDRESS = /Control: (http:\/\/127\.0\.0\.1:\d+)\/(?:#token=(\S+))?/;

Deno.test("serve waits for a start, makes a token and prints it once, and a run is controlled over HTTP to its end", async () => {
  await withRunDir(async (folder) => {
    await using served = new CliProcess("cli/serve.ts", [":0", ...sets(folder, "trainer.maxSteps=100000", "trainer.saveFreq=0")]);
    const [, base, token] = await served.says(ADDRESS);
    assert(token!.length >= 43, "256 bits");
    assertEquals((await ask(base!, { path: "/healthz" })).status, 200);
    assertEquals((await ask(base!, { path: "/v1/status" })).status, 401);
    assertEquals((await ask(base!, { path: "/v1/start", method: "POST", token: "wrong-token" })).status, 401);
    const get = async (path: string) => (await ask(base!, { path, token: token! })).body;
    const post = (path: string) => ask(base!, { path, token: token!, method: "POST" });
    const early = await post("/v1/pause"); // it waits until the training process is connected
    assertEquals((await get("/v1/status"))["state"], "idle");
    assertEquals([early.status, (early.body["error"] as Record<string, unknown>)["state"]], [409, "idle"]);
    assertEquals((await post("/v1/start")).status, 200);
    await until(async () => (await get("/v1/status"))["step"] as number >= 1);
    const tuned = await ask(base!, { path: "/v1/config", token: token!, method: "PATCH", body: { optim: { lr: 1e-6 } } });
    assertEquals([tuned.status, tuned.body["changed"]], [200, [{ path: "optim.lr", from: 1e-3, to: 1e-6 }]]);
    const refused = await ask(base!, {
      path: "/v1/config",
      token: token!,
      method: "PATCH",
      body: { algorithm: { kl: { coefficient: 1 } } },
    });
    assertEquals(refused.status, 409);
    const chat = { messages: [{ role: "user", content: "what is it ?" }], "max_tokens": 4 };
    const said = await ask(base!, { path: "/v1/chat/completions", token: token!, method: "POST", body: chat });
    assertEquals(said.status, 200);
    const { step } = (await post("/v1/checkpoint")).body as { step: number };
    const { checkpoints } = await get("/v1/checkpoints") as { checkpoints: { step: number }[] };
    assert(checkpoints.some((one) => one.step === step));
    assertEquals((await post("/v1/stop")).status, 200);
    await until(async () => (await get("/v1/status"))["state"] === "stopped");
    assertEquals((await post("/v1/stop")).status, 200);
    const { lines } = await get("/v1/metrics?since=0") as { lines: Record<string, number>[] };
    assert(lines.length > 0 && lines.every((line) => line["step"]! > 0));
    assertEquals(lines.at(-1)!["actor/lr"], 1e-6);
    served.child.kill("SIGTERM");
    assertEquals((await served.ended).code, 0);
    assertEquals(served.output.split(token!).length, 2, "the token is printed once");
  });
});

Deno.test("train --serve serves as long as it trains; a given token is not printed, and no argument contains it", async () => {
  await withRunDir(async (folder) => {
    const args = ["--serve", ":0", ...sets(folder, "trainer.maxSteps=1000")], secret = "a-token-of-my-own";
    await using served = new CliProcess("cli/train.ts", args, { env: { "KEDGE_TOKEN": secret } });
    const [, base] = await served.says(ADDRESS);
    await until(async () => (await ask(base!, { path: "/v1/status", token: secret })).body["state"] === "running");
    const processes = await evaluated(
      'for (const { name } of Deno.readDirSync("/proc")) try { console.log(Deno.readTextFileSync(`/proc/${name}/cmdline`)); } catch { /* none */ }',
    );
    assert(processes.includes("cli/train/run.ts") && !processes.includes(secret));
    assertEquals((await ask(base!, { path: "/v1/stop", token: secret, method: "POST" })).status, 200);
    assertEquals((await served.ended).code, 0);
    assert(!served.output.includes(secret));
    assert(/\d+ of 1000 steps/.test(served.output), served.output);
  });
});

/** Returns a port that is not in use. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

Deno.test("after a crash in native code the run continues at the same address, with the same token", async () => {
  await withRunDir(async (folder) => {
    const port = freePort(), settings = sets(folder, "trainer.maxSteps=1000", "trainer.saveFreq=1");
    await using served = new CliProcess("cli/serve.ts", [`127.0.0.1:${port}`, "--start", ...settings]);
    const [, base, token] = await served.says(ADDRESS);
    const get = (path: string) => ask(base!, { path, token: token! });
    await until(async () => (await get("/v1/status")).body["step"] as number >= 2);
    const pid = Number(Deno.readTextFileSync(`${folder}/board/lock`));
    await send(pid, "SIGSEGV");
    await served.says(/Resumed from .*step-\d+/);
    const step = Number(/Resumed from .*step-(\d+)/.exec(served.output)![1]);
    await until(() => get("/v1/status").then(({ body }) => body["step"] as number > step, () => false));
    assertEquals(served.output.split(token!).length, 2, "the token is printed once");
  });
});

Deno.test("if the endpoint crashes, serve ends its run in order", async () => {
  await withRunDir(async (folder) => {
    await using served = new CliProcess("cli/serve.ts", [":0", "--start", ...sets(folder, "trainer.maxSteps=1000")]);
    const [, base, token] = await served.says(ADDRESS);
    await until(async () => (await ask(base!, { path: "/v1/status", token: token! })).body["step"] as number >= 1);
    await evaluated(
      `for (const { name } of Deno.readDirSync("/proc")) try {
        if (Deno.readTextFileSync(\`/proc/\${name}/cmdline\`).match(/${
        folder.replaceAll("/", ".")
      }.*serve_run\\.ts/)) Deno.kill(Number(name), "SIGKILL");
      } catch { /* none */ }`,
    );
    assertEquals((await served.ended).code, 0);
    assert(served.output.includes("The control endpoint has crashed; the run ends"), served.output);
    assert(new Checkpoints(`${folder}/board`, { saveLimit: 3, saveBest: true }).latest().checkpoint !== undefined);
  });
});

Deno.test("an address that other machines can reach needs a token from the user", async () => {
  await withRunDir(async (folder) => {
    await using served = new CliProcess("cli/serve.ts", ["0.0.0.0:0", ...sets(folder)]);
    assertEquals((await served.ended).code, 1);
    await served.says(/Cannot listen on 0\.0\.0\.0/);
  });
});

Deno.test("addresses are parsed", () => {
  const address = (hostname: string, port: number) => ({ hostname, port });
  assertEquals(parseAddress(""), address("127.0.0.1", 8787));
  assertEquals(parseAddress(":9000"), parseAddress("9000"));
  assertEquals(parseAddress("[::1]:3"), address("::1", 3));
  assertEquals(parseAddress("127.0.0.1"), address("127.0.0.1", 8787));
  assertEquals(parseAddress("box.local:80"), address("box.local", 80));
  for (const text of ["x:99999", "a b", "::1", "http://x"]) assertThrows(() => parseAddress(text), RangeError, text);
});
