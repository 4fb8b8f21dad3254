import { assert, assertEquals, assertMatch } from "@std/assert";
import { diagnose, report } from "../cli/doctor.ts";
import { bugReport, redacted } from "../cli/doctor/bug_report.ts";

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

Deno.test("a bug report has the machine, the run's configuration and its last lines, and no secret", () => {
  const run = Deno.makeTempDirSync(), diagnosis = diagnose();
  try {
    const http = { use: "http", options: { url: "https://me:pass1@grader.example/v1?key=pass2", headers: { "x-key": "pass3" } } };
    const config = {
      name: "mine",
      data: { imageKey: "picture" },
      model: { path: `${run}/model` },
      reward: http,
      apiKey: "pass4",
      token: "pass5",
    };
    Deno.writeTextFileSync(`${run}/config.json`, JSON.stringify(config));
    const lines = [1, 2, 3].map((step) => JSON.stringify({ step, "actor/loss": step / 10 }));
    Deno.writeTextFileSync(`${run}/metrics.jsonl`, `${lines.join("\n")}\n`);
    Deno.writeTextFileSync(`${run}/quarantine.jsonl`, '{"error":"Cannot fetch https://x.example/a.png: Bearer pass6 is refused"}\n');
    Deno.mkdirSync(`${run}/checkpoints/step-2`, { recursive: true });
    const text = bugReport(diagnosis, { run, home: run });
    assert(!/pass\d/.test(text), text);
    assert(!text.includes(run), "the home directory's name is left out");
    for (
      const part of [
        "| Kedge | 0.1.0 |",
        "| Deno | ",
        "| cores | ",
        "| CPU memory | ",
        "Checkpoints: step-2",
        '"imageKey": "picture"',
        "~/model",
      ]
    ) {
      assert(text.includes(part), `${part} is not in\n${text}`);
    }
    assert(!text.includes(lines[0]!) && text.includes(lines[1]!) && text.includes(lines[2]!), "the last two lines of the metrics");
    assertMatch(text, /Cannot fetch https:\/\/x\.example\/a\.png: \(removed\) is refused/);
    assertEquals((text.match(/^```/gm) ?? []).length % 2, 0);
  } finally {
    Deno.removeSync(run, { recursive: true });
  }
});

Deno.test("secrets are found by their key, by their form and in URLs; names of columns and numbers stay", () => {
  const given = {
    token: "a",
    password: "b",
    maxTokens: 5,
    answerKey: "gold",
    note: "with hf_abcdefghijkl",
    list: ["s3://u:p@host/x", "plain"],
  };
  assertEquals(redacted(given), {
    ...{ token: "(removed)", password: "(removed)", maxTokens: 5, answerKey: "gold" },
    ...{ note: "with (removed)", list: ["s3://(removed)@host/x", "plain"] },
  });
  assertEquals(redacted({ headers: { accept: "a" }, at: "https://h.example/p?x=1#f" }), {
    headers: { accept: "(removed)" },
    at: "https://h.example/p?(removed)#f",
  });
});
