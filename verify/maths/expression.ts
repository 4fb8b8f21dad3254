/**
 * The expressions in answers: numbers, variables, arithmetic, roots, powers and common functions.
 *
 * @module
 */

/** A node of an expression tree. */
export type Expression =
  | {
    readonly kind: "number";
    /** numerator / denominator, not reduced. */
    readonly numerator: bigint;
    readonly denominator: bigint;
    /** Digits after the decimal point; -1 for a number without a decimal point. */
    readonly places: number;
    /** Significant digits written. */
    readonly digits: number;
    /** The base, if it was written as a subscript. The digits are read in this base. */
    readonly base?: number;
  }
  | { readonly kind: "constant"; readonly name: "pi" | "e" | "i" | "infinity" }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "add" | "multiply" | "divide" | "power"; readonly left: Expression; readonly right: Expression }
  /** A plus-minus: left + right and left - right (`sign` 1), or the other way round (-1). */
  | { readonly kind: "either"; readonly left: Expression; readonly right: Expression; readonly sign: 1 | -1 }
  | { readonly kind: "negate"; readonly of: Expression }
  /** `of` in percent or in degrees. */
  | { readonly kind: "scaled"; readonly of: Expression; readonly by: "percent" | "degree" }
  | { readonly kind: "root"; readonly of: Expression; readonly index: Expression }
  | { readonly kind: "function"; readonly name: string; readonly of: Expression };

/** Yields every node of an expression, each before its parts. */
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

/** Returns the names of an expression's variables. */
export function variablesOf(expression: Expression): Set<string> {
  const names = new Set<string>();
  for (const node of nodes(expression)) if (node.kind === "variable") names.add(node.name);
  return names;
}

/** Tells whether an expression has no variables. */
export function isNumeric(expression: Expression): boolean {
  for (const node of nodes(expression)) if (node.kind === "variable") return false;
  return true;
}

/**
 * Writes an expression so that the order of its sums and products does not matter. It serves to compare expressions that are too large to
 * compute.
 */
export function ordered(expression: Expression): string {
  const parts = (node: Expression, kind: "add" | "multiply"): string[] =>
    node.kind === kind ? [...parts(node.left, kind), ...parts(node.right, kind)] : [ordered(node)];
  switch (expression.kind) {
    case "number":
      return expression.denominator === 1n ? String(expression.numerator) : `${expression.numerator}/${expression.denominator}`;
    case "constant":
    case "variable":
      return expression.name;
    case "add":
    case "multiply":
      return `(${parts(expression, expression.kind).sort().join(expression.kind === "add" ? "+" : "*")})`;
    case "divide":
    case "power":
      return `(${ordered(expression.left)}${expression.kind === "divide" ? ":" : "^"}${ordered(expression.right)})`;
    case "either":
      return `(${ordered(expression.left)}±${expression.sign}${ordered(expression.right)})`;
    case "negate":
      return `(-${ordered(expression.of)})`;
    case "scaled":
    case "function":
      return `${expression.kind === "scaled" ? expression.by : expression.name}(${ordered(expression.of)})`;
    case "root":
      return `root(${ordered(expression.of)},${ordered(expression.index)})`;
  }
}
