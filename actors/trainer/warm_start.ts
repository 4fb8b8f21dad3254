import { constantSchedule, cosineSchedule, linearSchedule, type Schedule } from "../../tensor/schedule.ts";
import { ShuffledSampler } from "../../data/sampler.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { passPrompt } from "../prompts.ts";
import type { Config } from "../config/schema.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import type { Line } from "../run/lines.ts";
import { Prefetch } from "./prefetch.ts";
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
 * @param given `from`: steps that are done. `log`: takes a line a step. `save`: writes a checkpoint after so many steps. `stopped`: asked before each step; it may take
 *   its time, as in a pause.
 * @returns Where it was stopped before its end, the steps that are done, which are saved; undefined at its end.
 */
export async function warmStart(
  memory: ActorMemory,
  session: Session,
  given: {
    config: Config;
    from: number;
    log: (line: Line) => void;
    save: (step: number) => Promise<unknown>;
    stopped: () => Promise<boolean>;
  },
): Promise<number | undefined> {
  const { config, from, log, save, stopped } = given, { sft, data } = config, { policy, loader } = session;
  if (!sft || sft.steps === 0) return undefined;
  const rate = scheduleOf(sft, sft.steps), account = (device: string) => memory.account(device);
  const { warm } = await loader.peer.request<"sizes">(() => ({ type: "sizes" }));
  const sampler = new ShuffledSampler(warm, { seed: config.seed, shuffle: data.shuffle && Number.isFinite(warm) });
  const drawn = from * sft.batchSize;
  sampler.restore(
    Number.isFinite(warm) ? { epoch: Math.floor(drawn / warm), position: drawn % warm } : { epoch: 0, position: drawn },
  );
  const load = () => {
    const indices = sampler.next(sft.batchSize);
    return loader.peer.request<"load">(() => ({ type: "load", split: "warm", indices }));
  };
  const prefetch = new Prefetch(from, sft.steps, Math.max(1, data.prefetch), load);
  let saved = from;
  for (let step = from; step < sft.steps; step++) {
    // deno-lint-ignore no-await-in-loop -- one step after the other
    const stops = await stopped(), due = sft.saveFreq > 0 && step % sft.saveFreq === 0;
    // deno-lint-ignore no-await-in-loop -- as above
    if (step > saved && (stops || due)) await save(saved = step);
    if (stops) {
      // deno-lint-ignore no-await-in-loop -- what was loaded ahead is freed with this actor
      await prefetch.rest();
      return step;
    }
    // deno-lint-ignore no-await-in-loop -- one step after the other
    const { rows, bad } = await prefetch.next();
    if (bad.length > 0 && data.badRows === "stop") throw new KedgeError("BadData", bad[0]!.reason, { id: bad[0]!.id });
    const wordless = rows.find(({ answer }) => answer === undefined);
    if (wordless || rows.length === 0) {
      const words = wordless
        ? `row ${wordless.id} has no demonstration: neither a turn of the assistant at its end, nor a column that data.demonstrationKey names; set it, or sft to null`
        : "none of the rows can be used";
      throw new KedgeError("BadData", `Cannot make the warm start: ${words}`, {});
    }
    const start = performance.now();
    // deno-lint-ignore no-await-in-loop -- as above
    const { loss, gradNorm } = await policy.peer.request((carrier) => ({
      type: "sft",
      prompts: rows.map(({ prompt }) => passPrompt(prompt, (handle) => carrier.move(account(handle.device).receive(handle)))),
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
  }
  await policy.peer.request(() => ({ type: "reset" }));
  return undefined;
}
