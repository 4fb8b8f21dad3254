import type { TensorHandle } from "../../tensor/handle.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { GroupMessage } from "../messages.ts";

/** A group whose tensors are one's own, since what is borrowed cannot be lent on. */
export interface CopiedGroup extends Disposable {
  message(carry: (tensor: Tensor) => TensorHandle): GroupMessage;
}

/** Copies borrowed groups, to lend them to a third actor. */
export function copyGroups(groups: readonly GroupMessage[], borrow: (handle: TensorHandle) => Tensor): CopiedGroup[] {
  return groups.map((group) => {
    const own = new Map<TensorHandle, Tensor>();
    const copy = (handle: TensorHandle) => own.set(handle, borrow(handle).copy());
    for (const handle of [group.tokens, group.logprobs, group.prompt.tokens, ...group.prompt.visuals.map(({ frames }) => frames)]) {
      copy(handle);
    }
    return {
      message: (carry) => {
        const lent = (handle: TensorHandle) => carry(own.get(handle)!);
        return {
          ...group,
          tokens: lent(group.tokens),
          logprobs: lent(group.logprobs),
          prompt: {
            ...group.prompt,
            tokens: lent(group.prompt.tokens),
            visuals: group.prompt.visuals.map((visual) => ({ ...visual, frames: lent(visual.frames) })),
          },
        };
      },
      [Symbol.dispose]() {
        for (const tensor of own.values()) tensor[Symbol.dispose]();
      },
    };
  });
}
