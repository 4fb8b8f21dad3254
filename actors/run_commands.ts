/**
 * The commands that a run takes while it trains. This is their one list: the trainer, the controller, the link between processes and the HTTP routes follow it.
 *
 * @module
 */
import type { TunableChanges } from "./config/tunable.ts";

/** Where a run is. "idle": not started by this process yet. "stopped": ended before its last step; it can be started again. */
export const RUN_STATES = ["idle", "starting", "warm-start", "running", "paused", "stopping", "stopped", "done", "failed"] as const;

/** One of {@linkcode RUN_STATES}. */
export type RunState = typeof RUN_STATES[number];

/** How a run stands. */
export interface RunStatus {
  /** Where it is. */
  readonly state: RunState;
  /** The run's name. */
  readonly name: string;
  /** Steps that are done. */
  readonly step: number;
  /** Steps of the whole run. */
  readonly maxSteps: number;
  /** Whether it pauses before its next step; true from the request on, while `state` may still be "running". */
  readonly pausing: boolean;
  /** Bytes that each actor holds. */
  readonly accounts: Readonly<Record<string, number>>;
  /** Why it failed. */
  readonly error?: string | undefined;
}

/** A live-tuned field. */
export interface TunedField {
  /** The key, as "optim.lr". */
  readonly path: string;
  /** Its value before. */
  readonly from: unknown;
  /** Its value now. */
  readonly to: unknown;
}

/** What a change of live-tunable fields came to. */
export interface Tuning {
  /** Fields that have another value now; those that had it already are left out. */
  readonly changed: readonly TunedField[];
  /** The first step that is made with it. */
  readonly fromStep: number;
}

/** The commands as methods. */
export interface Commands {
  /** Pauses before the next step. @throws {KedgeError} `State` after the run's end. */
  pause(): Promise<RunStatus>;
  /** Goes on after a pause. @throws {KedgeError} `State` after the run's end. */
  resume(): Promise<RunStatus>;
  /** Ends the run after the step under way, with a checkpoint. */
  stop(): Promise<RunStatus>;
  /** Writes a checkpoint after the step under way. @throws {KedgeError} `State` before the first step and after the end. */
  checkpoint(): Promise<{ readonly step: number; readonly path: string }>;
  /** Evaluates after the step under way. @throws {KedgeError} `State` before the first step and after the end. */
  evaluate(): Promise<{ readonly step: number; readonly metrics: Readonly<Record<string, number>> }>;
  /**
   * Changes live-tunable fields from the step after the one under way.
   *
   * @param changes By path, as { "optim.lr": 1e-5 }, with values that `tunableSchema` takes. The caller checks them.
   * @throws {KedgeError} `State` after the end, and for a field that this run cannot change, as a KL coefficient without a reference.
   */
  tune(changes: TunableChanges): Promise<Tuning>;
}

/** The name of a command. */
export type CommandName = keyof Commands;

/** What a command takes. */
export type CommandArgument<C extends CommandName> = Parameters<Commands[C]>[0];

/** What a command answers. */
export type CommandReply<C extends CommandName> = Awaited<ReturnType<Commands[C]>>;

/** A command in words, for whoever may ask for it. */
export interface CommandWords {
  /** A title. */
  readonly summary: string;
  /** When it takes effect, and when it answers. */
  readonly description: string;
  /** Whether it takes an argument; then its route is one of its own. */
  readonly takesArgument?: boolean;
}

/** All commands by name, in words. */
export const COMMANDS: Readonly<Record<CommandName, CommandWords>> = {
  pause: {
    summary: "Pause the run",
    description: "The run finishes the step under way and waits before the next one. A second request changes nothing.",
  },
  resume: { summary: "Resume the run after a pause", description: "A second request changes nothing." },
  stop: {
    summary: "Stop the run",
    description: "The run ends after the step under way, with a checkpoint. A second request changes nothing.",
  },
  checkpoint: {
    summary: "Write a checkpoint",
    description: "The run writes it after the step under way, and then answers.",
  },
  evaluate: {
    summary: "Evaluate on held-out data",
    description: "The run evaluates after the step under way, and then answers. That may take minutes.",
  },
  tune: {
    summary: "Change fields while the run goes on",
    description: "The change takes effect with the step after the one under way. It is logged, and a resumed run makes it again.",
    takesArgument: true,
  },
};

/** Calls a command by its name. */
export function callCommand<C extends CommandName>(run: Commands, name: C, argument: CommandArgument<C>): Promise<CommandReply<C>> {
  return (run[name] as (argument: CommandArgument<C>) => Promise<CommandReply<C>>).call(run, argument);
}

/** A run whose commands all go one way. */
export abstract class CommandedRun implements Commands {
  /** Sends a command to the run. */
  protected abstract command<C extends CommandName>(name: C, argument?: CommandArgument<C>): Promise<CommandReply<C>>;

  /** Pauses before the next step. @throws {KedgeError} `State` after the run's end. */
  pause(): Promise<RunStatus> {
    return this.command("pause");
  }

  /** Goes on after a pause. @throws {KedgeError} `State` after the run's end. */
  resume(): Promise<RunStatus> {
    return this.command("resume");
  }

  /** Ends the run after the step under way, with a checkpoint. */
  stop(): Promise<RunStatus> {
    return this.command("stop");
  }

  /** Writes a checkpoint after the step under way. @throws {KedgeError} `State` before the first step and after the end. */
  checkpoint(): Promise<CommandReply<"checkpoint">> {
    return this.command("checkpoint");
  }

  /** Evaluates after the step under way. @throws {KedgeError} `State` before the first step and after the end. */
  evaluate(): Promise<CommandReply<"evaluate">> {
    return this.command("evaluate");
  }

  /** Changes live-tunable fields from the step after the one under way; see {@linkcode Commands.tune}. */
  tune(changes: TunableChanges): Promise<Tuning> {
    return this.command("tune", changes);
  }
}
