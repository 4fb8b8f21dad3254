/**
 * Reads digits and numerals of other scripts.
 *
 * @module
 */

/** The code points of zero: Arabic, Persian, Devanagari and its neighbours, Thai, Lao, Tibetan, Burmese, Khmer, full-width. */
const ZEROS = [0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0xf20, 0x1040, 0x17e0, 0xff10];

/** Returns the ASCII digit for a digit of another script, or undefined for other characters. */
export function digitOf(code: number): string | undefined {
  for (const zero of ZEROS) if (code >= zero && code < zero + 10) return String(code - zero);
  return undefined;
}

/** Replaces digits of every script by ASCII digits. */
export function foldDigits(text: string): string {
  if (!/[\u0080-\uffff]/.test(text)) return text;
  return text.replace(/\p{Nd}/gu, (digit) => digitOf(digit.codePointAt(0)!) ?? digit);
}

const CHINESE: Readonly<Record<string, number>> = {
  零: 0,
  〇: 0,
  一: 1,
  二: 2,
  两: 2,
  兩: 2,
  三: 3,
  四: 4,
  五: 5,
  六: 6,
  七: 7,
  八: 8,
  九: 9,
};
const PLACES: Readonly<Record<string, number>> = { 十: 10, 百: 100, 千: 1_000 };

/** Returns the number below ten thousand that Chinese numerals stand for, such as 三百零五; undefined for other words. */
export function chineseNumber(text: string): number | undefined {
  if (!/^[零〇一二两兩三四五六七八九十百千]{1,8}$/.test(text)) return undefined;
  let total = 0, digit: number | undefined, last = Infinity;
  for (const char of text) {
    const place = PLACES[char];
    if (place === undefined) {
      if (digit !== undefined && digit !== 0) return undefined;
      digit = CHINESE[char]!;
    } else {
      if (place >= last) return undefined;
      total += (digit ?? 1) * place;
      [digit, last] = [undefined, place];
    }
  }
  return total + (digit ?? 0);
}
