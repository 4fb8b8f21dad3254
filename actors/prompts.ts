/**
 * Prompts and answers as host arrays, as tensors, and as the handles of messages.
 *
 * @module
 */
import type { Completion } from "../model/engine/completion.ts";
import type { Prompt } from "../model/prompt.ts";
import type { TensorHandle } from "../tensor/handle.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AnswersMessage, GroupMessage, PromptMessage } from "./messages.ts";
import type { LearnerGroup } from "./policy/learner.ts";
import { concatenated, pieces } from "../tensor/packing.ts";
import { type ActorMemory, hostTensor } from "./runtime/actor_memory.ts";

/** A prompt in tensors of host memory. */
export interface HeldPrompt extends Disposable {
  readonly key: string;
  readonly tokens: Tensor;
  readonly visuals: readonly (Omit<PromptMessage["visuals"][number], "frames"> & { readonly frames: Tensor })[];
}

/** Copies a prompt into tensors. Its pixels must be frames, as a processor makes them. @throws {RangeError} if they are patches. */
export function holdPrompt(memory: ActorMemory, key: string, prompt: Prompt): HeldPrompt {
  const visuals = prompt.visuals.map(({ kind, grid, pixels, secondsPerGrid }) => {
    if (!("frames" in pixels)) throw new RangeError("Cannot hold a prompt whose pictures are patches: it takes frames");
    const { frames, count, mean, std } = pixels;
    return { kind, grid, frames: hostTensor(memory, frames), count, mean, std, ...(secondsPerGrid !== undefined && { secondsPerGrid }) };
  });
  return held(key, hostTensor(memory, prompt.tokens), visuals);
}

function held(key: string, tokens: Tensor, visuals: HeldPrompt["visuals"]): HeldPrompt {
  return {
    key,
    tokens,
    visuals,
    [Symbol.dispose]() {
      for (const tensor of [tokens, ...visuals.map(({ frames }) => frames)]) tensor[Symbol.dispose]();
    },
  };
}

/** Returns the message of a prompt. `carry` moves or lends its tensors. */
export function promptMessage(prompt: HeldPrompt, carry: (tensor: Tensor) => TensorHandle): PromptMessage {
  return {
    key: prompt.key,
    tokens: carry(prompt.tokens),
    visuals: prompt.visuals.map((visual) => ({ ...visual, frames: carry(visual.frames) })),
  };
}

/** Returns the prompt of a message. `take` receives or borrows its tensors. */
export function heldPrompt(message: PromptMessage, take: (handle: TensorHandle) => Tensor): HeldPrompt {
  return held(message.key, take(message.tokens), message.visuals.map((visual) => ({ ...visual, frames: take(visual.frames) })));
}

/** Copies a prompt to host arrays, for the model. */
export function readPrompt(prompt: HeldPrompt): Prompt {
  return {
    tokens: prompt.tokens.toArray() as Int32Array<ArrayBuffer>,
    visuals: prompt.visuals.map(({ kind, grid, frames, count, mean, std, secondsPerGrid }) => ({
      kind,
      grid,
      pixels: { frames: frames.toArray() as Uint8Array<ArrayBuffer>, count, mean, std },
      ...(secondsPerGrid !== undefined && { secondsPerGrid }),
    })),
  };
}

/** The answers to a prompt in tensors of host memory. */
export interface HeldAnswers extends Disposable, Omit<AnswersMessage, "tokens" | "logprobs" | "entropies" | "connectivity" | "profile"> {
  /** i32 [tokens] */
  readonly tokens: Tensor;
  /** f32 [tokens], as sampled. */
  readonly logprobs: Tensor;
  /** f32 [tokens], in nats. */
  readonly entropies: Tensor;
  /** f32 [tokens]; undefined where it was not measured. */
  readonly connectivity?: Tensor;
  /** f32 [tokens, regions]; undefined where there are none. */
  readonly profile?: Tensor;
}

