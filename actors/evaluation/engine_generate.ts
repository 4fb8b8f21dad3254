import type { Engine } from "../../model/engine/engine.ts";
import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import type { Prompt } from "../../model/prompt.ts";
import type { Generate } from "./evaluate.ts";

/** Answers by an engine, without special tokens in the text. */
export function engineGenerate(engine: Engine, tokenizer: Pick<Tokenizer, "decode">): Generate<Prompt> {
  return async (prompts, options) => {
    const completions = await engine.generate(prompts, options);
    return completions.map((samples) =>
      samples.map(({ tokens, finish }) => ({ text: tokenizer.decode(tokens, { skipSpecialTokens: true }), tokens: tokens.length, finish }))
    );
  };
}
