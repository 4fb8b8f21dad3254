/**
 * Reads units: which words are units, their dimensions, and how they convert.
 *
 * @module
 */
import type { Token } from "./latex_tokens.ts";

/** A unit, as written after a number. */
export interface Unit {
  /** Base dimensions with their exponents, sorted, such as "length^2"; undefined for words that are not known units. */
  readonly dimension: string | undefined;
  /** The number of base units in one of it. */
  readonly factor: number;
}

const TABLE = new Map<string, readonly [dimension: string, factor: number]>();
const define = (dimension: string, entries: Readonly<Record<string, number>>) => {
  for (const [names, factor] of Object.entries(entries)) for (const name of names.split(" ")) TABLE.set(name, [dimension, factor]);
};
define("length", {
  "mm millimeter millimeters millimetre millimetres 毫米 ミリメートル 밀리미터 мм миллиметр миллиметра миллиметров Millimeter millimètres milímetro milímetros":
    1e-3,
  "cm centimeter centimeters centimetre centimetres 厘米 公分 センチメートル センチ 센티미터 см сантиметр сантиметра сантиметров Zentimeter centimètre centimètres centímetro centímetros centimetro centimetri":
    1e-2,
  "dm decimeter decimeters decimetre decimetres 分米 дм Dezimeter": 0.1,
  "m meter meters metre metres 米 公尺 メートル 미터 м метр метра метров Meter Metern mètre mètres metro metros metri เมตร মিটার मीटर متر":
    1,
  "km kilometer kilometers kilometre kilometres 千米 公里 キロメートル 킬로미터 км километр километра километров Kilometer Kilometern kilomètre kilomètres kilómetro kilómetros quilômetros chilometri กิโลเมตร":
    1e3,
  "inch inches": 0.0254,
  "ft foot feet": 0.3048,
  "yd yard yards": 0.9144,
  "mi mile miles": 1609.344,
});
define("mass", {
  "mg milligram milligrams 毫克 мг": 1e-3,
  "g gram grams 克 グラム 그램 г грамм грамма граммов Gramm gramme grammes gramo gramos gramas grammi กรัม": 1,
  "kg kilogram kilograms 千克 公斤 キログラム キロ 킬로그램 кг килограмм килограмма килограммов Kilogramm kilogramme kilogrammes kilogramo kilogramos quilogramas กิโลกรัม":
    1e3,
  "ton tons tonne tonnes 吨 噸 トン 톤 т тонн тонны Tonnen toneladas": 1e6,
  "lb lbs pound pounds": 453.59237,
  "oz ounce ounces": 28.349523125,
});
define("time", {
  "ms millisecond milliseconds": 1e-3,
  "s sec secs second seconds 秒 秒钟 초 с сек секунда секунды секунд Sekunde Sekunden seconde secondes segundo segundos secondi วินาที": 1,
  "min mins minute minutes 分钟 分鐘 분 мин минута минуты минут Minute Minuten minuto minutos minuti นาที মিনিট मिनट دقيقة": 60,
  "h hr hrs hour hours 小时 小時 时间 時間 시간 ч час часа часов Stunde Stunden heure heures hora horas ore ชั่วโมง ঘণ্টা घंटे ساعة": 3600,
  "day days 天 日 일 день дня дней Tag Tage Tagen jour jours día días dia dias giorni วัน দিন दिन": 86400,
  "week weeks 周 星期 週間 주 недель недели Woche Wochen semaine semaines semana semanas": 604800,
  "month months 个月 個月 か月 개월 месяцев месяца Monat Monate mois mes meses mesi": 2629746,
  "year years yr yrs 年 년 лет год года Jahr Jahre Jahren ans année années año años anos anni ปี": 31556952,
});
define("volume", {
  "ml mL milliliter milliliters millilitre millilitres 毫升 ミリリットル 밀리리터 мл Milliliter": 1e-3,
  "cl cL centiliter centiliters": 1e-2,
  "l L liter liters litre litres 升 公升 リットル 리터 л литр литра литров Liter litro litros litri": 1,
  "gal gallon gallons": 3.785411784,
});
define("money", { "dollar dollars USD usd 美元 ドル 달러 долларов доллара dólares dólar Dollar": 1, "cent cents": 0.01 });
define("euro", { "euro euros EUR Euro евро 欧元 유로 ユーロ": 1 });
define("sterling", { "pence": 0.01, "GBP pounds_sterling": 1 });
// Both currencies use this sign.
define("yen", { "yen JPY 円 元 块 塊 圆 圓 yuan RMB CNY": 1 });
define("temperature", { "Celsius celsius": 1 });
define("fahrenheit", { "Fahrenheit fahrenheit": 1 });
define("force", { "N newton newtons": 1 });
define("energy", { "J joule joules": 1, "kJ": 1e3 });
define("power", { "W watt watts": 1, "kW": 1e3 });
define("voltage", { "V volt volts": 1 });
define("current", { "A ampere amperes amps": 1 });
define("frequency", { "Hz hertz": 1, "kHz": 1e3 });
define("pressure", { "Pa": 1, "kPa": 1e3 });
define("amount", { "mol mole moles": 1 });
define("length/time", { "mph": 0.44704, "kph kmh": 1 / 3.6 });
define("area", { "ha hectare hectares": 1, "acre acres": 0.40468564224 });
define("length^2", {
  "平方毫米": 1e-6,
  "平方厘米 平方公分 平方センチメートル 제곱센티미터": 1e-4,
  "平方分米": 1e-2,
  "平方米 平方公尺 平方メートル 제곱미터": 1,
  "平方千米 平方公里": 1e6,
});
define("length^3", { "立方厘米 立方センチメートル 세제곱센티미터": 1e-6, "立方分米": 1e-3, "立方米 立方公尺 立方メートル 세제곱미터": 1 });
define("area", { "公顷": 1 });
// The word "unit" adds nothing.
define("", { "unit units": 1 });

