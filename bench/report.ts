/**
 * Measures functions against each other, and prints the results for people and for programs.
 *
 * @module
 */

/** The results of {@linkcode measure} for one function. */
export interface Measurement {
  /** The median over the rounds of the seconds per call. */
  readonly seconds: number;
  /** The minimum over the rounds of the mean seconds per call. */
  readonly best: number;
  /** The median over the rounds of the first function's time divided by this one's. If it is above 1, this function is faster. */
  readonly ratio: number;
}

/** Options for {@linkcode measure}. */
export interface MeasureOptions {
  /** The number of rounds. Default: 11. */
  rounds?: number;
  /** The minimum seconds of a measurement, in which the function is called repeatedly. Default: 0.02. */
  turn?: number;
  /**
   * Seconds of rest before each measurement. Default: 0.03. Idle threads of Kedge and of OpenBLAS spin for up to that long on the other's
   * cores.
   */
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

/** Returns the median of values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Measures functions alternately, so that other load of the machine affects all of them alike. Odd rounds run in reverse order. Each
 * function is called once before. The ratios compare with the first function.
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

/** A table of results. It is printed aligned, and again as a line of JSON. */
export class Report {
  readonly #rows: Record<string, Cell>[] = [];

  /**
   * @param name The benchmark's name.
   * @param facts The conditions of the numbers: device, threads, libraries.
   */
  constructor(readonly name: string, readonly facts: Readonly<Record<string, Cell>>) {}

  /** Adds a row by column. Columns are in the order in which they first occurred. */
  row(cells: Readonly<Record<string, Cell>>): void {
    this.#rows.push({ ...cells });
  }

  /** Returns the table with the facts above it. Columns of numbers are right-aligned. */
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

  /** Returns one line for programs: `{ bench, ...facts, rows }`. */
  json(): string {
    return JSON.stringify({ bench: this.name, ...this.facts, rows: this.#rows });
  }

  /** Returns the table in Markdown. */
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
