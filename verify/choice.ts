/**
 * Grades multiple choice: finds the choice that a response names, by its letter or by its text.
 *
 * @module
 */
import { afterThinking, extractAnswers } from "./answer/extract.ts";
import { foldDigits } from "./maths/digits.ts";
import { type Choices, choicesOf } from "./answer/labels.ts";
import { OPTION_WORDS, withoutVerb } from "./answer/languages.ts";
import { MAX_ANSWER, MAX_RESPONSE } from "./maths/latex_tokens.ts";
import { bare } from "./answer/marks.ts";
import { MathAnswer, MathTruth } from "./maths/math_equal.ts";
import { type RewardInput, type Score, truthsOf } from "./reward.ts";

/** The number of choices of a question that lists none: A to J. */
const DEFAULT_COUNT = 10;
/** The largest number of choices that letters can name. */
const MAX_COUNT = 26;

/** Removes what only sets letters apart: `\text{(A)}`, `**A**`, `$A$`, （Ａ）, and words that only say that it is a choice. */
function plain(answer: string): string {
  if (answer.length > MAX_ANSWER) return "";
  const folded = /[\u0080-\uffff]/.test(answer) ? answer.replace(/[^①-⑳]+/g, (run) => run.normalize("NFKC")) : answer;
  if (folded.length === 1) return folded;
  let text = folded.replace(
    /\\(?:text|textbf|mathrm|mathbf|textrm|textit|mathit|mathsf|textsf|texttt|boldsymbol|bm|emph|underline|bf|rm|boxed|mbox|fbox)\b/g,
    "",
  );
  text = text.replace(/\\[,;:! ]|[${}~*`【】「」『』]|\\[()[\]]/g, " ").trim();
  if (/^[A-Za-z]{2}|^[\u0080-\uffff]/.test(text)) {
    text = text.replace(/^(?:(?:the|correct|final|answer|option|choice|letter|is)\b[\s:]*)+/i, "").replace(OPTION_WORDS, "");
  }
  return withoutVerb(text.replace(/[\s.,;:!。、，]+$/, "").trim());
}

/**
 * Returns the index of the choice that a text names by its letter: "B", "(B)", "B.", "B) 12", "option B", "(b)".
 *
 * @param options `count`: the number of choices.
 * @returns undefined if the text names no choice or more than one.
 * @example
 * ```ts
 * import { choiceOf } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(["B", "(b)", "option C.", "A or B", "E"].map((answer) => choiceOf(answer, { count: 4 })), [1, 1, 2, undefined, undefined]);
 * ```
 */
export function choiceOf(answer: string, options: { count: number }): number | undefined {
  return letterIn(plain(answer), options.count)?.index;
}

/** Returns the choice whose letter a plain text begins with, and the text after the letter. */
function letterIn(text: string, count: number): { index: number; rest: string } | undefined {
  const match = /^\(?\s*([A-Z])\s*\)?$/.exec(text) ?? /^\(\s*([A-Za-z])\s*\)/.exec(text) ?? /^\[\s*([A-Z])\s*\]/.exec(text) ??
    /^([A-Z])\s*[).:](?![a-z0-9])/.exec(text) ?? /^([a-z])\s*[).]?$/.exec(text) ?? /^([A-Z])\s*[-,]\s/.exec(text);
  if (match === null) return undefined;
  if (text.length > 1 && namesSeveral(text)) return undefined;
  const index = match[1]!.toUpperCase().charCodeAt(0) - 65,
    rest = text.slice(match[0].length).replace(/^[\s).:,、-]+/, (marks) => /-$/.test(marks) ? "-" : "");
  return index < count && !/^(?:is|was|are|seems?)?\s*(?:not\b|wrong\b|incorrect\b|false\b|错误|不正确|不对|不是)/i.test(rest)
    ? { index, rest }
    : undefined;
}

/** Tells whether a plain text names several choices by their letters: "A or B". */
function namesSeveral(text: string): boolean {
  return /^\(?[A-Z]\)?\.?\s*(?:[,;&/、]|(?:and|or|ou|o|oder|y|e|и|или|又は|または|또는)\s|和|或|与)\s*(?:(?:and|or)\b)?\s*\(?[A-Z](?![A-Za-z])/
    .test(text);
}

/** Returns the letters of "A, C", "(A) and (C)" or "AC", sorted; undefined for other texts. The text must be plain already. */
function lettersOf(plainText: string): string | undefined {
  const text = plainText.replace(/\band\b|[\s,;&()、和]/g, "");
  return /^[A-J]{2,10}$/.test(text) ? [...new Set(text)].sort().join("") : undefined;
}

/** After these words a capital letter is a point, a part of a figure or one of several; it is no choice. */
const NO_CHOICE =
  /(?:\\(?!text|math|bold|bf|rm|bm)[a-zA-Z]+|[-+*/=<>^_∠△|×·点點角过過于於在边邊线線段和或与不非]|\b(?:angles?|points?|vert(?:ex|ices)|triangles?|sides?|lines?|segments?|edges?|arcs?|circles?|through|at|between|than|of|and|or|nor|versus|plus|minus|times|by|not|never|neither|isn't|cannot|can't|except|without|unlike|also|from [^.]{1,20} to))\s*[${(]*$/i;
/** Words that deny something. */
const NEGATION =
  /\b(?:not|never|neither|nor|no(?! wait)|cannot|none|except|without|exclud\w*|eliminat\w*|rul(?:e|es|ed|ing) out|discard\w*|reject\w*|avoid\w*|wrong|incorrect|false|instead of|rather than|unlike|differ\w*|doubt\w*)\b|n['’]t\b|[不没非错]|排除/gi;
/**
 * After a negation: words that affirm the choice all the same ("the one that does not fit is D"), unless they are about what somebody
 * thinks.
 */
const AFFIRMED =
  /\b(?:is|are|must be|would be|should be|leaves|leaving|choose|chose|pick|picked|select|selected|take|prefer|(?:go|going|went) (?:with|for)|settled? on)\b[^.]{0,20}$/i;
const OPINION =
  /^\W{0,3}(?:\w+\s+)?(?:think|believe|say|said|know|see|tell|claim|mean|sure|clear|certain|likely|true|correct|right|possible|that|it|because|choose|pick|select|take|go|settle|prefer)\b/i;

/** Tells whether the letter at the end of a text is denied there: "It is definitely not D", "I cannot see D", "\angle ABC - \angle D". */
function isDenied(text: string): boolean {
  const before = text.replace(/[*_]{1,3}$/, "");
  if (NO_CHOICE.test(before)) return true;
  const clause = before.slice(
    Math.max(...[". ", ", ", "; ", ": ", "! ", "? ", "\n", " but ", " so "].map((mark) => before.lastIndexOf(mark) + 1)),
  );
  let last: RegExpExecArray | undefined;
  for (const match of clause.matchAll(NEGATION)) last = match;
  if (last === undefined) return false;
  const after = clause.slice(last.index + last[0].length);
  return OPINION.test(after) || !AFFIRMED.test(after);
}

/** Returns the choice that a response begins or ends with. It is used when the response calls nothing its answer. */
function atTheEdge(response: string, count: number): number | undefined {
  const text = response.trim();
  const first = /^[^\n]{0,200}/.exec(text)![0].trim();
  const opening = text.includes("\n") ? /^\**\(?([A-Z])\)?[.):]?\**$/.exec(first) : null;
  const ending = text.slice(-200).replace(/[\s.*$`。]+$/, "");
  const listed = /(?<![A-Za-z])[A-Z]\)?[\s,]+(?:(?:or|and)\s+)?\(?[A-Z]\)?$/.test(ending); // "(D) (E)" and "D or E" name no single choice
  const closing = listed ? null : /(?:^|[\s*${(])([A-Z])[)}]{0,2}$/.exec(ending) ?? /\boption \(?([A-Z])\b\)?[^\n]{0,60}$/.exec(ending);
  const letter = (closing === null || isDenied(ending.slice(0, closing.index + closing[0].search(/[A-Z]\b/))) ? opening : closing)?.[1];
  const index = letter === undefined ? count : letter.charCodeAt(0) - 65;
  return index < count ? index : undefined;
}

