import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { buildLibrary } from "../ffi/build.ts";
import { cpuBuild } from "../ffi/cpu_library.ts";
import { hostSymbols, opSymbols, structs } from "../ffi/generated/bindings.ts";
import { kernelSources } from "../ffi/generated/sources.ts";
import { loadLibrary, MAX_PARAMETERS } from "../ffi/load.ts";
import { parseHeader } from "../tools/generate_ffi.ts";
import { type ChildEnd, runChild } from "./child.ts";
import { HAND_BOUND, stubBuild } from "./native_tables.ts";
import { ROOT } from "./root.ts";

const NATIVES = ["--v8-flags=--allow-natives-syntax", "--allow-ffi", "--allow-read"];
const cpuLibrary = buildLibrary(cpuBuild()), stubLibrary = buildLibrary(stubBuild());

/** Calls functions from optimized code in a separate process, because a fault would end the process. */
const hot = (what: "kedge" | "stubs", path: string) =>
  runChild("tests/native_calls_child.ts", { permissions: NATIVES, args: [what, path] });

function assertAllHot({ code, stdout, stderr }: ChildEnd, names: readonly string[]): void {
  const done = stdout.trimEnd().split("\n");
  const next = names.find((name) => !done.includes(name)) ?? "none";
  assertEquals(code, 0, `the process ended at ${next}: ${stderr.slice(0, 500)}`);
  assertEquals(done.toSorted(), names.toSorted());
}

Deno.test("every function of kedge.h can be called from optimized code", async () => {
  assertAllHot(await hot("kedge", cpuLibrary), [...Object.keys(opSymbols), ...Object.keys(hostSymbols)]);
});

Deno.test("every function that is bound by hand can be called from optimized code", async () => {
  assertAllHot(await hot("stubs", stubLibrary), Object.values(HAND_BOUND).flatMap((table) => Object.keys(table)));
});

Deno.test("every file that loads a library has its functions in these tests", () => {
  const files = [...Deno.readDirSync(`${ROOT}/ffi`)].filter(({ isFile }) => isFile).map(({ name }) => name);
  const loading = files.filter((name) => name !== "load.ts" && Deno.readTextFileSync(`${ROOT}/ffi/${name}`).includes("loadLibrary("));
  assertEquals(loading.toSorted(), [...Object.keys(HAND_BOUND), "cpu_library.ts", "cuda_library.ts"].toSorted());
});

// This is the runtime's fault itself. If it disappears, the limit may be removed too.
for (const [type, last] of [["i32", 29], ["f64", 31]] as const) {
  Deno.test({
    name: `the runtime's optimizing compiler takes ${last} parameters of type ${type}, and ends the process at one more`,
    ignore: Deno.version.deno !== "2.9.6" || Deno.build.arch !== "x86_64",
    fn: async () => {
      const call = (count: number) =>
        runChild("tests/native_fault.js", { permissions: NATIVES, args: [stubLibrary, `fault_${type}_${count}`, type, `${count}`] });
      const [well, fault] = await Promise.all([call(last), call(last + 1)]);
      assertEquals(well.code, 0, well.stderr);
      assertEquals(fault.code !== 0, true);
      assertMatch(fault.stderr, /Check failed: is_valid\(value\)/);
    },
  });
}

/** Makes a header with one function of `count` parameters besides the context and the status. */
const header = (count: number) =>
  `KEDGE_API int32_t kedge_long(const kedge_context* ctx, ${
    Array.from({ length: count }, (_, i) => `int64_t n${i}`).join(", ")
  }, kedge_status* status);\n`;

Deno.test("the generator refuses a function with too many parameters", () => {
  assertEquals(parseHeader(header(MAX_PARAMETERS - 2))[0]!.parameters.length, MAX_PARAMETERS);
  assertThrows(
    () => parseHeader(header(MAX_PARAMETERS - 1)),
    RangeError,
    "Cannot bind kedge_long: it has 25 parameters, but only 24 are safe; put its sizes and strides into a struct",
  );
});

Deno.test("the generator refuses a block of arguments that it cannot write", () => {
  const call = (list: string) => parseHeader(`KEDGE_API int32_t kedge_x(${list}, kedge_status* status);\n`);
  const struct = "typedef struct {\n  int64_t n; /* rows */\n} kedge_block;\n";
  assertThrows(
    () => call("KEDGE_IN const kedge_block* block"),
    TypeError,
    "Cannot find the struct kedge_block of kedge_x's parameter block",
  );
  const twice = "KEDGE_API int32_t kedge_x(KEDGE_IN const kedge_block* a, KEDGE_IN const kedge_block* b, kedge_status* status);\n";
  assertThrows(() => parseHeader(struct + twice), RangeError, "Cannot bind kedge_x: two parameters are blocks of the type kedge_block");
  assertThrows(
    () => parseHeader("typedef struct {\n  short n;\n} kedge_block;\n"),
    TypeError,
    'Cannot parse the field "short n;" of kedge_block',
  );
});

Deno.test("a library's function with too many parameters is not bound", () => {
  const table = { fault_i32_25: { parameters: new Array<"i32">(25).fill("i32"), result: "i32" } } as const;
  assertThrows(() => loadLibrary(stubLibrary, table), RangeError, "it has 25 parameters, 24 are the most that is safe");
});

/** Returns the compiler's output for a program that checks a layout. */
async function compiled(
  layout: Record<string, { bytes: number; offsets: Record<string, number> }>,
  language: "c" | "c++",
): Promise<string> {
  const assertion = language === "c" ? "_Static_assert" : "static_assert";
  const facts = Object.entries(layout).flatMap(([name, { bytes, offsets }]) => [
    `sizeof(${name}) == ${bytes}`,
    ...Object.entries(offsets).map(([field, offset]) => `offsetof(${name}, ${field}) == ${offset}`),
  ]);
  const header = kernelSources["kernels/include/kedge.h"];
  const text = `#include <stddef.h>\n${header}\n${facts.map((fact) => `${assertion}(${fact}, "${fact}");\n`).join("")}`;
  const child = new Deno.Command("g++", {
    args: ["-x", language, "-fsyntax-only", "-"],
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH")! },
    stdin: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  return new TextDecoder().decode((await child.output()).stderr);
}

Deno.test("the generated layout of the structs is the compiler's, in C and in C++", async () => {
  assertEquals(await compiled(structs, "c"), "");
  assertEquals(await compiled(structs, "c++"), "");
  const { kedge_attention_shape: shape } = structs;
  const wrong = { "kedge_attention_shape": { ...shape, offsets: { ...shape.offsets, scale: shape.offsets.scale + 8 } } };
  assertMatch(await compiled(wrong, "c"), /static assertion failed: "offsetof\(kedge_attention_shape, scale\) == 104"/);
});
