/** A reward that varies although nothing was learned: the sum of an answer's characters, modulo 7. */
export function reward({ response }: { response: string }): number {
  return Array.from(response).reduce((sum, char) => sum + char.codePointAt(0)!, 0) % 7 / 7;
}
