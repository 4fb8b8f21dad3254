// deno-lint-ignore-file no-await-in-loop -- one step after the other
import { ShuffledSampler } from "../../data/sampler.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { scheduleOf } from "../config/for_actors.ts";
import type { Config } from "../config/schema.ts";
import type { LoaderReplies } from "../messages.ts";
import { passPrompt } from "../prompts.ts";
import type { Line } from "../run/lines.ts";
import type { ActorMemory } from "../runtime/actor_memory.ts";
import { Prefetch } from "./prefetch.ts";
import type { Session } from "./session.ts";

/** The options that a warm start is made with. */
export interface WarmStartOptions {
  readonly config: Config;
  /** Steps that are done. */
  readonly from: number;
  /** Takes a line for each step. */
  readonly log: (line: Line) => void;
  /** Writes a checkpoint after so many steps. */
  readonly save: (step: number) => Promise<unknown>;
  /** Is asked before each step whether the run is to stop. In a pause it answers when the run goes on. */
  readonly isStopped: () => Promise<boolean>;
}

/**
 * Makes the supervised warm start on rows of the split "warm", a batch for each step. The next batches are prepared meanwhile.
 *
 * @returns Undefined at its end. Where it was stopped before: the number of steps that are done, of which a checkpoint is written.
 */
export async function warmStart(memory: ActorMemory, { policy, loader }: Session, options: WarmStartOptions): Promise<number | undefined> {
  const { config: { sft, data, seed }, from, log, save, isStopped } = options;
  if (!sft || sft.steps === 0) return undefined;
  const rate = scheduleOf(sft, sft.steps), { warm: size } = await loader.peer.request<"sizes">(() => ({ type: "sizes" }));
  const sampler = new ShuffledSampler(size, { seed, shuffle: data.shuffle && Number.isFinite(size) }), drawn = from * sft.batchSize;
  sampler.restore(
    Number.isFinite(size) ? { epoch: Math.floor(drawn / size), position: drawn % size } : { epoch: 0, position: drawn },
  );
  const load = () => {
    const indices = sampler.next(sft.batchSize);
    return loader.peer.request<"load">(() => ({ type: "load", split: "warm", indices }));
  };
  const prefetch = new Prefetch(load, { first: from, end: sft.steps, ahead: Math.max(1, data.prefetch) });
  let saved = from;
  for (let step = from; step < sft.steps; step++) {
    const stops = await isStopped(), isDue = sft.saveFreq > 0 && step % sft.saveFreq === 0;
    if (step > saved && (stops || isDue)) await save(saved = step);
    if (stops) {
      await prefetch.rest(); // what was loaded ahead is freed with this actor
      return step;
    }
    const { rows } = checked(await prefetch.next(), data.badRows), start = performance.now(), lr = rate(step);
    const { loss, gradNorm } = await policy.peer.request<"sft">((carrier) => ({
      type: "sft",
      prompts: rows.map(({ prompt }) => passPrompt(prompt, (handle) => carrier.move(memory.receive(handle)))),
      answers: rows.map(({ answer }) => carrier.move(memory.receive(answer!))),
      lr,
    }));
    const seconds = (performance.now() - start) / 1000;
    log({
      step: 0,
      phase: "sft",
      "sft_step": step + 1,
      "sft/loss": loss,
      "sft/grad_norm": gradNorm,
      "sft/lr": lr,
      "timing_s/step": seconds,
    });
  }
  await policy.peer.request<"reset">(() => ({ type: "reset" }));
  return undefined;
}

/** Returns a batch. @throws {KedgeError} `BadData` where it has rows that cannot be trained on, or none. */
function checked(batch: LoaderReplies["load"], badRows: Config["data"]["badRows"]): LoaderReplies["load"] {
  const { rows, bad } = batch;
  if (bad.length > 0 && badRows === "stop") throw new KedgeError("BadData", bad[0]!.reason, { id: bad[0]!.id });
  const refuse = (words: string) => new KedgeError("BadData", `Cannot make the warm start: ${words}`);
  if (rows.length === 0) throw refuse("none of the rows can be used");
  const bare = rows.find(({ answer }) => answer === undefined);
  if (!bare) return batch;
  const lacks = "neither a turn of the assistant at its end, nor a column that data.demonstrationKey names";
  throw refuse(`row ${bare.id} has no demonstration: ${lacks}; set it, or sft to null`);
}
