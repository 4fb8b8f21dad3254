import { ATRL_PUBLISHED } from "../../rl/atrl/options.ts";

/** The keys of the best variant of detection. */
const BEST: readonly string[] = ["atrl.mode=soft", "atrl.score=peak", "atrl.own=0.75"];

/** The keys of the paper's reading: tokens are told apart by connectivity, and a token has its cluster's weight. */
const PUBLISHED: readonly string[] = Object.entries(ATRL_PUBLISHED).map(([key, value]) => `atrl.${key}=${value}`);

/** A way to assign credit. */
export interface Method {
  /** What tables and plots call it. */
  readonly label: string;
  /** The configuration's keys that select it. */
  readonly sets: readonly string[];
}

/** The methods that can be compared, by the names that `--methods` takes. */
export const METHODS: Readonly<Record<string, Method>> = {
  off: { label: "off", sets: ["atrl.mode=off"] },
  soft: { label: "soft", sets: ["atrl.mode=soft", ...PUBLISHED] },
  "no-clusters": { label: "soft, no clusters", sets: ["atrl.mode=soft", "atrl.method=none", ...PUBLISHED] },
  best: { label: "best variant", sets: BEST },
  hard: { label: "hard", sets: ["atrl.mode=hard", ...PUBLISHED] },
  low: { label: "low", sets: ["atrl.mode=low", ...PUBLISHED] },
  random: { label: "random", sets: ["atrl.mode=random"] },
  vppo: { label: "vppo", sets: ["algorithm.credit=vppo"] },
  oracle: { label: "oracle", sets: ["atrl.mode=oracle"] },
};

/** The method that the others are compared with. */
export const BASE = "off";

/** The method that knows which tokens are readings. */
export const CEILING = "oracle";
