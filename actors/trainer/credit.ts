import type { TensorHandle } from "../../tensor/handle.ts";
import { concatenated } from "../../tensor/packing.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { atrlOf, type Config } from "../config/schema.ts";
import { groupMessage, type HeldAnswers, type HeldPrompt } from "../prompts.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";
import type { Session } from "./session.ts";

/** The answers for which weights are computed. */
export interface CreditInputs {
  readonly config: Config;
  /** The index of each group's row. */
  readonly indices: readonly number[];
  readonly groups: readonly { readonly prompt: HeldPrompt; readonly answers: HeldAnswers; readonly counts: readonly boolean[] }[];
  readonly step: number;
  /** u8 [tokens] host, where the classes of tokens are known. */
  readonly classes: Tensor | undefined;
}

/**
 * Asks the anchor detector for the weight of each token: by AT-RL, by VPPO, by the user's module, or 1 for all.
 *
 * @returns f32 [tokens] device, moved here.
 */
export async function askCredit(
  memory: ActorMemory,
  { policy, detector }: Session,
  inputs: CreditInputs,
): Promise<{ weights: TensorHandle }> {
  const { config, indices, groups, step, classes } = inputs,
    { algorithm } = config,
    lengths = groups.flatMap(({ answers }) => answers.lengths);
  if (algorithm.credit !== "vppo") {
    const isModule = typeof algorithm.credit !== "string",
      mode = isModule ? "soft" : algorithm.credit === "none" ? "off" : config.atrl.mode;
    return await detector.peer.request<"detect">((carrier) => ({
      type: "detect",
      lengths,
      parts: groups.map(({ answers }) => ({
        connectivity: carrier.lend(answers.connectivity!),
        ...(answers.profile && { profile: carrier.lend(answers.profile) }),
        regions: answers.regions,
        responses: answers.lengths.length,
        // A token's own row sees one key more than the row that predicts it.
        visible: { ...answers.visible, other: answers.visible.other + (config.atrl.row === "self" ? 1 : 0) },
        ...(isModule && { logprobs: carrier.lend(answers.logprobs) }),
        ...((isModule || config.atrl.score.endsWith("entropy")) && { entropies: carrier.lend(answers.entropies) }),
      })),
      options: { ...atrlOf(config), mode }, // a module is given clusters, whatever the mode
      keys: groups.flatMap(({ answers }, i) => answers.lengths.map((_, sample) => ({ prompt: indices[i]!, sample }))),
      ...(classes && { classes: carrier.lend(classes) }),
    }));
  }
  // The log-probs of the same answers with blackened pictures. Which patches are black depends on the step and the prompt.
  const { logprobs } = await policy.peer.request<"logprobs">((carrier) => ({
    type: "logprobs",
    temperature: config.rollout.temperature,
    groups: groups.map((group) => groupMessage(group, (tensor) => carrier.lend(tensor))),
    blacken: config.seed * 65_537 + step,
  }));
  using spoilt = memory.receive(logprobs);
  using plain = hostTensor(memory, concatenated(groups.map(({ answers }) => answers.logprobs.toFloats())));
  return await detector.peer.request<"vppo">((carrier) => ({
    type: "vppo",
    lengths,
    plain: carrier.lend(plain),
    spoilt: carrier.lend(spoilt),
    options: algorithm.vppo,
  }));
}
