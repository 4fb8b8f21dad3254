import { dirname, isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parse, type ParseError, printParseErrorCode } from "jsonc-parser";
import type { z } from "zod";
import { parseHubId } from "../../data/hub/dataset.ts";
import { parseModelId } from "../../data/hub/model.ts";
import { isDataFile } from "../../data/open.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { configJsonSchema, type JsonSchema, keysUnder, under } from "./json_schema.ts";
import { meantPath } from "./meant.ts";
import { nearest } from "./nearest.ts";
import { type Config, configSchema } from "./schema.ts";

/** The source of a configuration. */
export interface ConfigSource {
  /** A file of JSON with comments. Default: none, and every key has its default. */
  readonly file?: string | undefined;
  /** Settings "a.b=value", which override the file. The value is JSON, or else a text. */
  readonly sets?: readonly string[];
}

/** A configuration that was loaded, and what its modules are relative to. It is plain data: JSON carries it to another process. */
export interface LoadedConfig {
  /** The configuration, with every key filled in. */
  readonly config: Config;
  /** A "file:" URL for `planReward`: of the file, or of the working directory. */
  readonly base: string;
}

/**
 * Reads a configuration. A file's relative paths (model.path, data.trainFiles, data.valFiles, data.imageDir, data.imageRoots,
 * grader.read, and data.formatPrompt where it begins with "./" or "../") are relative to the file and become absolute. Those of `sets`
 * are relative to the working directory. `reward` is left as it is: see `base`.
 *
 * @throws {RangeError} that names the file, the line and the key, with the nearest valid name. {KedgeError} `BadData` for a missing file.
 *
 * @example
 * ```ts
 * import { loadConfig } from "@kedge/kedge/actors";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(loadConfig({ sets: ["rollout.n=4", "atrl.mode=hard"] }).config.rollout.n, 4);
 * assertThrows(() => loadConfig({ sets: ["data.rollout_batch_size=4"] }), RangeError, 'did you mean "data.rolloutBatchSize"?');
 * ```
 */
export function loadConfig({ file, sets = [] }: ConfigSource = {}): LoadedConfig {
  let value: unknown = {};
  if (file !== undefined) value = absolute(read(file), dirname(resolve(file)));
  const root = sets.length > 0 ? [configJsonSchema()] : []; // once, since it takes milliseconds
  for (const set of sets) {
    const match = /^([^=\s]+)=(.*)$/s.exec(set);
    if (!match) throw new RangeError(`Cannot set "${set}": it takes a.b=value`);
    checkPath(match[1]!, root);
    value = assign(value, match[1]!.split("."), literal(match[2]!));
  }
  const result = configSchema.safeParse(value);
  const name = file ?? (sets.length > 0 ? `--set ${sets.join(" --set ")}` : "the configuration");
  if (!result.success) throw new RangeError(`Cannot read ${name}: ${result.error.issues.map((issue) => words(issue, value)).join("; ")}`);
  return { config: result.data, base: pathToFileURL(file === undefined ? `${Deno.cwd()}/` : resolve(file)).href };
}

/** Returns a loaded configuration as it is, and loads any other. */
export function loadedConfig(source: ConfigSource | LoadedConfig): LoadedConfig {
  return "config" in source ? source : loadConfig(source);
}

