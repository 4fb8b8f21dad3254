import { fileURLToPath } from "node:url";

/** A comparison: what is trained, and over how many warm starts and seeds. */
export interface Preset {
  /** A configuration file that all runs begin with. */
  readonly file?: string;
  /** The keys of all runs. */
  readonly sets: readonly string[];
  /** Steps of a run. */
  readonly steps: number;
  /** The learning rates from which each method's is chosen. */
  readonly rates: readonly number[];
  /** The methods, by name. */
  readonly methods: readonly string[];
  /** Whether each warm start is a new model with supervised training. Otherwise it is only a further seed, and all runs begin alike. */
  readonly hasWarmStarts: boolean;
  /**
   * Warm starts with a lower greedy accuracy on held-out rows have not learned to read the picture. They are left out, and the next seed
   * takes their place.
   */
  readonly leastGreedy?: number;
  /** The runs by which the learning rates are chosen. */
  readonly choice: Part;
  /** The runs of the report. Their warm starts and seeds are others than those of the choice. */
  readonly report: Part;
  /** The end of a run is the mean of so many last evaluations. */
  readonly lastEvaluations: number;
  /** Runs that go side by side; undefined: as many as there are cores. */
  readonly slots?: number;
  /** Standard deviations of a difference in final accuracy, for the size before there are runs to tell it. */
  readonly prior: Spread;
}

/** The size of one part of a comparison. */
export interface Part {
  /** Warm starts. */
  readonly warm: number;
  /** Seeds of each warm start. */
  readonly seeds: number;
  /** Further keys of its runs. */
  readonly sets: readonly string[];
}

/** Standard deviations of the difference of two methods. */
export interface Spread {
  /** Between the means of warm starts with infinitely many seeds. */
  readonly warm: number;
  /** Between seeds of one warm start. */
  readonly seed: number;
}

/** What a comparison does not need. */
const LEAN: readonly string[] = [
  "grader.workers=0",
  "logging.report=false",
  "logging.tensorboard=false",
  "trainer.saveBest=false",
  "trainer.valBeforeTrain=false",
];

/** The presets by name. */
export const PRESETS: Readonly<Record<"minutes" | "paper", Preset>> = {
  // The built-in task, in at most 30 minutes on two cores. Most of an answer's words are drawn at random, and a step has few answers, so
  // that it matters which tokens learn. Glyphs stand still, and most examples of a warm start describe boards of six digits: with that,
  // every warm start that was tried reads nearly all digits, while half of its readings are wrong because its examples taught it so.
  minutes: {
    sets: [
      ...LEAN,
      "device=cpu",
      "data.board.jitter=0",
      "data.board.filler=32",
      "data.board.describe=0.7",
      "data.board.describeDigits=6",
      "data.maxResponseLength=96",
      "data.rolloutBatchSize=2",
      "rollout.n=4",
      "val.limit=256",
    ],
    steps: 24,
    rates: [6e-5, 1e-4, 1.6e-4, 2.5e-4],
    methods: ["off", "soft", "no-clusters", "best", "hard", "low", "random", "vppo", "oracle"],
    hasWarmStarts: true,
    leastGreedy: 0.5,
    choice: { warm: 4, seeds: 3, sets: ["trainer.valFreq=0", "val.greedy=false"] },
    report: { warm: 8, seeds: 3, sets: ["trainer.valFreq=12", "val.greedy=true"] },
    lastEvaluations: 1,
    prior: { warm: 0.03, seed: 0.08 },
  },
  // 3B on Geometry3K, on one GPU. All runs begin with the same model, and a seed draws the order of the rows and the answers.
  paper: {
    file: fileURLToPath(new URL("../../examples/geometry3k_lora_3b.jsonc", import.meta.url)),
    sets: [...LEAN, "grader.workers=null", "algorithm.credit=atrl", "trainer.totalEpochs=null"],
    steps: 60,
    rates: [5e-6, 1e-5, 2e-5],
    methods: ["off", "soft", "no-clusters", "hard", "low", "random", "vppo"],
    hasWarmStarts: false,
    choice: { warm: 1, seeds: 1, sets: ["trainer.valFreq=0", "val.greedy=false"] },
    report: { warm: 4, seeds: 1, sets: ["trainer.valFreq=10", "val.greedy=true"] },
    lastEvaluations: 1,
    slots: 1,
    prior: { warm: 0, seed: 0.02 },
  },
};
