import { assertEquals } from "@std/assert";
import { runChild } from "./child.ts";

Deno.test("importing the library needs no permission", async () => {
  const { code, stderr } = await runChild("mod.ts", { permissions: [] });
  assertEquals([code, stderr], [0, ""]);
});
