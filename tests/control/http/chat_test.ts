/** Tests the chat with OpenAI's own client. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import OpenAI from "openai";
import { KedgeError } from "../../../ffi/errors.ts";
import { TINY_PNG } from "../../actors/tiny_png.ts";
import { type Endpoint, endpoint, until } from "./endpoint.ts";
import { createApp } from "../../../control/http/app.ts";
import { ANSWER, FakeRun } from "./fake_run.ts";
import { OpenApiCheck } from "./open_api_check.ts";

const TEXT = ANSWER.join(""), URL_OF_PNG = `data:image/png;base64,${TINY_PNG.toBase64()}`;
const messages = [{ role: "user" as const, content: "What is the red number?" }];

function client(end: Endpoint, apiKey: string = end.server.token): OpenAI {
  return new OpenAI({ baseURL: `${end.server.url}/v1`, apiKey, maxRetries: 0, timeout: 10_000 });
}

Deno.test("an answer that is not streamed", async () => {
  await using end = endpoint();
  const openai = client(end);
  const answer = await openai.chat.completions.create({
    model: "policy",
    messages: [
      { role: "system", content: "Be brief." },
      {
        role: "user",
        content: [{ type: "text", text: "What is in" }, { type: "image_url", image_url: { url: URL_OF_PNG, detail: "low" } }],
      },
      { role: "assistant", content: "A board." },
      ...messages,
    ],
    n: 2,
    temperature: 0.5,
    top_p: 0.9,
    max_completion_tokens: 64,
    seed: 7,
    logprobs: true,
    user: "somebody",
    metadata: { a: "b" },
    tools: [],
    frequency_penalty: 0,
    response_format: { type: "text" },
  });
  assertEquals(answer.choices.map(({ index, message, finish_reason: finish }) => [index, message.role, message.content, finish]), [
    [0, "assistant", TEXT, "stop"],
    [1, "assistant", TEXT, "stop"],
  ]);
  assertEquals(answer.choices[0]!.logprobs!.content!.map(({ token }) => token), ANSWER);
  assertEquals(answer.choices[0]!.logprobs!.content![1], { token: " red", logprob: -0.25, bytes: [32, 114, 101, 100], top_logprobs: [] });
  assertEquals(answer.usage, { prompt_tokens: 11, completion_tokens: 14, total_tokens: 25 });
  assertEquals([answer.model, answer.object, answer.system_fingerprint], ["board", "chat.completion", "step-3"]);
  assertEquals(end.run.asked, [{
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: [{ type: "text", text: "What is in" }, { type: "image", image: TINY_PNG }] },
      { role: "assistant", content: "A board." },
      ...messages,
    ],
    n: 2,
    temperature: 0.5,
    topP: 0.9,
    maxTokens: 64,
    stop: [],
    seed: 7,
    connectivity: false,
  }]);
  assertEquals((await openai.models.list()).data.map(({ id }) => id), ["board"]);
});

Deno.test("defaults, and an answer that is cut", async () => {
  await using end = endpoint();
  const cut = await client(end).chat.completions.create({ model: "", messages, max_tokens: 3, stop: null });
  assertEquals([cut.choices[0]!.message.content, cut.choices[0]!.finish_reason, cut.choices[0]!.logprobs], [
    "The red number",
    "length",
    null,
  ]);
  await client(end).chat.completions.create({ model: "", messages, stop: ["is", "number"] });
  const [first, second] = end.run.asked;
  assertEquals([first!.n, first!.temperature, first!.topP, first!.maxTokens, second!.stop], [1, 1, 1, 3, ["is", "number"]]);
  assert(first!.seed !== second!.seed, "seeds are drawn where none is given");
  const stopped = await client(end).chat.completions.create({ model: "", messages, stop: " is" });
  assertEquals([stopped.choices[0]!.message.content, stopped.choices[0]!.finish_reason], ["The red number", "stop"]);
});

Deno.test("a streamed answer is the whole answer, piece by piece", async () => {
  await using end = endpoint();
  end.run.pace = 2;
  const check = new OpenApiCheck(await (await end.ask("/openapi.json")).json());
  const stream = await client(end).chat.completions.create({
    model: "",
    messages,
    n: 2,
    logprobs: true,
    stream: true,
    stream_options: { include_usage: true },
    ...{ connectivity: true },
  });
  const texts = ["", ""], tokens: string[][] = [[], []], finishes: (string | null)[] = [], seen: unknown[] = [];
  let usage: unknown, first = true, chunks = 0;
  for await (const chunk of stream) {
    chunks++;
    check.checkNamed("ChatCompletionChunk", chunk);
    if (first) assertEquals(chunk.choices[0]!.delta, { role: "assistant", content: "" });
    first = false;
    if (chunk.usage) usage = chunk.usage;
    for (const choice of chunk.choices) {
      texts[choice.index] += choice.delta.content ?? "";
      tokens[choice.index]!.push(...choice.logprobs?.content?.map(({ token }) => token) ?? []);
      if (choice.finish_reason) {
        finishes.push(choice.finish_reason);
        seen.push((choice as { connectivity?: { regions: unknown[] } }).connectivity?.regions.length);
      }
    }
  }
  assertEquals([texts, tokens, finishes, seen], [[TEXT, TEXT], [ANSWER, ANSWER], ["stop", "stop"], [2, 2]]);
  assertEquals(usage, { prompt_tokens: 11, completion_tokens: 14, total_tokens: 25 });
  assertEquals(chunks, 2 + 2 * ANSWER.length + 2 + 1);
  const helped = client(end).chat.completions.stream({ model: "", messages });
  assertEquals((await helped.finalChatCompletion()).choices[0]!.message.content, TEXT);
});

Deno.test("a stream's bytes are as OpenAI writes them", async () => {
  await using end = endpoint();
  const answer = await end.send("POST", "/v1/chat/completions", { messages, stream: true, max_tokens: 1 });
  assertEquals(answer.headers.get("content-type"), "text/event-stream; charset=utf-8");
  const lines = (await answer.text()).split("\n\n");
  assertEquals([lines.length, lines.at(-1), lines.at(-2)], [5, "", "data: [DONE]"]);
  const parts = lines.slice(0, 3).map((line) => JSON.parse(line.replace(/^data: /, "")));
  assertEquals(parts.map(({ choices }) => [choices[0].delta, choices[0].finish_reason]), [
    [{ role: "assistant", content: "" }, null],
    [{ content: "The" }, null],
    [{}, "length"],
  ]);
  assertEquals(new Set(parts.map(({ id }) => id)).size, 1);
  assertEquals("usage" in parts[0], false);
});

Deno.test("disconnecting cancels the answer, streamed or not, before its first token or after", async () => {
  await using end = endpoint();
  end.run.pace = 20;
  const stream = await client(end).chat.completions.create({ model: "", messages, stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0]!.delta.content === " red") break;
  }
  await until(() => end.run.aborted === 1 && end.run.chatting === 0, { what: "the stream being cancelled" });
  const never = Promise.withResolvers<void>();
  end.run.gate = never.promise;
  for (const [at, streamed] of [true, false].entries()) {
    const stop = new AbortController();
    const asked = client(end).chat.completions.create({ model: "", messages, stream: streamed }, { signal: stop.signal });
    // deno-lint-ignore no-await-in-loop -- one after the other
    await until(() => end.run.chatting === 1, { what: "the chat being asked" });
    stop.abort();
    // deno-lint-ignore no-await-in-loop -- one after the other
    await assertRejects(() => asked, OpenAI.APIUserAbortError);
    // deno-lint-ignore no-await-in-loop -- one after the other
    await until(() => end.run.aborted === 2 + at && end.run.chatting === 0, { what: "the chat being cancelled" });
  }
  assertEquals(end.surprises, []);
});

Deno.test("cancelling a stream cancels the answer, even if the connection stays open as in HTTP/2", async () => {
  const run = new FakeRun("running"), app = createApp(run, { token: "correct-horse" });
  run.pace = 20;
  const headers = { authorization: "Bearer correct-horse", "content-type": "application/json" };
  const body = JSON.stringify({ messages, stream: true });
  const answer = await app.fetch(new Request("http://localhost/v1/chat/completions", { method: "POST", headers, body }), {
    address: "here",
  });
  assertEquals([answer.status, run.chatting], [200, 1]);
  await answer.body!.cancel();
  await until(() => run.aborted === 1 && run.chatting === 0, { what: "the stream being cancelled" });
  app.close();
  assertEquals(run.listeners, 0);
});

Deno.test("refusals become errors of the openai client", async () => {
  await using end = endpoint();
  const ask = (more: object, apiKey?: string) => () => client(end, apiKey).chat.completions.create({ model: "", messages, ...more });
  await assertRejects(ask({}, "wrong-token"), OpenAI.AuthenticationError);
  const wrong: [object, string][] = [
    [{ tools: [{ type: "function", function: { name: "f" } }] }, "tools"],
    [{ functions: [{ name: "f" }] }, "functions"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ response_format: { type: "json_object" } }, "response_format.type"],
    [{ logit_bias: { 5: 1 } }, "logit_bias.5"],
    [{ frequency_penalty: 0.5 }, "frequency_penalty"],
    [{ presence_penalty: -1 }, "presence_penalty"],
    [{ audio: { voice: "a" } }, "audio"],
    [{ modalities: ["audio"] }, "modalities.0"],
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ n: 9 }, "n"],
    [{ n: 1.5 }, "n"],
    [{ temperature: 2.1 }, "temperature"],
    [{ temperature: "1" }, "temperature"],
    [{ top_p: 0 }, "top_p"],
    [{ max_tokens: 4097 }, "max_tokens"],
    [{ max_completion_tokens: 0 }, "max_completion_tokens"],
    [{ stop: ["a", "b", "c", "d", "e"] }, "stop"],
    [{ seed: -1 }, "seed"],
    [{ top_k: 5 }, "top_k"],
    [{ messages: [] }, "messages"],
    [{ messages: "Hi" }, "messages"],
    [{ messages: [{ role: "tool", content: "x" }] }, "messages.0.role"],
    [{ messages: [{ role: "user", content: 5 }] }, "messages.0.content"],
    [{ messages: [{ role: "system", content: [{ type: "image_url", image_url: { url: URL_OF_PNG } }] }] }, "messages.0.content.0.type"],
    ...["https://example.org/a.png", "file:///etc/passwd", "/etc/passwd", "data:text/html;base64,AAAA", "data:image/png,AAAA"].map((
      url,
    ): [object, string] => [
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }] },
      "messages.0.content.0.image_url.url",
    ]),
    ...["data:image/png;base64,", "data:image/png;base64,A", "data:image/png;base64,####"].map((url): [object, string] => [
      { messages: [{ role: "user", content: [{ type: "text", text: "" }, { type: "image_url", image_url: { url } }] }] },
      "messages.0.content.1.image_url.url",
    ]),
  ];
  for (const [more, param] of wrong) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const error = await assertRejects(ask(more), OpenAI.BadRequestError);
    assertEquals([JSON.stringify(more).slice(0, 200), error.param, error.type], [
      JSON.stringify(more).slice(0, 200),
      param,
      "invalid_request_error",
    ]);
  }
  assertEquals(end.run.calls, 0);
  const faults: [Error, string][] = [
    [new KedgeError("BadData", "Cannot read the picture"), "BadRequestError"],
    [new RangeError("Cannot answer: the prompt has 99999 tokens"), "BadRequestError"],
    [new KedgeError("State", "Cannot answer", { state: "starting" }), "ConflictError"],
    [new KedgeError("OutOfMemory", "Cannot allocate"), "InternalServerError"],
  ];
  for (const [fault, name] of faults) {
    for (const stream of [false, true]) {
      end.run.fault = fault;
      // deno-lint-ignore no-await-in-loop -- one after the other
      const error = await assertRejects(ask({ stream }), OpenAI.APIError);
      assertEquals([error.constructor.name, error.message.includes(fault.message)], [name, true]);
    }
  }
  assertEquals(end.surprises, []);
});

Deno.test("an error in the middle of a stream ends it, and becomes an error of the openai client", async () => {
  await using end = endpoint();
  const original = end.run.chat.bind(end.run);
  const faulty = (fault: unknown) => {
    end.run.chat = async (_request, options) => {
      end.run.chat = original;
      options?.onPiece?.({ sample: 0, text: "The", tokens: [{ text: "The", logprob: -1 }] });
      await Promise.resolve();
      throw fault;
    };
  };
  for (
    const [fault, words] of [[new KedgeError("OutOfMemory", "Cannot allocate"), "Cannot allocate"], [
      new Error("/secret"),
      "an unexpected error occurred",
    ]] as const
  ) {
    faulty(fault);
    // deno-lint-ignore no-await-in-loop -- one after the other
    const stream = await client(end).chat.completions.create({ model: "", messages, stream: true });
    // deno-lint-ignore no-await-in-loop -- one after the other
    const error = await assertRejects(async () => {
      for await (const _chunk of stream);
    }, OpenAI.APIError);
    assert(JSON.stringify(error.error).includes(words) && !JSON.stringify(error.error).includes("secret"));
  }
  assertEquals(end.surprises.length, 1);
});

Deno.test("an answer that the run cancelled is an error", async () => {
  await using end = endpoint();
  const aborted = { step: 3, promptTokens: 1, answers: [{ text: "The", tokens: [], finish: "aborted" as const }] };
  end.run.chat = () => Promise.resolve(aborted);
  await assertRejects(() => client(end).chat.completions.create({ model: "", messages }), OpenAI.InternalServerError, "cancelled");
  await assertRejects(
    () => client(end).chat.completions.create({ model: "", messages, stream: true }),
    OpenAI.InternalServerError,
    "cancelled",
  );
  assertEquals(end.surprises, []);
});

Deno.test("four chats may wait at a time; a fifth is refused for now; closing cancels them", async () => {
  const end = endpoint();
  const open = Promise.withResolvers<void>();
  end.run.gate = open.promise;
  const ask = (stream: boolean) => client(end).chat.completions.create({ model: "", messages, stream });
  const four = [ask(false), ask(true), ask(false), ask(true)];
  await until(() => end.run.chatting === 4, { what: "four being asked" });
  await assertRejects(() => ask(false), OpenAI.RateLimitError);
  open.resolve();
  const answers = await Promise.all(four);
  for (const answer of answers) if ("controller" in answer) { for await (const _chunk of answer); }
  assertEquals("choices" in await ask(false), true);
  end.run.gate = new Promise(() => {});
  const left = assertRejects(() => ask(false), OpenAI.APIError);
  await until(() => end.run.chatting === 1, { what: "one more being asked" });
  await end.server.close();
  await left;
  assertEquals([end.run.chatting, end.run.aborted, end.surprises], [0, 1, []]);
});

Deno.test("a client that does not read its stream delays nothing", async () => {
  await using end = endpoint();
  const { hostname, port } = new URL(end.server.url), body = JSON.stringify({ messages, stream: true });
  const slow = await Deno.connect({ hostname, port: Number(port) });
  const head =
    `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${end.server.token}\r\nContent-Type: application/json\r\n`;
  const original = end.run.chat.bind(end.run), text = "x".repeat(256 * 1024);
  let pieces = 0, longest = 0, cut = false;
  end.run.chat = async (_request, options) => {
    end.run.chat = original;
    while (pieces < 1000 && !options?.signal?.aborted) {
      const start = performance.now();
      options?.onPiece?.({ sample: 0, text, tokens: [] });
      longest = Math.max(longest, performance.now() - start);
      pieces++;
      // deno-lint-ignore no-await-in-loop -- token by token
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    cut = options?.signal?.aborted ?? false;
    throw new DOMException("Given up", "AbortError");
  };
  await slow.write(new TextEncoder().encode(`${head}Content-Length: ${body.length}\r\n\r\n${body}`));
  await until(() => cut, { what: "the slow client being cut off", within: 10_000 });
  assert(pieces < 200 && longest < 500, `${pieces} pieces, ${longest} ms`);
  assertEquals((await client(end).chat.completions.create({ model: "", messages })).choices[0]!.message.content, TEXT);
  slow.close();
  assertEquals(end.surprises, []);
});
