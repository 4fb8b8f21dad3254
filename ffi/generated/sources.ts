// Generated from kernels/ by tools/generate_ffi.ts. Do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
import s0 from "../../kernels/common/both.h" with { type: "text" };
import s1 from "../../kernels/common/normal_tail.h" with { type: "text" };
import s2 from "../../kernels/common/philox.h" with { type: "text" };
import s3 from "../../kernels/common/status.h" with { type: "text" };
import s4 from "../../kernels/cpu/activations.cpp" with { type: "text" };
import s5 from "../../kernels/cpu/adamw.cpp" with { type: "text" };
import s6 from "../../kernels/cpu/attention.h" with { type: "text" };
import s7 from "../../kernels/cpu/attention_bwd.cpp" with { type: "text" };
import s8 from "../../kernels/cpu/attention_fwd.cpp" with { type: "text" };
import s9 from "../../kernels/cpu/attention_plan.h" with { type: "text" };
import s10 from "../../kernels/cpu/bias.cpp" with { type: "text" };
import s11 from "../../kernels/cpu/common.h" with { type: "text" };
import s12 from "../../kernels/cpu/connectivity.cpp" with { type: "text" };
import s13 from "../../kernels/cpu/decode_attention.cpp" with { type: "text" };
import s14 from "../../kernels/cpu/elementwise.cpp" with { type: "text" };
import s15 from "../../kernels/cpu/gemm.cpp" with { type: "text" };
import s16 from "../../kernels/cpu/gemm_kernel.h" with { type: "text" };
import s17 from "../../kernels/cpu/handle_table.h" with { type: "text" };
import s18 from "../../kernels/cpu/handles.cpp" with { type: "text" };
import s19 from "../../kernels/cpu/host_memory.cpp" with { type: "text" };
import s20 from "../../kernels/cpu/image.cpp" with { type: "text" };
import s21 from "../../kernels/cpu/logprob.cpp" with { type: "text" };
import s22 from "../../kernels/cpu/machine.h" with { type: "text" };
import s23 from "../../kernels/cpu/owners.cpp" with { type: "text" };
import s24 from "../../kernels/cpu/panel.h" with { type: "text" };
import s25 from "../../kernels/cpu/rmsnorm.cpp" with { type: "text" };
import s26 from "../../kernels/cpu/rope.cpp" with { type: "text" };
import s27 from "../../kernels/cpu/rows.cpp" with { type: "text" };
import s28 from "../../kernels/cpu/sample.cpp" with { type: "text" };
import s29 from "../../kernels/cpu/segments.cpp" with { type: "text" };
import s30 from "../../kernels/cpu/segments.h" with { type: "text" };
import s31 from "../../kernels/cpu/softmax.h" with { type: "text" };
import s32 from "../../kernels/cpu/vectors.h" with { type: "text" };
import s33 from "../../kernels/cuda/activations.cu" with { type: "text" };
import s34 from "../../kernels/cuda/adamw.cu" with { type: "text" };
import s35 from "../../kernels/cuda/attention.cuh" with { type: "text" };
import s36 from "../../kernels/cuda/attention_bwd.cu" with { type: "text" };
import s37 from "../../kernels/cuda/attention_engine.cuh" with { type: "text" };
import s38 from "../../kernels/cuda/attention_fwd.cu" with { type: "text" };
import s39 from "../../kernels/cuda/bias.cu" with { type: "text" };
import s40 from "../../kernels/cuda/columns.cuh" with { type: "text" };
import s41 from "../../kernels/cuda/common.cuh" with { type: "text" };
import s42 from "../../kernels/cuda/connectivity.cu" with { type: "text" };
import s43 from "../../kernels/cuda/decode_attention.cu" with { type: "text" };
import s44 from "../../kernels/cuda/elements.cuh" with { type: "text" };
import s45 from "../../kernels/cuda/elementwise.cu" with { type: "text" };
import s46 from "../../kernels/cuda/gemm.cu" with { type: "text" };
import s47 from "../../kernels/cuda/image.cu" with { type: "text" };
import s48 from "../../kernels/cuda/logprob.cu" with { type: "text" };
import s49 from "../../kernels/cuda/mma.cuh" with { type: "text" };
import s50 from "../../kernels/cuda/region_sums.cuh" with { type: "text" };
import s51 from "../../kernels/cuda/rmsnorm.cu" with { type: "text" };
import s52 from "../../kernels/cuda/rope.cu" with { type: "text" };
import s53 from "../../kernels/cuda/rows.cu" with { type: "text" };
import s54 from "../../kernels/cuda/sample.cu" with { type: "text" };
import s55 from "../../kernels/cuda/softmax.cuh" with { type: "text" };
import s56 from "../../kernels/cuda/threshold.cuh" with { type: "text" };
import s57 from "../../kernels/include/kedge.h" with { type: "text" };

