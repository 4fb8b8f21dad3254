// Generated from kernels/ by tools/generate_ffi.ts. Do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
import s0 from "../../kernels/common/adamw.h" with { type: "text" };
import s1 from "../../kernels/common/arguments.h" with { type: "text" };
import s2 from "../../kernels/common/attention.h" with { type: "text" };
import s3 from "../../kernels/common/both.h" with { type: "text" };
import s4 from "../../kernels/common/gelu.h" with { type: "text" };
import s5 from "../../kernels/common/image.h" with { type: "text" };
import s6 from "../../kernels/common/normal_tail.h" with { type: "text" };
import s7 from "../../kernels/common/partition.h" with { type: "text" };
import s8 from "../../kernels/common/philox.h" with { type: "text" };
import s9 from "../../kernels/common/policy_loss.h" with { type: "text" };
import s10 from "../../kernels/common/responses.h" with { type: "text" };
import s11 from "../../kernels/common/rope_cache.h" with { type: "text" };
import s12 from "../../kernels/common/softmax.h" with { type: "text" };
import s13 from "../../kernels/common/status.h" with { type: "text" };
import s14 from "../../kernels/common/team.h" with { type: "text" };
import s15 from "../../kernels/common/token_graph.h" with { type: "text" };
import s16 from "../../kernels/common/token_score.h" with { type: "text" };
import s17 from "../../kernels/common/token_weights.h" with { type: "text" };
import s18 from "../../kernels/cpu/activations.cpp" with { type: "text" };
import s19 from "../../kernels/cpu/adamw.cpp" with { type: "text" };
import s20 from "../../kernels/cpu/attention.h" with { type: "text" };
import s21 from "../../kernels/cpu/attention_bwd.cpp" with { type: "text" };
import s22 from "../../kernels/cpu/attention_fwd.cpp" with { type: "text" };
import s23 from "../../kernels/cpu/attention_plan.h" with { type: "text" };
import s24 from "../../kernels/cpu/bf16_panels.h" with { type: "text" };
import s25 from "../../kernels/cpu/bf16_weight.cpp" with { type: "text" };
import s26 from "../../kernels/cpu/bias.cpp" with { type: "text" };
import s27 from "../../kernels/cpu/common.h" with { type: "text" };
import s28 from "../../kernels/cpu/connectivity.cpp" with { type: "text" };
import s29 from "../../kernels/cpu/decode_attention.cpp" with { type: "text" };
import s30 from "../../kernels/cpu/elementwise.cpp" with { type: "text" };
import s31 from "../../kernels/cpu/gemm.cpp" with { type: "text" };
import s32 from "../../kernels/cpu/gemm_kernel.h" with { type: "text" };
import s33 from "../../kernels/cpu/handle_table.h" with { type: "text" };
import s34 from "../../kernels/cpu/handles.cpp" with { type: "text" };
import s35 from "../../kernels/cpu/host_memory.cpp" with { type: "text" };
import s36 from "../../kernels/cpu/image.cpp" with { type: "text" };
import s37 from "../../kernels/cpu/kl.cpp" with { type: "text" };
import s38 from "../../kernels/cpu/layernorm.cpp" with { type: "text" };
import s39 from "../../kernels/cpu/logprob.cpp" with { type: "text" };
import s40 from "../../kernels/cpu/machine.h" with { type: "text" };
import s41 from "../../kernels/cpu/norm.h" with { type: "text" };
import s42 from "../../kernels/cpu/one_thread.h" with { type: "text" };
import s43 from "../../kernels/cpu/owners.cpp" with { type: "text" };
import s44 from "../../kernels/cpu/panel.h" with { type: "text" };
import s45 from "../../kernels/cpu/partition.cpp" with { type: "text" };
import s46 from "../../kernels/cpu/policy_loss.cpp" with { type: "text" };
import s47 from "../../kernels/cpu/responses.h" with { type: "text" };
import s48 from "../../kernels/cpu/rmsnorm.cpp" with { type: "text" };
import s49 from "../../kernels/cpu/rope.cpp" with { type: "text" };
import s50 from "../../kernels/cpu/rows.cpp" with { type: "text" };
import s51 from "../../kernels/cpu/sample.cpp" with { type: "text" };
import s52 from "../../kernels/cpu/segments.cpp" with { type: "text" };
import s53 from "../../kernels/cpu/segments.h" with { type: "text" };
import s54 from "../../kernels/cpu/softmax.h" with { type: "text" };
import s55 from "../../kernels/cpu/threads.h" with { type: "text" };
import s56 from "../../kernels/cpu/token_graph.cpp" with { type: "text" };
import s57 from "../../kernels/cpu/token_score.cpp" with { type: "text" };
import s58 from "../../kernels/cpu/token_weights.cpp" with { type: "text" };
import s59 from "../../kernels/cpu/vectors.h" with { type: "text" };
import s60 from "../../kernels/cuda/activations.cu" with { type: "text" };
import s61 from "../../kernels/cuda/adamw.cu" with { type: "text" };
import s62 from "../../kernels/cuda/attention.cuh" with { type: "text" };
import s63 from "../../kernels/cuda/attention_bwd.cu" with { type: "text" };
import s64 from "../../kernels/cuda/attention_engine.cuh" with { type: "text" };
import s65 from "../../kernels/cuda/attention_fwd.cu" with { type: "text" };
import s66 from "../../kernels/cuda/bias.cu" with { type: "text" };
import s67 from "../../kernels/cuda/block_team.cuh" with { type: "text" };
import s68 from "../../kernels/cuda/columns.cuh" with { type: "text" };
import s69 from "../../kernels/cuda/common.cuh" with { type: "text" };
import s70 from "../../kernels/cuda/connectivity.cu" with { type: "text" };
import s71 from "../../kernels/cuda/decode_attention.cu" with { type: "text" };
import s72 from "../../kernels/cuda/elements.cuh" with { type: "text" };
import s73 from "../../kernels/cuda/elementwise.cu" with { type: "text" };
import s74 from "../../kernels/cuda/gemm.cu" with { type: "text" };
import s75 from "../../kernels/cuda/image.cu" with { type: "text" };
import s76 from "../../kernels/cuda/kl.cu" with { type: "text" };
import s77 from "../../kernels/cuda/layernorm.cu" with { type: "text" };
import s78 from "../../kernels/cuda/logprob.cu" with { type: "text" };
import s79 from "../../kernels/cuda/mma.cuh" with { type: "text" };
import s80 from "../../kernels/cuda/norm.cuh" with { type: "text" };
import s81 from "../../kernels/cuda/partition.cu" with { type: "text" };
import s82 from "../../kernels/cuda/policy_loss.cu" with { type: "text" };
import s83 from "../../kernels/cuda/region_sums.cuh" with { type: "text" };
import s84 from "../../kernels/cuda/rmsnorm.cu" with { type: "text" };
import s85 from "../../kernels/cuda/rope.cu" with { type: "text" };
import s86 from "../../kernels/cuda/rows.cu" with { type: "text" };
import s87 from "../../kernels/cuda/sample.cu" with { type: "text" };
import s88 from "../../kernels/cuda/softmax.cuh" with { type: "text" };
import s89 from "../../kernels/cuda/threshold.cuh" with { type: "text" };
import s90 from "../../kernels/cuda/token_graph.cu" with { type: "text" };
import s91 from "../../kernels/cuda/token_score.cu" with { type: "text" };
import s92 from "../../kernels/cuda/token_weights.cu" with { type: "text" };
import s93 from "../../kernels/include/kedge.h" with { type: "text" };
import s94 from "../../kernels/world/world.cpp" with { type: "text" };

