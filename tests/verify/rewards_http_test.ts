import { assert, assertEquals, assertThrows } from "@std/assert";
import { GraderPool, planReward } from "../../verify/mod.ts";

/** Runs a service on loopback that answers by a function. */
async function withService(
  answer: (samples: { response: string }[], call: number) => Response,
  run: (url: string, calls: () => number) => Promise<void>,
) {
  let calls = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { samples } = await request.json();
    return answer(samples, ++calls);
  });
  try {
    await run(`http://127.0.0.1:${server.addr.port}/grade`, () => calls);
  } finally {
    await server.shutdown();
  }
}

const inputs = ["a", "bbb", "cc"].map((response) => ({ response, truth: "x" }));
const spec = (url: string, options = {}) => ({ use: "http", options: { url, backoff: 5, ...options } });

Deno.test("a service grades; a busy one is asked again", async () => {
  const lengths = (samples: { response: string }[]) =>
    samples.map(({ response }) => ({ overall: response.length, long: Number(response.length > 2) }));
  await withService(
    (samples, call) => call < 3 ? new Response("busy", { status: 503 }) : Response.json({ rewards: lengths(samples) }),
    async (url, calls) => {
      await using pool = new GraderPool(planReward(spec(url), "file:///"), { workers: 1, timeLimit: 5_000 });
      const graded = await pool.grade(inputs);
      assertEquals(graded.map(({ overall, parts }) => [overall, parts["long"]]), [[1, 0], [3, 1], [2, 0]]);
      assertEquals(calls(), 3);
    },
  );
});

Deno.test("samples get reward 0 and the reason when a service refuses, keeps failing or answers nonsense", async () => {
  const answers: Record<string, [() => Response, string]> = {
    refuses: [() => new Response("no such model", { status: 404 }), "404: no such model"],
    fails: [() => new Response("down", { status: 500 }), "2 attempts failed"],
    nonsense: [() => Response.json({ reward: 1 }), "which is not a list"],
  };
  for (const [answer, words] of Object.values(answers)) {
    // deno-lint-ignore no-await-in-loop -- one service after the other
    await withService(answer, async (url) => {
      await using pool = new GraderPool(planReward(spec(url, { retries: 1 }), "file:///"), { workers: 1, timeLimit: 5_000 });
      for (const { overall, reason } of await pool.grade(inputs)) {
        assertEquals(overall, 0);
        assert(reason?.includes(words), reason);
      }
    });
  }
});

Deno.test("a service can be one part of a reward, and its options are checked", async () => {
  await withService((samples) => Response.json(samples.map(() => 0.5)), async (url) => {
    const plan = planReward({ parts: { style: { weight: 2, ...spec(url) }, accuracy: { use: "exact" } } }, "file:///");
    assertEquals(plan.net, [new URL(url).host]);
    await using pool = new GraderPool(plan, { workers: 1, timeLimit: 5_000 });
    const [graded] = await pool.grade([{ response: "x", truth: "x" }]);
    assertEquals([graded!.overall, graded!.parts], [2, { style: 0.5, accuracy: 1 }]);
  });
  assertThrows(() => planReward({ use: "http" }, "file:///"), RangeError, 'options of "http"');
  assertThrows(() => planReward({ use: "http", options: { url: "ftp://x" } }, "file:///"), RangeError, 'options of "http"');
});
