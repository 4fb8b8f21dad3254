import { newBoardModel } from "../../data/board/mod.ts";
import type { Config } from "../config/schema.ts";
import { namesIn } from "../run/whole_file.ts";

/** Makes the model that a run of the built-in task begins with, unless it exists. @returns Its folder. */
export function newModel(run: string, { model: { preset }, seed }: Pick<Config, "model" | "seed">): string {
  const folder = `${run}/initial`;
  if (!namesIn(folder).includes("config.json")) newBoardModel(folder, { seed, preset });
  return folder;
}
