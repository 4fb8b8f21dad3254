import { newBoardModel } from "../../data/board/mod.ts";
import type { Config } from "../config/schema.ts";
import { namesIn } from "../run/whole_file.ts";

/** The model that a run of the built-in task begins with, made where it is not there yet. @returns Its folder. */
export function newModel(run: string, { model: { preset }, seed }: Pick<Config, "model" | "seed">): string {
  const folder = `${run}/initial`;
  if (!namesIn(folder).includes("config.json")) newBoardModel(folder, { seed, preset });
  return folder;
}