/** The kernels' sources by their path in the package, so that they build wherever the package was imported from. */
export const kernelSources: Readonly<Record<string, string>> = {
  "kernels/common/both.h": s0,
  "kernels/common/normal_tail.h": s1,
  "kernels/common/philox.h": s2,
  "kernels/common/status.h": s3,
  "kernels/cpu/activations.cpp": s4,
  "kernels/cpu/adamw.cpp": s5,
  "kernels/cpu/attention.h": s6,
  "kernels/cpu/attention_bwd.cpp": s7,
  "kernels/cpu/attention_fwd.cpp": s8,
  "kernels/cpu/attention_plan.h": s9,
  "kernels/cpu/bias.cpp": s10,
  "kernels/cpu/common.h": s11,
  "kernels/cpu/connectivity.cpp": s12,
  "kernels/cpu/decode_attention.cpp": s13,
  "kernels/cpu/elementwise.cpp": s14,
  "kernels/cpu/gemm.cpp": s15,
  "kernels/cpu/gemm_kernel.h": s16,
  "kernels/cpu/handle_table.h": s17,
  "kernels/cpu/handles.cpp": s18,
  "kernels/cpu/host_memory.cpp": s19,
  "kernels/cpu/image.cpp": s20,
  "kernels/cpu/logprob.cpp": s21,
  "kernels/cpu/machine.h": s22,
  "kernels/cpu/owners.cpp": s23,
  "kernels/cpu/panel.h": s24,
  "kernels/cpu/rmsnorm.cpp": s25,
  "kernels/cpu/rope.cpp": s26,
  "kernels/cpu/rows.cpp": s27,
  "kernels/cpu/sample.cpp": s28,
  "kernels/cpu/segments.cpp": s29,
  "kernels/cpu/segments.h": s30,
  "kernels/cpu/softmax.h": s31,
  "kernels/cpu/vectors.h": s32,
  "kernels/cuda/activations.cu": s33,
  "kernels/cuda/adamw.cu": s34,
  "kernels/cuda/attention.cuh": s35,
  "kernels/cuda/attention_bwd.cu": s36,
  "kernels/cuda/attention_engine.cuh": s37,
  "kernels/cuda/attention_fwd.cu": s38,
  "kernels/cuda/bias.cu": s39,
  "kernels/cuda/columns.cuh": s40,
  "kernels/cuda/common.cuh": s41,
  "kernels/cuda/connectivity.cu": s42,
  "kernels/cuda/decode_attention.cu": s43,
  "kernels/cuda/elements.cuh": s44,
  "kernels/cuda/elementwise.cu": s45,
  "kernels/cuda/gemm.cu": s46,
  "kernels/cuda/image.cu": s47,
  "kernels/cuda/logprob.cu": s48,
  "kernels/cuda/mma.cuh": s49,
  "kernels/cuda/region_sums.cuh": s50,
  "kernels/cuda/rmsnorm.cu": s51,
  "kernels/cuda/rope.cu": s52,
  "kernels/cuda/rows.cu": s53,
  "kernels/cuda/sample.cu": s54,
  "kernels/cuda/softmax.cuh": s55,
  "kernels/cuda/threshold.cuh": s56,
  "kernels/include/kedge.h": s57,
};
