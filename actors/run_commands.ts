/**
 * The commands that a run accepts during training. This is their only list: the trainer, the controller, the link between processes and the
 * HTTP routes are derived from it.
 *
 * @module
 */
import type { TunableChanges } from "./config/tunable.ts";

/** The states of a run. "idle": this process has not started it yet. "stopped": it ended before its last step and can be restarted. */
export const RUN_STATES = ["idle", "starting", "warm-start", "running", "paused", "stopping", "stopped", "done", "failed"] as const;

/** One of {@linkcode RUN_STATES}. */
export type RunState = typeof RUN_STATES[number];

/** The status of a run. */
export interface RunStatus {
  /** The run's state. */
  readonly state: RunState;
  /** The run's name. */
  readonly name: string;
  /** The number of completed steps. */
  readonly step: number;
  /** The number of steps of the whole run. */
  readonly maxSteps: number;
  /** Whether it will pause before its next step. It is true from the request on, while `state` may still be "running". */
  readonly pausing: boolean;
  /** Bytes that each actor holds. */
  readonly accounts: Readonly<Record<string, number>>;
  /** Why it failed. */
  readonly error?: string | undefined;
}

/** A field that was changed during the run. */
export interface TunedField {
  /** The key, such as "optim.lr". */
  readonly path: string;
  /** Its value before. */
  readonly from: unknown;
  /** Its value now. */
  readonly to: unknown;
}

/** The result of a change of fields. */
export interface Tuning {
  /** The fields whose values changed. Fields that had the value already are omitted. */
  readonly changed: readonly TunedField[];
  /** The first step that uses the new values. */
  readonly fromStep: number;
}

/** The commands as methods. */
export interface Commands {
  /** Pauses before the next step. @throws {KedgeError} `State` after the run's end. */
  pause(): Promise<RunStatus>;
  /** Continues after a pause. @throws {KedgeError} `State` after the run's end. */
  resume(): Promise<RunStatus>;
  /** Ends the run after the current step, with a checkpoint. */
  stop(): Promise<RunStatus>;
  /** Writes a checkpoint after the current step. @throws {KedgeError} `State` before the first step and after the end. */
  checkpoint(): Promise<{ readonly step: number; readonly path: string }>;
  /** Evaluates after the current step. @throws {KedgeError} `State` before the first step and after the end. */
  evaluate(): Promise<{ readonly step: number; readonly metrics: Readonly<Record<string, number>> }>;
  /**
   * Changes fields from the next step on.
   *
   * @param changes New values by path, such as { "optim.lr": 1e-5 }. The caller checks them against `tunableSchema`.
   * @throws {KedgeError} `State` after the end, and for a field that this run cannot change, such as a KL coefficient without a reference.
   */
  tune(changes: TunableChanges): Promise<Tuning>;
}

/** The name of a command. */
export type CommandName = keyof Commands;

/** The argument of a command. */
export type CommandArgument<C extends CommandName> = Parameters<Commands[C]>[0];

/** The reply of a command. */
export type CommandReply<C extends CommandName> = Awaited<ReturnType<Commands[C]>>;

/** The description of a command for users. */
export interface CommandWords {
  /** The title. */
  readonly summary: string;
  /** When it takes effect, and when it answers. */
  readonly description: string;
  /** Whether it takes an argument. Its route is then written separately. */
  readonly takesArgument?: boolean;
}

/** The descriptions of all commands by name. */
export const COMMANDS: Readonly<Record<CommandName, CommandWords>> = {
  pause: {
    summary: "Pause the run",
    description: "The run finishes the current step and waits before the next one. A second request changes nothing.",
  },
  resume: { summary: "Resume the run after a pause", description: "A second request changes nothing." },
  stop: {
    summary: "Stop the run",
    description: "The run ends after the current step, with a checkpoint. A second request changes nothing.",
  },
  checkpoint: {
    summary: "Write a checkpoint",
    description: "The run writes it after the current step, and then answers.",
  },
  evaluate: {
    summary: "Evaluate on held-out data",
    description: "The run evaluates after the current step, and then answers. That may take minutes.",
  },
  tune: {
    summary: "Change fields during the run",
    description: "The change takes effect with the next step. It is logged, and a resumed run repeats it.",
    takesArgument: true,
  },
};

/** Calls a command by its name. */
export function callCommand<C extends CommandName>(run: Commands, name: C, argument: CommandArgument<C>): Promise<CommandReply<C>> {
  return (run[name] as (argument: CommandArgument<C>) => Promise<CommandReply<C>>).call(run, argument);
}

/**
 * A run that handles all of its commands in one method.
 *
 * @example
 * ```ts
 * import { CommandedRun, type CommandName, type CommandReply } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * const commands: CommandName[] = [];
 * class Recorded extends CommandedRun {
 *   protected command<C extends CommandName>(name: C): Promise<CommandReply<C>> {
 *     commands.push(name);
 *     return Promise.resolve({ state: "paused" } as unknown as CommandReply<C>);
 *   }
 * }
 * await new Recorded().pause();
 * assertEquals(commands, ["pause"]);
 * ```
 */
export abstract class CommandedRun implements Commands {
  /** Sends a command to the run. */
  protected abstract command<C extends CommandName>(name: C, argument?: CommandArgument<C>): Promise<CommandReply<C>>;

  /** Pauses before the next step. @throws {KedgeError} `State` after the run's end. */
  pause(): Promise<RunStatus> {
    return this.command("pause");
  }

  /** Continues after a pause. @throws {KedgeError} `State` after the run's end. */
  resume(): Promise<RunStatus> {
    return this.command("resume");
  }

  /** Ends the run after the current step, with a checkpoint. */
  stop(): Promise<RunStatus> {
    return this.command("stop");
  }

  /** Writes a checkpoint after the current step. @throws {KedgeError} `State` before the first step and after the end. */
  checkpoint(): Promise<CommandReply<"checkpoint">> {
    return this.command("checkpoint");
  }

  /** Evaluates after the current step. @throws {KedgeError} `State` before the first step and after the end. */
  evaluate(): Promise<CommandReply<"evaluate">> {
    return this.command("evaluate");
  }

  /** Changes fields from the next step on: see {@linkcode Commands.tune}. */
  tune(changes: TunableChanges): Promise<Tuning> {
    return this.command("tune", changes);
  }
}
