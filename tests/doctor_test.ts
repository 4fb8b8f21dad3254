import { assert, assertEquals, assertMatch } from "@std/assert";
import { diagnose, report } from "../cli/doctor.ts";

// Loaded here, since a library that a test loads counts as its leak.
diagnose();

Deno.test("doctor lists what it found, and that the CPU works", () => {
  const diagnosis = diagnose();
  assertEquals(diagnosis.works, true);
  const found = new Map(diagnosis.found);
  for (const label of ["Deno", "cache", "C++ compiler", "CPU", "CPU kernels", "CPU memory", "BLAS", "CUDA", "ffmpeg"]) {
    assert(found.has(label), label);
  }
  assertMatch(found.get("CPU")!, /\d+ cores/);
  assertMatch(found.get("CPU memory")!, /GiB of a budget of [\d.]+ GiB/);
  assertMatch(report(diagnosis), /Kedge works here\.\n$/);
});

Deno.test("doctor says what to install if there is no compiler", () => {
  const path = Deno.env.get("PATH")!;
  try {
    Deno.env.set("PATH", "/nonexistent");
    const diagnosis = diagnose();
    assertEquals(diagnosis.works, false);
    const line = diagnosis.missing.find((text) => text.startsWith("C++ compiler"));
    assertMatch(line!, /^C\+\+ compiler, for the CPU kernels: .* Install one: ".*"/);
    assertMatch(report(diagnosis), /Missing:\n- C\+\+ compiler, .*\n[\s\S]*Kedge does not work here/);
  } finally {
    Deno.env.set("PATH", path);
  }
});
