/**
 * The rewards that configurations can name, with checks of their options.
 *
 * @module
 */
import { z } from "zod";
import { defaultPart, type PlannedPart, type RewardPlan, type VerifierName } from "./plan.ts";

const fraction = z.number().min(0).max(1), positive = z.number().nonnegative();
/** The options of each verifier. */
const OPTIONS = {
  math: z.strictObject({
    relative: positive.optional(),
    rounded: z.boolean().optional(),
    units: z.enum(["optional", "required"]).optional(),
  }),
  "multiple_choice": z.strictObject({ units: z.enum(["optional", "required"]).optional() }),
  exact: z.strictObject({
    caseSensitive: z.boolean().optional(),
    punctuation: z.boolean().optional(),
    from: z.enum(["answer", "response"]).optional(),
  }),
  number: z.strictObject({ absolute: positive.optional(), relative: positive.optional() }),
  iou: z.strictObject({ threshold: fraction.optional(), layout: z.enum(["corners", "size"]).optional() }),
  point: z.strictObject({ radius: positive.optional(), slack: positive.optional() }),
  format: z.strictObject({ style: z.enum(["think", "think_answer", "think_boxed", "boxed", "answer"]).optional() }),
  length: z.strictObject({
    min: positive.optional(),
    max: positive.optional(),
    slack: positive.optional(),
    unit: z.enum(["tokens", "characters"]).optional(),
  }),
} satisfies Record<VerifierName, z.ZodType>;

/** Rewards that are combined from others, by name. */
const PRESETS: Readonly<Record<string, RewardSpec>> = {
  "math_format": {
    parts: { accuracy: { use: "math", weight: 0.9 }, format: { use: "format", weight: 0.1, options: { style: "think_boxed" } } },
  },
  r1v: { parts: { accuracy: { use: "math", weight: 0.5 }, format: { use: "format", weight: 0.5, options: { style: "think_answer" } } } },
};

const http = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  retries: z.int().nonnegative().optional(),
  backoff: positive.optional(),
  timeout: positive.optional(),
  headers: z.record(z.string(), z.string()).optional(),
});
const HTTP_MODULE = new URL("./http_reward.ts", import.meta.url).href;

const options = z.record(z.string(), z.unknown()).optional();
const partSchema = z.strictObject({ use: z.string().min(1), weight: z.number().default(1), options });

/**
 * The parsed schema. It has no separate page, because each of zod's types would need one.
 *
 * @ignore
 */
export type RewardSchema = z.ZodType<ParsedReward, RewardSpec>;

/**
 * The schema of a configuration's `reward`: a name or module, one with options, or named parts with weights.
 *
 * {@linkcode REWARD_NAMES} has the names; docs/algorithms.md says what each does. A module is a path that begins with "./", "../" or "/", or a
 * "file:" or "https:" URL.
 */
export const rewardSchema: RewardSchema = z.union([
  z.string().min(1),
  z.strictObject({ use: z.string().min(1), options }),
  z.strictObject({
    parts: z.record(z.string().min(1), partSchema).refine((parts) => Object.keys(parts).length > 0, "name at least one part"),
  }),
]);

/** A verifier or module with its options. */
export interface RewardUse {
  /** The name of a verifier, or a module. */
  use: string;
  /** Options for the verifier, or for the module's function. */
  options?: Record<string, unknown> | undefined;
}

/** A configuration's `reward`, as written. */
export type RewardSpec = string | RewardUse | {
  /** The parts, by the names that reports use. `weight` is 1 by default. */
  parts: Record<string, RewardUse & { weight?: number | undefined }>;
};

/** A {@linkcode RewardSpec} with its defaults filled in. */
export type ParsedReward = string | RewardUse | { parts: Record<string, RewardUse & { weight: number }> };

/** The names that `reward` accepts. */
export const REWARD_NAMES: readonly string[] = [...Object.keys(OPTIONS), "http", ...Object.keys(PRESETS)];

