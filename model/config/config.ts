export type { ModelConfig, SpecialTokens, TextConfig, VisionConfig } from "./types.ts";
export { type Json, parseConfig, readConfig } from "./config_file.ts";
export { configToJson } from "./config_writer.ts";
