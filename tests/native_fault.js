/**
 * The fault of the runtime for which no bound function has more than 24 parameters, as it can be reported: calls a C function of `count` parameters of
 * `type` from code that the optimizing compiler made.
 *
 *   deno run --allow-ffi --v8-flags=--allow-natives-syntax tests/native_fault.js <library> <function> <type> <count>
 *
 * Without that flag, twenty thousand calls in a loop come to the same.
 */
const [library, name, type, count] = Deno.args;
const { symbols } = Deno.dlopen(library, { [name]: { parameters: Array(Number(count)).fill(type), result: "i32" } });
const zeros = Array(Number(count)).fill("0").join(",");
new Function(
  "f",
  `
  const call = () => f(${zeros});
  %PrepareFunctionForOptimization(call);
  call();
  %OptimizeFunctionOnNextCall(call);
  call();
`,
)(symbols[name]);
