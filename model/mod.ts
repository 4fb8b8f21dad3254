/**
 * Models of Qwen2-VL, Qwen2.5-VL and Qwen3-VL: their folders, the processor that turns messages and pictures into prompts, the forward pass for training, and
 * the engine that generates. The engine also measures how strongly each generated token attends to the pictures.
 *
 * @example Two answers to a question about a picture, and how strongly each token attends to it
 * ```ts
 * import { newBoardModel } from "@kedge/kedge/data";
 * import { Engine, Processor, VisionLanguageModel } from "@kedge/kedge/model";
 * import { openDevice } from "@kedge/kedge/tensor";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = `${Deno.makeTempDirSync()}/model`;
 * newBoardModel(folder, { seed: 1 }); // a tiny model with random weights; or a folder of yours
 * using device = openDevice("cpu");
 * using model = VisionLanguageModel.load(folder, { device });
 * using engine = new Engine(model, { memoryBytes: 2 ** 27 });
 * const processor = Processor.fromFolder(folder);
 *
 * const image = { data: new Uint8Array(56 * 56 * 3), width: 56, height: 56 }; // or the bytes of a PNG or JPEG file
 * const prompt = await processor.prompt([
 *   { role: "user", content: [{ type: "image", image }, { type: "text", text: "What is the red number?" }] },
 * ]);
 * const [answers] = await engine.generate([prompt], { n: 2, maxTokens: 4, seed: 1, connectivity: true });
 * for (const { tokens, connectivity } of answers!) {
 *   assertEquals(connectivity!.length, tokens.length);
 *   assertEquals(typeof processor.decode(tokens), "string");
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 *
 * @module
 */
// The model.
export { type LayerObserver, type LoadOptions, type LogProbsOptions, VisionLanguageModel } from "./model.ts";
export type { ModelParts, VisualFeatures } from "./family.ts";
export type { Expand, Expanded, Expansion } from "./processor/family_processor.ts";
export type { Checkpointing, KeptBlocks } from "./checkpointing.ts";
export { type Group, PackedBatch, type PackedPrompt, type PackedResponse, type PackOptions } from "./packed_batch.ts";
export { type Grid, type Pixels, type Prompt, type Visual, visualTokens } from "./prompt.ts";
export {
  configToJson,
  type Json,
  type ModelConfig,
  parseConfig,
  readConfig,
  type SpecialTokens,
  type TextConfig,
  type VisionConfig,
} from "./config/config.ts";
export { type Preset, presetConfig, type PresetName, presets } from "./config/presets.ts";
export type { Qwen25VLPreset } from "./qwen2_5_vl/presets.ts";
export type { Qwen2VLPreset } from "./qwen2_vl/presets.ts";
export type { Qwen3VLPreset } from "./qwen3_vl/presets.ts";
export { type ParameterPart, type ParameterSpec, parameterSpecs } from "./parameters.ts";
export { loadParameters, openModelFolder, saveModel, type SaveModelOptions } from "./folder/checkpoint.ts";
export type { Frozen, WeightType } from "./folder/weight_storage.ts";
export { initialiseParameters, type InitialOptions, type InitialScheme } from "./folder/initialise.ts";
export { newModelFolder } from "./folder/new_model_folder.ts";

// Low-rank adapters.
export type { LoraOptions } from "./lora/options.ts";
export type { Adapter, AdapterSource, ModuleAdapter, ModuleTensor } from "./lora/adapter.ts";
export { type AdapterPlan, Adapters, type ModuleRank, planAdapters } from "./lora/adapters.ts";
export { type AdapterBase, type GivenBase, isAdapterFolder } from "./lora/base.ts";
export { mergeAdapters } from "./lora/merge.ts";

// Connectivity: how strongly tokens attend to the pictures.
export { type Connectivity, ConnectivityAccumulator, type ConnectivityOptions } from "./connectivity.ts";
export { MEASURED_ROWS, type MeasuredRow } from "./measured_row.ts";
export { HeadConnectivity, type HeadConnectivityOptions, type HeadShares } from "./head_connectivity.ts";
export {
  chosenLayers,
  type HeadChoice,
  type RegionBox,
  type RegionMap,
  regionMap,
  type RegionOptions,
  type SinkEvidence,
  type SkippedHeads,
  skippedHeads,
  visualSinks,
} from "./regions.ts";

// Generation.
export { Engine, type EngineOptions, type GenerateOptions } from "./engine/engine.ts";
export type { Completion, Finish, GenerationEvent, TokenEvent } from "./engine/completion.ts";
export type { AdmissionStats } from "./engine/admission.ts";
export type { EngineLimits } from "./engine/limits.ts";
export type { Request, SamplingOptions, Stop } from "./engine/request.ts";
export type { EngineStats, Ticket } from "./engine/scheduler.ts";
export { defaultSuppress, suppressionMask } from "./engine/suppression.ts";

// The processor: from messages and pictures to prompts.
export {
  type Conversation,
  type ConversationOptions,
  type Dropped,
  type Pictures,
  Processor,
  type ProcessorParts,
  type PromptOptions,
} from "./processor/processor.ts";
export { type DecodeOptions, type EncodeOptions, Tokenizer, TokenStream } from "./processor/tokenizer.ts";
export { ChatTemplate, defaultChatTemplate, type RenderOptions, type TemplateMessage } from "./processor/chat_template.ts";
export {
  type ImageSource,
  type Marked,
  markedParts,
  type Message,
  type MessagesSchema,
  messagesSchema,
  parseMessages,
  type Part,
  type PixelBounds,
  type PixelData,
  type Row,
  type VideoSource,
} from "./processor/messages.ts";
export {
  type Colours,
  type FrameChoice,
  type FrameSizeOptions,
  type ImageOptions,
  ImageProcessor,
  type ImageProcessorOptions,
  type OpenedPicture,
  type SampleOptions,
  smartResize,
  type SmartResizeOptions,
  type VideoLength,
  type VideoOptions,
  type VideoRule,
  type VideoSettings,
} from "./processor/image_processor.ts";
