import type { SamplingOptions } from "../../model/engine/request.ts";
import type { Prompt } from "../../model/prompt.ts";
import type { VisionLanguageModel } from "../../model/model.ts";
import { PackedBatch } from "../../model/packed_batch.ts";
import { Tape } from "../../tensor/tape.ts";
import { engineTest, IMAGE, littleEngine, littleModel, textPrompt, VIDEO, VISION_END, VISION_START } from "./engine_fixture.ts";

/** Applies the sampling options to logits in float64, in the order of kedge.h. */
function distribution(
  logits: ArrayLike<number>,
  { temperature = 1, topK = 0, topP = 1, minP = 0, suppress = [] }: SamplingOptions,
): number[] {
  const z = Array.from(logits, (x, i) => suppress.includes(i) ? -Infinity : x / temperature);
  const most = Math.max(...z), e = z.map((x) => Math.exp(x - most));
  const order = [...e.keys()].sort((a, b) => e[b]! - e[a]! || a - b);
  let kept = order.slice(0, topK || order.length);
  const total = kept.reduce((sum, i) => sum + e[i]!, 0);
  let sum = 0;
  kept = kept.filter((i) => {
    const wanted = sum < topP * total;
    sum += e[i]!;
    return wanted;
  }).filter((i) => e[i]! > 0 && e[i]! >= minP);
  const left = kept.reduce((all, i) => all + e[i]!, 0);
  return e.map((x, i) => kept.includes(i) ? x / left : 0);
}

/** The distribution of the token after a prompt. */
function nextDistribution(model: VisionLanguageModel, prompt: Prompt, settings: SamplingOptions): number[] {
  using tape = new Tape(model.device, { record: false });
  using batch = PackedBatch.pack(model, [{ prompt, responses: [] }]);
  const logits = model.logits(tape, model.hidden(tape, batch)).tensor.toFloats().slice(-model.config.text.vocabSize);
  return distribution(logits, settings);
}

const SUPPRESSED = [IMAGE, VIDEO, VISION_START, VISION_END];
const SAMPLES = 20_000;
/** Standard normal deviate of p = 1e-7: a test that is right fails once in ten million runs. */
const DEVIATE = 5.2;

for (
  const [name, options] of Object.entries({
    "temperature": { temperature: 1.6 },
    "top-k": { topK: 12 },
    "top-p": { topP: 0.75 },
    "min-p": { minP: 0.15 },
    "all filters": { temperature: 0.8, topK: 30, topP: 0.9, minP: 0.02, suppress: [3, 4, 5, 11, 40] },
  })
) {
  engineTest(`sampled frequencies match the distribution: ${name}`, async ({ device, random }) => {
    using model = littleModel(device, random);
    const head = model.parameters.head!.tensor;
    head.write(head.toFloats().map((x) => 0.4 * x)); // flatter, so that each filter leaves several tokens
    using engine = littleEngine(model, { maxSequences: 256 });
    const settings: SamplingOptions = { suppress: SUPPRESSED, ...options };
    // A prompt after which the filter leaves enough tokens to tell a distribution.
    let prompt = textPrompt(random, 6), p = nextDistribution(model, prompt, settings);
    for (let tries = 0; tries < 100 && p.filter((x) => x * SAMPLES >= 5).length < 5; tries++) {
      prompt = textPrompt(random, 6);
      p = nextDistribution(model, prompt, settings);
    }
    const [samples] = await engine.generate([prompt], { ...settings, n: SAMPLES, maxTokens: 1, seed: random.integer(0, 2 ** 31) });
    const counts = new Float64Array(p.length);
    for (const { tokens } of samples!) counts[tokens[0]!]!++;
    let chi = 0, cells = 0, rest = { seen: 0, expected: 0 };
    for (const [i, probability] of p.entries()) {
      const expected = probability * SAMPLES, seen = counts[i]!;
      if (probability === 0 && seen > 0) throw new Error(`token ${i} was drawn ${seen} times, its probability is 0`);
      if (expected >= 5) {
        chi += (seen - expected) ** 2 / expected;
        cells++;
      } else rest = { seen: rest.seen + seen, expected: rest.expected + expected };
    }
    if (rest.expected >= 5) {
      chi += (rest.seen - rest.expected) ** 2 / rest.expected;
      cells++;
    }
    // Wilson & Hilferty's normal approximation of chi-square.
    const freedom = cells - 1, bound = freedom * (1 - 2 / (9 * freedom) + DEVIATE * Math.sqrt(2 / (9 * freedom))) ** 3;
    if (freedom < 3) throw new Error(`the distribution has only ${cells} cells`);
    if (!(chi <= bound)) throw new Error(`chi-square is ${chi} with ${freedom} degrees of freedom, the bound ${bound}`);
    for (const { tokens, filteredLogprobs } of samples!.slice(0, 100)) {
      const expected = Math.log(p[tokens[0]!]!);
      if (!(Math.abs(filteredLogprobs[0]! - expected) <= 1e-4)) {
        throw new Error(`filtered log-prob ${filteredLogprobs[0]}, expected ${expected}`);
      }
    }
  }, { dtypes: ["f32"] });
}
