/**
 * Asks the policy of a run a question, and decodes the answers.
 *
 * @module
 */
import { atrlOf, connectivityOf } from "../../actors/config/schema.ts";
import type { Config } from "../../actors/config/types.ts";
import { sharesByBox, shownRegions } from "../../actors/trainer/attention_profile.ts";
import { pieces } from "../../tensor/packing.ts";
import type { HeldAnswers } from "../../actors/prompts.ts";
import type { TrainingRun } from "../../actors/training_run.ts";
import type { Device } from "../../ffi/device.ts";
import { readConfig } from "../../model/config/config.ts";
import { MOST_PIXELS } from "../../model/processor/image_decode.ts";
import type { Message } from "../../model/processor/messages.ts";
import { Processor } from "../../model/processor/processor.ts";
import { detectAtrl } from "../../rl/atrl/detect.ts";
import { Responses } from "../../rl/credit/responses.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ChatAnswer, ChatConnectivity, ChatPiece, ChatReply, ChatRequest } from "../../actors/run_control.ts";
import { AnswerText } from "./answer_text.ts";

interface Kept {
  readonly folder: string;
  readonly processor: Processor;
  readonly maxPositions: number;
}

/** Asks the policies of runs. It keeps the processor of the last run's folder. */
export class Interpreter {
  #kept: Kept | undefined;

  /**
   * Asks a run's policy.
   *
   * @param options `config`: the configuration in use.
   * @throws The errors of `RunControl.chat`.
   */
  async ask(
    run: TrainingRun,
    request: ChatRequest,
    options: { config: Config; signal?: AbortSignal | undefined; onPiece?: ((piece: ChatPiece) => void) | undefined },
  ): Promise<ChatReply> {
    const { config, signal, onPiece } = options, { n, temperature, topP, maxTokens, stop, seed } = request;
    const { processor, maxPositions } = this.#at(run.files), { tokenizer } = processor;
    // The length is checked by the pictures' headers, before any is decoded.
    const maxPromptTokens = Math.max(1, maxPositions - maxTokens);
    const prompt = await processor.prompt(bounded(request.messages, config), { maxPromptTokens, mostPixels: MOST_PIXELS });
    const streams = Array.from({ length: n }, () => new AnswerText(tokenizer, stop));
    const tell = (sample: number, piece: Omit<ChatPiece, "sample">) => {
      if (piece.text !== "" || piece.tokens.length > 0) onPiece?.({ sample, ...piece });
    };
    const sampling = { n, temperature, topP, maxTokens, stop, seed, ...(request.connectivity && { connectivity: connectivityOf(config) }) };
    const { step, answers } = await run.generate({ prompt, sampling, key: "chat" }, {
      ...(signal && { signal }),
      onToken: ({ sample, ...token }) => tell(sample, streams[sample]!.push(token)),
    });
    using held = answers;
    for (const [sample, stream] of streams.entries()) tell(sample, stream.end());
    const attention = request.connectivity ? attentionOf(run.memory.device, held, config) : undefined;
    const tokens = pieces(held.tokens.toArray() as Int32Array<ArrayBuffer>, held.lengths),
      logprobs = pieces(held.logprobs.toFloats(), held.lengths);
    return {
      step,
      promptTokens: prompt.tokens.length,
      answers: tokens.map((ids, sample): ChatAnswer => {
        const whole = new AnswerText(tokenizer, stop),
          texts = [...ids].map((token, i) => whole.push({ token, logprob: logprobs[sample]![i]! }));
        texts.push(whole.end());
        return {
          text: texts.map(({ text }) => text).join(""),
          tokens: texts.flatMap((piece) => piece.tokens),
          finish: held.finish[sample]!,
          ...(attention && { connectivity: only(attention[sample]!, whole.kept) }),
        };
      }),
    };
  }

  #at(folder: string): Kept {
    if (this.#kept?.folder === folder) return this.#kept;
    return this.#kept = { folder, processor: Processor.fromFolder(folder), maxPositions: readConfig(folder).text.maxPositions };
  }
}

/** Gives the pictures of messages the pixel bounds of the run's own. */
function bounded(messages: readonly Message[], { data: { minPixels, maxPixels } }: Config): Message[] {
  const bounds = { ...(minPixels !== null && { minPixels }), ...(maxPixels !== null && { maxPixels }) };
  return messages.map((message) =>
    typeof message.content === "string"
      ? message
      : { ...message, content: message.content.map((part) => part.type === "image" ? { ...part, ...bounds } : part) }
  );
}

/** Computes where the tokens of each answer attend; undefined if the question has no picture. */
function attentionOf(device: Device, answers: HeldAnswers, config: Config): ChatConnectivity[] | undefined {
  const { lengths, regions } = answers, total = lengths.reduce((a, b) => a + b, 0);
  if (!answers.connectivity || !answers.profile || total === 0) return undefined;
  const values = answers.connectivity.toFloats(), profile = answers.profile.toFloats();
  using responses = Responses.of(device, lengths);
  using share = Tensor.from(device, values.map((value) => Number.isNaN(value) ? 0 : value));
  using flat = Tensor.from(device, profile.map((value) => Number.isNaN(value) ? 0 : value), { shape: [total, regions] });
  const other = answers.visible.other + (config.atrl.row === "self" ? 1 : 0), visible = lengths.map(() => ({ ...answers.visible, other }));
  using entropy = Tensor.from(device, answers.entropies.toFloats());
  const inputs = { connectivity: share, profile: flat, visual: lengths.map(() => true), entropy, visible };
  using credit = detectAtrl(responses, inputs, atrlOf(config));
  const host = (tensor: Tensor | undefined) => Array.from(tensor?.toArray() ?? [], Number);
  const weights = host(credit.weights), flags = host(credit.flags), clusters = host(credit.clusters?.cluster);
  const shares = sharesByBox(profile, answers), rectangles = shownRegions(answers.boxes);
  let at = 0;
  return lengths.map((length) => {
    const ofAnswer = <T>(all: ArrayLike<T>) => Array.from(all).slice(at, at + length);
    const attention = {
      values: ofAnswer(values),
      anchors: ofAnswer(flags).map((flag) => (flag & 1) === 1),
      clusters: ofAnswer(clusters),
      weights: ofAnswer(weights),
      profiles: ofAnswer(shares).map((row) => Array.from(row)),
      regions: rectangles,
    };
    at += length;
    return attention;
  });
}

/** Selects the values of some tokens. */
function only({ values, anchors, clusters, weights, profiles, regions }: ChatConnectivity, kept: readonly number[]): ChatConnectivity {
  const pick = <T>(all: readonly T[]) => all.length === 0 ? [] : kept.map((i) => all[i]!);
  return {
    values: pick(values),
    anchors: pick(anchors),
    clusters: pick(clusters),
    weights: pick(weights),
    profiles: pick(profiles),
    regions,
  };
}
