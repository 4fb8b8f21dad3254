// Generated from kernels/ by tools/generate_ffi.ts. Do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
import s0 from "../../kernels/common/philox.h" with { type: "text" };
import s1 from "../../kernels/common/status.h" with { type: "text" };
import s2 from "../../kernels/cpu/common.h" with { type: "text" };
import s3 from "../../kernels/include/kedge.h" with { type: "text" };

/** The kernels' sources by their path in the package, so that they build wherever the package was imported from. */
export const kernelSources: Readonly<Record<string, string>> = {
  "kernels/common/philox.h": s0,
  "kernels/common/status.h": s1,
  "kernels/cpu/common.h": s2,
  "kernels/include/kedge.h": s3,
};
