/** The sizes of the decoder that the smallest presets of all families have in common. */
export const TINY_TEXT = {
  hiddenSize: 96,
  intermediateSize: 256,
  layers: 3,
  heads: 4,
  kvHeads: 2,
  vocabSize: 0,
  maxPositions: 4096,
  rmsNormEps: 1e-6,
  tied: true,
} as const;
