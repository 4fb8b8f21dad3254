/**
 * Finds the final answer in a response, in time linear in its length.
 *
 * @module
 */
import { parseAnswer } from "../maths/answer.ts";
import { lastForeignPhrase, OPTION_WORDS, STATING, withoutVerb } from "./languages.ts";
import { MAX_ANSWER, MAX_RESPONSE } from "../maths/latex_tokens.ts";
import { bare, unmarked } from "./marks.ts";

/** How an answer was found. The most reliable ways come first. */
export type AnswerSource = "tag" | "box" | "hash" | "phrase" | "whole" | "last line" | "statement";

/** A final answer as the response wrote it, and how it was found. */
export interface Extracted {
  /** The answer's text, as the response wrote it. */
  readonly answer: string;
  /** How it was found. */
  readonly source: AnswerSource;
}

/** The longest single line, in characters, that counts as the answer as a whole. */
const MAX_WHOLE = 200;

/** Returns the text after the last `</think>`. Returns the whole response if there is no such tag or nothing follows it. */
export function afterThinking(response: string): string {
  const end = response.lastIndexOf("</think>");
  const rest = end < 0 ? "" : response.slice(end + 8);
  return rest.trim() === "" ? response : rest;
}

/** Returns the content of the last `<answer>`. The tag may be closed or run to the end of the response. */
function taggedAnswer(response: string): string | undefined {
  const start = response.lastIndexOf("<answer>");
  if (start < 0) return undefined;
  const end = response.indexOf("</answer>", start);
  return response.slice(start + 8, end < 0 ? undefined : end).trim();
}

/**
 * Returns the content of the last closed `\boxed{...}` or `\fbox{...}`, counted by where it opens. A `\boxed 5` without braces holds a
 * number, a letter or a fraction.
 */
export function boxedAnswer(response: string): string | undefined {
  const box = lastBox(response);
  return box === undefined ? undefined : response.slice(...box).trim();
}

/** The content of a box without braces. TeX puts only one character into it, but writers mean the whole number. */
const UNBRACED_NUMBER = /^[-+]?\d+(?:[.,]\d+)*(?:\\?%|°|\^\\circ)?/;
const UNBRACED = new RegExp(`${UNBRACED_NUMBER.source}|^[-+]?\\\\[dt]?frac(?:\\{[^{}]{1,20}\\}){2}|^\\(?[A-Za-z](?![A-Za-z])\\)?`);
/** Returns where the content of that box begins and ends. */
function lastBox(response: string): readonly [number, number] | undefined {
  if (!response.includes("box")) return undefined;
  let best: [number, number] | undefined;
  const opened: number[] = []; // where the content of each open group begins; negative if the group is no box
  for (let i = 0; i < response.length; i++) {
    const code = response.charCodeAt(i);
    if (code === 92) { // a backslash
      const length = response.startsWith("boxed", i + 1) ? 5 : response.startsWith("fbox", i + 1) ? 4 : 0;
      if (length === 0) {
        // skips the escaped character, which may be a brace; "\\\\boxed" was escaped twice
        if (!response.startsWith("\\boxed{", i + 1)) i++;
        continue;
      }
      let at = i + 1 + length;
      while (response.charCodeAt(at) === 32) at++;
      if (response[at] === "{") opened.push(at + 1);
      else {
        const unbraced = (at > i + 1 + length ? UNBRACED : UNBRACED_NUMBER).exec(response.slice(at, at + 60));
        if (unbraced !== null) best = [at, at + unbraced[0].length];
        at--;
      }
      i = at;
    } else if (code === 123) opened.push(-1);
    else if (code === 125) {
      const start = opened.pop();
      if (start !== undefined && start >= 0 && (best === undefined || start > best[0])) best = [start, i];
    }
  }
  return best;
}

/** The phrases that name an answer. Every quantifier is bounded, so that matching takes linear time. */
const PHRASE =
  /(?:\banswers?(?: (?:choice|option))?(?:\*\*|__)?(?: (?:to|for|of) [^.\n:=]{1,80}?)?\s{0,4}(?:\*\*|__)?(?:is|are|was|should be|would be|must be|will be|would then be|:|=|：))/gi;
/** The phrases that name a choice. They are bounded like PHRASE. */
const CHOICE_PHRASE = /\b(?:option|choice)s?(?:\*\*)? (?:is|are|would be|should be|must be)\b/gi;
const HEADING = /\banswers?\s{0,4}(?:\*\*|__)?\s{0,4}:?\s{0,4}(?:\*\*|__)?[ \t]{0,8}\n/gi;

/** Returns where the last match of a pattern ends, or -1 if nothing matches. */
function lastEnd(text: string, pattern: RegExp): number {
  let end = -1;
  for (const match of text.matchAll(pattern)) end = match.index + match[0].length;
  return end;
}

