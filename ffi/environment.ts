/**
 * What the process is told by its environment, without asking anybody: an ungranted variable counts as unset.
 *
 * @module
 */

/** The variable's value; undefined where it is unset, empty or not granted. */
export function environment(name: string): string | undefined {
  if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") return undefined;
  return Deno.env.get(name) || undefined;
}

/** Whether the path is there and may be seen; never prompts. */
export function visible(path: string): boolean {
  if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return false;
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
