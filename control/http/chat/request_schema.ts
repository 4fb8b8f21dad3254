/**
 * The schema of the body of POST /v1/chat/completions: OpenAI's interface, as far as the policy supports it.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";

const MOST_TOKENS = 4096, MOST_ANSWERS = 8;
const UNSUPPORTED = "it is not supported, and ignoring it would change the answer";
const FETCHED = "it must be a data URL of a PNG, JPEG, WebP or GIF in base64 (nothing is fetched)";

const nothing = { error: UNSUPPORTED };
const zero = z.literal(0, nothing).nullish().describe("Not supported: 0 or nothing.");
const none = z.array(z.unknown(), nothing).max(0, nothing).nullish().describe("Not supported: empty or nothing.");
const ignored = z.unknown().optional().openapi({ description: "Ignored." });

const text = z.strictObject({ type: z.literal("text"), text: z.string() }).openapi("TextPart");
const image = z.strictObject({
  type: z.literal("image_url"),
  "image_url": z.strictObject({
    url: z.string().regex(/^data:image\/(png|jpe?g|webp|gif);base64,/i, FETCHED).describe(
      "`data:image/png;base64,...`; also JPEG, WebP, GIF. Nothing is fetched.",
    ),
    detail: z.string().optional().describe("Ignored."),
  }),
}).openapi("ImagePart");

const texts = z.union([z.string(), z.array(text).min(1)]);
const message = z.discriminatedUnion("role", [
  z.strictObject({ role: z.literal("system"), content: texts, name: z.string().optional().describe("Ignored.") }),
  z.strictObject({
    role: z.literal("user"),
    content: z.union([z.string(), z.array(z.discriminatedUnion("type", [text, image])).min(1)]),
    name: z.string().optional().describe("Ignored."),
  }),
  z.strictObject({
    role: z.literal("assistant"),
    content: texts,
    name: z.string().optional().describe("Ignored."),
    refusal: z.null(nothing).optional().describe("Not supported: nothing."),
  }),
], { error: 'it has no role of "system", "user" and "assistant"' }).openapi("ChatMessage");

/** The schema of a chat request's body. */
export const chatRequestSchema = z.strictObject({
  messages: z.array(message).min(1).max(1000).describe("The conversation. Pictures are data URLs in user turns."),
  model: z.string().optional().describe("Ignored: the only model is the current policy."),
  n: z.int().min(1).max(MOST_ANSWERS).nullish().describe("Answers; default 1."),
  temperature: z.number().min(0).max(2).nullish().describe("0 always takes the likeliest token. Default: 1."),
  "top_p": z.number().positive().max(1).nullish().describe(
    "Samples only from the likeliest tokens that together have this probability. Default: 1.",
  ),
  "max_tokens": z.int().min(1).max(MOST_TOKENS).nullish().describe("The maximum tokens of an answer. Default: 256."),
  "max_completion_tokens": z.int().min(1).max(MOST_TOKENS).nullish().describe("The same under its new name."),
  stop: z.union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).max(4)]).nullish().describe(
    "Up to 4 texts that end an answer.",
  ),
  seed: z.int().min(0).nullish().describe("The same seed draws the same answers from the same weights; Default: random."),
  stream: z.boolean().nullish().describe("Whether the answer is streamed as server-sent events."),
  "stream_options": z.strictObject({
    "include_usage": z.boolean().optional().describe("Whether the last chunk contains the usage."),
    "include_obfuscation": ignored,
  }).nullish(),
  logprobs: z.boolean().nullish().describe("Whether each token includes its log-probability."),
  "top_logprobs": zero,
  connectivity: z.boolean().nullish().describe("Whether each answer includes where its tokens attend. OpenAI has no such field."),
  tools: none,
  "tool_choice": z.enum(["none", "auto"], nothing).nullish().describe("There are no tools to choose from."),
  functions: none,
  "function_call": z.enum(["none", "auto"], nothing).nullish().describe("There are no functions to call."),
  "response_format": z.strictObject({ type: z.literal("text", nothing) }, nothing).nullish().describe("Text only."),
  modalities: z.array(z.literal("text", nothing), nothing).nullish().describe("Text only."),
  "logit_bias": z.strictObject({}, nothing).nullish().describe("Not supported: empty or nothing."),
  "frequency_penalty": zero,
  "presence_penalty": zero,
  audio: z.null(nothing).optional().describe("Not supported: nothing."),
  user: ignored,
  metadata: ignored,
  store: ignored,
  "service_tier": ignored,
  "parallel_tool_calls": ignored,
  "safety_identifier": ignored,
  "prompt_cache_key": ignored,
}).openapi("ChatRequest");

/** A chat request that satisfies the schema. */
export type ChatBody = z.infer<typeof chatRequestSchema>;
