import type { Message, Part } from "../../../model/processor/messages.ts";
import type { ChatRequest } from "../../../actors/run_control.ts";
import { ApiError } from "../api_error.ts";
import type { ChatBody } from "./request_schema.ts";

type Turn = ChatBody["messages"][number];

/**
 * Converts the body of a chat request: pictures become bytes.
 *
 * @throws {ApiError} 400 for a picture that is not valid base64.
 */
export function chatRequestOf(body: ChatBody): ChatRequest {
  const { stop } = body;
  return {
    messages: body.messages.map(messageOf),
    n: body.n ?? 1,
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? 256,
    stop: typeof stop === "string" ? [stop] : stop ?? [],
    seed: body.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!,
    connectivity: body.connectivity ?? false,
  };
}

function messageOf({ role, content }: Turn, turn: number): Message {
  if (typeof content === "string") return { role, content };
  const parts = content.map((part, at): Part => {
    if (part.type === "text") return { type: "text", text: part.text };
    return { type: "image", image: bytesOf(part.image_url.url, `messages.${turn}.content.${at}.image_url.url`) };
  });
  return { role, content: parts };
}

function bytesOf(url: string, param: string): Uint8Array {
  try {
    const bytes = Uint8Array.fromBase64(url.slice(url.indexOf(",") + 1));
    if (bytes.length > 0) return bytes;
  } catch {
    // The error is thrown below.
  }
  throw new ApiError(400, `Cannot read "${param}": it is not a picture in base64`, { code: "invalid_value", param });
}
