/**
 * Reads and compares times of day.
 *
 * @module
 */
import type { Token } from "./latex_tokens.ts";

/** A time of day. */
export interface Clock {
  /** Seconds since midnight, or since noon if the half of the day is unknown. */
  readonly seconds: number;
  /** Whether the half of the day is known. */
  readonly known: boolean;
}

/** A first or last word that may name the half of the day. The last word of "p.m." is m. */
export const HALVES = /^(?:[ap]?m|[ap]|clock|noon|midnight|上午|下午|早上|晚上|凌晨|午前|午後|오전|오후)$/i;
const HALF_DAY = 43_200;

/** Reads tokens as a time: "12:30", "3:30 p.m.", "下午3:30", "5 o'clock". Returns undefined for others, such as 24:60, 8:5 and 100:30. */
export function clockOf(tokens: readonly Token[]): Clock | undefined {
  if (tokens.length > 10) return undefined;
  const text = tokens.map(({ text, kind }) => kind === "word" ? ` ${text.toLowerCase()}` : text).join("").replace(/[.\s]|\{|\}/g, "");
  const [, before = "", hours, minutes, seconds, after = ""] =
    /^(上午|下午|早上|晚上|凌晨|午前|午後|오전|오후)?(\d{1,2})(?::(\d\d))?(?::(\d\d))?(am|pm|a|p|o'clock|noon|midnight)?$/.exec(text) ?? [];
  if (hours === undefined || (minutes === undefined && before === "" && (after === "" || after === "a" || after === "p"))) return undefined;
  const [h, m, s] = [hours, minutes ?? "0", seconds ?? "0"].map(Number) as [number, number, number];
  if (h > 24 || m > 59 || s > 59) return undefined;
  const time = h * 3_600 + m * 60 + s,
    half = after[0] === "p" || after === "noon" || /下午|晚上|午後|오후/.test(before)
      ? 1
      : after[0] === "a" || after === "midnight" || before !== ""
      ? 0
      : undefined;
  if (half === undefined || h > 12) return { seconds: time % (2 * HALF_DAY), known: h > 12 || h === 0 };
  return { seconds: time % HALF_DAY + half * HALF_DAY, known: true };
}

/** Tells whether two times agree as far as they are known. */
export function sameClock(a: Clock, b: Clock): boolean {
  return a.known && b.known ? a.seconds === b.seconds : a.seconds % HALF_DAY === b.seconds % HALF_DAY;
}
