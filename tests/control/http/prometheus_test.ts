/** Tests that Prometheus can read /metrics. */
import { assert, assertEquals } from "@std/assert";
import { endpoint } from "./endpoint.ts";

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads the text format 0.0.4, strictly. */
function parse(text: string): { types: Map<string, string>; samples: Sample[] } {
  const types = new Map<string, string>(), samples: Sample[] = [];
  assert(text.endsWith("\n"));
  let helped = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const help = /^# HELP ([a-zA-Z_:][\w:]*) (.+)$/.exec(line), type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge)$/.exec(line);
    if (help) {
      assert(!types.has(help[1]!), `${help[1]} comes twice`);
      helped = help[1]!;
    } else if (type) {
      assertEquals(type[1], helped);
      types.set(type[1]!, type[2]!);
    } else {
      const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (NaN|[+-]Inf|-?\d[\d.e+-]*)$/.exec(line);
      assert(found, `no line of the format: ${line}`);
      assertEquals(found[1], helped, "samples follow their type");
      const labels: Record<string, string> = {}, pair = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;
      for (const source = found[2] ?? ""; pair.lastIndex < source.length;) {
        const match = pair.exec(source);
        assert(match, `no labels: ${source}`);
        labels[match[1]!] = match[2]!.replaceAll(/\\(.)/g, (_, letter) => letter === "n" ? "\n" : letter);
      }
      samples.push({ name: found[1]!, labels, value: Number(found[3]!.replace("Inf", "Infinity")) });
    }
  }
  return { types, samples };
}

Deno.test("the run's numbers are exported under their names", async () => {
  await using end = endpoint();
  const scrape = async () => {
    const answer = await end.ask("/metrics");
    assertEquals(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    const { samples, types } = parse(await answer.text());
    return {
      types,
      value: (name: string, labels = {}) =>
        samples.find((s) => s.name === name && JSON.stringify(s.labels) === JSON.stringify(labels))?.value,
      samples,
    };
  };
  const first = await scrape();
  assertEquals(first.samples.filter(({ name }) => name === "kedge_run_state").map(({ labels, value }) => [labels.state, value]), [
    ["idle", 0],
    ["starting", 0],
    ["warm-start", 0],
    ["running", 1],
    ["paused", 0],
    ["stopping", 0],
    ["stopped", 0],
    ["done", 0],
    ["failed", 0],
  ]);
  assertEquals([first.value("kedge_step"), first.value("kedge_max_steps"), first.value("kedge_run_info", { name: "board" })], [3, 60, 1]);
  assertEquals(first.value("kedge_account_bytes", { actor: "policy" }), 1024);
  assertEquals(first.value("kedge_account_bytes", { actor: 'odd"name\\' }), 2);
  assertEquals([first.value("kedge_reward_overall"), first.value("kedge_val_accuracy"), first.value("kedge_actor_skipped")], [
    0.5,
    0.25,
    NaN,
  ]);
  end.run.emit({
    kind: "metrics",
    data: { step: 6, "reward/overall": 0.75, "reward/own part": Infinity, "reward.own.part": 1, step_: 9, "max_steps": 1 },
  });
  await end.ask("/nowhere").then((answer) => answer.body?.cancel());
  const second = await scrape();
  assertEquals([second.value("kedge_reward_overall"), second.value("kedge_val_accuracy"), second.value("kedge_max_steps")], [
    0.75,
    0.25,
    60,
  ]);
  assertEquals(second.samples.filter(({ name }) => name === "kedge_reward_own_part").map(({ value }) => value), [1]);
  assertEquals(second.value("kedge_http_requests_total", { route: "/metrics", method: "GET", code: "200" }), 1);
  assertEquals(second.value("kedge_http_requests_total", { route: "other", method: "GET", code: "404" }), 1);
  assertEquals(second.types.get("kedge_http_requests_total"), "counter");
  assertEquals(second.value("kedge_http_unexpected_errors_total"), 0);
});
