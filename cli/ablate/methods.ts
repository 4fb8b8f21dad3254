/** What is compared: a method's name, and the configuration's keys that make it. */
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
 * The preset: pictures jitter by two pixels, those of the warm start by one only, so that it reads four of five digits rightly and RL has sight to learn; the
 * budget ends before that is done.
 */
export const PRESET: readonly string[] = ["data.board.jitter=2", "data.board.warmJitter=1"];
