/** Classes of tokens by their place in the answer, for tests with a model whose answers make no sense. */
import { type ClassInput, TOKEN_CLASSES } from "../../rl/credit/token_classes.ts";

export const classes = ({ tokens, text, truth, fields }: ClassInput) => {
  if (fields["kind"] !== "question" || typeof truth !== "string" || typeof text !== "string") throw new Error("another answer");
  return tokens.map((_, t) => TOKEN_CLASSES[t % 4]!);
};
