/** A GPU as its maker describes it. */
export interface Card {
  readonly name: string;
  /** Names of devices with these rates. */
  readonly pattern: RegExp;
  /** Operations a second of dense products in bf16, summed in f32. */
  readonly flops: number;
  /** Bytes a second of its memory. */
  readonly bandwidth: number;
  readonly multiprocessors: number;
  /** Its memory in GiB, as the maker names it. */
  readonly memory: number;
  /** Where these numbers are from. */
  readonly source: string;
}

/** Cards, the largest memory first. */
export const CARDS: readonly Card[] = [
  {
    name: "H200",
    pattern: /H200/,
    flops: 989e12,
    bandwidth: 4.8e12,
    multiprocessors: 132,
    memory: 141,
    source: "NVIDIA H200 Tensor Core GPU, data sheet (SXM)",
  },
  {
    name: "H100",
    pattern: /H100|H800|GH200/,
    flops: 989e12,
    bandwidth: 3.35e12,
    multiprocessors: 132,
    memory: 80,
    source: "NVIDIA H100 Tensor Core GPU, data sheet (SXM)",
  },
  {
    name: "A100",
    pattern: /A100|A800/,
    flops: 312e12,
    bandwidth: 2.039e12,
    multiprocessors: 108,
    memory: 80,
    source: "NVIDIA A100 80GB Tensor Core GPU, data sheet (SXM)",
  },
  {
    name: "L40S",
    pattern: /L40S/,
    flops: 362e12,
    bandwidth: 0.864e12,
    multiprocessors: 142,
    memory: 48,
    source: "NVIDIA L40S GPU, data sheet",
  },
  {
    name: "RTX 4090",
    pattern: /RTX 4090/,
    flops: 165e12,
    bandwidth: 1.008e12,
    multiprocessors: 128,
    memory: 24,
    source: "NVIDIA Ada GPU architecture, white paper, appendix A",
  },
];

/** The share of a card's memory that a run is planned for. The rest is for the driver, the libraries, scratch, and pieces that are too small. */
const USABLE = 0.93;

/** Returns the bytes of a card's memory that a run is planned for. */
export function usableBytes({ memory }: Pick<Card, "memory">): number {
  return Math.floor(USABLE * memory * 2 ** 30);
}
