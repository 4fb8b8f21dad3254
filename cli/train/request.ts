/**
 * Passes the request to a process of a run: the first line of its standard input, as JSON. Arguments would be too short for a long
 * configuration, and every user of the machine can read them.
 *
 * @module
 */

/** Writes the request to a process that was started for it. If the process has ended already, nothing happens; its status reports it. */
export function writeRequest(input: WritableStreamDefaultWriter<Uint8Array>, request: unknown): void {
  input.write(new TextEncoder().encode(`${JSON.stringify(request)}\n`)).catch(() => {});
}

/** Reads the request, and nothing after it. @throws {RangeError} if the input ends earlier. */
export function readRequest<T>(): T {
  const byte = new Uint8Array(1), bytes: number[] = [];
  while (byte[0] !== 0x0a) {
    if (Deno.stdin.readSync(byte) === null) throw new RangeError("Cannot start: the standard input contains no request");
    bytes.push(byte[0]!);
  }
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes))) as T;
}
