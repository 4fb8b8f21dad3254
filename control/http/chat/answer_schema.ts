import { z } from "@hono/zod-openapi";

const token = z.object({
  token: z.string().describe("The token alone; U+FFFD for part of a character."),
  logprob: z.number().describe("Natural logarithm of its probability."),
  bytes: z.array(z.int()).nullable().describe("Its UTF-8; null for part of a character."),
  "top_logprobs": z.array(z.unknown()).max(0).describe("Empty."),
});

const logprobs = z.object({ content: z.array(token) }).nullable();

/** What the tokens of an answer looked at. */
const connectivitySchema = z.object({
  values: z.array(z.number()).describe("By token: how strongly it attends to the pictures, in [0, 1]."),
  anchors: z.array(z.boolean()).describe("Which tokens are anchors."),
  clusters: z.array(z.int()).describe("Which cluster each token belongs to."),
  weights: z.array(z.number()).describe("The weight that its credit would have."),
  profiles: z.array(z.array(z.number())).describe("[tokens][regions]: how its attention is spread over the pictures."),
  regions: z.array(z.object({
    visual: z.int().describe("Which picture of the conversation."),
    left: z.number(),
    top: z.number(),
    width: z.number(),
    height: z.number(),
  })).describe("Rectangles of the pictures, as shares of width and height."),
}).openapi("Connectivity");

/** Tokens of a request. */
const usageSchema = z.object({
  "prompt_tokens": z.int(),
  "completion_tokens": z.int().describe("Of all answers."),
  "total_tokens": z.int(),
}).openapi("Usage");

const finish = z.enum(["stop", "length"]);

/** A whole answer. */
export const completionSchema = z.object({
  id: z.string(),
  object: z.literal("chat.completion"),
  created: z.int().describe("Seconds since 1970."),
  model: z.string().describe("The run's name."),
  "system_fingerprint": z.string().describe("The weights that answered: `step-12` are those after step 12."),
  choices: z.array(z.object({
    index: z.int(),
    message: z.object({ role: z.literal("assistant"), content: z.string(), refusal: z.null() }),
    logprobs,
    "finish_reason": finish.describe("`length`: it was cut at its longest."),
    connectivity: connectivitySchema.optional(),
  })),
  usage: usageSchema,
}).openapi("ChatCompletion");

/** A piece of an answer in a stream; after the last one comes `[DONE]`. */
export const chunkSchema = z.object({
  id: z.string(),
  object: z.literal("chat.completion.chunk"),
  created: z.int(),
  model: z.string(),
  "system_fingerprint": z.string().optional(),
  choices: z.array(z.object({
    index: z.int(),
    delta: z.object({ role: z.literal("assistant").optional(), content: z.string().optional() }),
    logprobs,
    "finish_reason": finish.nullable(),
    connectivity: connectivitySchema.optional(),
  })),
  usage: usageSchema.nullish(),
}).openapi("ChatCompletionChunk");

/** A whole answer. */
export type Completion = z.infer<typeof completionSchema>;

/** A piece of one. */
export type Chunk = z.infer<typeof chunkSchema>;
