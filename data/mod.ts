/**
 * Data sets. They turn rows of files, of the hub and of the board task into samples, and choose the order of training.
 *
 * @example Rows of a file, in the order of two epochs
 * ```ts
 * import { openDataset, ShuffledSampler } from "@kedge/kedge/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = Deno.makeTempDirSync();
 * const rows = [{ problem: "1 + 1?", answer: "2" }, { problem: "2 + 3?", answer: "5" }];
 * Deno.writeTextFileSync(`${folder}/rows.jsonl`, rows.map((row) => JSON.stringify(row)).join("\n"));
 * const dataset = await openDataset(`${folder}/rows.jsonl`); // or Parquet, or "owner/name@train" of the hub
 * assertEquals((await dataset.sample(1)).truth, "5");
 *
 * const order = new ShuffledSampler(dataset.size, { seed: 1 }).next(4);
 * assertEquals(order.toSorted(), [0, 0, 1, 1]);
 * Deno.removeSync(folder, { recursive: true });
 * ```
 *
 * @module
 */
export * from "./board/mod.ts";
export * from "./columns.ts";
export * from "./concat.ts";
export { FORMAT_NAMES, type FormatName } from "./formats.ts";
export { type Download, downloadDataset, type HubId, type HubOptions, parseHubId } from "./hub/dataset.ts";
export { fetchModel, findModel, type FoundModel, type ModelId, type ModelOptions, parseModelId } from "./hub/model.ts";
export type { HubAccess } from "./hub/settings.ts";
export { type FileOptions, JsonLinesDataset } from "./json_lines.ts";
export { openDataset, type OpenOptions } from "./open.ts";
export * from "./parquet.ts";
export { INSTRUCTIONS, type PromptFormat, surround, type Surroundings, surroundings } from "./prompt_format.ts";
export type { AllowRemote } from "./remote.ts";
export * from "./quarantine.ts";
export * from "./sample.ts";
export * from "./sampler.ts";