const isModule = (use: string): boolean => /^(?:\.{1,2}\/|\/|file:|https:)/.test(use);

/**
 * Resolves a configuration's `reward`.
 *
 * @param spec The value of `reward` in the configuration.
 * @param base The URL that module paths are relative to: a "file:" or "https:" URL, such as the configuration file's.
 * @throws RangeError that names the field, for an unknown name, a wrong option, or a part that has parts.
 * @example
 * ```ts
 * import { planReward } from "@kedge/kedge/rewards";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const plan = planReward({ parts: { accuracy: { use: "math", weight: 0.9 }, style: { use: "./style.ts", weight: 0.1 } } }, "file:///run/config.json");
 * assertEquals(plan.modules, ["file:///run/style.ts"]);
 * assertThrows(() => planReward("maths", "file:///"), RangeError, 'unknown reward "maths"');
 * ```
 */
export function planReward(spec: RewardSpec, base: string | URL): RewardPlan {
  const parsed = rewardSchema.safeParse(spec);
  if (!parsed.success) throw new RangeError(`Cannot read \`reward\`: ${z.prettifyError(parsed.error).replaceAll("\n", " ")}`);
  const reward = typeof parsed.data === "string" ? { use: parsed.data } : parsed.data;
  if ("parts" in reward) return planParts(reward.parts, base);
  if (Object.hasOwn(PRESETS, reward.use)) {
    if (reward.options !== undefined) {
      throw new RangeError(`Cannot read \`reward\`: "${reward.use}" accepts no options; list its parts instead`);
    }
    return planReward(PRESETS[reward.use]!, base);
  }
  if (reward.use === "http") {
    const options = checked("http", http, reward.options ?? {}) as { url: string };
    return { modules: [HTTP_MODULE], options, net: [new URL(options.url).host] };
  }
  if (isModule(reward.use)) return { modules: [new URL(reward.use, base).href], options: reward.options ?? {} };
  const name = defaultPart(reward.use);
  return planParts({ [name]: { use: reward.use, weight: 1, options: reward.options } }, base);
}

function planParts(parts: Readonly<Record<string, z.output<typeof partSchema>>>, base: string | URL): RewardPlan {
  const modules: string[] = [], net = new Set<string>();
  const planned = Object.entries(parts).map(([name, { use, weight, options = {} }]): PlannedPart => {
    if (name === "overall") throw new RangeError('Cannot read `reward`: a part cannot be named "overall", because the sum has that name');
    if (isModule(use)) {
      const url = new URL(use, base).href;
      if (!modules.includes(url)) modules.push(url);
      return { name, weight, module: modules.indexOf(url), options };
    }
    if (use === "http") {
      const httpOptions = checked("http", http, options) as { url: string };
      if (!modules.includes(HTTP_MODULE)) modules.push(HTTP_MODULE);
      net.add(new URL(httpOptions.url).host);
      return { name, weight, module: modules.indexOf(HTTP_MODULE), options: httpOptions };
    }
    const schema = (OPTIONS as Readonly<Record<string, z.ZodType>>)[use];
    if (schema === undefined || !Object.hasOwn(OPTIONS, use)) {
      throw new RangeError(
        `Cannot read \`reward\`: unknown reward "${use}"; the known ones are ${
          REWARD_NAMES.join(", ")
        }, and modules such as "./my_reward.ts"`,
      );
    }
    return { name, weight, verifier: use, options: checked(use, schema, options) };
  });
  return { parts: planned, modules, ...(net.size > 0 && { net: [...net] }) };
}

function checked(use: string, schema: z.ZodType, options: unknown): Readonly<Record<string, unknown>> {
  const result = schema.safeParse(options);
  if (result.success) return result.data as Readonly<Record<string, unknown>>;
  throw new RangeError(`Cannot read \`reward\`: options of "${use}": ${z.prettifyError(result.error).replaceAll("\n", " ")}`);
}
