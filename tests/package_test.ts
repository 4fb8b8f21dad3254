/** Tests the package as a registry serves it: only by modules over HTTP, in a separate folder. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { flagsOf, MODEL, type Permissions, together } from "../cli/permissions.ts";
import { cacheFolder } from "../ffi/build.ts";
import { CpuDevice } from "../ffi/cpu_device.ts";
import { runDeno } from "./deno.ts";
import { publishedFiles, rewritten, servePackage } from "./package/served.ts";
import { ROOT } from "./root.ts";

CpuDevice.open()[Symbol.dispose](); // its objects are used below; and a library that a test loads counts as its leak

/** A kernel source that is served with an additional comment, so that its library differs from this checkout's. */
const CHANGED = "kernels/cpu/bias.cpp";

/** The source of a user's worker. */
const WORKER = `import { serveActor } from "@kedge/kedge/actors";
import { Tensor } from "@kedge/kedge/tensor";
serveActor(({ memory }) => ({
  handle: ({ x }, turn) => turn.move(Tensor.from(memory.host, turn.borrow(x).toFloats().map((a) => 2 * a))),
}));
`;
/** The source of a user's program. */
const PROGRAM = `import { loadConfig, train } from "@kedge/kedge";
import { Actor, ActorMemory } from "@kedge/kedge/actors";
import { dashboardPage, RunController, serveControl } from "@kedge/kedge/control";
import { GraderPool, planReward } from "@kedge/kedge/rewards";
import { AdamW, CpuDevice, dot, openOwner, Parameter, Tape, Tensor } from "@kedge/kedge/tensor";

using device = CpuDevice.open({ threads: 1 });
using weight = new Parameter("weight", Tensor.from(device, [1, 2, 3]));
using x = Tensor.from(device, [4, 5, 6]);
using optimizer = new AdamW(device, [{ parameters: [weight] }], { weightDecay: 0 });
const losses = [];
for (let step = 0; step < 2; step++) {
  using tape = new Tape(device);
  optimizer.zeroGrad();
  const loss = dot(tape.param(weight), tape.constant(x));
  tape.backward(loss);
  losses.push(loss.tensor.item());
  optimizer.step({ lr: 0.5 });
}

using memory = new ActorMemory(openOwner(device), { device: "cpu", threads: 1 });
const spawn = (name, module) => Actor.spawn(memory, { name, module, device: "cpu", threads: 1, options: {} });
using mail = Tensor.from(memory.host, [4, 5, 6]);
const doubler = await spawn("doubler", new URL("./worker.ts", import.meta.url));
const handle = await doubler.peer.request((carrier) => ({ type: "double", x: carrier.lend(mail) }));
using doubled = memory.account("cpu").receive(handle);
await doubler.close();
const own = await spawn("anchor_detector", new URL("./actors/anchor_detector/worker.ts", import.meta.resolve("@kedge/kedge")));
await own.close();

await using pool = new GraderPool(planReward({ parts: {
  accuracy: { use: "math", weight: 0.5 },
  own: { use: "./reward.ts", weight: 0.5 },
} }, import.meta.url), { workers: 1 });
const graded = await pool.grade([{ response: "\\\\boxed{0.5}", truth: "1/2" }, { response: "3", truth: "2" }]);

const sets = ["device=cpu", "sft.steps=1", "sft.batchSize=2", "sft.warmupSteps=1", "data.rolloutBatchSize=2", "rollout.n=2", "val.limit=2"];
const { state } = await train({ sets: [...sets, "data.maxResponseLength=6", "trainer.maxSteps=1"] });

await using control = new RunController({ sets });
await using server = serveControl(control, { port: 0, page: dashboardPage() });
const page = await (await fetch(server.url)).text();
const status = await (await fetch(server.url + "/v1/status", { headers: { authorization: "Bearer " + server.token } })).json();

console.log(JSON.stringify({
  served: [page.includes("uPlot"), status.state],
  library: device.library,
  losses,
  doubled: [...doubled.toFloats()],
  rewards: graded.map(({ overall }) => overall),
  samples: loadConfig().config.rollout.n,
  run: state,
}));
`;
const REWARD = "export default ({ response }) => response.length > 1 ? 1 : 0;\n";

/** A program that trains a small model: no `nvcc`, and this machine alone. Its kernels' folder is in the project's cache. */
const PACKAGE_USER: Permissions = { ...MODEL, write: undefined, run: ["c++", "g++", "deno"], net: ["127.0.0.1"] };

