/** Makes a model for the tests of commands: tiny, with random weights and a token for each byte. */
import { flagsOf, MODEL, together } from "../../cli/permissions.ts";
import { newModelFolder } from "../../model/folder/new_model_folder.ts";
import { littleTokenizer } from "../model/little_tokenizer.ts";

const SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"];

/** The permissions of a command that runs a model. */
export const MODEL_PERMISSIONS: readonly string[] = flagsOf(together(MODEL, { write: ["/tmp"] }));

/** Calls a function with a new folder that contains the model under `model`, and removes the folder afterwards. */
export async function withModel(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    const tokenizer = littleTokenizer([], SPECIAL.map((content, i) => ({ id: 256 + i, content, special: true })));
    Deno.mkdirSync(`${folder}/tokenizer`);
    Deno.writeTextFileSync(`${folder}/tokenizer/tokenizer.json`, JSON.stringify(tokenizer));
    newModelFolder(`${folder}/model`, { preset: "tiny", tokenizer: `${folder}/tokenizer`, seed: 3, scheme: "fan-in" });
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}
