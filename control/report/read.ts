import { type FileLine, linesBackward, linesForward } from "../../actors/run/line_pieces.ts";
import { Lines } from "../../actors/run/lines.ts";

/** A JSON object that was read. Its fields are not known. */
export type Fields = Readonly<Record<string, unknown>>;

/** The content of a run's folder. Files that are missing or are not JSON are omitted. */
export interface RunRecord {
  readonly name: string;
  readonly config?: Fields;
  /** Lines of metrics.jsonl. They are read while they are iterated. */
  readonly metrics: Iterable<Fields>;
  /** Lines of rollouts.jsonl for the first step that is there and for the last one. `last` is empty if there is only one step. */
  readonly rollouts: { readonly first: readonly Fields[]; readonly last: readonly Fields[] };
}

/** Reads a run's folder. */
export function readRun(runPath: string): RunRecord {
  const config = objectOf(new TextDecoder().decode(bytesOf(`${runPath}/config.json`)));
  const folder = runPath.replace(/\/+$/, "").split("/").at(-1)!;
  return {
    name: typeof config?.name === "string" && config.name !== "" ? config.name : folder,
    ...(config && { config }),
    metrics: new Lines(`${runPath}/metrics.jsonl`).entries(),
    rollouts: outerSteps(`${runPath}/rollouts.jsonl`),
  };
}

/** Reads the lines of the first step and of the last. It reads nothing else, because a long run's file is larger than memory. */
function outerSteps(path: string): RunRecord["rollouts"] {
  const first = linesOfStep([`${path}.1`, path], linesForward), last = linesOfStep([path, `${path}.1`], linesBackward).reverse();
  return { first, last: last[0]?.step === first[0]?.step ? [] : last };
}

/** Returns the lines of the first step in several files. */
function linesOfStep(paths: readonly string[], lines: (path: string) => Iterable<FileLine>): Fields[] {
  const decoder = new TextDecoder(), step: Fields[] = [];
  for (const path of paths) {
    for (const { bytes } of lines(path)) {
      const fields = objectOf(decoder.decode(bytes));
      if (fields && step.length > 0 && fields.step !== step[0]!.step) return step;
      if (fields) step.push(fields);
    }
  }
  return step;
}

function bytesOf(path: string): Uint8Array {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Uint8Array();
    throw error;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Parses a JSON object; undefined if the text is torn or something else. */
function objectOf(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
