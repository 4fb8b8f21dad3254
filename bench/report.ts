/**
 * Measures functions against each other and prints what came out, for people and for programs.
 *
 * @module
 */

/** What {@linkcode measure} found out about one function. */
export interface Measurement {
  /** Median over the rounds of the time of one call. */
  readonly seconds: number;
  /** The shortest time of one call, averaged over one round. */
  readonly best: number;
  /** Median over the rounds of the first function's time divided by this one's: above 1, this one is faster. */
  readonly ratio: number;
}

/** Options of {@linkcode measure}. */
export interface MeasureOptions {
  /** Times that each function has its turn; default 11. */
  rounds?: number;
  /** Seconds that a turn lasts at least: the function is called over and over; default 0.02. */
  turn?: number;
  /** Seconds of rest before each turn; default 0.03. Idle threads of Kedge and of OpenBLAS spin for up to that long on the other's cores. */
  rest?: number;
}

const never = new Int32Array(new SharedArrayBuffer(4));
function sleep(seconds: number): void {
  if (seconds > 0) Atomics.wait(never, 0, 0, seconds * 1000);
}

function time(body: () => void, calls: number): number {
  const start = performance.now();
  for (let i = 0; i < calls; i++) body();
  return (performance.now() - start) / 1000 / calls;
}

/** The middle of the values, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Measures functions in turns, so that whatever else the machine does falls on all of them alike; odd rounds run them backwards. Each is called once
 * before. The first function is what the ratios compare with.
 */
export function measure<Name extends string>(
  functions: Readonly<Record<Name, () => void>>,
  options: MeasureOptions = {},
): Record<Name, Measurement> {
  const { rounds = 11, turn = 0.02, rest = 0.03 } = options;
  const entries = Object.entries<() => void>(functions).map(([name, body]) => {
    body();
    return { name: name as Name, body, calls: Math.max(1, Math.ceil(turn / Math.max(1e-9, time(body, 1)))), seconds: [] as number[] };
  });
  for (let round = 0; round < rounds; round++) {
    for (const entry of round % 2 === 0 ? entries : entries.toReversed()) {
      sleep(rest);
      entry.body(); // wakes threads and warms caches
      entry.seconds.push(time(entry.body, entry.calls));
    }
  }
  const first = entries[0]!.seconds;
  const result = entries.map(({ name, seconds }) => {
    const ratio = median(seconds.map((s, round) => first[round]! / s));
    return [name, { seconds: median(seconds), best: Math.min(...seconds), ratio }] as const;
  });
  return Object.fromEntries(result) as Record<Name, Measurement>;
}

/** A value in a {@linkcode Report}. */
export type Cell = string | number | boolean;

function text(cell: Cell | undefined): string {
  if (typeof cell !== "number") return cell === undefined ? "" : String(cell);
  return Number.isInteger(cell) ? String(cell) : Math.abs(cell) >= 100 ? cell.toFixed(0) : cell.toPrecision(3);
}

/** A benchmark's table: printed aligned, then once more as a line of JSON. */
export class Report {
  readonly #rows: Record<string, Cell>[] = [];

  /**
   * @param name Of the benchmark.
   * @param facts What the numbers depend on: device, threads, libraries.
   */
  constructor(readonly name: string, readonly facts: Readonly<Record<string, Cell>>) {}

  /** Adds a row, by column; columns appear in the order in which they first came. */
  row(cells: Readonly<Record<string, Cell>>): void {
    this.#rows.push({ ...cells });
  }

  /** The table, with the facts above it. Columns of numbers are aligned to the right. */
  table(): string {
    const columns = [...new Set(this.#rows.flatMap((row) => Object.keys(row)))];
    const lines = [columns, ...this.#rows.map((row) => columns.map((column) => text(row[column])))];
    const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
    const numeric = columns.map((column) => this.#rows.every((row) => row[column] === undefined || typeof row[column] === "number"));
    const facts = Object.entries(this.facts).map(([key, value]) => `${key}: ${value}`).join("; ");
    const body = lines.map((line) =>
      line.map((cell, i) => numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)).join("  ").trimEnd()
    );
    return [`${this.name} (${facts})`, ...body].join("\n");
  }

  /** One line for programs: `{ bench, ...facts, rows }`. */
  json(): string {
    return JSON.stringify({ bench: this.name, ...this.facts, rows: this.#rows });
  }

  /** The table in Markdown. */
  markdown(): string {
    const columns = [...new Set(this.#rows.flatMap((row) => Object.keys(row)))];
    const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
    return [line(columns), line(columns.map(() => "---")), ...this.#rows.map((row) => line(columns.map((column) => text(row[column]))))]
      .join("\n");
  }

  /** Prints the table and the line of JSON on standard output. */
  print(): void {
    Deno.stdout.writeSync(new TextEncoder().encode(`${this.table()}\n${this.json()}\n`));
  }
}
