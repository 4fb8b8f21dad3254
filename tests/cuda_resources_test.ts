// What `deno task bench:cuda` reads in the words of ptxas, and what it fails on.
import { assertEquals, assertMatch } from "@std/assert";
import { faultsOf, parseResources, shortName } from "../bench/cuda_resources.ts";

const KERNELS = ["attention_fwd", "attention_bwd_keys", "connectivity", "decode_partial", "gemm_bf16", "for_rows_kernel", "fill_rows"];
const symbol = (name: string) => `_ZN5kedge12_GLOBAL__N_1${name.length}${name}EvNS0_6ParamsE`;

/** What nvcc -Xptxas=-v says of a kernel. */
function said(name: string, spill: { stores: number; loads: number }, architecture = "sm_90a"): string {
  return `ptxas info    : Compiling entry function '${symbol(name)}' for '${architecture}'
ptxas info    : Function properties for ${symbol(name)}
    ${spill.stores} bytes stack frame, ${spill.stores} bytes spill stores, ${spill.loads} bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 8704 bytes smem
`;
}

Deno.test("bench:cuda reads registers, shared memory and spills by kernel and architecture", () => {
  const output = `ptxas info    : 0 bytes gmem\n${said("gemm_f32", { stores: 0, loads: 0 }, "sm_80")}${
    said("gemm_f32", { stores: 8, loads: 12 })
  }`;
  const common = { symbol: symbol("gemm_f32"), registers: 168, shared: 8704 };
  assertEquals(parseResources(output).kernels, [
    { ...common, architecture: "sm_80", stack: 0, spills: 0 },
    { ...common, architecture: "sm_90a", stack: 8, spills: 20 },
  ]);
});

Deno.test("bench:cuda fails on a spill in any kernel, whatever its name, and on a warning", () => {
  const clean = KERNELS.map((name) => said(name, { stores: 0, loads: 0 })).join("");
  assertEquals(faultsOf("clean.cu", clean), []);
  for (const planted of KERNELS) {
    const output = KERNELS.map((name) => said(name, { stores: 0, loads: name === planted ? 4 : 0 })).join("");
    const faults = faultsOf("planted.cu", output, new Map([[symbol(planted), planted]]));
    assertEquals(faults, [`planted.cu: ${planted} spills 4 bytes on sm_90a`]);
  }
  const [warning, ...rest] = faultsOf(
    "warned.cu",
    `${clean}planted.cu(3): warning #177-D: variable "x" was declared but never referenced\n`,
  );
  assertMatch(warning!, /^warned\.cu: .*never referenced$/);
  assertEquals(rest, []);
});

Deno.test("bench:cuda names kernels as one reads them", () => {
  assertEquals(
    shortName("void kedge::(anonymous namespace)::gemm_bf16<(int)128, (bool)1, __nv_bfloat16>(kedge::(anonymous namespace)::Problem)"),
    "gemm_bf16<128, 1, bf16>",
  );
});
