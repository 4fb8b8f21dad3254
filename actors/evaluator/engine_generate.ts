import type { Engine } from "../../model/engine/engine.ts";
import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import type { Prompt } from "../../model/prompt.ts";
import type { Generate } from "./evaluate.ts";

/**
 * Makes a generator of an engine. The answers' texts have no special tokens.
 *
 * @example
 * ```ts
 * import { engineGenerate } from "@kedge/kedge/actors";
 * import { Engine, presetConfig, VisionLanguageModel } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * using device = openDevice("cpu");
 * const tokens = { image: 90, video: 91, visionStart: 92, visionEnd: 93, eos: [94], bos: 94, pad: 94 };
 * using model = VisionLanguageModel.initialise(presetConfig("tiny", { tokens, vocabSize: 95 }), { device, seed: 1 });
 * using engine = new Engine(model, { memoryBytes: 2 ** 27 });
 * const generate = engineGenerate(engine, { decode: (ids) => [...ids].map((id) => `<${id}>`).join("") }); // a processor's tokenizer
 * const prompt = { tokens: Int32Array.of(1, 2, 3), visuals: [] };
 * const answers = await generate([prompt], { keys: ["a"], n: 1, temperature: 0, topP: 1, maxTokens: 2, seed: 0 });
 * assertEquals(answers[0]![0]!.tokens, 2);
 * ```
 */
export function engineGenerate(engine: Engine, tokenizer: Pick<Tokenizer, "decode">): Generate<Prompt> {
  return async (prompts, options) => {
    const completions = await engine.generate(prompts, options);
    return completions.map((samples) =>
      samples.map(({ tokens, finish }) => ({ text: tokenizer.decode(tokens, { skipSpecialTokens: true }), tokens: tokens.length, finish }))
    );
  };
}
