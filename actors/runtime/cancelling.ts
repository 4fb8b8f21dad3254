import type { Turn } from "./serve.ts";

/** Works under a signal that follows the request's own cancelling, for work that leaves the thread's event loop its turns. */
export async function cancelling<T>(turn: Turn, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController(), timer = setInterval(() => turn.cancelled() && controller.abort(), 20);
  try {
    return await work(controller.signal);
  } finally {
    clearInterval(timer);
  }
}
