/** The numbers of a run, one line for a step whatever the number of lines it was logged in. */
export class Ledger {
  /** Lines of steps, and of the warm start's; each list rises. @type {{ x: number, numbers: Record<string, number> }[]} */
  steps = [];
  /** @type {{ x: number, numbers: Record<string, number> }[]} */
  warm = [];
  /** Names that the steps' numbers have had. @type {Set<string>} */
  keys = new Set();
  #most;

  /** @param {number} most Lines that a list keeps: with more, every second one of its older half goes. */
  constructor(most = Infinity) {
    this.#most = most;
  }

  /** Takes a line of metrics.jsonl; what is no number in it is passed over. @param {Readonly<Record<string, unknown>>} line */
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

  /** The newest value of a name in the steps; undefined where there is none. @param {string} key */
  latest(key) {
    return this.steps.findLast(({ numbers }) => numbers[key] !== undefined)?.numbers[key];
  }

  /** Forgets all. */
  clear() {
    this.steps.length = this.warm.length = 0;
    this.keys.clear();
  }

  /** The line of x, made where there is none. */
  #at(list, x) {
    let i = list.length;
    while (i > 0 && list[i - 1].x > x) i--;
    if (i > 0 && list[i - 1].x === x) return list[i - 1];
    const made = { x, numbers: {} };
    list.splice(i, 0, made);
    return made;
  }
}
