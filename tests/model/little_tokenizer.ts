/**
 * A tokenizer.json with a token for each byte, for tests that need a tokenizer and not a vocabulary.
 *
 * @module
 */

/** The fields of a tokenizer.json that tests vary. */
export interface LittleTokenizer extends Record<string, unknown> {
  readonly model: Readonly<Record<string, unknown>>;
}

/** An added token as tokenizer.json writes it. */
export interface LittleAdded {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/**
 * Byte-level BPE of 256 byte tokens, whose id is the byte, and merges, whose ids are 256 and so on.
 *
 * @param merges Pairs.
 * @param added Added tokens.
 */
export function littleTokenizer(merges: readonly (readonly [string, string])[], added: readonly LittleAdded[]): LittleTokenizer {
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  const bytes = Array.from({ length: 256 }, (_, byte) => [String.fromCharCode(printable(byte) ? byte : next++), byte] as const);
  return {
    normalizer: { type: "NFC" },
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      unk_token: null,
      vocab: Object.fromEntries([...bytes, ...merges.map((pair, i) => [pair.join(""), 256 + i] as const)]),
      merges,
    },
    added_tokens: added,
  };
}

/**
 * Runs something on a folder that holds these files, and removes it.
 *
 * @param files Content by path; what is no text is written as JSON.
 * @param run The function to run.
 */
export function withFolder<T>(files: Readonly<Record<string, unknown>>, run: (folder: string) => T): T {
  const folder = Deno.makeTempDirSync();
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = `${folder}/${name}`;
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      Deno.writeTextFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    }
    return run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}
