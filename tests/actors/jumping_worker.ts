/** A worker for any actor, whose clock jumps back an hour, forward a day, and so on with each reading. */
const now = Date.now;
let looks = 0;
const jumped = () => now() + (++looks % 3 === 0 ? 86_400_000 : -3_600_000);
globalThis.Date = class extends Date {
  constructor(...given: unknown[]) {
    super(...(given.length === 0 ? [jumped()] : given) as [number]);
  }
  static override now = jumped;
} as DateConstructor;

const folder = (self as unknown as { name: string }).name;
await import(`../../actors/${folder}/worker.ts`);
