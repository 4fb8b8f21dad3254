/**
 * The fields of a configuration that may change during a run.
 *
 * @module
 */
import { z } from "zod";
import { ATRL_MODES } from "../../rl/atrl/options.ts";
import type { Config } from "./types.ts";

const amount = z.number().nonnegative(), above0 = z.number().positive();

const schema = z.strictObject({
  optim: z.strictObject({ lr: amount.max(1).optional().describe("The learning rate after the warm-up.") }).optional(),
  rollout: z.strictObject({
    temperature: above0.min(1e-3).max(100).optional().describe("Divides the logits, in sampling and in the loss."),
  })
    .optional(),
  algorithm: z.strictObject({
    entropyCoefficient: z.number().min(-100).max(100).optional().describe("The coefficient of the entropy bonus."),
    kl: z.strictObject({
      coefficient: amount.max(1e6).optional().describe("The current coefficient of the divergence; only in a run with a reference model."),
    }).optional(),
  }).optional(),
  atrl: z.strictObject({
    mode: z.enum(ATRL_MODES).optional().describe("off, soft, hard, low, random or oracle."),
    anchorFraction: z.int().positive().max(1000).optional().describe("The share of tokens that are anchors, in per mille."),
    wMin: amount.max(1e6).optional().describe("The weight at the lowest score, before normalisation."),
    wMax: above0.max(1e6).optional().describe("The weight at the highest score, before normalisation."),
    temperature: above0.max(1e6).optional().describe("The width of the step between the two weights, in units of the mean score."),
    own: z.number().min(0).max(1).optional().describe("The share of a token's own score in its weight."),
    normalise: z.enum(["mean-one", "none"]).optional().describe("Whether weights have mean 1 over a response."),
  }).optional(),
  trainer: z.strictObject({
    valFreq: z.int().nonnegative().max(1e9).optional().describe("The number of steps between evaluations; 0: only at the end."),
    saveFreq: z.int().nonnegative().max(1e9).optional().describe("The number of steps between checkpoints; 0: only at the end."),
  }).optional(),
});

/** A change, in the form of a configuration. */
export interface TunableInput {
  /** Fields of the optimizer. */
  optim?: Partial<Pick<Config["optim"], "lr">>;
  /** Fields of how answers are sampled. */
  rollout?: Partial<Pick<Config["rollout"], "temperature">>;
  /** Fields of the loss. The coefficient of a divergence is its current value, whatever its kind. */
  algorithm?: { entropyCoefficient?: number; kl?: { coefficient?: number } };
  /** Fields of AT-RL. */
  atrl?: Partial<Pick<Config["atrl"], "mode" | "anchorFraction" | "wMin" | "wMax" | "temperature" | "own" | "normalise">>;
  /** How often a run evaluates and saves. */
  trainer?: Partial<Record<"valFreq" | "saveFreq", number>>;
}

/**
 * What zod makes of it. It has no page of its own, since it would need one for each of zod's types.
 *
 * @ignore
 */
export type TunableSchema = z.ZodType<TunableInput, TunableInput>;

/**
 * The schema of a change: the fields of a configuration that may change during a run. A change takes effect with the step after the one
 * under way.
 *
 * @example
 * ```ts
 * import { tunableSchema } from "@kedge/kedge/actors";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(tunableSchema.parse({ optim: { lr: 1e-5 } }), { optim: { lr: 1e-5 } });
 * assertEquals(tunableSchema.safeParse({ optim: { beta1: 0.8 } }).success, false);
 * ```
 */
export const tunableSchema: TunableSchema = schema;

/** A change by path, as { "optim.lr": 1e-5 }. */
export type TunableChanges = Readonly<Record<string, unknown>>;

/** The paths of these fields. */
export const TUNABLE: readonly string[] = Object.entries(schema.shape).flatMap(([section, inner]) =>
  Object.keys(inner.unwrap().shape).map((key) => section === "algorithm" && key === "kl" ? "algorithm.kl.coefficient" : `${section}.${key}`)
);

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** Returns a change by path. */
export function flatten(input: TunableInput): Record<string, unknown> {
  const walk = (value: unknown, path: string): [string, unknown][] =>
    isObject(value)
      ? Object.entries(value).flatMap(([key, inner]) => walk(inner, path === "" ? key : `${path}.${key}`))
      : value === undefined
      ? []
      : [[path, value]];
  return Object.fromEntries(walk(input, ""));
}

/**
 * Returns the value of a configuration at a path; undefined if there is none. A KL coefficient is returned as a number, whatever its
 * kind.
 */
export function valueAt(config: Config, path: string): unknown {
  const value = path.split(".").reduce<unknown>((at, key) => isObject(at) ? at[key] : undefined, config);
  return path === "algorithm.kl.coefficient" && isObject(value) ? value["coefficient"] : value;
}

/** Returns a configuration with changes. Sections that do not change are shared. */
export function withChanges(config: Config, changes: TunableChanges): Config {
  const assign = (at: unknown, [key, ...rest]: readonly string[], value: unknown): unknown => {
    const section = isObject(at) ? at : {};
    const next = rest.length > 0
      ? assign(section[key!], rest, value)
      : isObject(section[key!])
      ? { ...section[key!] as object, coefficient: value }
      : value;
    return { ...section, [key!]: next };
  };
  return Object.entries(changes).reduce<unknown>((at, [path, value]) => assign(at, path.split("."), value), config) as Config;
}
