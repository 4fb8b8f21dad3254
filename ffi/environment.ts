/**
 * Reads environment variables without a prompt: one that may not be read counts as unset.
 *
 * @module
 */

/** The variable's value; undefined if it is unset, empty or not granted. */
export function environment(name: string): string | undefined {
  if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") return undefined;
  return Deno.env.get(name) || undefined;
}

/** Whether the path exists and may be read. It never prompts. */
export function visible(path: string): boolean {
  if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return false;
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
