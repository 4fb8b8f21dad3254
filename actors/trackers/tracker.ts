/** What a tracker receives when it begins to follow a run. */
export interface TrackedRun {
  /** The run's name, which people see. */
  readonly name: string;
  /** The run's id for the tracker, in letters and digits. It stays the same when the run resumes. */
  readonly id: string;
  /** The run's configuration, with every key filled in. */
  readonly config: Readonly<Record<string, unknown>>;
  /** When the run began, in milliseconds since 1970. */
  readonly started: number;
}

/** The numbers of one line of metrics.jsonl. */
export interface Metrics {
  /** The step of the line. For a line of the supervised warm start it is the warm start's own step. */
  readonly step: number;
  /** When the line was written, in milliseconds since 1970. */
  readonly time: number;
  /** The values by metric. Numbers that are not finite are left out. */
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

/** The state of a run when its trackers stop following it. */
export type Ending = "done" | "stopped" | "failed";

/**
 * An experiment tracker. Each call may throw, for example when a server is out of reach. It is then
 * called again later with the same values.
 */
export interface Tracker extends AsyncDisposable {
  /** Its kind and its address or folder, for messages. */
  readonly name: string;
  /** Begins the run. It is called first. */
  begin(run: TrackedRun): Promise<void>;
  /** Receives lines of metrics in their order. */
  metrics(lines: readonly Metrics[]): Promise<void>;
  /** Receives a table of answers. */
  answers(table: AnswerTable): Promise<void>;
  /** Ends the run, which may still be resumed later. */
  end(ending: Ending): Promise<void>;
}
