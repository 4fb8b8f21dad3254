import type { Spelling } from "./family.ts";

/**
 * `visual.`, `model.` and `lm_head.`, however a folder spells them. transformers saves some models with `model.visual.` and `model.language_model.`, the
 * inner model alone without the `model.`, and wrapped decoders as `language_model.model.`.
 */
function plain(name: string): string {
  return name.replace(/^language_model\.(?=lm_head\.)/, "").replace(/^model\.(?=visual\.)/, "")
    .replace(/^(model\.language_model\.|language_model\.model\.|language_model\.)/, "model.");
}

/** The hub's spelling of Qwen2-VL and Qwen2.5-VL. */
export const PLAIN_SPELLING: Spelling = {
  canonical: plain,
  embedding: "model.embed_tokens.weight",
  head: "lm_head.weight",
  blocks: { text: "model.layers.", vision: "visual.blocks." },
};

/** The hub's spelling of Qwen3-VL, and transformers 5's of all three. */
export const NESTED_SPELLING: Spelling = {
  canonical: (name) => plain(name).replace(/^model\./, "model.language_model.").replace(/^visual\./, "model.visual."),
  embedding: "model.language_model.embed_tokens.weight",
  head: "lm_head.weight",
  blocks: { text: "model.language_model.layers.", vision: "model.visual.blocks." },
};
