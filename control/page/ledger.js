/** The numbers of a run, with one entry per step, however many lines the step was logged in. */
export class Ledger {
  /** The entries of steps and of the warm start, in ascending order. @type {{ x: number, numbers: Record<string, number> }[]} */
  steps = [];
  /** @type {{ x: number, numbers: Record<string, number> }[]} */
  warm = [];
  /** The names of all numbers in the steps. @type {Set<string>} */
  keys = new Set();
  #most;

  /** @param {number} most The maximum number of entries of a list. If there are more, every second one of the older half is dropped. */
  constructor(most = Infinity) {
    this.#most = most;
  }

  /** Adds a line of metrics.jsonl. Values that are not numbers are skipped. @param {Readonly<Record<string, unknown>>} line */
  add(line) {
    const warm = line.phase === "sft", x = warm ? line["sft_step"] : line.step;
    if (typeof x !== "number" || !Number.isFinite(x)) return;
    const list = warm ? this.warm : this.steps, { numbers } = this.#at(list, x);
    for (const [key, value] of Object.entries(line)) {
      if (typeof value !== "number" || !Number.isFinite(value)) continue;
      numbers[key] = value;
      if (!warm) this.keys.add(key);
    }
    if (list.length > this.#most) {
      const half = this.#most / 2;
      list.splice(0, list.length, ...list.filter((_, i) => i % 2 === 0 || i > half));
    }
  }

  /** Returns the newest value of a name in the steps; undefined if there is none. @param {string} key */
  latest(key) {
    return this.steps.findLast(({ numbers }) => numbers[key] !== undefined)?.numbers[key];
  }

  /** Removes all entries. */
  clear() {
    this.steps.length = this.warm.length = 0;
    this.keys.clear();
  }

  /** Returns the entry of x, which is created if necessary. */
  #at(list, x) {
    let i = list.length;
    while (i > 0 && list[i - 1].x > x) i--;
    if (i > 0 && list[i - 1].x === x) return list[i - 1];
    const made = { x, numbers: {} };
    list.splice(i, 0, made);
    return made;
  }
}
