import { writeFolder } from "../../model/folder/checkpoint_files.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { GroupMessage } from "../messages.ts";
import { groupMessage } from "../prompts.ts";
import type { Checkpoints } from "../run/checkpoints.ts";
import { namesIn } from "../run/whole_file.ts";
import type { ActorMemory, Carrier } from "../runtime/actor_memory.ts";
import type { CountedGroup } from "./roll.ts";
import type { Session } from "./session.ts";

/**
 * Returns the folder of the model that a divergence refers to: the model of step 0. The folder is a copy, since checkpoints are pruned,
 * and is made where it is missing.
 *
 * @param run The run's directory.
 * @throws {KedgeError} `BadCheckpoint` where it is missing and the checkpoint of step 0 is gone.
 */
export function makeReference(run: string, checkpoints: Checkpoints): string {
  const folder = `${run}/reference`;
  if (namesIn(folder).length > 0) return folder;
  const { path } = checkpoints.read(0);
  writeFolder(folder, (temporary) => {
    for (const { name } of Deno.readDirSync(path)) {
      if (!/^trainer[.-]/.test(name)) Deno.copyFileSync(`${path}/${name}`, `${temporary}/${name}`);
    }
  });
  return folder;
}

/** What the reference says of a step's answers. */
export interface ReferenceOutputs extends Disposable {
  /** Log-probs of all tokens, f32 [tokens] host. */
  readonly logprobs?: Tensor;
  /** With divergence "full", in place of log-probs: what the reference's output matrix is multiplied with, [tokens, hidden] device. */
  readonly hidden?: Tensor;
}

/**
 * Asks the reference for what the divergence needs of a step's answers.
 *
 * @param inputs `klCoefficient`: the coefficient of the divergence at this step.
 * @param answers `temperature`: that the answers were sampled at.
 * @returns Nothing where there is no reference, or the coefficient of the divergence is 0.
 */
export async function askReference(
  { memory, session: { reference }, klCoefficient }: { memory: ActorMemory; session: Session; klCoefficient: number },
  { groups, temperature }: { groups: readonly CountedGroup[]; temperature: number },
): Promise<ReferenceOutputs> {
  if (!reference || !(klCoefficient > 0)) return { [Symbol.dispose]() {} };
  const { term, isPolicy, actor: { peer } } = reference, base = isPolicy && { base: true };
  const lent = (carrier: Carrier): GroupMessage[] => groups.map((group) => groupMessage(group, (tensor) => carrier.lend(tensor)));
  const handle = term.kind === "full"
    ? (await peer.request<"predictions">((carrier) => ({ type: "predictions", groups: lent(carrier), ...base }))).hidden
    : (await peer.request<"logprobs">((carrier) => ({ type: "logprobs", groups: lent(carrier), temperature, ...base }))).logprobs;
  const tensor = memory.receive(handle);
  return { [term.kind === "full" ? "hidden" : "logprobs"]: tensor, [Symbol.dispose]: () => tensor[Symbol.dispose]() };
}
