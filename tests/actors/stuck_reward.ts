/** A grader that never ends on some answers. */
export function reward({ response }: { response: string }): number {
  while (response.length % 2 === 1) { /* stuck */ }
  return 1;
}
