import { constantSchedule, cosineSchedule, linearSchedule, type Schedule } from "../../tensor/schedule.ts";
import type { TensorHandle } from "../../tensor/handle.ts";
import type { PromptMessage } from "../messages.ts";
import type { Config } from "../config/schema.ts";
import type { Place } from "../runtime/place.ts";
import type { Line } from "../run/lines.ts";
import type { Session } from "./session.ts";

/** The learning rate by step that a configuration's section asks for. */
export function scheduleOf(
  section: { lr: number; warmupSteps: number; schedule: "constant" | "linear" | "cosine"; minRatio?: number },
  total: number,
): Schedule {
  const { lr, minRatio = 0, schedule } = section, warmup = Math.min(section.warmupSteps, total);
  if (schedule === "constant") return constantSchedule({ lr, warmup });
  return (schedule === "linear" ? linearSchedule : cosineSchedule)({ lr, warmup, total, minRatio });
}

/**
 * The supervised warm start: rows of the split "warm", one batch a step; the next batch is made ready meanwhile.
 *
 * @param given `log`: takes a line a step. `stopped`: asked before each step.
 * @returns Whether it came to its end.
 */
export async function warmStart(
  place: Place,
  session: Session,
  given: { config: Config; log: (line: Line) => void; stopped: () => boolean },
): Promise<boolean> {
  const { config: { sft }, log, stopped } = given, { policy, loader } = session;
  if (!sft || sft.steps === 0) return true;
  const rate = scheduleOf(sft, sft.steps), account = (device: string) => place.account(device);
  const load = (step: number) =>
    loader.peer.request(() => ({
      type: "load",
      split: "warm",
      indices: Array.from({ length: sft.batchSize }, (_, i) => step * sft.batchSize + i),
    }));
  let next = load(0);
  for (let step = 0; step < sft.steps; step++) {
    // deno-lint-ignore no-await-in-loop -- one step after the other
    const { rows } = await next;
    if (step + 1 < sft.steps) next = load(step + 1);
    const start = performance.now();
    // deno-lint-ignore no-await-in-loop -- as above
    const { loss, gradNorm } = await policy.peer.request((carrier) => ({
      type: "sft",
      prompts: rows.map(({ prompt }) => pass(prompt, (handle) => carrier.move(account(handle.device).receive(handle)))),
      answers: rows.map(({ answer }) => carrier.move(account(answer!.device).receive(answer!))),
      lr: rate(step),
    }));
    log({
      step: 0,
      phase: "sft",
      "sft_step": step + 1,
      "sft/loss": loss,
      "sft/grad_norm": gradNorm,
      "sft/lr": rate(step),
      "timing_s/step": (performance.now() - start) / 1000,
    });
    if (!stopped()) continue;
    // deno-lint-ignore no-await-in-loop -- what was loaded ahead is left to its owner
    await next;
    return false;
  }
  await policy.peer.request(() => ({ type: "reset" }));
  return true;
}

/** A prompt's message with its handles passed on. */
function pass(prompt: PromptMessage, on: (handle: TensorHandle) => TensorHandle): PromptMessage {
  return { ...prompt, tokens: on(prompt.tokens), visuals: prompt.visuals.map((visual) => ({ ...visual, frames: on(visual.frames) })) };
}
