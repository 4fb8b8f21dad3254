import { z } from "@hono/zod-openapi";

const token = z.object({
  token: z.string().describe("The token alone; U+FFFD for part of a character."),
  logprob: z.number().describe("Natural logarithm of its probability."),
  bytes: z.array(z.int()).nullable().describe("Its UTF-8; null for part of a character."),
  "top_logprobs": z.array(z.unknown()).max(0).describe("Empty."),
});

const logprobs = z.object({ content: z.array(token) }).nullable();

/** Where the tokens of an answer attend. */
const connectivitySchema = z.object({
  values: z.array(z.number()).describe("For each token, how strongly it attends to the pictures, in [0, 1]."),
  anchors: z.array(z.boolean()).describe("Which tokens are anchors."),
  clusters: z.array(z.int()).describe("Which cluster each token belongs to."),
  weights: z.array(z.number()).describe("For each token, the weight of its credit."),
  profiles: z.array(z.array(z.number())).describe("[tokens][regions]: the distribution of the token's attention over the pictures."),
  regions: z.array(z.object({
    visual: z.int().describe("Index of the picture in the conversation."),
    left: z.number(),
    top: z.number(),
    width: z.number(),
    height: z.number(),
  })).describe("Rectangles of the pictures, as fractions of width and height."),
}).openapi("Connectivity");

/** The token counts of a request. */
const usageSchema = z.object({
  "prompt_tokens": z.int(),
  "completion_tokens": z.int().describe("Tokens of all answers."),
  "total_tokens": z.int(),
}).openapi("Usage");

const finish = z.enum(["stop", "length"]);

/** A complete answer. */
export const completionSchema = z.object({
  id: z.string(),
  object: z.literal("chat.completion"),
  created: z.int().describe("Unix time in seconds."),
  model: z.string().describe("The run's name."),
  "system_fingerprint": z.string().describe("The weights that answered: `step-12` are those after step 12."),
  choices: z.array(z.object({
    index: z.int(),
    message: z.object({ role: z.literal("assistant"), content: z.string(), refusal: z.null() }),
    logprobs,
    "finish_reason": finish.describe("`length`: it reached the maximum length."),
    connectivity: connectivitySchema.optional(),
  })),
  usage: usageSchema,
}).openapi("ChatCompletion");

/** A chunk of a streamed answer. `[DONE]` follows the last chunk. */
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

/** A complete answer. */
export type Completion = z.infer<typeof completionSchema>;

/** A chunk of a streamed answer. */
export type Chunk = z.infer<typeof chunkSchema>;
