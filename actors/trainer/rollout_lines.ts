import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { HeldPrompt } from "../prompts.ts";
import type { RewardMessage } from "../messages.ts";
import type { Line } from "../run/lines.ts";
import { packProfile } from "./attention_profile.ts";
import type { RolledGroup } from "./roll.ts";

/** The first answers of a step as lines of rollouts.jsonl. */
export function rolloutLines(given: {
  step: number;
  groups: readonly RolledGroup[];
  rewards: readonly RewardMessage[];
  tokenizer: Tokenizer;
  numbers: Readonly<Record<"advantages" | "weights" | "entropies", Tensor>> & { flags?: Tensor; clusters?: Tensor; reference?: Tensor };
  limit: number;
}): Line[] {
  const { step, groups, rewards, tokenizer, numbers, limit } = given;
  const host = Object.fromEntries(Object.entries(numbers).map(([name, tensor]) => [name, Array.from(tensor.toArray(), Number)]));
  const lines: Line[] = [];
  let at = 0, response = 0;
  for (const { row, prompt, answers, tokens, texts } of groups) {
    const connectivity = answers.connectivity?.toFloats(), logprobs = answers.logprobs.toFloats(), { regions } = answers;
    const asked = lines.length < limit ? exactPrompt(prompt, tokenizer) : undefined;
    const profile = lines.length < limit ? answers.profile?.toFloats() : undefined;
    let own = 0;
    for (const [sample, ids] of tokens.entries()) {
      const end = at + ids.length, part = (name: string) => host[name]?.slice(at, end);
      if (lines.length < limit) {
        lines.push({
          step,
          "prompt_id": row.id,
          sample,
          prompt: row.text,
          ...asked,
          truth: row.input.truth,
          response: texts[sample]!,
          tokens: Array.from(ids, (id) => tokenizer.decode([id])),
          "token_ids": [...ids],
          logprobs: [...logprobs.subarray(own, own + ids.length)],
          entropies: part("entropies"),
          advantages: part("advantages"),
          weights: part("weights"),
          ...(host["reference"] && { "reference_logprobs": part("reference") }),
          ...(connectivity && { connectivity: [...connectivity.subarray(own, own + ids.length)] }),
          ...(profile && regions > 0 && { profile: packProfile(profile.subarray(own * regions, (own + ids.length) * regions), answers) }),
          anchor: part("flags")?.map((flag) => flag & 1),
          cluster: part("clusters"),
          reward: { overall: rewards[response]!.overall, ...rewards[response]!.parts },
          finish: answers.finish[sample],
          ...(sample === 0 && row.image !== undefined && { image: row.image }),
        });
      }
      at = end;
      own += ids.length;
      response++;
    }
  }
  return lines;
}

/**
 * What the policy was asked, exactly: `prompt_ids`, its tokens; `prompt_text`, these as text with every special token, a run of placeholders of a visual written
 * once; `visuals`, the patches of each in time, rows and columns, from which the run's length follows.
 */
function exactPrompt({ tokens, visuals }: HeldPrompt, tokenizer: Tokenizer): Record<string, unknown> {
  const ids = Array.from(tokens.toArray(), Number), folded = ids.filter((id, i) => id !== ids[i - 1] || !isPlaceholder(tokenizer, id));
  return {
    "prompt_ids": ids,
    "prompt_text": tokenizer.decode(folded),
    visuals: visuals.map(({ kind, grid: { t, h, w } }) => ({ kind, grid: [t, h, w] })),
  };
}

function isPlaceholder(tokenizer: Tokenizer, id: number): boolean {
  return ["<|image_pad|>", "<|video_pad|>"].some((name) => tokenizer.specialTokens.get(name) === id);
}
