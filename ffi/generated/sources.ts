// Generated from kernels/ by tools/generate_ffi.ts. Do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
import s0 from "../../kernels/common/philox.h" with { type: "text" };
import s1 from "../../kernels/common/status.h" with { type: "text" };
import s2 from "../../kernels/cpu/activations.cpp" with { type: "text" };
import s3 from "../../kernels/cpu/adamw.cpp" with { type: "text" };
import s4 from "../../kernels/cpu/attention.h" with { type: "text" };
import s5 from "../../kernels/cpu/attention_bwd.cpp" with { type: "text" };
import s6 from "../../kernels/cpu/attention_fwd.cpp" with { type: "text" };
import s7 from "../../kernels/cpu/attention_plan.h" with { type: "text" };
import s8 from "../../kernels/cpu/bias.cpp" with { type: "text" };
import s9 from "../../kernels/cpu/common.h" with { type: "text" };
import s10 from "../../kernels/cpu/connectivity.cpp" with { type: "text" };
import s11 from "../../kernels/cpu/decode_attention.cpp" with { type: "text" };
import s12 from "../../kernels/cpu/elementwise.cpp" with { type: "text" };
import s13 from "../../kernels/cpu/gemm.cpp" with { type: "text" };
import s14 from "../../kernels/cpu/gemm_kernel.h" with { type: "text" };
import s15 from "../../kernels/cpu/handle_table.h" with { type: "text" };
import s16 from "../../kernels/cpu/handles.cpp" with { type: "text" };
import s17 from "../../kernels/cpu/host_memory.cpp" with { type: "text" };
import s18 from "../../kernels/cpu/image.cpp" with { type: "text" };
import s19 from "../../kernels/cpu/logprob.cpp" with { type: "text" };
import s20 from "../../kernels/cpu/machine.h" with { type: "text" };
import s21 from "../../kernels/cpu/owners.cpp" with { type: "text" };
import s22 from "../../kernels/cpu/panel.h" with { type: "text" };
import s23 from "../../kernels/cpu/rmsnorm.cpp" with { type: "text" };
import s24 from "../../kernels/cpu/rope.cpp" with { type: "text" };
import s25 from "../../kernels/cpu/rows.cpp" with { type: "text" };
import s26 from "../../kernels/cpu/sample.cpp" with { type: "text" };
import s27 from "../../kernels/cpu/segments.cpp" with { type: "text" };
import s28 from "../../kernels/cpu/segments.h" with { type: "text" };
import s29 from "../../kernels/cpu/softmax.h" with { type: "text" };
import s30 from "../../kernels/cpu/vectors.h" with { type: "text" };
import s31 from "../../kernels/cuda/activations.cu" with { type: "text" };
import s32 from "../../kernels/cuda/adamw.cu" with { type: "text" };
import s33 from "../../kernels/cuda/attention.cuh" with { type: "text" };
import s34 from "../../kernels/cuda/attention_bwd.cu" with { type: "text" };
import s35 from "../../kernels/cuda/attention_engine.cuh" with { type: "text" };
import s36 from "../../kernels/cuda/attention_fwd.cu" with { type: "text" };
import s37 from "../../kernels/cuda/bias.cu" with { type: "text" };
import s38 from "../../kernels/cuda/columns.cuh" with { type: "text" };
import s39 from "../../kernels/cuda/common.cuh" with { type: "text" };
import s40 from "../../kernels/cuda/connectivity.cu" with { type: "text" };
import s41 from "../../kernels/cuda/decode_attention.cu" with { type: "text" };
import s42 from "../../kernels/cuda/elements.cuh" with { type: "text" };
import s43 from "../../kernels/cuda/elementwise.cu" with { type: "text" };
import s44 from "../../kernels/cuda/gemm.cu" with { type: "text" };
import s45 from "../../kernels/cuda/image.cu" with { type: "text" };
import s46 from "../../kernels/cuda/logprob.cu" with { type: "text" };
import s47 from "../../kernels/cuda/mma.cuh" with { type: "text" };
import s48 from "../../kernels/cuda/region_sums.cuh" with { type: "text" };
import s49 from "../../kernels/cuda/rmsnorm.cu" with { type: "text" };
import s50 from "../../kernels/cuda/rope.cu" with { type: "text" };
import s51 from "../../kernels/cuda/rows.cu" with { type: "text" };
import s52 from "../../kernels/cuda/sample.cu" with { type: "text" };
import s53 from "../../kernels/cuda/softmax.cuh" with { type: "text" };
import s54 from "../../kernels/cuda/threshold.cuh" with { type: "text" };
import s55 from "../../kernels/include/kedge.h" with { type: "text" };

