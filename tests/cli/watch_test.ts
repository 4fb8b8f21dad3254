// Tests how the training process may end, and what its supervisor then does. The process here does nothing but end.
import { assert, assertEquals } from "@std/assert";
import { endOf, FAILED, STOPPED } from "../../cli/train/ends.ts";
import { withRunDir } from "../actors/little_run.ts";
import { afterDeath, type CliOptions, CliProcess, evaluated, family, send } from "../cli_process.ts";

interface Given {
  lives: readonly string[];
  request?: Record<string, unknown>;
  maxRestarts?: number;
  options?: CliOptions;
}

/** Supervises processes that end as given: "STATE END", where the run is then "early" (not opened yet), "open" or "closed". */
async function watching(given: Given, then: (watcher: CliProcess, folder: string) => Promise<void> | void = () => {}) {
  const { lives, request = {}, maxRestarts = 3, options } = given;
  let result: { code: number; output: string; requests: Record<string, unknown>[] };
  await withRunDir(async (folder) => {
    Deno.writeTextFileSync(`${folder}/lives`, lives.join("\n"));
    const asked = { loaded: { config: {}, base: folder }, resume: true, ...request };
    const watched = { path: folder, limits: { maxRestarts, restartWindowMinutes: 10 } };
    await using watcher = new CliProcess("tests/cli/watching.ts", [JSON.stringify(asked), JSON.stringify(watched)], options);
    await then(watcher, folder);
    const { code } = await watcher.end();
    const requests = Deno.readTextFileSync(`${folder}/requests`).trim().split("\n").map((line) => JSON.parse(line));
    result = { code, output: watcher.output, requests };
  });
  return result!;
}

Deno.test("only an exit code makes an end orderly; every other end is a fault, except the signals that ask for an end", () => {
  const kind = (code: number, signal: string | null = null) => endOf({ code, signal }).kind;
  assertEquals([kind(0), kind(FAILED), kind(STOPPED)], ["order", "order", "order"]);
  assertEquals([endOf({ code: FAILED, signal: null }).code, endOf({ code: STOPPED, signal: null }).code], [1, 130]);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) assertEquals(kind(128, signal), "asked");
  for (const signal of ["SIGKILL", "SIGTRAP", "SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGSYS", "SIGXFSZ", "SIGUSR1"]) {
    const end = endOf({ code: 128, signal });
    assertEquals([end.kind, end.code, end.words.startsWith(signal)], ["fault", 1, true]);
  }
  for (const code of [1, 2, 70, 101, 127, 133, 137]) {
    assertEquals([kind(code), endOf({ code, signal: null }).words.startsWith(`code ${code}`)], ["fault", true]);
  }
});

Deno.test("faults of every kind are reported and the run continues; an error that the process printed ends it", async () => {
  const { code, output, requests } = await watching({ lives: ["open SIGTRAP", "open 1", "open SIGKILL", `open ${FAILED}`] });
  assertEquals([code, requests.length], [1, 4], output);
  for (const words of ["SIGTRAP: usually the runtime", "code 1: an uncaught error", "SIGKILL: usually the system is out of memory"]) {
    assert(output.includes(`The run crashed with ${words}`), output);
  }
  assert(output.includes("(restart 3 of 3)"), output);
});

Deno.test("after too many faults the supervisor gives up; a signal that asks for an end is not a fault", async () => {
  const many = await watching({ lives: ["open SIGSEGV", "open 70", "open 0"], maxRestarts: 1 });
  assertEquals([many.code, many.requests.length], [1, 2]);
  assert(
    many.output.includes("The run crashed with code 70: a panic of the runtime; giving up after 1 restarts in 10 minutes"),
    many.output,
  );
  const asked = await watching({ lives: ["open SIGQUIT", "open 0"] });
  assertEquals([asked.code, asked.requests.length], [131, 1]);
  assert(asked.output.includes("The run was ended by SIGQUIT"), asked.output);
});

Deno.test("a restart keeps the run's state: an idle run stays idle, and a run that had not yet removed old files removes them", async () => {
  const request = { stays: true, start: true, resume: false };
  const { requests } = await watching({ lives: ["early SIGKILL", "open SIGKILL", "closed SIGKILL", "closed 0"], request });
  assertEquals(requests.map(({ resume, start }) => [resume, start]), [[false, true], [false, true], [true, true], [true, false]]);
});

Deno.test("a signal to the supervisor ends the run in order, the second one at once; no process is left", async () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    // deno-lint-ignore no-await-in-loop -- one after the other
    const { code, output } = await watching({ lives: ["open wait"] }, async (watcher) => {
      await watcher.says(/life:/);
      watcher.child.kill(signal);
    });
    assertEquals([signal, code, output.includes("watched: 130")], [signal, 130, true]);
  }
  let left: number[] = [];
  const { code, output } = await watching({ lives: ["open deaf"] }, async (watcher) => {
    await watcher.says(/life:/);
    left = (await family(watcher.child.pid)).map(({ pid }) => pid);
    watcher.child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 600));
    watcher.child.kill("SIGINT");
  });
  assertEquals([code, left.length, output.includes("Stopped at once; the last checkpoint remains")], [130, 2, true]);
  assertEquals(await afterDeath(left), []);
});

Deno.test("a fault while stopping is reported, and the process is not restarted", async () => {
  const { code, output, requests } = await watching({ lives: ["open deaf", "open 0"] }, async (watcher, folder) => {
    await watcher.says(/life:/);
    watcher.child.kill("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 100));
    await send(Number(Deno.readTextFileSync(`${folder}/lock`)), "SIGKILL");
  });
  assertEquals([code, requests.length], [1, 1]);
  assert(output.includes("it was being stopped, so it is not restarted"), output);
});

Deno.test("a run that was started by nohup survives a hang-up", async () => {
  // It does what nohup does: a shell that ignores the signal becomes the supervisor.
  await withRunDir(async (folder) => {
    Deno.writeTextFileSync(`${folder}/lives`, "open wait");
    const asked = JSON.stringify({ loaded: { config: {}, base: folder }, resume: true });
    const watched = JSON.stringify({ path: folder, limits: { maxRestarts: 0, restartWindowMinutes: 1 } });
    const command = `trap '' HUP; exec deno run -A tests/cli/watching.ts '${asked}' '${watched}'`;
    const text = await evaluated(`
      const child = new Deno.Command("sh", { args: ["-c", ${JSON.stringify(command)}], stdin: "null", stdout: "piped" }).spawn();
      let said = "", hung = false;
      for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
        said += piece;
        if (hung || !said.includes("life:")) continue;
        hung = true;
        child.kill("SIGHUP");
        await new Promise((resolve) => setTimeout(resolve, 300));
        child.kill("SIGTERM");
      }
      console.log(said, JSON.stringify(await child.status), Deno.readTextFileSync("${folder}/requests"));`);
    assert(text.includes('"code":130,"signal":null'), text);
    assert(text.includes('"staysUp":true'), text);
  });
});

Deno.test("what the supervisor started ends with it, even if the supervisor is killed", async () => {
  let left: number[] = [];
  await watching({ lives: ["open deaf"] }, async (watcher) => {
    await watcher.says(/life:/);
    left = (await family(watcher.child.pid)).map(({ pid }) => pid);
    watcher.child.kill("SIGKILL");
  });
  assertEquals([left.length, await afterDeath(left)], [2, []]);
});
