/**
 * Asks an external service for rewards: `reward: { use: "http", options: { url: "https://host/grade" } }`.
 *
 * The reward runs in the graders' child processes, which may reach only that host. The graders' time limit applies.
 *
 * The service receives `POST {"samples": [{response, truth, prompt, options, finish, tokens, fields}, ...]}`. It answers with a list in the
 * same order, or with `{"rewards": [...]}`. Each item is a number or an object of numbers with `overall`.
 *
 * @module
 */
import type { RewardInput } from "./reward.ts";
import type { RewardValue } from "./reward_module.ts";

/** Options of the reward "http". */
export interface HttpRewardOptions {
  readonly url: string;
  /** The number of attempts after the first, for a service that cannot be reached or answers with 429 or 5xx. Default: 3. */
  readonly retries?: number;
  /** Milliseconds before the second attempt. The wait doubles each time. Default: 200. */
  readonly backoff?: number;
  /** Milliseconds that one attempt may take. Default: 10,000. */
  readonly timeout?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Sends one request. @returns The answer, or why another attempt may succeed. */
async function attempt(
  body: string,
  { url, headers = {}, timeout = 10_000 }: HttpRewardOptions,
): Promise<{ answer: unknown } | { trouble: string }> {
  let response: Response;
  try {
    const init = {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
      signal: AbortSignal.timeout(timeout),
    };
    response = await fetch(url, init);
  } catch (error) {
    return { trouble: (error as Error).message };
  }
  if (response.ok) return { answer: await response.json() };
  const words = `${url} answered ${response.status}: ${(await response.text()).slice(0, 200)}`;
  if (response.status === 429 || response.status >= 500) return { trouble: words };
  throw new Error(`Cannot grade: ${words}`);
}

/** Grades samples by the service. @throws {Error} if it does not answer, or answers with something else. */
export async function batch(inputs: readonly RewardInput[], options: Readonly<Record<string, unknown>>): Promise<readonly RewardValue[]> {
  const httpOptions = options as unknown as HttpRewardOptions,
    { retries = 3, backoff = 200 } = httpOptions,
    body = JSON.stringify({ samples: inputs });
  let trouble = "";
  for (let tried = 0; tried <= retries; tried++) {
    // deno-lint-ignore no-await-in-loop -- one attempt after the other
    if (tried > 0) await wait(backoff * 2 ** (tried - 1));
    // deno-lint-ignore no-await-in-loop -- as above
    const result = await attempt(body, httpOptions);
    if ("trouble" in result) {
      trouble = result.trouble;
      continue;
    }
    const { answer } = result, list = Array.isArray(answer) ? answer : (answer as { rewards?: unknown } | null)?.rewards;
    if (!Array.isArray(list)) {
      throw new Error(`Cannot grade: ${httpOptions.url} answered with ${JSON.stringify(answer)?.slice(0, 100)}, which is not a list`);
    }
    return list as RewardValue[];
  }
  throw new Error(`Cannot grade: ${retries + 1} attempts failed, the last with: ${trouble}`);
}
