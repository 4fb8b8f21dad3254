import type { Build } from "../ffi/build.ts";
import { CXX } from "../ffi/cpu_library.ts";

/** A library of two small files and a header. */
export function littleBuild(changes: Readonly<Record<string, string>> = {}): Build {
  const sources = {
    "number.h": "#define NUMBER 42\n",
    "a/answer.cpp":
      '#include "../number.h"\nextern "C" __attribute__((visibility("default"))) int little_answer(void) { return NUMBER; }\n',
    "a/other.cpp": 'extern "C" __attribute__((visibility("default"))) int little_other(void) { return 7; }\n',
    ...changes,
  };
  return { ...CXX, name: "little", label: "little library", sources, units: ["a/answer.cpp", "a/other.cpp"] };
}
