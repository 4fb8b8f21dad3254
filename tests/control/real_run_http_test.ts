// Tests a real run behind the endpoint, to confirm what the other tests check with a fake one.
import { assert, assertEquals } from "@std/assert";
import sharp from "sharp";
import OpenAI from "openai";
import { serveControl } from "../../control/http/serve.ts";
import { RunController } from "../../control/run/run_controller.ts";
import { LITTLE, withRunDir } from "../actors/little_run.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { EventReader } from "./http/event_stream.ts";
import { OpenApiCheck } from "./http/open_api_check.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

Deno.test("a real run answers as its document says, sends events, and chats with the openai client", async () => {
  await withRunDir(async (folder) => {
    const sets = [...LITTLE, `runDir=${folder}`, "trainer.maxSteps=1000", "val.greedy=false"];
    await using control = new RunController({ sets });
    await using server = serveControl(control, { port: 0 });
    const headers = { authorization: `Bearer ${server.token}` };
    const check = new OpenApiCheck(await (await fetch(`${server.url}/openapi.json`, { headers })).json());
    const ask = async (method: string, path: string, body?: unknown) => {
      const json = { "content-type": "application/json", ...headers };
      const response = await fetch(`${server.url}${path}`, {
        method,
        headers: json,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const text = await response.text(), type = response.headers.get("content-type");
      check.check({ path: path.split("?")[0]!, method }, { status: response.status, type, text });
      return type?.startsWith("application/json") ? JSON.parse(text) : text;
    };
    const records = [
      "/v1/status",
      "/v1/config",
      "/v1/metrics",
      "/v1/rollouts",
      "/v1/checkpoints",
      "/metrics",
      "/readyz",
      "/healthz",
      "/v1/models",
    ];
    const all = () => Promise.all(records.map((path) => ask("GET", path)));
    await all(); // for a run that has not begun
    assertEquals((await ask("POST", "/v1/pause")).error.state, "idle");

    const stream = await fetch(`${server.url}/v1/events`, { headers });
    const seen = (async () => {
      await using reader = new EventReader(stream);
      const wanted = new Set(["status", "metrics", "rollouts", "tuned", "checkpoint"]);
      // deno-lint-ignore no-await-in-loop -- in their order
      while (wanted.size > 0) wanted.delete((await reader.next())!.event);
    })();
    await ask("POST", "/v1/start");
    // deno-lint-ignore no-await-in-loop -- it waits
    while ((await ask("GET", "/v1/status")).step < 1) await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals((await ask("PATCH", "/v1/config", { rollout: { temperature: 0.9 }, atrl: { wMax: 2 } })).changed.length, 2);
    assertEquals((await ask("PATCH", "/v1/config", { optim: { beta1: 0.5 } })).error.param, "optim.beta1");

    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.token, maxRetries: 0 });
    assertEquals((await client.models.list()).data.map(({ id }) => id), ["board"]);
    const grey = sharp({ create: { width: 84, height: 84, channels: 3, background: "grey" } });
    const image = `data:image/png;base64,${(await grey.png().toBuffer()).toBase64()}`;
    const question = {
      model: "board",
      messages: [{
        role: "user" as const,
        content: [{ type: "image_url" as const, "image_url": { url: image } }, { type: "text" as const, text: "what is the red number ?" }],
      }],
      "max_tokens": 6,
      seed: 7,
      logprobs: true,
    };
    const { choices, usage } = await client.chat.completions.create({ ...question, n: 2 });
    assertEquals(choices.length, 2);
    assert(usage!.prompt_tokens > 9, "the picture's tokens count");
    assert(choices[0]!.logprobs!.content!.every(({ logprob }) => logprob <= 0));
    let text = "", finish: string | null = null;
    for await (const { choices: [choice] } of await client.chat.completions.create({ ...question, stream: true })) {
      text += choice?.delta.content ?? "";
      finish = choice?.finish_reason ?? finish;
    }
    assert(text.length > 0 && finish !== null);
    const looked = await ask("POST", "/v1/chat/completions", { ...question, connectivity: true });
    assert(looked.choices[0].connectivity.regions.length > 1);

    assert(typeof (await ask("POST", "/v1/evaluate")).metrics["val/accuracy"] === "number");
    const { step } = await ask("POST", "/v1/checkpoint");
    const [status, , metrics, rollouts, checkpoints, prometheus] = await all();
    assert(status.step >= step && metrics.lines.length > 0 && rollouts.samples.length > 0);
    assert(checkpoints.checkpoints.some((one: { step: number }) => one.step === step));
    assert(/^kedge_reward_overall [\d.e-]+$/m.test(prometheus), prometheus);
    await seen;
    assertEquals((await ask("POST", "/v1/stop")).state, "stopping");
    await control.ended;
    assertEquals(server.counts().unexpected, 0);
  });
});
