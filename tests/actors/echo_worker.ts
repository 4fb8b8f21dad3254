// An actor for tests. Messages make it add, keep, fail or die.
import { serveActor } from "../../actors/runtime/serve.ts";
import type { TensorHandle } from "../../tensor/handle.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** The messages that it accepts. */
export type EchoMessage =
  | { readonly type: "double"; readonly x: TensorHandle }
  | { readonly type: "keep"; readonly x: TensorHandle }
  | { readonly type: "ignore"; readonly x: TensorHandle }
  | { readonly type: "fail"; readonly x: TensorHandle }
  | { readonly type: "wait" }
  | { readonly type: "count"; readonly to: number }
  | { readonly type: "die" };

/** Its replies. */
export type EchoReplies = {
  double: { readonly y: TensorHandle };
  keep: null;
  ignore: null;
  fail: null;
  wait: { readonly cancelled: boolean };
  count: { readonly counted: number };
  die: null;
};

serveActor<EchoMessage, unknown>(({ memory }) => ({
  async handle(message, turn) {
    switch (message.type) {
      case "double": {
        const y = turn.borrow(message.x).toFloats().map((x) => 2 * x);
        return { y: turn.move(Tensor.from(memory.host, y)) };
      }
      case "keep":
        turn.receive(message.x);
        return null;
      case "ignore":
        return null;
      case "fail":
        turn.borrow(message.x);
        throw new RangeError("Cannot do that: I was told to fail");
      case "wait":
        // deno-lint-ignore no-await-in-loop -- until it is cancelled
        while (!turn.cancelled()) await new Promise((resolve) => setTimeout(resolve, 1));
        return { cancelled: true };
      case "count":
        for (let i = 1; i <= message.to; i++) turn.tell(i);
        return { counted: message.to };
      case "die":
        setTimeout(() => {
          throw new Error("I was told to die");
        });
        return await new Promise(() => {});
    }
  },
}));