/** The kernels' sources by their path in the package, so that they build wherever the package was imported from. */
export const kernelSources: Readonly<Record<string, string>> = {
  "kernels/common/adamw.h": s0,
  "kernels/common/arguments.h": s1,
  "kernels/common/attention.h": s2,
  "kernels/common/both.h": s3,
  "kernels/common/gelu.h": s4,
  "kernels/common/image.h": s5,
  "kernels/common/normal_tail.h": s6,
  "kernels/common/partition.h": s7,
  "kernels/common/philox.h": s8,
  "kernels/common/policy_loss.h": s9,
  "kernels/common/responses.h": s10,
  "kernels/common/rope_cache.h": s11,
  "kernels/common/softmax.h": s12,
  "kernels/common/status.h": s13,
  "kernels/common/team.h": s14,
  "kernels/common/token_graph.h": s15,
  "kernels/common/token_score.h": s16,
  "kernels/common/token_weights.h": s17,
  "kernels/cpu/activations.cpp": s18,
  "kernels/cpu/adamw.cpp": s19,
  "kernels/cpu/attention.h": s20,
  "kernels/cpu/attention_bwd.cpp": s21,
  "kernels/cpu/attention_fwd.cpp": s22,
  "kernels/cpu/attention_plan.h": s23,
  "kernels/cpu/bf16_panels.h": s24,
  "kernels/cpu/bf16_weight.cpp": s25,
  "kernels/cpu/bias.cpp": s26,
  "kernels/cpu/common.h": s27,
  "kernels/cpu/connectivity.cpp": s28,
  "kernels/cpu/decode_attention.cpp": s29,
  "kernels/cpu/elementwise.cpp": s30,
  "kernels/cpu/gemm.cpp": s31,
  "kernels/cpu/gemm_kernel.h": s32,
  "kernels/cpu/handle_table.h": s33,
  "kernels/cpu/handles.cpp": s34,
  "kernels/cpu/host_memory.cpp": s35,
  "kernels/cpu/image.cpp": s36,
  "kernels/cpu/kl.cpp": s37,
  "kernels/cpu/layernorm.cpp": s38,
  "kernels/cpu/logprob.cpp": s39,
  "kernels/cpu/machine.h": s40,
  "kernels/cpu/norm.h": s41,
  "kernels/cpu/one_thread.h": s42,
  "kernels/cpu/owners.cpp": s43,
  "kernels/cpu/panel.h": s44,
  "kernels/cpu/partition.cpp": s45,
  "kernels/cpu/policy_loss.cpp": s46,
  "kernels/cpu/responses.h": s47,
  "kernels/cpu/rmsnorm.cpp": s48,
  "kernels/cpu/rope.cpp": s49,
  "kernels/cpu/rows.cpp": s50,
  "kernels/cpu/sample.cpp": s51,
  "kernels/cpu/segments.cpp": s52,
  "kernels/cpu/segments.h": s53,
  "kernels/cpu/softmax.h": s54,
  "kernels/cpu/threads.h": s55,
  "kernels/cpu/token_graph.cpp": s56,
  "kernels/cpu/token_score.cpp": s57,
  "kernels/cpu/token_weights.cpp": s58,
  "kernels/cpu/vectors.h": s59,
  "kernels/cuda/activations.cu": s60,
  "kernels/cuda/adamw.cu": s61,
  "kernels/cuda/attention.cuh": s62,
  "kernels/cuda/attention_bwd.cu": s63,
  "kernels/cuda/attention_engine.cuh": s64,
  "kernels/cuda/attention_fwd.cu": s65,
  "kernels/cuda/bias.cu": s66,
  "kernels/cuda/block_team.cuh": s67,
  "kernels/cuda/columns.cuh": s68,
  "kernels/cuda/common.cuh": s69,
  "kernels/cuda/connectivity.cu": s70,
  "kernels/cuda/decode_attention.cu": s71,
  "kernels/cuda/elements.cuh": s72,
  "kernels/cuda/elementwise.cu": s73,
  "kernels/cuda/gemm.cu": s74,
  "kernels/cuda/image.cu": s75,
  "kernels/cuda/kl.cu": s76,
  "kernels/cuda/layernorm.cu": s77,
  "kernels/cuda/logprob.cu": s78,
  "kernels/cuda/mma.cuh": s79,
  "kernels/cuda/norm.cuh": s80,
  "kernels/cuda/partition.cu": s81,
  "kernels/cuda/policy_loss.cu": s82,
  "kernels/cuda/region_sums.cuh": s83,
  "kernels/cuda/rmsnorm.cu": s84,
  "kernels/cuda/rope.cu": s85,
  "kernels/cuda/rows.cu": s86,
  "kernels/cuda/sample.cu": s87,
  "kernels/cuda/softmax.cuh": s88,
  "kernels/cuda/threshold.cuh": s89,
  "kernels/cuda/token_graph.cu": s90,
  "kernels/cuda/token_score.cu": s91,
  "kernels/cuda/token_weights.cu": s92,
  "kernels/include/kedge.h": s93,
  "kernels/world/world.cpp": s94,
};
