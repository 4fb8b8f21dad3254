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

/** An expression written in one way whatever the order of its sums and products: for what is too large to compute. */
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
