/**
 * Recognises how languages other than English name an answer. The languages are those of the public sets MathVision, CMM-Math, CMMMU,
 * GAOKAO, JMMMU, MGSM, M3Exam, EXAMS-V and MTVQA. The English phrases are in extract.ts.
 *
 * @module
 */

/** Matches a word in any of several forms, at the beginning of a word. */
const word = (...forms: string[]): string => `(?<!\\p{L})(?:${forms.join("|")})`;
/** Matches what may stand between the word "answer" and its verb: "correcta", "finale", "auf die Frage". */
const more = (...forms: string[]): string => `(?: (?:${forms.join("|")})){0,2}`;
/** Matches "to the question" after one of these words. */
const about = (...forms: string[]): string => `(?: (?:${forms.join("|")})[^.\\n:：=]{1,60}?)?`;
/** Matches "is" or a colon. Markdown's stars may stand before it. */
const is = (...forms: string[]): string =>
  `(?:\\*\\*|__)?\\s{0,3}(?:${["[:：=]", ...forms.map((form) => /\p{L}$/u.test(form) ? `${form}(?!\\p{L})` : form)].join("|")})`;
/** Asserts that a value or a choice comes next. */
const VALUE = "(?=\\s{0,2}[-−$\\\\(（【*]{0,3}[\\p{Nd}A-J\\\\①-⑩](?!\\p{L}))";

const PHRASES: Readonly<Record<string, string>> = {
  Chinese: "(?<!不|没有)(?:答案|结果|結果)(?:应该?|應該?|就|便)?(?:是|为|為|选|選|(?:\\*\\*)?[:：])|答(?:\\*\\*)?[:：]",
  Japanese: `(?:答え|解答|正解|回答|正答)(?:\\*\\*)?(?:は|\\s{0,2}[:：=])(?!ない)`,
  Korean: `(?:정답|답안|해답|(?<!\\p{L})답)(?:\\*\\*)?(?:은|는|이|\\s{0,2}[:：=])`,
  Thai: `คำตอบ(?:ที่ถูกต้อง|ที่ถูก|สุดท้าย|ที่ได้)?(?:\\*\\*)?\\s{0,3}(?:คือ|เป็น|ได้แก่|[:：=])|ตอบ(?:\\*\\*)?\\s{0,3}(?:[:：]|${VALUE})`,
  Vietnamese: word("đáp án", "đáp số", "câu trả lời", "kết quả") + more("đúng", "cuối cùng", "chính xác", "của bài toán", "cần tìm") +
    is("là"),
  Russian: word("ответ(?:ом)?") + about("на", "к") + `(?:${is("это", "равен", "является", "будет")}|\\s{0,2}[—–-]\\s|\\s{1,3}${VALUE})`,
  Bulgarian: word("отговор(?:ът|а)?") + about("на") + `(?:${is("е")}|\\s{0,2}[—–-]\\s)`,
  German: word("antwort", "lösung", "ergebnis") + about("auf", "zu") + is("ist", "lautet", "wäre", "beträgt") +
    `|(?<!\\p{L})(?:ist|lautet) die (?:richtige |endgültige |korrekte )?(?:antwort|lösung) ${VALUE}`,
  French: word("réponse", "résultat") + more("finale", "correcte", "exacte", "juste", "final", "exact") + about("à", "est donc") +
    is("est", "sera"),
  Spanish: word("respuesta", "resultado") + more("correcta", "final", "correcto") + about("a la", "al") + is("es", "sería", "será"),
  Italian: word("risposta", "risultato") + more("corretta", "finale", "esatta", "giusta", "corretto") + about("alla") +
    is("è", "sarà", "e'"),
  Portuguese: word("resposta", "resultado", "gabarito") + more("correta", "final", "certa", "correto") + about("à") +
    is("é", "será", "seria"),
  Polish: word("odpowied(?:ź|zią|zi)") + more("poprawna", "prawidłowa", "końcowa", "ostateczna") + about("na") +
    `(?:${is("to", "jest", "brzmi")}|\\s{0,2}[—–-]\\s)`,
  "Croatian and Serbian": word("odgovor", "одговор") + about("na", "на") + is("je", "glasi", "је"),
  Czech: word("odpověď", "odpoveď") + is("je", "zní"),
  Hungarian: word("válasz") + `(?:${is("tehát")}|\\s{1,3}(?:az?\\s{1,2}|a\\(z\\)\\s{1,2})?${VALUE})`,
  "Indonesian and Javanese": word("jawaban(?:nya|ipun|e)?") + more("yang benar", "akhir", "akhirnya", "sing bener") +
    is("adalah", "yaitu", "yaiku", "ialah"),
  Swahili: word("jibu") + more("sahihi", "la mwisho", "lake") + is("ni"),
  Turkish: word("cevap", "yanıt", "cevabı", "yanıtı") + `(?:${is("ise")}|\\s{1,3}${VALUE})`,
  "Afrikaans and Dutch": word("antwoord") + about("op") + is("is", "luidt"),
  Arabic: `(?:الإجابة|الاجابة|الجواب|الناتج)` + more("الصحيحة", "النهائية", "الصحيح", "النهائي") + is("هي", "هو"),
  "Persian and Urdu": word("پاسخ", "جواب") + more("صحیح", "نهایی", "درست") + `(?:${is()}|\\s{1,3}${VALUE})`,
  "Hindi and Marathi": word("उत्तर") + `(?:${is()}|\\s{1,3}${VALUE})`,
  Bengali: `উত্তর(?:টি)?` + `(?:${is("হল", "হলো", "হবে")}|\\s{1,3}${VALUE})`,
  Telugu: `(?:సమాధానం|జవాబు)(?:${is()}|\\s{1,3}${VALUE})`,
  Greek: word("απάντηση") + is("είναι"),
};