/** Options for {@linkcode gradeChoice}. */
export interface ChoiceOptions {
  /**
   * Whether an answer that gives a choice's text may omit the unit, degree sign or percent sign. Default: "required", so that "9" is not "9
   * litres".
   */
  units?: "optional" | "required";
}

/**
 * Grades a multiple-choice answer: 1 if the response names the choice of the truth, else 0.
 *
 * A letter names a choice before a text does: if the texts themselves are letters, "B" is the second choice. The truth is a letter, several
 * letters ("A,C") or a choice's text.
 *
 * @example
 * ```ts
 * import { gradeChoice } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const question = { truth: "B", options: ["$10^\\circ$", "$15^\\circ$", "$20^\\circ$"] };
 * const grade = (response: string) => gradeChoice({ response, ...question }).score;
 * assertEquals(["The answer is (B).", "\\boxed{15^\\circ}", "\\boxed{\\text{C}}", "Answer: A or B"].map(grade), [1, 1, 0, 0]);
 * ```
 */
export function gradeChoice(input: RewardInput, options: ChoiceOptions = {}): Score {
  const given = input.options ?? [], count = given.length > 0 ? Math.min(given.length, MAX_COUNT) : DEFAULT_COUNT;
  const choices = new ChoiceTexts(given, options.units ?? "required");
  const truths = truthsOf(input.truth).map((truth) => truth.trim());
  const several = truths.map((truth) => lettersOf(plain(truth))).filter((letters) => letters !== undefined);
  const places = truths.map((truth) => {
    const text = given.findIndex((option) => option.trim() === truth && option.trim().length > 1);
    if (text >= 0) return text;
    return choiceOf(truth, { count }) ?? choices.places(new MathAnswer(truth))[0] ?? choices.labelled(plain(truth)) ?? -1;
  }).filter((index) => index >= 0);
  if (places.length === 0 && several.length === 0) return { score: NaN };
  /** Tells whether an answer names the choice of the truth. Returns undefined if it names no choice. */
  const verdict = (answer: string): boolean | undefined => {
    const text = choices.latin(plain(answer)), letters = several.length > 0 ? lettersOf(text) : undefined;
    if (letters !== undefined) return several.includes(letters);
    const named = letterIn(text, count);
    if (named !== undefined) return places.includes(named.index) && !choices.contradict(named.index, named.rest);
    const byText = choices.places(new MathAnswer(answer));
    // If texts have equal values or differ only in order, the answer must repeat one as it is written.
    const written = byText.length < 2 ? byText : byText.filter((at) => sameText(choices.texts[at]!, answer));
    if (written.length > 0) return written.some((at) => places.includes(at));
    if (byText.length > 0 || namesSeveral(text)) return false;
    const labelled = choices.labelled(text);
    return labelled === undefined ? undefined : places.includes(labelled);
  };
  let first: string | undefined;
  for (const { answer, source } of extractAnswers(input.response, { choices: true })) {
    first ??= answer;
    const right = verdict(answer);
    if (right !== undefined || source === "tag") return { score: right ? 1 : 0, answer };
    if (source === "phrase") break;
  }
  const index = atTheEdge(afterThinking(input.response.slice(-MAX_RESPONSE)), count);
  if (index !== undefined) return { score: places.includes(index) ? 1 : 0, answer: String.fromCharCode(65 + index) };
  return first === undefined ? { score: 0 } : { score: 0, answer: first };
}

