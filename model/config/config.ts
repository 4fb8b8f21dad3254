export type { ModelConfig, SpecialTokens, TextConfig, VisionConfig } from "./types.ts";
export { type Json, parseConfig, readConfig } from "../qwen2_5_vl/config_file.ts";
export { configToJson } from "../qwen2_5_vl/config_writer.ts";
