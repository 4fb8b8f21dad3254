import { assertEquals } from "@std/assert";
import { Golden } from "./golden.ts";
import { engineTest, littleEngine } from "./engine_fixture.ts";

for (const golden of Golden.all().filter(({ all }) => all.some((each) => each.has("greedy_ids")))) {
  engineTest(`greedy tokens are the golden ones, ${golden.title}`, async ({ device }) => {
    using model = golden.model(device);
    using engine = littleEngine(model, { prefillTokens: 40 });
    const cases = golden.cases.filter((each) => each.has("greedy_ids"));
    const prompts = cases.map(({ prompt }) => prompt);
    const completions = await engine.generate(prompts, { temperature: 0, maxTokens: 24, stop: [], suppress: [] });
    for (const [i, each] of cases.entries()) {
      const { tokens, finish, filteredLogprobs } = completions[i]![0]!;
      assertEquals([...tokens], [...each.ints("greedy_ids")], each.name);
      assertEquals(finish, "length");
      assertEquals([...filteredLogprobs], new Array(24).fill(0));
    }
    assertEquals(cases.length > 0, true);
  }, { dtypes: ["f32"] });
}