/** Cyrillic capitals that look like Latin ones, with the Latin letters. */
const LOOKALIKES: Readonly<Record<string, string>> = { А: "A", В: "B", С: "C", Е: "E", Н: "H" };

/** The texts of a question's choices. They are parsed when they are first needed. */
class ChoiceTexts {
  #choices: Choices | undefined;
  readonly #strict: (MathTruth | undefined)[] = [];
  readonly #lenient: (MathTruth | undefined)[] = [];

  constructor(readonly given: readonly string[], readonly units: "optional" | "required") {}

  /** The texts without their labels. */
  get texts(): readonly string[] {
    return (this.#choices ??= choicesOf(this.given)).texts;
  }

  /** The labels, if they are not A, B, C. */
  get #labels(): readonly string[] {
    const { labels = [] } = this.#choices ??= choicesOf(this.given);
    return labels[0] === "A" ? [] : labels;
  }

  /** Returns the indices of the choices whose text the answer equals. */
  places(answer: MathAnswer): number[] {
    const { texts, units } = this;
    return texts.flatMap((text, at) => text !== "" && (this.#strict[at] ??= new MathTruth(text, { units })).matches(answer) ? [at] : []);
  }

  /** Returns the choice that an answer names by the label in the choice's text: "②", "Б) 5". */
  labelled(text: string): number | undefined {
    if (this.#labels.length === 0) return undefined;
    const [, label] = /^[([]?\s*([\p{L}\p{Nd}]{1,4}|[①-⑳])\s*(?:[)\]]|[.:](?!\d)|$|(?=\s\S))/u.exec(text) ?? [];
    const index = label === undefined ? -1 : this.#labels.indexOf(foldDigits(label));
    return index < 0 ? undefined : index;
  }

  /** Replaces Cyrillic letters by the Latin ones that look alike, unless the choices' own labels are Cyrillic. */
  latin(answer: string): string {
    if (!/[АВСЕН]/.test(answer) || /[А-я]/.test(this.#labels[0] ?? "")) return answer;
    return answer.replace(/(?<!\p{L})[АВСЕН](?!\p{L})/gu, (letter) => LOOKALIKES[letter]!);
  }

  /**
   * Tells whether the text after a choice's letter contradicts it, being another choice's text or another value: `(D) 98^\circ` where A is
   * 98 degrees.
   */
  contradict(index: number, rest: string): boolean {
    if (rest === "") return false;
    const ownText = this.texts[index] ?? "", text = bare(rest);
    if (ownText === "" || text === "" || text.length > MAX_REST) return false;
    const answer = new MathAnswer(text);
    if ((this.#lenient[index] ??= new MathTruth(ownText, { relative: 0.01 })).matches(answer) || sameText(ownText, text)) return false;
    if (this.texts.some((other, at) => at !== index && other !== "" && (this.#lenient[at] ??= new MathTruth(other)).matches(answer))) {
      return true;
    }
    return isValue(answer) && isValue(new MathAnswer(ownText));
  }
}

/** The longest text after a letter that may contradict it. Longer texts are reasons. */
const MAX_REST = 500;

/** Tells whether a text is one quantity, with or without a known unit. */
function isValue(text: MathAnswer): boolean {
  const [first] = text.readings;
  return first?.kind === "quantity" && (first.quantity.unit === undefined || first.quantity.unit.dimension !== undefined);
}

/** Tells whether two texts are equal apart from white space, capitals and formatting of formulas. */
function sameText(a: string, b: string): boolean {
  const normal = (text: string) => text.replace(/\\[()[\],;:! ]|[$\s{}.]|\\text|\\mathrm/g, "").toLowerCase();
  return normal(a) === normal(b);
}
