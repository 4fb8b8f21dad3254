import { KedgeError } from "../../ffi/errors.ts";
import type { AnswersMessage, TokenPart, TrainerMessage } from "../messages.ts";
import type { RunState } from "../run_commands.ts";
import { heldPrompt, passAnswers, promptMessage } from "../prompts.ts";
import { cancelling } from "../runtime/cancelling.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Turn } from "../runtime/serve.ts";
import type { Session } from "./session.ts";

/**
 * Hands a question from outside to the policy, which answers it between two messages of the run.
 *
 * @returns The answers, moved on to who asked, and the step of the update before them where there was one since the policy was loaded.
 * @throws {KedgeError} `State` where there is no session.
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