Deno.test("bare specifiers become whole, and an unknown one is refused", () => {
  const imports = { "zod": "npm:zod@^4", "@std/assert": "jsr:@std/assert@^1" };
  const source =
    'import { z } from "zod";\nimport {\n  a,\n} from "zod/v4";\nexport * from "./b.ts";\n * import "zod";\nimport "node:path";\n';
  assertEquals(
    rewritten(source, imports),
    'import { z } from "npm:zod@^4";\nimport {\n  a,\n} from "npm:zod@^4/v4";\nexport * from "./b.ts";\n * import "zod";\nimport "node:path";\n',
  );
  assertEquals(rewritten('import { assert } from "@std/assert";', imports), 'import { assert } from "/tools/std/assert/mod.ts";');
  assertThrows(() => rewritten('await import("hono");', imports), RangeError, '"hono"');
});

Deno.test("the published package builds, trains, spawns actors and grades from HTTP alone", async () => {
  const files = await publishedFiles();
  assert(files.includes("mod.ts") && files.includes(CHANGED) && files.length > 200, "the list must be that of the package");
  assertEquals(files.filter((path) => /^(tests|bench|tools|examples)\//.test(path)), []);
  const { npmCache } = JSON.parse((await runDeno(["info", "--json"], { cwd: ROOT })).stdout) as { npmCache: string };
  const folder = Deno.makeTempDirSync(), cache = `${folder}/home/.cache/kedge`;
  await using served = servePackage(files, {
    change: (path, text) => path === CHANGED ? `${text}\n// As the package's test serves it.\n` : text,
  });
  try {
    // A Deno without any module. npm's packages and the objects of unchanged kernels come from this machine.
    Deno.mkdirSync(`${folder}/deno`);
    Deno.mkdirSync(cache, { recursive: true });
    Deno.mkdirSync(`${folder}/project`);
    const { workspace: _, ...lock } = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.lock`)) as Record<string, unknown>;
    Deno.writeTextFileSync(`${folder}/project/deno.lock`, JSON.stringify(lock)); // the versions that this machine has
    const links = [[npmCache, `${folder}/deno/npm`], [`${cacheFolder()}/objects`, `${cache}/objects`]];
    // This needs a separate process, because making a link needs more permissions than tests have.
    const linked = await runDeno(["eval", `for (const [from, to] of ${JSON.stringify(links)}) Deno.symlinkSync(from, to)`], {
      cwd: folder,
    });
    assertEquals(linked.code, 0, linked.stderr);
    const entries = Object.entries((JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)) as { exports: Record<string, string> }).exports);
    const imports = Object.fromEntries(
      entries.map(([name, path]) => [`@kedge/kedge${name.slice(1)}`, `http://${served.host}${path.slice(1)}`]),
    );
    const texts = { "main.ts": PROGRAM, "worker.ts": WORKER, "reward.ts": REWARD, "deno.json": JSON.stringify({ imports }) };
    for (const [name, text] of Object.entries(texts)) Deno.writeTextFileSync(`${folder}/project/${name}`, text);
    const { code, stdout, stderr } = await runDeno([
      ...["run", "--quiet", "--no-prompt", "--lock=deno.lock", "--frozen=false", `--allow-import=${served.host}`],
      ...flagsOf(together(PACKAGE_USER, { write: [folder, cacheFolder()] })),
      "main.ts",
    ], { cwd: `${folder}/project`, env: { HOME: `${folder}/home`, DENO_DIR: `${folder}/deno` } });
    assertEquals([code, served.faults], [0, []], stderr);
    const { library, losses, ...rest } = JSON.parse(stdout) as { library: string; losses: number[] };
    assertEquals(rest, { doubled: [8, 10, 12], rewards: [1, 0], samples: 8, run: "done", served: [true, "idle"] } as unknown);
    assert(losses[1]! < losses[0]!, "a step goes down");
    assert(library.startsWith(cache), `${library} is not in the user's cache`);
    using local = CpuDevice.open();
    assertNotEquals(library.split("/").at(-2), local.library.split("/").at(-2), "the library must be of the served sources");
    for (const path of ["verify/pool/grader_child.ts", "actors/anchor_detector/worker.ts", "actors/policy/worker.ts", CHANGED]) {
      assert(served.asked.has(path), `${path} was not asked for`);
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
