import { assertEquals } from "@std/assert";
import { joined, joinedProfiles } from "../../actors/anchor_detector/packed.ts";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { Tensor } from "../../tensor/tensor.ts";

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

Deno.test("numbers of several prompts are joined in order, also from another device; narrower profiles are padded with zeros", () => {
  using device = CpuDevice.open();
  using other = CpuDevice.open();
  for (const from of [device, other]) {
    using stack = new DisposableStack();
    const tensor = (values: number[], shape: number[] = [values.length]) => stack.use(Tensor.from(from, values, { shape }));
    const one = tensor([1, 2]), two = tensor([3]), narrow = tensor([5, 6], [2, 1]), wide = tensor([7, 8, 9, 10], [2, 2]);
    assertEquals([...stack.use(joined(device, [one, two])).toArray()], [1, 2, 3]);
    const same = stack.use(joinedProfiles(device, [{ tokens: 2, regions: 2, profile: wide }, { tokens: 2, regions: 2, profile: wide }]));
    assertEquals([same.shape, [...same.toArray()]], [[4, 2], [7, 8, 9, 10, 7, 8, 9, 10]]);
    const mixed = stack.use(joinedProfiles(device, [
      { tokens: 2, regions: 1, profile: narrow },
      { tokens: 1, regions: 0, profile: undefined },
      { tokens: 2, regions: 2, profile: wide },
    ]));
    assertEquals([mixed.shape, [...mixed.toArray()]], [[5, 2], [5, 0, 6, 0, 0, 0, 7, 8, 9, 10]]);
    const none = stack.use(joinedProfiles(device, [{ tokens: 2, regions: 0, profile: undefined }]));
    assertEquals([none.shape, [...none.toArray()]], [[2, 1], [0, 0]]);
  }
});
