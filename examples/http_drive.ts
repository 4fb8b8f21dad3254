// deno-lint-ignore-file no-console -- an example
/**
 * Drives a run over HTTP: starts it, watches its rewards, lowers the learning rate, asks the policy a question, and stops the run.
 *
 *   deno task serve                                                          # in one terminal; prints the address and the token
 *   deno run --allow-net=127.0.0.1 examples/http_drive.ts http://127.0.0.1:8787 TOKEN
 *
 * @module
 */
const [base = "http://127.0.0.1:8787", token = "", steps = "20"] = Deno.args;
const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };

/** Sends a request to the endpoint. */
async function ask(method: string, path: string, body?: unknown) {
  const response = await fetch(`${base}${path}`, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${answer.error.message}`);
  return answer;
}

/** The events of the run, as they come. */
async function* events(): AsyncGenerator<{ event: string; data: Record<string, unknown> }> {
  const response = await fetch(`${base}/v1/events`, { headers });
  let text = "";
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + piece).split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      );
      if (fields["event"]) yield { event: fields["event"], data: JSON.parse(fields["data"]!) };
    }
  }
}

const watched = events(); // opened before the start, so that no event is missed
console.log("run", (await ask("POST", "/v1/start")).name);
for await (const { event, data } of watched) {
  if (event === "status" && data["state"] === "failed") throw new Error(String(data["error"]));
  const { step, "reward/overall": reward, "actor/entropy": entropy } = data as Record<string, number>;
  if (event !== "metrics" || reward === undefined) continue;
  console.log(`step ${step}: reward ${reward.toFixed(3)}, entropy ${entropy!.toFixed(3)}`);
  if (step === 1) console.log("tuned", JSON.stringify(await ask("PATCH", "/v1/config", { optim: { lr: 5e-5 } })));
  if (step! >= Number(steps)) break;
}
const { choices, system_fingerprint } = await ask("POST", "/v1/chat/completions", {
  messages: [{ role: "user", content: "what is the red number plus the blue number ?" }],
  "max_tokens": 32,
  temperature: 0,
});
console.log(`the policy of ${system_fingerprint} says:${choices[0].message.content}`);
console.log("checkpoint", (await ask("POST", "/v1/checkpoint")).step);
console.log("now", (await ask("POST", "/v1/stop")).state);
