/** Makes a model for the tests of commands: tiny, with random weights and a token for each byte. */
import { newModelFolder } from "../../model/folder/new_model_folder.ts";
import { littleTokenizer } from "../model/little_tokenizer.ts";

const SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"];

/** The permissions of a command that runs a model. */
export const MODEL_PERMISSIONS: readonly string[] = [
  "--allow-ffi",
  "--allow-read",
  "--allow-write=.cache,/tmp",
  "--allow-run=c++,g++,nvcc,deno",
  "--allow-env=PATH,HOME,DENO_DIR,CUDA_HOME,CUDA_PATH,VIRTUAL_ENV,CONDA_PREFIX,npm_package_config_libvips,MALLOC_ARENA_MAX",
  "--allow-sys=systemMemoryInfo",
];

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
