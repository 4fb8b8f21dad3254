import type { DType } from "../../ffi/device.ts";

/** The decoder's sizes. */
export interface TextConfig {
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Width of the MLP. */
  readonly intermediateSize: number;
  /** Blocks. */
  readonly layers: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads; each is read by heads / kvHeads query heads. */
  readonly kvHeads: number;
  /** Elements of a head. */
  readonly headDim: number;
  /** Rows of the embedding. */
  readonly vocabSize: number;
  /** Longest sequence that the rotary angles were made for. */
  readonly maxPositions: number;
  /** Added to the mean square in every norm. */
  readonly rmsNormEps: number;
  /** Base of the rotary frequencies. */
  readonly ropeTheta: number;
  /** Frequencies that turn by time, by row and by column. */
  readonly mropeSection: readonly [number, number, number];
  /** Whether the output matrix is the embedding. */
  readonly tied: boolean;
  /** Whether the projections around the attention have biases, in families whose config.json chooses that. */
  readonly attentionBias?: boolean;
}

/** The vision tower's sizes. Those that only some families have are undefined in the others. */
export interface VisionConfig {
  /** Blocks. */
  readonly depth: number;
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Width of the MLP. */
  readonly intermediateSize: number;
  /** Heads. */
  readonly heads: number;
  /** Colours of a pixel. */
  readonly channels: number;
  /** Pixels of a patch's side. */
  readonly patchSize: number;
  /** Frames of a patch. */
  readonly temporalPatchSize: number;
  /** Patches of a merged token's side. */
  readonly mergeSize: number;
  /** Width of the embeddings given to the decoder: its hiddenSize. */
  readonly outHiddenSize: number;
  /** Pixels of an attention window's side. */
  readonly windowSize?: number;
  /** Blocks that attend over the whole frame; the others over windows. */
  readonly fullAttentionBlocks?: readonly number[];
  /** Time positions in a second of video. */
  readonly tokensPerSecond?: number;
  /** Learned position embeddings. Those that fill a square are used. */
  readonly positionEmbeddings?: number;
  /** Blocks after which features are taken that are added to the hidden states of the decoder, after its first blocks in this order. */
  readonly deepstackBlocks?: readonly number[];
}

/** Token ids that the model knows about. */
export interface SpecialTokens {
  /** Placeholder of a merged image patch. */
  readonly image: number;
  /** Placeholder of a merged video patch. */
  readonly video: number;
  /** Marks the beginning of a picture, before its placeholders. */
  readonly visionStart: number;
  /** Marks the end of a picture, after its placeholders. */
  readonly visionEnd: number;
  /** Ids that end a response by default, from generation_config.json or config.json. */
  readonly eos: readonly number[];
  /** First token of a text; undefined if there is none. */
  readonly bos: number | undefined;
  /** Filler of padded batches, which Kedge does not make; undefined if there is none. */
  readonly pad: number | undefined;
}

/** The config of a model, from a config.json of any layout. */
export interface ModelConfig {
  /** The family, as config.json's `model_type` names it. */
  readonly modelType: string;
  /** Sizes of the decoder. */
  readonly text: TextConfig;
  /** Sizes of the vision tower. */
  readonly vision: VisionConfig;
  /** Ids of the special tokens. */
  readonly tokens: SpecialTokens;
  /** Type of the weights, as the file names it; "f32" if it names none. */
  readonly dtype: DType;
}
