/** Returns a function that waits for work and adds the seconds that it took to `timing_s/NAME`. */
export function timedInto(timing: Record<string, number>): <T>(name: string, work: Promise<T>) => Promise<T> {
  return async (name, work) => {
    const since = performance.now(), result = await work;
    timing[`timing_s/${name}`] = (timing[`timing_s/${name}`] ?? 0) + (performance.now() - since) / 1000;
    return result;
  };
}
