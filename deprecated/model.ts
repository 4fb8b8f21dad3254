/**
 * Names that have moved from `@kedge/kedge` to `@kedge/kedge/model`. They stay importable from there until version 0.2.
 *
 * @module
 */
import * as model from "../model/mod.ts";

/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const ChatTemplate: typeof model.ChatTemplate = model.ChatTemplate;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const chosenLayers: typeof model.chosenLayers = model.chosenLayers;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const configToJson: typeof model.configToJson = model.configToJson;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const ConnectivityAccumulator: typeof model.ConnectivityAccumulator = model.ConnectivityAccumulator;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const defaultChatTemplate: typeof model.defaultChatTemplate = model.defaultChatTemplate;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const defaultSuppress: typeof model.defaultSuppress = model.defaultSuppress;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const ImageProcessor: typeof model.ImageProcessor = model.ImageProcessor;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const initialiseParameters: typeof model.initialiseParameters = model.initialiseParameters;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const loadParameters: typeof model.loadParameters = model.loadParameters;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const markedParts: typeof model.markedParts = model.markedParts;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const messagesSchema: typeof model.messagesSchema = model.messagesSchema;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const newModelFolder: typeof model.newModelFolder = model.newModelFolder;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const openModelFolder: typeof model.openModelFolder = model.openModelFolder;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const PackedBatch: typeof model.PackedBatch = model.PackedBatch;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const parameterSpecs: typeof model.parameterSpecs = model.parameterSpecs;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const parseConfig: typeof model.parseConfig = model.parseConfig;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const parseMessages: typeof model.parseMessages = model.parseMessages;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const presetConfig: typeof model.presetConfig = model.presetConfig;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const presets: typeof model.presets = model.presets;
/** @deprecated Import it from `@kedge/kedge/model` as `VisionLanguageModel`.
 * @ignore */
export const Qwen25VL: typeof model.VisionLanguageModel = model.VisionLanguageModel;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const readConfig: typeof model.readConfig = model.readConfig;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const regionMap: typeof model.regionMap = model.regionMap;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const smartResize: typeof model.smartResize = model.smartResize;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const suppressionMask: typeof model.suppressionMask = model.suppressionMask;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const Tokenizer: typeof model.Tokenizer = model.Tokenizer;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const TokenStream: typeof model.TokenStream = model.TokenStream;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const visualSinks: typeof model.visualSinks = model.visualSinks;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export const visualTokens: typeof model.visualTokens = model.visualTokens;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ChatTemplate = model.ChatTemplate;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Checkpointing = model.Checkpointing;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Colours = model.Colours;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Connectivity = model.Connectivity;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ConnectivityAccumulator = model.ConnectivityAccumulator;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ConnectivityOptions = model.ConnectivityOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Conversation = model.Conversation;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ConversationOptions = model.ConversationOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type DecodeOptions = model.DecodeOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Dropped = model.Dropped;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type EncodeOptions = model.EncodeOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type EngineLimits = model.EngineLimits;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type EngineStats = model.EngineStats;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Expand = model.Expand;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Expansion = model.Expansion;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Finish = model.Finish;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type GenerationEvent = model.GenerationEvent;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Grid = model.Grid;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Group = model.Group;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ImageOptions = model.ImageOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ImageProcessor = model.ImageProcessor;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ImageProcessorOptions = model.ImageProcessorOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ImageSource = model.ImageSource;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type InitialOptions = model.InitialOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type InitialScheme = model.InitialScheme;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Json = model.Json;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type LayerObserver = model.LayerObserver;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type LogProbsOptions = model.LogProbsOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Marked = model.Marked;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ModelConfig = model.ModelConfig;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ModelParts = model.ModelParts;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type OpenedPicture = model.OpenedPicture;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type PackedBatch = model.PackedBatch;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type PackedPrompt = model.PackedPrompt;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type PackedResponse = model.PackedResponse;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type PackOptions = model.PackOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ParameterPart = model.ParameterPart;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ParameterSpec = model.ParameterSpec;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Part = model.Part;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Pictures = model.Pictures;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type PixelBounds = model.PixelBounds;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type PixelData = model.PixelData;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Pixels = model.Pixels;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Preset = model.Preset;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type PresetName = model.PresetName;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type ProcessorParts = model.ProcessorParts;
/** @deprecated Import it from `@kedge/kedge/model` as `VisionLanguageModel`.
 * @ignore */
export type Qwen25VL = model.VisionLanguageModel;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type RegionBox = model.RegionBox;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type RegionMap = model.RegionMap;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type RegionOptions = model.RegionOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type RenderOptions = model.RenderOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Request = model.Request;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Row = model.Row;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type SamplingOptions = model.SamplingOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type SaveModelOptions = model.SaveModelOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type SinkEvidence = model.SinkEvidence;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type SmartResizeOptions = model.SmartResizeOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type SpecialTokens = model.SpecialTokens;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Stop = model.Stop;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type TemplateMessage = model.TemplateMessage;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type TextConfig = model.TextConfig;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Ticket = model.Ticket;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type TokenEvent = model.TokenEvent;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Tokenizer = model.Tokenizer;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type TokenStream = model.TokenStream;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type VideoOptions = model.VideoOptions;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type VideoSettings = model.VideoSettings;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type VideoSource = model.VideoSource;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type VisionConfig = model.VisionConfig;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type Visual = model.Visual;
/** @deprecated Import it from `@kedge/kedge/model`.
 * @ignore */
export type WeightType = model.WeightType;