/** Asserts that the letter of a choice comes next, after "choose" or "option". */
const CHOICE = "(?=\\s{0,2}[(（【\\[「『*]{0,3}\\s?[A-JＡ-Ｊ①-⑩](?![A-Za-z]))";
const CHOICE_PHRASES: readonly string[] = [
  `(?<!不[能应應可要该會会是宜]{0,2}|没|未|排除|别)(?:选择|選擇|选|選)(?:择|擇)?(?:项|項|答案)?(?:是|为|為)?(?:\\*\\*)?\\s{0,2}[:：]?${CHOICE}`,
  `(?:選択肢|선택지|보기)\\s{0,2}(?:は|는)?\\s{0,2}${CHOICE}`,
  word(
    "opción",
    "opcion",
    "opção",
    "alternativa",
    "opzione",
    "вариант",
    "opcja",
    "opcija",
    "phương án",
    "opsi",
    "pilihan",
    "chaguo",
    "seçenek",
  ) +
  `(?: (?:correcta|correta|corretta|đúng|ответа|sahihi))?\\s{0,2}(?:es|é|è|là|ni|[:：—–-])?${CHOICE}`,
  `(?:ตัวเลือก|ข้อ)\\s{0,2}${CHOICE}`,
];

const ALL = new RegExp(Object.values(PHRASES).join("|"), "giu"), ALL_CHOICES = new RegExp(CHOICE_PHRASES.join("|"), "giu");
/** A quick test for a word that begins such a phrase. Most responses contain none. */
const HINT =
  /[đı\u0400-\u1fff\u3040-\u9fff\uac00-\ud7af]|spost|spuest|pons|sult[ad]|ntwo|ösung|rgebn|abarit|dpo[wv]|dgovo|lasz|awaba|jibu|Jibu|evap|evab|πάντησ|SPUEST|NTWORT|PONSE|SPOST/;
const CHOICE_HINT = /[đ\u0400-\u1fff\u3040-\u9fff\uac00-\ud7af]|pci|pç|lternativa|pzion|pcj|pilih|haguo|eçene/;

/**
 * Returns where the last phrase ends that names an answer in a language other than English, or -1 if there is none. With `choices`, phrases
 * that name a choice count too.
 */
export function lastForeignPhrase(text: string, options: { choices: boolean }): number {
  let end = -1;
  const look = (pattern: RegExp) => {
    for (const match of text.matchAll(pattern)) end = Math.max(end, match.index + match[0].length);
  };
  if (HINT.test(text)) look(ALL);
  if (options.choices && CHOICE_HINT.test(text)) look(ALL_CHOICES);
  return end;
}

/** Words before a choice's letter that only say that it is a choice. */
export const OPTION_WORDS =
  /^(?:(?:la|l'|l’|die|der|das|el|a|o|az|the|an)\s{0,2})?(?:options?|choices?|letters?|opción|opcion|opção|alternativa|letra|lettre|lettera|opzione|вариант(?: ответа)?|буква|opcja|opcija|选项|選項|选择|選擇|選択肢|선택지|보기|phương án|ข้อ|ตัวเลือก|الخيار|विकल्प|বিকল্প|opsi|pilihan|chaguo|seçenek|antwort)\s{0,2}/i;

/** Matches the words after an answer in Japanese, Korean, Hindi, Bengali and Turkish, and after a choice in Chinese. */
const AFTER =
  /\s{0,2}(?:(?:となります|になります|となる|になる|である|です|でした|だ|입니다|이다|이에요|예요|임|इ?है|हैं|होगा|হবে|হয়|['’](?:dir|dır|dur|dür|tir|tır|tur|tür)|olur|olarak bulunur)|(?<=[A-JＡ-Ｊ)）①-⑩])(?:选项|選項|项|項|选|選)?(?:正确|正確|符合题意|符合題意)?(?:번|番|が正解|が正しい)?)$/i;

/** Matches the Chinese words before a number: "there are in all". */
const BEFORE = /^(?:一共|总共|共计?|大约|约)?(?:有|是|为|需要?|要)?(?=\s?\p{Nd})/u;

/** Removes the verb that ends the answer's sentence or begins it. */
export function withoutVerb(answer: string): string {
  if (!/[\u0080-\uffff]|[’'].{2}r$/.test(answer)) return answer;
  answer = answer.replace(BEFORE, "");
  for (let rounds = 0; rounds < 3; rounds++) {
    const next = answer.replace(AFTER, "");
    if (next === answer || next.trim() === "") break;
    answer = next;
  }
  return answer;
}

/** Words that state a value at the end of a sentence, in addition to the English ones. */
export const STATING =
  /(?<!\p{L}|(?<!\p{L})(?:no|non|não|nie|ne|nem|не) )(?:es|son|est|sont|ist|sind|beträgt|è|sono|é|são|равно|равна|равен|равны|составляет|jest|wynosi|je|là|ni|adalah|είναι)(?!\p{L})|(?<!不|没|并非)(?:是|为|為|等于|等於)|は|が|은|는|คือ|เท่ากับ|هي|هو|يساوي|=/giu;
