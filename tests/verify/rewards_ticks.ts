/**
 * Prints, as JSON, the ticks of processor time that processes have used, and null for a process that has ended. Deno reads /proc only with
 * all permissions, so that this needs a process of its own.
 *
 * @module
 */
function ticks(pid: string): number | null {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`), fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : Number(fields[11]) + Number(fields[12]);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(Deno.args.map(ticks))));
