/** The methods that are compared: for each name the configuration keys that select it. */
export const METHODS: Readonly<Record<string, readonly string[]>> = {
  off: ["atrl.mode=off"],
  soft: ["atrl.mode=soft"],
  "soft, no clusters": ["atrl.mode=soft", "atrl.method=none"],
  hard: ["atrl.mode=hard"],
  low: ["atrl.mode=low"],
  random: ["atrl.mode=random"],
  vppo: ["algorithm.credit=vppo"],
};

/**
 * The preset of all runs. Pictures jitter by two pixels, those of the warm start by only one. After the warm start the model reads four of
 * five digits, so that RL can still improve its sight. The budget ends before that is learned.
 */
export const PRESET: readonly string[] = ["data.board.jitter=2", "data.board.warmJitter=1"];
