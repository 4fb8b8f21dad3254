/** Makes data files for tests. */
import type { Part } from "../../model/processor/messages.ts";
import type { Sample } from "../../data/sample.ts";

/** Runs a function with a folder that is removed afterwards. */
export async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Formats rows as lines of JSON. */
export function lines(rows: readonly unknown[]): string {
  return rows.map((row) => JSON.stringify(row) + "\n").join("");
}

/** Returns the parts of the user turn. */
export function userParts(sample: Sample): readonly Part[] {
  const content = sample.messages.at(-1)!.content;
  return typeof content === "string" ? [{ type: "text", text: content }] : content;
}

/** Returns the user turn as text, with each picture as its first byte in brackets. */
export function shown(sample: Sample): string {
  return userParts(sample).map((part) => {
    if (part.type === "text") return part.text;
    if (part.type === "video") return `[video ${"path" in part.video ? part.video.path.split("/").at(-1) : ""}]`;
    return `[${part.image instanceof Uint8Array ? part.image[0] : "pixels"}]`;
  }).join("");
}