/** The kernels' sources by their path in the package, so that they build wherever the package was imported from. */
export const kernelSources: Readonly<Record<string, string>> = {
  "kernels/common/philox.h": s0,
  "kernels/common/status.h": s1,
  "kernels/cpu/activations.cpp": s2,
  "kernels/cpu/adamw.cpp": s3,
  "kernels/cpu/attention.h": s4,
  "kernels/cpu/attention_bwd.cpp": s5,
  "kernels/cpu/attention_fwd.cpp": s6,
  "kernels/cpu/attention_plan.h": s7,
  "kernels/cpu/bias.cpp": s8,
  "kernels/cpu/common.h": s9,
  "kernels/cpu/connectivity.cpp": s10,
  "kernels/cpu/decode_attention.cpp": s11,
  "kernels/cpu/elementwise.cpp": s12,
  "kernels/cpu/gemm.cpp": s13,
  "kernels/cpu/gemm_kernel.h": s14,
  "kernels/cpu/handle_table.h": s15,
  "kernels/cpu/handles.cpp": s16,
  "kernels/cpu/host_memory.cpp": s17,
  "kernels/cpu/image.cpp": s18,
  "kernels/cpu/logprob.cpp": s19,
  "kernels/cpu/machine.h": s20,
  "kernels/cpu/owners.cpp": s21,
  "kernels/cpu/panel.h": s22,
  "kernels/cpu/rmsnorm.cpp": s23,
  "kernels/cpu/rope.cpp": s24,
  "kernels/cpu/rows.cpp": s25,
  "kernels/cpu/sample.cpp": s26,
  "kernels/cpu/segments.cpp": s27,
  "kernels/cpu/segments.h": s28,
  "kernels/cpu/softmax.h": s29,
  "kernels/cpu/vectors.h": s30,
  "kernels/cuda/activations.cu": s31,
  "kernels/cuda/adamw.cu": s32,
  "kernels/cuda/attention.cuh": s33,
  "kernels/cuda/attention_bwd.cu": s34,
  "kernels/cuda/attention_engine.cuh": s35,
  "kernels/cuda/attention_fwd.cu": s36,
  "kernels/cuda/bias.cu": s37,
  "kernels/cuda/columns.cuh": s38,
  "kernels/cuda/common.cuh": s39,
  "kernels/cuda/connectivity.cu": s40,
  "kernels/cuda/decode_attention.cu": s41,
  "kernels/cuda/elements.cuh": s42,
  "kernels/cuda/elementwise.cu": s43,
  "kernels/cuda/gemm.cu": s44,
  "kernels/cuda/image.cu": s45,
  "kernels/cuda/logprob.cu": s46,
  "kernels/cuda/mma.cuh": s47,
  "kernels/cuda/region_sums.cuh": s48,
  "kernels/cuda/rmsnorm.cu": s49,
  "kernels/cuda/rope.cu": s50,
  "kernels/cuda/rows.cu": s51,
  "kernels/cuda/sample.cu": s52,
  "kernels/cuda/softmax.cuh": s53,
  "kernels/cuda/threshold.cuh": s54,
  "kernels/include/kedge.h": s55,
};
