import { assertEquals } from "@std/assert";
import { flagsOf, PERMISSIONS, type Permissions, together, TRAINING } from "../../cli/permissions.ts";
import { ROOT } from "../root.ts";

const { tasks } = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)) as { tasks: Record<string, { command: string }> };

Deno.test("sets of permissions come together: everything of a kind holds its lists", () => {
  assertEquals(together({ run: ["a", "b"], read: ["x"] }, { run: ["b", "c"], read: true }, { ffi: true }), {
    ffi: true,
    read: true,
    run: ["a", "b", "c"],
  });
  assertEquals(flagsOf({ ffi: true, write: ["a", "b"], env: ["HOME"] }), ["--allow-ffi", "--allow-write=a,b", "--allow-env=HOME"]);
  assertEquals([flagsOf({}), together({}, {})], [[], {}]);
});

Deno.test("a task has the permissions of its set and no others; only the tests in a browser have them all", () => {
  for (const [name, set] of Object.entries<Permissions>(PERMISSIONS)) {
    const { command } = tasks[name]!, flags = command.split(" ").filter((word) => word.startsWith("--allow-"));
    assertEquals([flags, command.includes("--no-prompt")], [flagsOf(set), true], name);
  }
  assertEquals(Object.keys(tasks).filter((name) => / -A\b|--allow-all/.test(tasks[name]!.command)), ["test:browser"]);
});

Deno.test("who reaches the network, and who writes anywhere", () => {
  const sets = Object.entries<Permissions>({ ...PERMISSIONS, training: TRAINING });
  const of = (kind: "net" | "write") => sets.filter(([, set]) => set[kind] === true).map(([name]) => name);
  assertEquals(of("net"), ["eval", "training"]);
  assertEquals(of("write"), ["ablate", "eval", "inspect", "export", "init-model", "training"]);
  assertEquals(sets.filter(([, { net }]) => Array.isArray(net)).map(([name]) => name), ["inspect", "export", "test"]);
});
