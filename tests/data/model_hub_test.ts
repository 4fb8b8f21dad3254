import { assert, assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { loadConfig } from "../../actors/config/load.ts";
import { fetchBase, findBase } from "../../data/hub/adapter_base.ts";
import { fetchModel, findModel } from "../../data/hub/model.ts";
import { fetchFile } from "../../data/hub/transfer.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { runChild } from "../child.ts";
import { withModel } from "../cli/model.ts";
import { fakeModelHub, type ModelHub } from "./model_hub.ts";
import { inFolder } from "./rows.ts";

const text = (words: string) => new TextEncoder().encode(words);
const FILES = {
  "config.json": text('{"model_type":"qwen2_5_vl"}'),
  "tokenizer.json": text("{}"),
  "model.safetensors": Uint8Array.from({ length: 300_000 }, (_, i) => i % 251),
  "README.md": text("# Model"),
  "onnx/model.safetensors": text("another"),
};

async function withHub(run: (hub: ModelHub, options: { cacheDir: string; hubUrl: string; accessToken: string }) => Promise<void>) {
  await inFolder(async (cacheDir) => {
    const hub = fakeModelHub(FILES);
    try {
      await run(hub, { cacheDir, hubUrl: hub.url, accessToken: "hf_secret" });
    } finally {
      await hub.close();
    }
  });
}

Deno.test("a model of the hub is stored in the hub's cache with its revision; only the hub receives the token", () =>
  withHub(async (hub, options) => {
    const notes: string[] = [], { folder, commit } = await fetchModel("owner/name@v1", { ...options, onNote: (note) => notes.push(note) });
    const place = `${options.cacheDir}/models--owner--name`;
    assertEquals([folder, commit], [`${place}/snapshots/${hub.commit}`, hub.commit]);
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name).sort(), ["config.json", "model.safetensors", "tokenizer.json"]);
    assertEquals(Deno.readFileSync(`${folder}/model.safetensors`), FILES["model.safetensors"]);
    assertEquals(Deno.readTextFileSync(`${place}/refs/v1`), hub.commit);
    const blobs = Array.from(Deno.readDirSync(`${place}/blobs`), ({ name }) => name);
    assert(blobs.includes(createHash("sha256").update(FILES["model.safetensors"]).digest("hex")), blobs.join());
    assert(notes[0]!.startsWith("Fetching owner/name@v1, 0.00 GiB, into ") && notes.at(-1)!.includes("of 0.00 GiB"), notes.join("\n"));
    assert(hub.asked.some(({ path }) => path.endsWith("/revision/v1")), "the revision is asked for");
    for (const { path, token, at } of hub.asked) assertEquals(token, at === "hub" ? "Bearer hf_secret" : null, `${at}${path}`);
    assertEquals(hub.asked.filter(({ at }) => at === "store").length, 1);
    const before = hub.asked.length;
    assertEquals((await fetchModel("owner/name@v1", options)).folder, folder);
    assertEquals(hub.asked.slice(before).map(({ path }) => path.includes("/resolve/")), [false, false], "nothing is fetched twice");
    await fetchModel(`owner/name@${hub.commit}`, options);
    await fetchModel("owner/name@v1", { ...options, commit: hub.commit });
    assertEquals(hub.asked.length, before + 2, "of a commit that is here nothing is asked");
  }));

Deno.test("adapters of the hub are fetched without a model, and their base by the id that they name", () =>
  withHub(async (hub, options) => {
    const named = { "base_model_name_or_path": "owner/name", "revision": "v1" }, adapters = `${options.cacheDir}/adapters`;
    const other = fakeModelHub({ "adapter_config.json": text(JSON.stringify(named)), "adapter_model.safetensors": text("adapters") });
    const { folder } = await fetchModel("owner/name", { ...options, hubUrl: other.url, cacheDir: adapters }).finally(() => other.close());
    assertEquals(findModel("owner/name", { cacheDir: adapters })?.folder, folder);
    assertEquals(findBase(folder, options), undefined);
    const base = await fetchBase(folder, options);
    assertEquals([base, findBase(folder, options)], [`${options.cacheDir}/models--owner--name/snapshots/${hub.commit}`, base]);
    Deno.writeTextFileSync(`${options.cacheDir}/adapter_config.json`, JSON.stringify({ "base_model_name_or_path": "/no/such/folder" }));
    await assertRejects(() => fetchBase(options.cacheDir, options), KedgeError, "its base model /no/such/folder is no folder here");
  }));