/** Units of one letter, which may also be variables. */
export const BARE_UNITS: ReadonlySet<string> = new Set(["m", "g", "s", "h", "l", "L", "N", "J", "W", "V", "A"]);

/** Words that may follow a number like a unit but mean that the answer is more than a number. */
const NOT_UNITS = new Set(
  ("and or not nor to times plus minus more less than between least most about approximately over under if when hundred thousand million billion " +
    "dozen percent degrees degree is are was be equals only from through until no none neither either both all but except half half twice nicht pas non não nie ne nem не не нет nee bukan değil không более менее больше меньше mehr weniger mindestens höchstens plus moins más menos più meno mais")
    .split(" "),
);
/** Words of other scripts that deny what precedes them. */
const DENYING =
  /以上|以下|以内|未満|未满|超过|大于|小于|より|多于|少于|至少|至多|倍|이상|이하|미만|초과|배$|ない|ません|아니|아닙|नहीं|না$|[不没否非]|ไม่|ليس|لا$/;

/** Tells whether a word is a known unit or may precede one ("square", "cubic", "sq"). */
export function isUnitWord(word: string): boolean {
  return TABLE.has(word) || word === "square" || word === "cubic" || word === "sq" || word === "cu";
}

/** Words after a number that multiply it. */
export const MULTIPLIERS: Readonly<Record<string, bigint>> = {
  dozen: 12n,
  hundred: 100n,
  thousand: 1_000n,
  million: 1_000_000n,
  billion: 1_000_000_000n,
  trillion: 1_000_000_000_000n,
  ...multipliers(100n, "百 백"),
  ...multipliers(1_000n, "千 천 mil mille mila tausend тысяч тысячи тысяча nghìn ngàn ribu พัน হাজার हज़ार हजार ألف"),
  ...multipliers(10_000n, "万 萬 만 หมื่น"),
  ...multipliers(100_000n, "十万 十萬 lakh लाख লাখ แสน"),
  ...multipliers(
    1_000_000n,
    "百万 百萬 millones millón millionen milioni milione milhões milhão миллион миллиона миллионов triệu juta ล้าน مليون",
  ),
  ...multipliers(10_000_000n, "千万 千萬 crore करोड़ কোটি"),
  ...multipliers(100_000_000n, "亿 億 억"),
  ...multipliers(1_000_000_000n, "milliarde milliarden milliards milliard miliardi miliardo миллиард миллиарда миллиардов tỷ miliar مليار"),
};

function multipliers(value: bigint, words: string): Record<string, bigint> {
  return Object.fromEntries(words.split(" ").map((name) => [name, value]));
}

/** Words after a number that mean degrees or percent. */
export const SCALE_WORDS: ReadonlyMap<string, "degree" | "percent"> = new Map([
  ..."degree degrees deg 度 도 градус градуса градусов Grad degré degrés grado grados gradi grau graus stopni độ องศา درجة डिग्री ডিগ্রি derece"
    .toLowerCase()
    .split(" ").map((name) => [name, "degree"] as const),
  ..."percent процент процента процентов Prozent パーセント 퍼센트".toLowerCase().split(" ").map((name) => [name, "percent"] as const),
]);

/**
 * Reads tokens[start, end) as a unit: known units with exponents, products and quotients, or up to four unknown words.
 *
 * @returns undefined if the tokens are neither.
 */
export function unitOf(tokens: readonly Token[], start: number, end: number): Unit | undefined {
  return knownUnit(tokens, start, end) ?? words(tokens, start, end);
}