function read(file: string): unknown {
  let text: string;
  try {
    text = Deno.readTextFileSync(file);
  } catch (cause) {
    throw new KedgeError("BadData", `Cannot read ${file}: ${(cause as Error).message}`, { file }, { cause });
  }
  const errors: ParseError[] = [], value: unknown = parse(text, errors, { allowTrailingComma: true });
  const [first] = errors;
  if (!first) return value;
  const what = printParseErrorCode(first.error).replaceAll(/\B[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).toLowerCase();
  throw new RangeError(`Cannot read ${file}:${placeOf(text, first.offset)}: ${what}`);
}

/** Returns an offset of a text as line:column. */
function placeOf(text: string, offset: number): string {
  const before = text.slice(0, offset).split(/\r\n|\n|\r/);
  return `${before.length}:${before.at(-1)!.length + 1}`;
}

const PATHS = [["model", "path"], ["data", "trainFiles"], ["data", "valFiles"], ["data", "imageDir"], ["data", "imageRoots"], [
  "grader",
  "read",
]] as const;

/** Makes the relative paths of a value absolute. Values of a wrong type are left for the schema. */
function absolute(value: unknown, folder: string): unknown {
  const whole = (path: unknown): unknown =>
    Array.isArray(path)
      ? path.map(whole)
      : typeof path === "string" && path !== "" && !isAbsolute(path) && !/^\w+:\/\//.test(path)
      ? resolve(folder, path)
      : path;
  /** Resolves data files. The id of a data set on the hub stays. */
  const files = (spec: unknown): unknown =>
    Array.isArray(spec) ? spec.map(files) : typeof spec === "string" && !isDataFile(spec) && parseHubId(spec) ? spec : whole(spec);
  /** Resolves a model. The id of a model on the hub stays, unless there is a folder of that name. */
  const model = (path: unknown): unknown =>
    typeof path === "string" && parseModelId(path) && !isFolder(resolve(folder, path)) ? path : whole(path);
  let out = value;
  for (const [section, key] of [...PATHS, ["data", "formatPrompt"] as const]) {
    const path = (value as Record<string, Record<string, unknown> | undefined> | undefined)?.[section]?.[key];
    if (path === undefined || (key === "formatPrompt" && !/^\.{1,2}\//.test(String(path)))) continue;
    out = assign(
      out,
      [section, key],
      key === "trainFiles" || key === "valFiles" ? files(path) : key === "path" ? model(path) : whole(path),
    );
  }
  return out;
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

function literal(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function assign(object: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  const section = object && typeof object === "object" && !Array.isArray(object) ? object as Record<string, unknown> : {};
  return { ...section, [key!]: rest.length === 0 ? value : assign(section[key!], rest, value) };
}

function isKnown(path: string): boolean {
  return path.split(".").reduce((at, key) => under(at, key), [configJsonSchema()]).length > 0;
}

/** Checks a path. @throws {RangeError} for a path that no configuration has. */
function checkPath(path: string, root: readonly JsonSchema[]): void {
  const keys = path.split(".");
  let at: readonly JsonSchema[] = root;
  for (const [i, key] of keys.entries()) {
    const next = under(at, key);
    if (next.length === 0) {
      // Either a section is wrong, on the way to a valid name, or the name is.
      const beside = keysUnder(at), section = nearest(key, beside), rest = keys.slice(i + 1);
      const guess = section && [...keys.slice(0, i), section, ...rest].join(".");
      const meant = guess !== undefined && rest.length > 0 && isKnown(guess)
        ? guess
        : meantPath(path, rest.length === 0 ? beside : []) ?? guess;
      throw new RangeError(`Cannot set "${path}": unknown key "${keys.slice(0, i + 1).join(".")}"${suggestion(meant)}`);
    }
    at = next;
  }
}

function suggestion(name: string | undefined): string {
  return name === undefined ? "" : `; did you mean "${name}"?`;
}

/** Returns the paths of the values in an unknown object, where a wrong section holds valid names. */
function leaves(parent: unknown, key: string): string[] {
  const value = (parent as Record<string, unknown> | undefined)?.[key];
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  return Object.keys(value).flatMap((name) => {
    const below = leaves(value, name);
    return below.length > 0 ? below.map((leaf) => `${key}.${leaf}`) : [`${key}.${name}`];
  });
}

/** Returns an issue in words. For a union, the issues of the member that was probably meant: the one that matched furthest. */
function words(issue: z.core.$ZodIssue, input: unknown, before: readonly PropertyKey[] = []): string {
  const keys = [...before, ...issue.path], path = keys.join(".");
  if (issue.code === "unrecognized_keys") {
    const root = [configJsonSchema()], at = keys.reduce((schemas, key) => under(schemas, String(key)), root);
    return issue.keys.map((key) => {
      const whole = path === "" ? key : `${path}.${key}`;
      const meant = meantPath(whole, keysUnder(at)),
        isBeside = meant !== undefined && meant === [...keys, meant.split(".").at(-1)!].join(".");
      const inner = leaves(keys.reduce((value, key) => (value as Record<PropertyKey, unknown>)?.[key], input), key)
        .map((leaf) => [leaf, path === "" ? leaf : `${path}.${leaf}`]).map(([leaf, all]) => [leaf, meantPath(all!, [])] as const)
        .filter(([, meant]) => meant !== undefined).slice(0, 3).map(([leaf, meant]) => `"${leaf}" is "${meant}" here`);
      if (inner.length > 0) return `unknown key "${whole}"; ${inner.join(", ")}`;
      return `unknown key "${whole}"${suggestion(isBeside ? meant.split(".").at(-1) : meant)}`;
    }).join("; ");
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const depth = (issues: z.core.$ZodIssue[]) =>
      Math.min(...issues.map(({ path, code }) => 2 * path.length + Number(code !== "invalid_type")));
    const [best] = issue.errors.toSorted((a, b) => depth(b) - depth(a));
    return best!.map((inner) => words(inner, input, keys)).join("; ");
  }
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}