/** Returns the message of an engine's answers to one prompt. It makes the tensors, and `move` moves them. */
export function answersMessage(
  memory: ActorMemory,
  completions: readonly Completion[],
  move: (tensor: Tensor) => TensorHandle,
): AnswersMessage {
  const floats = (pick: (completion: Completion) => Float32Array | undefined) => {
    const all = concatenated(completions.map((completion) => pick(completion) ?? new Float32Array()));
    return move(hostTensor(memory, all));
  };
  const regions = completions[0]?.regions?.regions ?? 0;
  return {
    lengths: completions.map(({ tokens }) => tokens.length),
    finish: completions.map(({ finish }) => finish),
    tokens: move(hostTensor(memory, Int32Array.from(completions.flatMap(({ tokens }) => [...tokens])))),
    logprobs: floats(({ logprobs }) => logprobs),
    entropies: floats(({ entropies }) => entropies),
    ...(completions[0]?.connectivity && { connectivity: floats(({ connectivity }) => connectivity) }),
    ...(regions > 0 && { profile: floats(({ profile }) => profile) }),
    regions,
    boxes: completions[0]?.regions?.boxes ?? [],
    visible: visibleKeys(completions[0]?.regions?.region ?? []),
  };
}

/** Counts the tokens of a prompt that are no sinks, from their regions. */
export function visibleKeys(region: ArrayLike<number>): AnswersMessage["visible"] {
  let visual = 0, other = 0;
  for (let i = 0; i < region.length; i++) {
    if (region[i]! >= 0) visual++;
    else if (region[i] === -1) other++;
  }
  return { visual, other };
}

/** Returns the answers of a message. `take` receives their tensors. */
export function heldAnswers(message: AnswersMessage, take: (handle: TensorHandle) => Tensor): HeldAnswers {
  const { tokens, logprobs, entropies, connectivity, profile, ...plain } = message;
  const tensors = {
    tokens: take(tokens),
    logprobs: take(logprobs),
    entropies: take(entropies),
    ...(connectivity && { connectivity: take(connectivity) }),
    ...(profile && { profile: take(profile) }),
  };
  return {
    ...plain,
    ...tensors,
    [Symbol.dispose]() {
      for (const tensor of Object.values(tensors)) tensor[Symbol.dispose]();
    },
  };
}

/** Returns a prompt's message with other handles: `on` passes each one on. */
export function passPrompt(prompt: PromptMessage, on: (handle: TensorHandle) => TensorHandle): PromptMessage {
  return { ...prompt, tokens: on(prompt.tokens), visuals: prompt.visuals.map((visual) => ({ ...visual, frames: on(visual.frames) })) };
}

/** Returns the message of answers with other handles: `on` passes each one on. */
export function passAnswers(message: AnswersMessage, on: (handle: TensorHandle) => TensorHandle): AnswersMessage {
  const { tokens, logprobs, entropies, connectivity, profile, ...plain } = message;
  return {
    ...plain,
    tokens: on(tokens),
    logprobs: on(logprobs),
    entropies: on(entropies),
    ...(connectivity && { connectivity: on(connectivity) }),
    ...(profile && { profile: on(profile) }),
  };
}

/** Returns the message of a prompt with its answers, for a forward pass. */
export function groupMessage(
  group: { prompt: HeldPrompt; answers: HeldAnswers; counts: readonly boolean[] },
  carry: (tensor: Tensor) => TensorHandle,
): GroupMessage {
  const { prompt, answers: { lengths, tokens, logprobs }, counts } = group;
  return { prompt: promptMessage(prompt, carry), lengths, tokens: carry(tokens), logprobs: carry(logprobs), counts };
}

/** Copies the group of a message to host arrays. */
export function readGroup(message: GroupMessage, take: (handle: TensorHandle) => Tensor): LearnerGroup {
  const tokens = take(message.tokens).toArray() as Int32Array<ArrayBuffer>, logprobs = take(message.logprobs).toFloats();
  return {
    prompt: readPrompt(heldPrompt(message.prompt, take)),
    responses: pieces(tokens, message.lengths),
    logprobs: pieces(logprobs, message.lengths),
    counts: message.counts,
  };
}
