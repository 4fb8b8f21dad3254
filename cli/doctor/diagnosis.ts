/** The result of the diagnosis. */
export interface Diagnosis {
  /** Labels and findings, in the order to show them. */
  readonly found: readonly (readonly [label: string, finding: string])[];
  /** A sentence for each missing thing: its use, and how to get it. */
  readonly missing: readonly string[];
  /** Whether a CPU device works. */
  readonly works: boolean;
  /** The number of CUDA devices that work. */
  readonly gpus: number;
}
