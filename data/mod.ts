/**
 * Data sets: rows of files, of the hub and of the board task as samples, and the order in which they are trained on.
 *
 * @module
 */
export * from "./board/mod.ts";
export * from "./columns.ts";
export * from "./concat.ts";
export * from "./file_print.ts";
export { FORMAT_NAMES, type FormatName } from "./formats.ts";
export { type Download, downloadDataset, type HubId, type HubOptions, parseHubId } from "./hub/dataset.ts";
export { fetchModel, findModel, type FoundModel, type ModelId, type ModelOptions, parseModelId } from "./hub/model.ts";
export type { HubAccess } from "./hub/settings.ts";
export * from "./json_lines.ts";
export * from "./open.ts";
export * from "./parquet.ts";
export * from "./prompt_format.ts";
export type { AllowRemote } from "./remote.ts";
export * from "./quarantine.ts";
export * from "./sample.ts";
export * from "./sampler.ts";
