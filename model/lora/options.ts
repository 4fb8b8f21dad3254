/** How the modules of a model are adapted by low-rank matrices (LoRA, Hu et al., arXiv 2106.09685). */
export interface LoraOptions {
  /** Rows of each A and columns of each B. */
  readonly rank: number;
  /** The product is multiplied by alpha / rank. */
  readonly alpha: number;
  /**
   * Which modules get adapters. "all-linear": all matrices of the decoder but the output matrix. A list: modules of these names, or whose names end with
   * "." and one of these. Any other text: a regular expression that matches the whole name. Default "all-linear".
   */
  readonly targets?: string | readonly string[];
  /** Which of them get none, by the same rules. Default: none. */
  readonly exclude?: string | readonly string[];
  /** Whether the product is multiplied by alpha / sqrt(rank) (rsLoRA, arXiv 2312.03732). Default false. */
  readonly rsLoRA?: boolean;
  /** Modules that are trained whole: those whose names end with one of these texts. Default: none. */
  readonly modulesToSave?: readonly string[];
}

/** The factor of a product of this rank. */
export function loraScale({ rank, alpha, rsLoRA = false }: Pick<LoraOptions, "rank" | "alpha" | "rsLoRA">): number {
  return alpha / (rsLoRA ? Math.sqrt(rank) : rank);
}