function words(tokens: readonly Token[], start: number, end: number): Unit | undefined {
  let count = 0;
  for (let i = start; i < end; i++) {
    const token = tokens[i]!;
    if (
      token.kind === "word" && !NOT_UNITS.has(token.text.toLowerCase()) && !(token.text > "\x7f" && DENYING.test(token.text)) &&
      (token.text.length > 1 || token.upright || token.text > "\x7f")
    ) {
      if (++count > 4) return undefined;
    } else if (!(token.kind === "symbol" && (token.text === "." || token.text === "-" && i > start))) return undefined;
  }
  return count > 0 ? { dimension: undefined, factor: 1 } : undefined;
}

function knownUnit(tokens: readonly Token[], start: number, end: number): Unit | undefined {
  const powers = new Map<string, number>();
  let factor = 1, sign = 1, prefix = 0, last: readonly [string, number] | undefined;
  const add = (unit: readonly [string, number], exponent: number) => {
    factor *= unit[1] ** exponent;
    for (const [index, part] of unit[0].split("/").entries()) {
      const [base, power = "1"] = part.split("^"), times = Number(power) * (index === 0 ? exponent : -exponent);
      if (base !== "") powers.set(base!, (powers.get(base!) ?? 0) + times);
    }
  };
  let bare = 0; // braces around parts of a unit
  for (let i = start; i < end; i++) {
    const { kind, text } = tokens[i]!;
    if (kind === "open" && (text === "{" || text === "(")) bare++;
    else if (kind === "close" && (text === "}" || text === ")")) bare--;
    else if (kind === "word" && (text === "square" || text === "sq") && prefix === 0) prefix = 2;
    else if (kind === "word" && (text === "cubic" || text === "cu") && prefix === 0) prefix = 3;
    else if (kind === "word" && text === "squared" && last !== undefined) add(last, sign);
    else if (kind === "word" && text === "cubed" && last !== undefined) add(last, 2 * sign);
    else if (kind === "word" && text === "per") sign = -1;
    else if (kind === "symbol" && text === "/") sign = -1;
    else if (kind === "symbol" && (text === "*" || text === "." || text === "'")) continue;
    else if (kind === "symbol" && text === "^" && last !== undefined) {
      // ^2, ^{2}, ^{-1}
      let at = i + 1, negative = false;
      const group = tokens[at]?.text === "{";
      if (group) at++;
      if (tokens[at]?.text === "-") {
        negative = true;
        at++;
      }
      const exponent = Number(tokens[at]?.kind === "number" && at < end ? tokens[at]!.text : NaN) * (negative ? -1 : 1);
      if (!(Math.abs(exponent) <= 6)) return undefined;
      if (group && tokens[++at]?.text !== "}") return undefined;
      add(last, (exponent - 1) * sign);
      i = at;
      last = undefined;
    } else if (kind === "word" || (kind === "command" && text === "ell")) {
      const unit = TABLE.get(text === "ell" ? "l" : text);
      if (unit === undefined) return undefined;
      add(unit, (prefix || 1) * sign);
      last = unit;
      prefix = 0;
    } else return undefined;
  }
  if (
    bare !== 0 || prefix !== 0 || (last === undefined && powers.size === 0 && factor === 1 && end > start && !hasUnit(tokens, start, end))
  ) {
    return undefined;
  }
  // A litre is a cubic decimetre; a hectare is 10^4 square metres.
  const volume = powers.get("volume") ?? 0, area = powers.get("area") ?? 0;
  if (volume !== 0 || area !== 0) {
    powers.delete("volume");
    powers.delete("area");
    powers.set("length", (powers.get("length") ?? 0) + 3 * volume + 2 * area);
    factor *= 1e-3 ** volume * 1e4 ** area;
  }
  const parts = [...powers].filter(([, exponent]) => exponent !== 0).map(([base, exponent]) => `${base}^${exponent}`).sort();
  return { dimension: parts.join(" "), factor };
}

function hasUnit(tokens: readonly Token[], start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (tokens[i]!.kind === "word" && TABLE.has(tokens[i]!.text)) return true;
  return false;
}

/** Returns the unit of a currency sign, given as a command's name; undefined for other commands. */
export function currencyOf(command: string): Unit | undefined {
  switch (command) {
    case "dollar":
      return { dimension: "money^1", factor: 1 };
    case "cent":
      return { dimension: "money^1", factor: 0.01 };
    case "euro":
      return { dimension: "euro^1", factor: 1 };
    case "pounds":
      return { dimension: "sterling^1", factor: 1 };
    case "yen":
      return { dimension: "yen^1", factor: 1 };
    default:
      return undefined;
  }
}
