import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { KedgeError } from "../../ffi/errors.ts";
import { Nccl } from "../../ffi/nccl.ts";
import { World } from "../../ffi/world.ts";
import { FakeCuda } from "../fake_cuda/fake_cuda.ts";
import { MPI, onRanks, WITHOUT } from "./ranks.ts";

// A library that a test loads stays loaded.
Deno.test.sanitizer({ ops: true, resources: false });

Deno.test({
  name:
    `updates on 2 ranks with NCCL have the bits of those through host memory, and misuse neither CUDA nor NCCL (fakes of both)${WITHOUT}`,
  ignore: MPI.found.length === 0,
  async fn() {
    const { code, stdout, stderr } = await onRanks(2, "nccl_ranks.ts");
    assertEquals(code, 0, stderr);
    const ranks = JSON.parse(stdout.trim().split("\n").at(-1)!) as { all: string[]; misuses: string[] }[];
    assertEquals(ranks.map(({ misuses }) => misuses), [[], []]);
    assertEquals(new Set(ranks.flatMap(({ all }) => all)).size, 1, "weights differ");
  },
});

Deno.test("the fake NCCL names what is done wrong, and its errors have NCCL's words", () => {
  const fake = FakeCuda.load(), nccl = Nccl.load(fake.path), world = World.alone();
  fake.reset();
  using device = fake.open();
  assertEquals(nccl.version, "2.28.3");
  const ranks = nccl.connect(device, world), address = device.alloc(16);
  try {
    const error = assertThrows(() => ranks.exchange([undefined, { address, bytes: 16 }], []), KedgeError);
    assertMatch(error.message, /Cannot send to rank 1 with NCCL: invalid argument/);
    ranks[Symbol.dispose]();
    assertThrows(() => ranks[Symbol.dispose](), KedgeError, "Cannot end a connection of GPUs with NCCL");
    assertEquals(fake.violations(), ["nccl: type 1, peer 1", "nccl: a connection is ended twice"]);
  } finally {
    device.free(address);
  }
});
