import { assertEquals } from "@std/assert";
import { backends, skippedTiers } from "./backends.ts";

// Loaded here, since a library that a test loads counts as its leak.
for (const backend of backends()) backend.open();

Deno.test("each tier of the op tests opens, or says why it is left out", () => {
  const lines = backends().map((backend) =>
    `op tests run on ${backend.tier} (${backend.dtypes.join(", ")}): ${backend.open().description}`
  );
  for (const { tier, why } of skippedTiers()) lines.push(`op tests SKIP ${tier}: ${why}`);
  Deno.stderr.writeSync(new TextEncoder().encode(`\n${lines.join("\n")}\n`));
  assertEquals(lines.length, 5);
});
