/** What a tracker is told when it begins to follow a run. */
export interface TrackedRun {
  /** The run's name, which people see. */
  readonly name: string;
  /** Names the run to the tracker, now and after it was resumed: letters and digits. */
  readonly id: string;
  /** The run's configuration, everything filled in. */
  readonly config: Readonly<Record<string, unknown>>;
  /** When the run began, in milliseconds since 1970. */
  readonly started: number;
}

/** The numbers of one line of metrics.jsonl. */
export interface Metrics {
  /** The step that the line tells of; of a line of the supervised warm start, its own step. */
  readonly step: number;
  /** When the line was written, in milliseconds since 1970. */
  readonly time: number;
  /** By the metric's name. Numbers that are not finite are left out. */
  readonly values: Readonly<Record<string, number>>;
}

/** Sampled answers, as a table. */
export interface AnswerTable {
  /** The step of the answers. */
  readonly step: number;
  readonly columns: readonly string[];
  /** A row for each answer, a value for each column. */
  readonly rows: readonly (readonly (string | number | null)[])[];
}

/** How a run stands when its trackers let go of it. */
export type Ending = "done" | "stopped" | "failed";

/**
 * An experiment tracker. Each call may throw; it is called again later with the same values: a tracker
 * that is out of reach is one whose calls throw.
 */
export interface Tracker extends AsyncDisposable {
  /** Its kind and its place, for messages. */
  readonly name: string;
  /** What is called first. */
  begin(run: TrackedRun): Promise<void>;
  /** Takes lines in their order. */
  metrics(lines: readonly Metrics[]): Promise<void>;
  /** Takes a table of answers. */
  answers(table: AnswerTable): Promise<void>;
  /** Takes note of the end, after which the run may still be resumed. */
  end(ending: Ending): Promise<void>;
}
