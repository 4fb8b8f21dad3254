import type { Tokenizer } from "../../model/processor/tokenizer.ts";
import { TOKEN_CLASSES } from "../../rl/credit/token_classes.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { HeldPrompt } from "../prompts.ts";
import type { RewardMessage } from "../messages.ts";
import type { Line } from "../run/lines.ts";
import { packProfile } from "./attention_profile.ts";
import type { RolledGroup } from "./roll.ts";

/** The data of a step's answers that rollouts.jsonl holds. */
export interface RolloutLinesInputs {
  readonly step: number;
  readonly groups: readonly RolledGroup[];
  /** One value for each answer. */
  readonly rewards: readonly RewardMessage[];
  readonly tokenizer: Tokenizer;
  /** One value for each token of all answers. */
  readonly numbers: Readonly<Record<"advantages" | "weights" | "entropies", Tensor>> & {
    readonly flags?: Tensor;
    readonly clusters?: Tensor;
    /** Where they are not the connectivity. */
    readonly scores?: Tensor;
    readonly reference?: Tensor;
    /** Indices into `TOKEN_CLASSES`. */
    readonly classes?: Tensor;
  };
  /** The most lines. */
  readonly limit: number;
}

/** Returns the first answers of a step as lines of rollouts.jsonl. */
export function rolloutLines({ step, groups, rewards, tokenizer, numbers, limit }: RolloutLinesInputs): Line[] {
  const host = Object.fromEntries(Object.entries(numbers).map(([name, tensor]) => [name, tensor.toArray()]));
  const lines: Line[] = [];
  let start = 0; // of the group's tokens among those of the step
  for (const group of groups) {
    if (lines.length >= limit) break;
    const about = { step, prompt: exactPrompt(group.prompt, tokenizer), rewards: rewards.slice(lines.length), tokenizer };
    const answers = answerLines(
      group,
      (name, from, to) => host[name] && Array.from(host[name].subarray(start + from, start + to), Number),
      about,
    );
    lines.push(...answers.slice(0, limit - lines.length));
    start += group.tokens.reduce((sum, { length }) => sum + length, 0);
  }
  return lines;
}

/**
 * Returns the answers of a group as lines.
 *
 * @param part The numbers of a name for some of the group's tokens.
 * @param about `rewards`: of the group's answers.
 */
function answerLines(
  { row, answers, tokens, texts }: RolledGroup,
  part: (name: string, from: number, to: number) => number[] | undefined,
  { step, prompt, rewards, tokenizer }: Pick<RolloutLinesInputs, "step" | "rewards" | "tokenizer"> & { prompt: Record<string, unknown> },
): Line[] {
  const connectivity = answers.connectivity?.toFloats(), logprobs = answers.logprobs.toFloats(), profile = answers.profile?.toFloats();
  const { regions } = answers, reference = part("reference", 0, 0), isScored = part("scores", 0, 0) !== undefined;
  let from = 0;
  return tokens.map((ids, sample) => {
    const to = from + ids.length, begin = from, of = (name: string) => part(name, begin, to);
    from = to;
    return {
      step,
      "prompt_id": row.id,
      sample,
      prompt: row.text,
      ...prompt,
      truth: row.input.truth,
      response: texts[sample]!,
      tokens: Array.from(ids, (id) => tokenizer.decode([id])),
      "token_ids": [...ids],
      logprobs: [...logprobs.subarray(begin, to)],
      entropies: of("entropies"),
      advantages: of("advantages"),
      weights: of("weights"),
      ...(reference && { "reference_logprobs": of("reference") }),
      ...(connectivity && { connectivity: [...connectivity.subarray(begin, to)] }),
      ...(profile && regions > 0 && { profile: packProfile(profile.subarray(begin * regions, to * regions), answers) }),
      ...(isScored && { scores: of("scores") }),
      anchor: of("flags")?.map((flag) => flag & 1),
      cluster: of("clusters"),
      classes: of("classes")?.map((index) => TOKEN_CLASSES[index]!),
      reward: { overall: rewards[sample]!.overall, ...rewards[sample]!.parts },
      finish: answers.finish[sample],
      ...(sample === 0 && row.image !== undefined && { image: row.image }),
    };
  });
}

/**
 * Returns the exact prompt. `prompt_ids`: its tokens. `prompt_text`: the tokens as text with all special tokens; the placeholders of a
 * visual are written once. `visuals`: the grid of each visual's patches in time, rows and columns, from which the number of its
 * placeholders follows.
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
