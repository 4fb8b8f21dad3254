/** Frequencies of a rotary embedding: base^(-2i / dim), i < count. Su et al., arXiv 2104.09864. */
export function frequencies(dim: number, options: { base: number; count: number }): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: options.count }, (_, i) => options.base ** (-2 * i / dim));
}