Deno.test("an interrupted download continues where it ended, within a call and across calls", () =>
  withHub(async (hub, options) => {
    const whole = FILES["model.safetensors"],
      oid = createHash("sha256").update(whole).digest("hex"),
      blobs = `${options.cacheDir}/models--owner--name/blobs`;
    Deno.mkdirSync(blobs, { recursive: true });
    Deno.writeFileSync(`${blobs}/${oid}.incomplete`, whole.subarray(0, 100_000));
    hub.cutAt = 200_000;
    const { folder } = await fetchModel("owner/name", options);
    assertEquals(Deno.readFileSync(`${folder}/model.safetensors`), whole);
    const ranges = hub.asked.filter(({ at }) => at === "store").map(({ range }) => Number(/^bytes=(\d+)-$/u.exec(range ?? "")![1]));
    assertEquals([ranges.length, ranges[0]], [2, 100_000]);
    assert(ranges[1]! > 100_000 && ranges[1]! <= 200_000, `${ranges}`);
  }));

Deno.test("a file with a wrong checksum or size is refused and removed", () =>
  withHub(async (hub, options) => {
    hub.spoiled = true;
    const error = await assertRejects(() => fetchModel("owner/name", options), KedgeError, "model.safetensors: its checksum is ");
    assertEquals([error.code, findModel("owner/name", options)], ["BadData", undefined]);
    const blobs = Array.from(Deno.readDirSync(`${options.cacheDir}/models--owner--name/blobs`), ({ name }) => name);
    assert(!blobs.some((name) => name.endsWith(".incomplete")), blobs.join());
    hub.spoiled = false;
    assertEquals((await fetchModel("owner/name", options)).commit, hub.commit);
    const file = { url: `${hub.url}/owner/name/resolve/${hub.commit}/config.json`, size: 9, oid: "0".repeat(40) };
    await assertRejects(
      () => fetchFile(`${options.cacheDir}/x`, file, { fetch, tries: 1, headers: { authorization: "Bearer hf_secret" } }),
      Error,
      "more than 9 bytes",
    );
  }));

Deno.test("offline, a model in the cache is used; without one the error says what to do", async () => {
  await withHub(async (hub, options) => {
    const offline = { ...options, offline: true }, notes: string[] = [];
    await assertRejects(() => fetchModel("owner/name", offline), KedgeError, "HF_HUB_OFFLINE keeps it from being fetched");
    assertEquals(hub.asked, []);
    const { folder } = await fetchModel("owner/name", options);
    assertEquals((await fetchModel("owner/name", offline)).folder, folder);
    await assertRejects(() => fetchModel("owner/none", options), KedgeError, "answers 404: check its name and revision");
    const locked = { ...options, accessToken: "hf_other" };
    await assertRejects(
      () => fetchModel("owner/name", locked),
      KedgeError,
      "answers 401: check its name and revision; for a private or gated one, set HF_TOKEN",
    );
    await hub.close();
    assertEquals(await fetchModel("owner/name", { ...options, onNote: (note) => notes.push(note) }), { folder, commit: hub.commit });
    assertEquals(notes, [`${hub.url} cannot be reached; using owner/name from the cache`]);
    const { message } = await assertRejects(
      () => fetchModel("owner/other", options),
      KedgeError,
      "get online, or fetch its files elsewhere",
    );
    assert(message.startsWith("Cannot get the model owner/other: there is no such folder, and "), message);
  });
});

Deno.test("a folder takes precedence over an id of the same name", () =>
  inFolder(async (folder) => {
    Deno.mkdirSync(`${folder}/owner/here`, { recursive: true });
    const path = (model: string) => {
      Deno.writeTextFileSync(`${folder}/a.jsonc`, JSON.stringify({ model: { path: model } }));
      return loadConfig({ file: `${folder}/a.jsonc` }).config.model.path;
    };
    assertEquals([path("owner/here"), path("owner/away@v1"), path("./owner/away"), path("away")], [
      `${folder}/owner/here`,
      "owner/away@v1",
      `${folder}/owner/away`,
      `${folder}/away`,
    ]);
    assertEquals(await fetchModel(`${folder}/owner/here`), { folder: `${folder}/owner/here` });
  }));

