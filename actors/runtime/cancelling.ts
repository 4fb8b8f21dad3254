import type { Turn } from "./serve.ts";

/**
 * Runs work with a signal that fires when the request is cancelled. The work must yield to the event loop, which checks the request every
 * 20 ms.
 */
export async function cancelling<T>(turn: Turn, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController(), timer = setInterval(() => turn.cancelled() && controller.abort(), 20);
  try {
    return await work(controller.signal);
  } finally {
    clearInterval(timer);
  }
}
