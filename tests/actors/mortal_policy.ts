// The policy, which dies at its third update, once per process, or throws there if its name says so.
import type { PolicyMessage } from "../../actors/messages.ts";
import { Policy, type PolicyOptions } from "../../actors/policy/policy.ts";
import { serveActor } from "../../actors/runtime/serve.ts";

serveActor<PolicyMessage, PolicyOptions>((start) => {
  const policy = new Policy(start), { searchParams } = new URL(import.meta.url), mark = searchParams.get("mark")!;
  let updates = 0;
  return {
    handle: (message, turn) => {
      if (message.type !== "update" || ++updates !== 3) return policy.handle(message, turn);
      if (searchParams.has("throws")) throw new RangeError("Cannot update: I was told to throw");
      try {
        Deno.statSync(mark); // it has died before
        return policy.handle(message, turn);
      } catch {
        Deno.writeTextFileSync(mark, "");
        setTimeout(() => {
          throw new Error("the policy was told to die");
        });
        return new Promise(() => {});
      }
    },
    close: () => policy.close(),
  };
});
