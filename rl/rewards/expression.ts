/**
 * The expressions of answers: numbers, variables, arithmetic, roots, powers, the usual functions.
 *
 * @module
 */

/** An expression. */
export type Expression =
  | {
    readonly kind: "number";
    /** numerator / denominator, not reduced. */
    readonly numerator: bigint;
    readonly denominator: bigint;
    /** Digits after the decimal point; -1 of a number without one. */
    readonly places: number;
    /** Significant digits written. */
    readonly digits: number;
    /** The base written as a subscript; the digits are then read in it. */
    readonly base?: number;
  }
  | { readonly kind: "constant"; readonly name: "pi" | "e" | "i" | "infinity" }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "add" | "multiply" | "divide" | "power"; readonly left: Expression; readonly right: Expression }
  /** Both signs: left + right and left - right (`sign` 1) or the other way round (-1). */
  | { readonly kind: "either"; readonly left: Expression; readonly right: Expression; readonly sign: 1 | -1 }
  | { readonly kind: "negate"; readonly of: Expression }
  /** `of` percent, or `of` degrees. */
  | { readonly kind: "scaled"; readonly of: Expression; readonly by: "percent" | "degree" }
  | { readonly kind: "root"; readonly of: Expression; readonly index: Expression }
  | { readonly kind: "function"; readonly name: string; readonly of: Expression };

/** Every node of an expression, each before its parts. */
export function* nodes(expression: Expression): Generator<Expression> {
  const stack = [expression];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    yield node;
    switch (node.kind) {
      case "add":
      case "multiply":
      case "divide":
      case "power":
      case "either":
        stack.push(node.right, node.left);
        break;
      case "negate":
      case "scaled":
      case "function":
        stack.push(node.of);
        break;
      case "root":
        stack.push(node.index, node.of);
    }
  }
}

/** The names of an expression's variables. */
export function variablesOf(expression: Expression): Set<string> {
  const names = new Set<string>();
  for (const node of nodes(expression)) if (node.kind === "variable") names.add(node.name);
  return names;
}

/** Whether an expression has no variables. */
export function isNumeric(expression: Expression): boolean {
  for (const node of nodes(expression)) if (node.kind === "variable") return false;
  return true;
}
