/**
 * The schemas of the endpoint's answers, for checks and for /openapi.json.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { type CommandName, type CommandReply, RUN_STATES, type RunStatus } from "../../actors/run_commands.ts";
import { ERROR_TYPES } from "./api_error.ts";

const step = z.int().describe("Completed steps.");
const anyValue = z.unknown();

/** The body of an error. */
export const errorSchema = z.object({
  error: z.object({
    message: z.string().describe("What could not be done and why, for people."),
    type: z.enum(ERROR_TYPES).describe("The kind of error, for programs."),
    code: z.string().nullable().describe("For programs: more exactly."),
    param: z.string().nullable().describe('The field that is wrong, as "optim.lr".'),
    state: z.enum(RUN_STATES).optional().describe("The run's state, if that is the reason."),
  }),
}).openapi("Error");

/** The status of a run. */
export const statusSchema = z.object({
  state: z.enum(RUN_STATES).describe("The run's state."),
  name: z.string().describe("The run's name."),
  step,
  maxSteps: z.int().describe("Steps of the whole run."),
  pausing: z.boolean().describe('Whether it pauses before its next step; the state may still be "running".'),
  accounts: z.record(z.string(), z.number()).describe("Bytes that each actor holds."),
  error: z.string().optional().describe("Why it failed."),
}).openapi("RunStatus");

/** The answer of /readyz. */
export const readySchema = z.object({ ready: z.boolean(), state: z.enum(RUN_STATES) }).openapi("Readiness");

/** The answer of GET /v1/config. */
export const configSchema = z.object({
  config: z.record(z.string(), anyValue).describe("The configuration in use, with its tuned fields."),
  tuned: z.record(z.string(), anyValue).describe("Fields that were tuned, by path, with their current values."),
  tunable: z.record(z.string(), anyValue).describe("Fields that can be tuned, by path, with their current values."),
}).openapi("RunConfig");

/** The answer of PATCH /v1/config. */
export const tuningSchema = z.object({
  changed: z.array(z.object({
    path: z.string().describe('As "optim.lr".'),
    from: anyValue.openapi({ description: "Value before." }),
    to: anyValue.openapi({ description: "Value now." }),
  })).describe("Fields whose value changed."),
  fromStep: z.int().describe("The first step that uses the new values."),
}).openapi("Tuning");

/** The answer of GET /v1/metrics. */
export const metricsSchema = z.object({
  lines: z.array(z.record(z.string(), anyValue)).describe(
    'Lines of metrics.jsonl, oldest first: { step, "reward/overall", "actor/entropy", ... }.',
  ),
}).openapi("Metrics");

/** The answer of GET /v1/rollouts. */
export const rolloutsSchema = z.object({
  step: z.int().nullable().describe("The step whose answers these are; null if there are none yet."),
  steps: z.array(z.int()).describe("Steps whose answers are available, in ascending order."),
  samples: z.array(z.record(z.string(), anyValue)).describe(
    "Lines of rollouts.jsonl: prompt, truth, response, tokens, logprobs, advantages, weights, connectivity, scores, anchor, cluster, classes, reward; image on a prompt's first one.",
  ),
}).openapi("Rollouts");

/** The answer of GET /v1/checkpoints. */
export const checkpointsSchema = z.object({
  checkpoints: z.array(z.object({
    step,
    score: z.number().nullable().describe("Score of its evaluation."),
    best: z.boolean().describe("Whether its score is the highest."),
    path: z.string().describe("Its folder on the machine of the run."),
  })).describe("In ascending order of steps."),
}).openapi("Checkpoints");

/** The answer of POST /v1/checkpoint. */
const checkpointSchema = z.object({ step, path: z.string().describe("Its folder, on the machine of the run.") }).openapi(
  "Checkpoint",
);

/** The answer of POST /v1/evaluate. */
const evaluationSchema = z.object({
  step,
  metrics: z.record(z.string(), z.number().nullable()).describe(
    'Values by name, such as "val/accuracy"; null for a value that is not finite.',
  ),
}).openapi("Evaluation");

/** The reply to a command. */
export interface Reply<T> {
  readonly schema: z.ZodType;
  /** The meaning of the reply. */
  readonly words: string;
  /** Returns the value that the schema describes. */
  plain(value: T): Record<string, unknown>;
}

/** Returns a status with the fields of its schema alone. */
export function statusOf({ state, name, step, maxSteps, pausing, accounts, error }: RunStatus): z.infer<typeof statusSchema> {
  return { state, name, step, maxSteps, pausing, accounts: { ...accounts }, ...(error !== undefined && { error }) };
}

/** The reply to most commands: the run's status. */
export const STATUS_REPLY: Reply<RunStatus> = { schema: statusSchema, words: "The status now.", plain: statusOf };

const finite = (value: number) => Number.isFinite(value) ? value : null;

/** The replies to the commands that answer something else. */
export const COMMAND_REPLIES: { readonly [C in CommandName]?: Reply<CommandReply<C>> } = {
  checkpoint: { schema: checkpointSchema, words: "The checkpoint is written.", plain: ({ step, path }) => ({ step, path }) },
  evaluate: {
    schema: evaluationSchema,
    words: "The metrics.",
    plain: ({ step, metrics }) => ({
      step,
      metrics: Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, finite(value)])),
    }),
  },
};

/** The answer of GET /v1/models. */
export const modelsSchema = z.object({
  object: z.literal("list"),
  data: z.array(z.object({
    id: z.string().describe("The run's name."),
    object: z.literal("model"),
    created: z.int().describe("Unix time in seconds when this endpoint started."),
    "owned_by": z.string(),
  })),
}).openapi("Models");

/** The body of a request without fields. */
export const nothingSchema = z.strictObject({}).openapi("Nothing");