Deno.test("train, eval and export accept a model's id, and a dry run knows its sizes before the download", () =>
  withModel(async (folder) => {
    const files = Object.fromEntries(
      Array.from(Deno.readDirSync(`${folder}/model`), ({ name }) => [name, Deno.readFileSync(`${folder}/model/${name}`)]),
    );
    const hub = fakeModelHub(files),
      env = { HF_ENDPOINT: hub.url, HF_HOME: `${folder}/hf`, HF_TOKEN: "hf_secret", HF_HUB_CACHE: "", HF_HUB_OFFLINE: "" };
    const task = (name: string) => {
      const { command } = (JSON.parse(Deno.readTextFileSync("deno.json")).tasks as Record<string, { command: string }>)[name]!;
      const permissions = command.split(" ").filter((word) => word.startsWith("--allow-"));
      // The hub of this test replaces the real one.
      return permissions.map((flag) => flag.startsWith("--allow-net=") ? "--allow-net=127.0.0.1" : flag);
    };
    const run = (name: string, args: string[], own = {}) =>
      runChild(`cli/${name}.ts`, { permissions: task(name), args, env: { ...env, ...own } });
    try {
      const [known, unknown] = await Promise.all(
        ["Qwen/Qwen2.5-VL-3B-Instruct", "owner/name"].map((id) => run("train", ["--dry-run", "--set", `model.path=${id}`])),
      );
      assertEquals([known!.code, unknown!.code], [0, 1], known!.stderr);
      assert(
        known!.stdout.includes("weights = 3754622976 x 2 B (bf16) = 7.0 GiB") &&
          known!.stdout.includes("the sizes of Qwen/Qwen2.5-VL-3B-Instruct come from a built-in list"),
        known!.stdout,
      );
      assert(unknown!.stderr.includes("owner/name is not on this machine"), unknown!.stderr);
      assertEquals(hub.asked, [], "a dry run fetches nothing");
      Deno.writeTextFileSync(
        `${folder}/rows.jsonl`,
        '{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"1"}]}\n'.repeat(4),
      );
      const little = [
        "device=cpu",
        "sft=null",
        "trainer.maxSteps=1",
        "data.rolloutBatchSize=2",
        "rollout.n=2",
        "data.maxResponseLength=2",
        "trainer.valFreq=0",
        "reward=exact",
      ];
      const sets = [
        ...little,
        "model.path=owner/name",
        "data.task=files",
        `data.trainFiles=${folder}/rows.jsonl`,
        `runDir=${folder}/runs`,
        "name=a",
        "logging.report=false",
      ];
      const trained = await run("train", sets.flatMap((set) => ["--set", set]));
      assertEquals(trained.code, 0, trained.stdout + trained.stderr);
      assert((trained.stdout + trained.stderr).includes("Fetching owner/name@main"), trained.stdout + trained.stderr);
      const snapshot = `${folder}/hf/hub/models--owner--name/snapshots/${hub.commit}`;
      assert(Deno.lstatSync(`${snapshot}/config.json`).isSymlink, "as other programs have it");
      assertEquals(JSON.parse(Deno.readTextFileSync(`${folder}/runs/a/config.json`)).model.path, "owner/name");
      assertEquals(JSON.parse(Deno.readTextFileSync(`${folder}/runs/a/hub.json`)), { model: "owner/name", commit: hub.commit });
      const asked = hub.asked.length, offline = { HF_HUB_OFFLINE: "1" };
      const [evaluated, exported, dry] = await Promise.all([
        run(
          "eval",
          ["--model", "owner/name", "--data", `${folder}/rows.jsonl`, "--limit", "1", "--max-tokens", "2", "--device", "cpu"],
          offline,
        ),
        run("export", ["--checkpoint", "owner/name", "--out", `${folder}/out`], offline),
        run("train", ["--dry-run", "--set", "model.path=owner/name"], offline),
      ]);
      assertEquals([evaluated!.code, exported!.code, dry!.code], [0, 0, 0], evaluated!.stderr + exported!.stderr + dry!.stderr);
      assert(!Deno.lstatSync(`${folder}/out/config.json`).isSymlink, "an exported folder is whole");
      for (const { stdout, stderr } of [trained, evaluated!]) {
        assert((stdout + stderr).includes("rows.jsonl: rows of OpenAI's chat messages"), stdout + stderr);
      }
      assertEquals(hub.asked.length, asked, "offline nothing is asked");
    } finally {
      await hub.close();
    }
  }));
