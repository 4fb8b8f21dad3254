import { Lines } from "../../actors/run/lines.ts";

/** A JSON object as it was read: nothing about its fields is known. */
export type Fields = Readonly<Record<string, unknown>>;

/** What a run's folder says about it. Whatever is not there, or cannot be read as JSON, is left out. */
export interface RunRecord {
  readonly name: string;
  readonly config?: Fields;
  /** Lines of metrics.jsonl. */
  readonly metrics: readonly Fields[];
  /** Lines of rollouts.jsonl: those of the first step in it, and those of the last one; `last` is empty where there is only one step. */
  readonly rollouts: { readonly first: readonly Fields[]; readonly last: readonly Fields[] };
}

/** Reads a run's folder. */
export function readRun(runPath: string): RunRecord {
  const config = objectOf(new TextDecoder().decode(bytesOf(`${runPath}/config.json`)));
  const folder = runPath.replace(/\/+$/, "").split("/").at(-1)!;
  return {
    name: typeof config?.name === "string" && config.name !== "" ? config.name : folder,
    ...(config && { config }),
    metrics: new Lines(`${runPath}/metrics.jsonl`).read().filter(isFields),
    rollouts: outerSteps(bytesOf(`${runPath}/rollouts.jsonl`)),
  };
}

/** Lines of the first step and of the last. Only these are decoded: a long run's file is larger than the longest string. */
function outerSteps(bytes: Uint8Array): RunRecord["rollouts"] {
  const decoder = new TextDecoder(), NEWLINE = 10, first: Fields[] = [], last: Fields[] = [];
  const line = (from: number, to: number) => objectOf(decoder.decode(bytes.subarray(from, to)));
  for (let at = 0; at < bytes.length;) {
    const found = bytes.indexOf(NEWLINE, at), end = found < 0 ? bytes.length : found, fields = line(at, end);
    if (fields && first.length > 0 && fields.step !== first[0]!.step) break;
    if (fields) first.push(fields);
    at = end + 1;
  }
  for (let end = bytes.length; end > 0;) {
    const before = bytes.lastIndexOf(NEWLINE, end - 1), fields = line(before + 1, end);
    if (fields && fields.step !== (last[0] ?? fields).step) break;
    if (fields) last.unshift(fields);
    end = before;
  }
  return { first, last: last[0]?.step === first[0]?.step ? [] : last };
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

/** The object a text holds; undefined where it is torn or something else. */
function objectOf(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
