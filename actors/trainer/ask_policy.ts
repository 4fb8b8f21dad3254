import { KedgeError } from "../../ffi/errors.ts";
import type { AnswersMessage, TokenPart, TrainerMessage } from "../messages.ts";
import type { RunState } from "../run_commands.ts";
import { heldPrompt, passAnswers, promptMessage } from "../prompts.ts";
import { cancelling } from "../runtime/cancelling.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Turn } from "../runtime/serve.ts";
import type { Session } from "./session.ts";

/**
 * Passes a chat's question to the policy, which answers it between two messages of the run.
 *
 * @returns The answers, moved to the sender of the question. `step`: the step of the last update since the policy was loaded, if there
 *   was one.
 * @throws {KedgeError} `State` if there is no session.
 */
export async function askPolicy(
  memory: ActorMemory,
  session: Session | undefined,
  question: { message: Extract<TrainerMessage, { type: "generate" }>; turn: Turn; state: RunState },
): Promise<{ answers: AnswersMessage; step?: number }> {
  const { message: { prompt: message, sampling }, turn, state } = question;
  using prompt = heldPrompt(message, (handle) => turn.receive(handle));
  if (!session) throw new KedgeError("State", `Cannot answer: the run is ${state}, its policy not loaded`, { state });
  const { answers, updated } = await cancelling(turn, (signal) =>
    session.policy.peer.request<"generate">(
      (carrier) => ({ type: "generate", prompt: promptMessage(prompt, (tensor) => carrier.lend(tensor)), sampling }),
      { signal, onPart: (part) => turn.tell(part as TokenPart) },
    ));
  const passed = passAnswers(answers, (handle) => turn.move(memory.receive(handle)));
  return { answers: passed, ...(updated !== undefined && { step: updated }) };
}