const DELIMITERS: readonly (readonly [string, string])[] = [["$$", "$$"], ["$", "$"], ["\\[", "\\]"], ["\\(", "\\)"]];

/** Returns the answer that begins at an offset: up to the end of the line or sentence, or the formula that begins there. */
function answerAt(text: string, at: number, choices: boolean): string {
  // Removes the stars that close what the phrase opened. Stars that open something stay for `unmarked`.
  const rest = unmarked(text.slice(at, at + MAX_ANSWER + 1_000).replace(/^(?:[\s:：}]|[*_]{1,3}(?=\s)|\.{2,5}|\\{2} )+/, "")).trimStart();
  const lead = /^(?:(?:therefore|thus|simply|just|indeed|then|given by|clearly|option|choice|letter|the)\s+)+/i.exec(rest)?.[0].length ?? 0;
  const body = rest.slice(lead).replace(/^[:\s*_]+(?![\d{])/, "").replace(OPTION_WORDS, "");
  for (const [open, close] of DELIMITERS) {
    if (!body.startsWith(open)) continue;
    const end = body.indexOf(close, open.length);
    if (end < 0) break;
    const formula = body.slice(open.length, end), after = body.slice(end + close.length, end + close.length + 40);
    // The formula stands alone on its lines, or prose follows it.
    if (
      formula.includes("\n") ||
      /^\s*(?:[.,;!*]|$)|^\s*\n|^,?\s+(?:because|since|which|so|hence|therefore|where|but|when|as|for|in)\b/i.test(after)
    ) {
      return formula.trim();
    }
    break;
  }
  const line = /^[^\n]*/.exec(body)![0];
  // In "D. 98" the answer continues after the choice's letter.
  const letter = choices ? /^\(?[A-Z]\)?[.．]\s+(?=\S)/.exec(line)?.[0].length ?? 0 : 0;
  const sentence = line.slice(0, letter) + /^(?:[^.。;．｡।॥۔；؛]|[.．](?![\s"'”’」』)*_]|$)|;(?!\s))*/.exec(line.slice(letter))![0];
  const clause = sentence.search(
    /,? (?:because|since|which|so|hence|therefore)\b|[，、,]\s?(?=因为|因為|所以|故|即|理由|なぜ|왜냐|\p{Script=Han}{2})/iu,
  );
  return withoutVerb((clause > 0 ? sentence.slice(0, clause) : sentence).trim());
}

/** Tells whether a text is one value: a number, formula, tuple, set or equation, without prose. */
function isValue(text: string): boolean {
  if (text.length > MAX_WHOLE) return false;
  const parsed = parseAnswer(text, { thousands: true, letterUnits: "spaced" });
  if (parsed === undefined || parsed.kind === "words") return false;
  if (parsed.kind === "quantity") return parsed.quantity.unit === undefined || parsed.quantity.unit.dimension !== undefined;
  const parts = parsed.kind === "list" ? parsed.items : parsed.kind === "relation" ? parsed.parts : [];
  return parts.every(({ kind }) => kind !== "words");
}

/** Returns the last line that is not blank, and the last sentence in it. */
function ending(text: string): { line: string; sentence: string } {
  const trimmed = text.trimEnd();
  const line = bare(trimmed.slice(Math.max(trimmed.lastIndexOf("\n") + 1, trimmed.length - 2_000)));
  const body = line.replace(/[\s.。!*$]+$/, "");
  const breaks = Math.max(...[". ", "? ", "! ", "。", "।", "？", "！"].map((mark) => body.lastIndexOf(mark) + mark.length - 2));
  return { line, sentence: breaks < 0 ? body : body.slice(breaks + 2) };
}

/** Options for {@linkcode extractAnswer}. */
export interface ExtractOptions {
  /** Whether "option is" and "choice is" name an answer too. Default: false. */
  choices?: boolean;
}

/**
 * Finds the final answer of a response.
 *
 * The text after the last `</think>` is searched first. If it holds no answer, the whole response is searched. The first of these that
 * matches wins:
 * 1. "tag": the last `<answer>...</answer>`. If it contains a box or "answer is", the search continues inside the tag.
 * 2. "box": the last closed `\boxed{...}` or `\fbox{...}`.
 * 3. "hash": the rest of the line after the last `####`.
 * 4. "phrase": the text after the last "answer is", "Answer:", "answer should be" or a similar phrase, up to the end of its sentence. The
 *    text may also stand below a heading.
 * 5. "whole": a response of one line of at most 200 characters. A sentence that states a value as in 7 does not count, unless `choices` is
 *    set.
 * 6. "last line": the last line, if it is a value and nothing else.
 * 7. "statement": the value at the end of the last sentence, after "=", "is", "are", "equals" or ":".
 *
 * If a response has more than 1,000,000 characters, only the last 1,000,000 are searched.
 *
 * @returns The answer, or undefined if none was found. It may be longer than a verifier grades.
 * @example
 * ```ts
 * import { extractAnswer } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(extractAnswer("So \\boxed{\\frac{1}{2}}."), { answer: "\\frac{1}{2}", source: "box" });
 * assertEquals(extractAnswer("The answer is 3.5. Done."), { answer: "3.5", source: "phrase" });
 * assertEquals(extractAnswer("I cannot tell.\nSorry."), undefined);
 * ```
 */
export function extractAnswer(response: string, options: ExtractOptions = {}): Extracted | undefined {
  for (const extracted of extractAnswers(response, options)) return extracted;
  return undefined;
}

/**
 * Yields every answer that {@linkcode extractAnswer} could return, in its order. Each is the result that it would give if the earlier ones
 * were not there. A phrase counts only after the last box.
 *
 * @example
 * ```ts
 * import { extractAnswers } from "@kedge/kedge/rewards";
 * import { assertEquals } from "@std/assert";
 *
 * const found = [...extractAnswers("It is \\boxed{2}.\n\nThe answer is 3. That is all.")];
 * assertEquals(found.map(({ answer, source }) => [answer, source]), [["2", "box"], ["3", "phrase"]]);
 * ```
 */
export function* extractAnswers(response: string, options: ExtractOptions = {}): Generator<Extracted> {
  if (response.length > MAX_RESPONSE) response = response.slice(-MAX_RESPONSE);
  const rest = afterThinking(response);
  yield* search(rest, options);
  if (rest.length < response.length) yield* search(response, options);
}

/** Every answer passes through this function, which removes the marks around it. */
const found = (answer: string, source: AnswerSource): Extracted => ({ answer: bare(answer), source });

function* search(text: string, options: ExtractOptions): Generator<Extracted> {
  const tagged = taggedAnswer(text);
  if (tagged !== undefined && tagged !== "") {
    const inner = boxedAnswer(tagged) ?? phrase(tagged, 0, options);
    yield found(inner || tagged, "tag");
    return;
  }
  const box = lastBox(text), boxed = box === undefined ? "" : text.slice(...box).trim();
  if (boxed !== "") yield found(boxed, "box");
  const hash = text.lastIndexOf("#### ");
  if (hash >= 0) {
    const line = /^[^\n]*/.exec(text.slice(hash + 5, hash + 5 + MAX_ANSWER))![0].trim();
    if (/\d/.test(line)) yield found(line, "hash");
  }
  const named = phrase(text, box?.[1] ?? 0, options); // only the text after the box
  if (named !== undefined) yield found(named, "phrase");
  const trimmed = text.trim();
  if (trimmed.length <= MAX_WHOLE && !trimmed.includes("\n")) {
    // A sentence gives the value that it states, like a sentence below other lines. Choices are searched for in the whole sentence.
    const stated = options.choices || isValue(trimmed) ? undefined : statement(ending(trimmed).sentence);
    if (stated !== undefined) yield found(stated, "statement");
    else if (trimmed !== "") yield found(trimmed, "whole");
    return;
  }
  const { line, sentence } = ending(trimmed);
  if (isValue(line)) yield found(line, "last line");
  const value = statement(sentence);
  if (value !== undefined) yield found(value, "statement");
}

function phrase(text: string, from: number, options: ExtractOptions): string | undefined {
  const choices = options.choices ?? false;
  let at = Math.max(lastEnd(text, PHRASE), lastEnd(text, HEADING), choices ? lastEnd(text, CHOICE_PHRASE) : -1);
  if (at < from || /[\u0100-\uffff]/.test(text)) at = Math.max(at, lastForeignPhrase(text, { choices }));
  if (at < from) return undefined;
  const answer = answerAt(text, at, choices);
  return answer === "" ? undefined : answer;
}

/**
 * Returns the value at the end of a sentence, after the last word or sign that states one. If prose follows the number, it is no value.
 */
function statement(sentence: string): string | undefined {
  const tail = sentence.slice(-500);
  let at = -1;
  for (const match of tail.matchAll(/(?:\b(?:is|are|equals|be|equal to)\b|[=:：≈]|\\approx)/gi)) at = match.index + match[0].length;
  for (const match of tail.matchAll(STATING)) at = Math.max(at, match.index + match[0].length);
  if (at < 0) return undefined;
  const value = bare(withoutVerb(tail.slice(at)));
  return isValue(value) ? value : undefined;
}
