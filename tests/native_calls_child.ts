/**
 * Calls bound functions from code that V8's optimizing compiler made, which is where a fault of the compiler ends the process. Prints each function's
 * name once that is done.
 *
 *   deno run --v8-flags=--allow-natives-syntax --allow-ffi --allow-read tests/native_calls_child.ts kedge|stubs <library>
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a command
import { bindHost, bindOps, type Host, hostSymbols, type Ops, opSymbols, structs, type Symbols } from "../ffi/generated/bindings.ts";
import { Context, Status } from "../ffi/context.ts";
import { loadLibrary } from "../ffi/load.ts";
import { parseHeader } from "../tools/generate_ffi.ts";
import { camel } from "../tools/generate_structs.ts";
import { HAND_BOUND, structBytes } from "./native_tables.ts";

type Call = (...values: unknown[]) => unknown;

const natives = new Function(`return {
  prepare: (f) => %PrepareFunctionForOptimization(f),
  optimize: (f) => %OptimizeFunctionOnNextCall(f),
  status: (f) => %GetOptimizationStatus(f),
};`)() as { prepare(f: Call): void; optimize(f: Call): void; status(f: Call): number };
// For 64-bit integers, optimized code accepts only bigint. For a number it is deoptimized.
const zeroOf = (type: unknown) => type === "u64" || type === "i64" ? 0n : 0;
/** Bits of `%GetOptimizationStatus`: it has optimized code, of the optimizing compiler. */
const OPTIMIZED = 0b101000;

/** Makes the optimizing compiler compile `f`, and calls it. Throws if the optimized code was discarded. */
function heat(name: string, f: Call, call: () => void): void {
  for (let round = 0; round < 4; round++) {
    natives.prepare(f);
    call();
    call();
    natives.optimize(f);
    call();
    if ((natives.status(f) & OPTIMIZED) === OPTIMIZED) return console.log(name);
  }
  throw new Error(`${name} stays unoptimized: ${natives.status(f).toString(2)}`);
}

/** Calls every function of kedge.h through the generated bindings. All numbers are 0, which most functions refuse. */
function kedge(path: string): void {
  const symbols = loadLibrary(path, { ...opSymbols, ...hostSymbols });
  const context = new Context(-1).bytes, status = new Status().bytes, code = new Int32Array(status.buffer, 0, 1);
  class Refused extends Error {}
  const failed = () => {
    throw new Refused();
  };
  const bound: Partial<Ops & Host> = {
    ...bindOps(symbols as Symbols<typeof opSymbols>, context, status, failed),
    ...bindHost(symbols as Symbols<typeof hostSymbols>, context, status, failed),
  };
  const fields = Object.values(structs).flatMap(({ offsets }) => Object.keys(offsets));
  const block = Object.fromEntries(fields.map((name) => [camel(name), 0]));
  const header = Deno.readTextFileSync(new URL("../kernels/include/kedge.h", import.meta.url));
  for (const { name, parameters } of parseHeader(header)) {
    const f = bound[camel(name) as keyof typeof bound] as Call;
    const own = parameters.filter((p) => p.name !== "ctx" && p.name !== "status"), checked = parameters.some((p) => p.name === "status");
    const values = own.map((p) => p.struct ? block : p.ts === "BufferSource" ? new Uint8Array(512) : zeroOf(p.ffi));
    heat(name, f, () => {
      code[0] = -1;
      try {
        f(...values);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
      }
      if (checked && code[0] === -1) throw new Error(`${name} was not entered`);
    });
  }
}

/** Calls every function that is bound by hand, in the library of stubs. */
function stubs(path: string): void {
  const { stub_calls: calls } = loadLibrary(path, { stub_calls: { parameters: [], result: "i32" } });
  for (const table of Object.values(HAND_BOUND)) {
    const library = loadLibrary(path, table);
    for (const [name, { parameters }] of Object.entries(table)) {
      const values = parameters.map((type) =>
        structBytes(type) !== undefined
          ? `new Uint8Array(${structBytes(type)})`
          : type === "buffer"
          ? "buffer"
          : typeof zeroOf(type) === "bigint"
          ? "0n"
          : "0"
      );
      const f = new Function("symbols", "buffer", `return () => symbols.${name}(${values.join(", ")});`)(
        library,
        new Uint8Array(64),
      ) as Call;
      heat(name, f, () => {
        const before = Number(calls!());
        f();
        if (Number(calls!()) !== before + 1) throw new Error(`${name} was not entered`);
      });
    }
  }
}

const [what, path] = Deno.args;
if (what === "kedge") kedge(path!);
else stubs(path!);
