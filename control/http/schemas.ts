/**
 * What the endpoint answers, for checks and for /openapi.json.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { RUN_STATES } from "../../actors/run_control.ts";
import { ERROR_TYPES } from "./api_error.ts";

const step = z.int().describe("Steps that are done.");
const anyValue = z.unknown();

/** A refusal. */
export const errorSchema = z.object({
  error: z.object({
    message: z.string().describe("For people: what could not be done, and why."),
    type: z.enum(ERROR_TYPES).describe("For programs: what kind of refusal this is."),
    code: z.string().nullable().describe("For programs: more exactly."),
    param: z.string().nullable().describe('The field that is wrong, as "optim.lr".'),
    state: z.enum(RUN_STATES).optional().describe("Where the run is, if that is why."),
  }),
}).openapi("Error");

/** How a run stands. */
export const statusSchema = z.object({
  state: z.enum(RUN_STATES).describe("Where the run is."),
  name: z.string().describe("The run's name."),
  step,
  maxSteps: z.int().describe("Steps of the whole run."),
  pausing: z.boolean().describe('Whether it pauses before its next step; the state may still be "running".'),
  accounts: z.record(z.string(), z.number()).describe("Bytes that each actor holds."),
  error: z.string().optional().describe("Why it failed."),
}).openapi("RunStatus");

/** /readyz. */
export const readySchema = z.object({ ready: z.boolean(), state: z.enum(RUN_STATES) }).openapi("Readiness");

/** GET /v1/config. */
export const configSchema = z.object({
  config: z.record(z.string(), anyValue).describe("The configuration in use, with its tuned fields."),
  tuned: z.record(z.string(), anyValue).describe("Fields that were tuned, by path, with their values now."),
  tunable: z.record(z.string(), anyValue).describe("Fields that can be tuned, by path, with their values now."),
}).openapi("RunConfig");

/** PATCH /v1/config. */
export const tuningSchema = z.object({
  changed: z.array(z.object({
    path: z.string().describe('As "optim.lr".'),
    from: anyValue.openapi({ description: "Value before." }),
    to: anyValue.openapi({ description: "Value now." }),
  })).describe("Fields that have another value now."),
  fromStep: z.int().describe("The first step that is made with them."),
}).openapi("Tuning");

/** GET /v1/metrics. */
export const metricsSchema = z.object({
  lines: z.array(z.record(z.string(), anyValue)).describe(
    'Lines of metrics.jsonl, oldest first: { step, "reward/overall", "actor/entropy", ... }.',
  ),
}).openapi("Metrics");

/** GET /v1/rollouts. */
export const rolloutsSchema = z.object({
  step: z.int().nullable().describe("The step whose answers these are; null where there are none yet."),
  steps: z.array(z.int()).describe("Steps whose answers can be read, rising."),
  samples: z.array(z.record(z.string(), anyValue)).describe(
    "Lines of rollouts.jsonl: prompt, truth, response, tokens, logprobs, advantages, weights, connectivity, anchor, cluster, reward; image on a prompt's first one.",
  ),
}).openapi("Rollouts");

/** GET /v1/checkpoints. */
export const checkpointsSchema = z.object({
  checkpoints: z.array(z.object({
    step,
    score: z.number().nullable().describe("Of its evaluation."),
    best: z.boolean().describe("Whether its score is the highest."),
    path: z.string().describe("Its folder, on the machine of the run."),
  })).describe("By rising step."),
}).openapi("Checkpoints");

/** POST /v1/checkpoint. */
export const checkpointSchema = z.object({ step, path: z.string().describe("Its folder, on the machine of the run.") }).openapi(
  "Checkpoint",
);

/** POST /v1/evaluate. */
export const evaluationSchema = z.object({
  step,
  metrics: z.record(z.string(), z.number().nullable()).describe('By name, as "val/accuracy"; null for what is not finite.'),
}).openapi("Evaluation");

/** GET /v1/models. */
export const modelsSchema = z.object({
  object: z.literal("list"),
  data: z.array(z.object({
    id: z.string().describe("The run's name."),
    object: z.literal("model"),
    created: z.int().describe("Seconds since 1970 when this endpoint started."),
    "owned_by": z.string(),
  })),
}).openapi("Models");

/** The body of a request that says nothing. */
export const nothingSchema = z.strictObject({}).openapi("Nothing");
