// This actor of handle_test.ts carries out commands on the handles that it receives, under the account that it receives.
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { Account, type TensorHandle } from "../../tensor/handle.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** The orders that it accepts. */
export type Order =
  | { kind: "open"; owner: number }
  | { kind: "double"; handle: TensorHandle; to: number }
  | { kind: "read"; handle: TensorHandle }
  | { kind: "use"; handle: TensorHandle }
  | { kind: "block"; flag: SharedArrayBuffer };

const device = CpuDevice.open({ threads: 1 });
let account: Account;
const kept: Tensor[] = [];

function act(order: Order): unknown {
  switch (order.kind) {
    case "open":
      account = new Account(device, order.owner);
      return "open";
    case "double": {
      using tensor = account.receive(order.handle);
      const twice = Tensor.empty(device, tensor.shape);
      device.ops.scaleAdd(0, twice.address, tensor.address, tensor.size, 2, 0, 0);
      return account.move(twice, order.to);
    }
    case "read": {
      const tensor = account.borrow(order.handle);
      const sum = tensor.toFloats().reduce((a, x) => a + x, 0);
      return { sum, end: account.giveBack(tensor) };
    }
    case "use":
      try {
        using tensor = account.receive(order.handle);
        return `it could read ${tensor.toFloats()}`;
      } catch (error) {
        return error instanceof KedgeError ? `${error.code}: ${error.message}` : String(error);
      }
    case "block":
      // Allocates memory, and then never reads its mailbox again.
      for (let i = 0; i < 10; i++) kept.push(Tensor.full(device, [1000], { value: i }));
      kept[0]!.free();
      self.postMessage("blocked");
      Atomics.wait(new Int32Array(order.flag), 0, 0);
      return "unblocked";
  }
}

self.onmessage = (event: MessageEvent<Order>) => self.postMessage(act(event.data));
