/**
 * Prompts and answers between host arrays and the handles of messages.
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

/** A prompt in tensors of host memory, as its holder keeps it. */
export interface HeldPrompt extends Disposable {
  readonly key: string;
  readonly tokens: Tensor;
  readonly visuals: readonly (Omit<PromptMessage["visuals"][number], "frames"> & { readonly frames: Tensor })[];
}

/** Copies a prompt into tensors. Its pixels must be frames, as a processor gives them. */
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

/** The message of a prompt, its tensors put in by `carry`. */
export function promptMessage(prompt: HeldPrompt, carry: (tensor: Tensor) => TensorHandle): PromptMessage {
  return {
    key: prompt.key,
    tokens: carry(prompt.tokens),
    visuals: prompt.visuals.map((visual) => ({ ...visual, frames: carry(visual.frames) })),
  };
}

/** A prompt out of a message, its tensors taken up by `take`. */
export function heldPrompt(message: PromptMessage, take: (handle: TensorHandle) => Tensor): HeldPrompt {
  return held(message.key, take(message.tokens), message.visuals.map((visual) => ({ ...visual, frames: take(visual.frames) })));
}

/** The host's copy, for the model. */
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

/** The message of what an engine gave for one prompt; the tensors are made here and moved by `move`. */
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
  };
}

/** Takes up answers that were moved here. */
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

/** A prompt's message with its handles passed on. */
export function passPrompt(prompt: PromptMessage, on: (handle: TensorHandle) => TensorHandle): PromptMessage {
  return { ...prompt, tokens: on(prompt.tokens), visuals: prompt.visuals.map((visual) => ({ ...visual, frames: on(visual.frames) })) };
}

/** Answers' message with its handles passed on. */
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

/** The message of a prompt with its answers, for a forward pass. */
export function groupMessage(
  group: { prompt: HeldPrompt; answers: HeldAnswers; counts: readonly boolean[] },
  carry: (tensor: Tensor) => TensorHandle,
): GroupMessage {
  const { prompt, answers: { lengths, tokens, logprobs }, counts } = group;
  return { prompt: promptMessage(prompt, carry), lengths, tokens: carry(tokens), logprobs: carry(logprobs), counts };
}

/** A group out of a message, on the host. */
export function readGroup(message: GroupMessage, take: (handle: TensorHandle) => Tensor): LearnerGroup {
  const tokens = take(message.tokens).toArray() as Int32Array<ArrayBuffer>, logprobs = take(message.logprobs).toFloats();
  return {
    prompt: readPrompt(heldPrompt(message.prompt, take)),
    responses: pieces(tokens, message.lengths),
    logprobs: pieces(logprobs, message.lengths),
    counts: message.counts,
  };
}
