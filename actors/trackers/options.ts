/** Weights & Biases, as a folder that `wandb sync` uploads: `logging.trackers`. */
export interface WandbSection {
  /** Its kind. */
  use: "wandb";
  /** The project that the run belongs to. */
  project: string;
  /** The user or team; null: the owner of the key with which the folder is uploaded. */
  entity: string | null;
  /** Runs of a group are shown together. */
  group: string | null;
  /** Words to find the run by. */
  tags: string[];
  /** Steps from one table of answers to the next; 0: no tables. */
  answersEvery: number;
}

/** A tracking server of MLflow: `logging.trackers`. */
export interface MlflowSection {
  /** Its kind. */
  use: "mlflow";
  /** The server's address; null: the environment variable MLFLOW_TRACKING_URI. */
  uri: string | null;
  /** The experiment's name. The experiment is made if it is missing. */
  experiment: string;
  /** Tags of the run. */
  tags: Record<string, string>;
  /** Steps from one table of answers to the next; 0: no tables. */
  answersEvery: number;
}

/** One of `logging.trackers`. */
export type TrackerSection = WandbSection | MlflowSection;

/** A tracker in a configuration: its kind alone, or with some of its options. */
export type TrackerInput =
  | "wandb"
  | "mlflow"
  | ({ use: "wandb" } & Partial<Omit<WandbSection, "use">>)
  | ({ use: "mlflow" } & Partial<Omit<MlflowSection, "use">>);
