// Tests a run that another process controls. Here both ends are in this process, connected by a socket.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { loadConfig } from "../../actors/config/load.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Channel, lineOf, messageOf } from "../../control/link/channel.ts";
import { LinkedRun } from "../../control/link/linked_run.ts";
import { answerOver } from "../../control/link/channel.ts";
import type { ChatPiece, ChatRequest, RunEvent } from "../../actors/run_control.ts";
import { FakeRun } from "./http/fake_run.ts";

const QUESTION: ChatRequest = {
  messages: [{ role: "user", content: [{ type: "image", image: Uint8Array.of(0, 127, 255) }, { type: "text", text: "what\n?" }] }],
  n: 1,
  temperature: 1,
  topP: 1,
  maxTokens: 8,
  stop: [],
  seed: 3,
  connectivity: false,
};

/** Makes the two ends of a connection. */
async function line(): Promise<[Channel, Channel]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [near, far] = await Promise.all([Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }), listener.accept()]);
  return [new Channel(near), new Channel(far)];
}

/** Makes a run at the other end of a connection. */
function linked() {
  const runDir = Deno.makeTempDirSync(), { config } = loadConfig({ sets: [`runDir=${runDir}`] });
  const run = new LinkedRun(config), events: RunEvent[] = [];
  run.listen((event) => events.push(event));
  const attach = async (fake: FakeRun) => {
    const [near, far] = await line(), messages = far.messages();
    const answering = answerOver(near, { control: fake, secret: "a secret" });
    const { value: hello } = await messages.next();
    assertEquals(hello, { kind: "hello", secret: "a secret" });
    const attached = run.attach(far, messages);
    return { near, ended: () => (near[Symbol.dispose](), Promise.all([answering, attached])) };
  };
  return { run, events, attach, [Symbol.dispose]: () => Deno.removeSync(runDir, { recursive: true }) };
}

Deno.test("messages are sent as lines, and bytes arrive unchanged", () => {
  const message = { kind: "ask", id: 7, method: "chat", argument: QUESTION } as const, text = lineOf(message);
  assertEquals([text.indexOf("\n"), messageOf(text)], [text.length - 1, message as unknown]);
});

Deno.test("commands, answers, refusals and events are transmitted; a chat's pieces arrive before its answer", async () => {
  using given = linked();
  const { run, events, attach } = given, fake = new FakeRun(), { ended } = await attach(fake);
  assertEquals((await run.start()).state, (await fake.status()).state);
  await fake.pause();
  assertEquals((await run.resume()).state, "running");
  const refused = await assertRejects(() => run.start().then(() => run.tune({ "algorithm.kl.coefficient": 1 })), KedgeError);
  assertEquals(refused.code, "State");
  const pieces: ChatPiece[] = [], reply = await run.chat(QUESTION, { onPiece: (piece) => pieces.push(piece) });
  assertEquals(pieces.map(({ text }) => text).join(""), reply.answers[0]!.text);
  assert(events.some(({ kind }) => kind === "status"));
  await ended();
});

Deno.test("when the run's process ends, pending requests fail; the state is starting until the next process answers", async () => {
  using given = linked();
  const { run, events, attach } = given;
  assertEquals((await run.status()).state, "starting");
  const early = run.start(); // this waits for the connection
  const first = await attach(new FakeRun());
  assertEquals((await early).state, "running");
  const never = new FakeRun();
  never.evaluate = () => new Promise(() => {});
  const second = await attach(never), waiting = assertRejects(() => run.evaluate(), KedgeError, "the process of the run has ended");
  await first.ended();
  await second.ended();
  assertEquals((await waiting).code, "Actor");
  assertEquals((await run.status()).state, "starting");
  assertEquals(events.at(-1)!.kind, "status");
  const third = await attach(new FakeRun());
  assertEquals((await run.start()).state, "running");
  await third.ended();
});
