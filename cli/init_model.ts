// deno-lint-ignore-file no-console -- a command
/**
 * `deno task init-model`: makes a model folder with random weights.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { newModelFolder } from "../model/folder/new_model_folder.ts";
import { parameterSpecs } from "../model/parameters.ts";
import { type PresetName, presets } from "../model/config/presets.ts";

const HELP = `Makes a Qwen2.5-VL folder with random weights, for trials without trained ones.

usage: deno task init-model --preset NAME --tokenizer DIR --out DIR [options]
  --preset NAME     ${Object.keys(presets).join(" | ")}
  --tokenizer DIR   folder with tokenizer.json (of a Qwen2.5 or Qwen2.5-VL); its tokenizer and processor files are copied
  --out DIR         the new folder
  --dtype TYPE      f32 | bf16 (default: f32 for tiny and small, else bf16)
  --seed N          default 0
  --scheme NAME     hub: normal with deviation 0.02, as transformers (default) | fan-in: 1 / sqrt(inputs), embeddings 0.1
`;

/** The value of an option that must be one of a list. */
function choice<T extends string>(name: string, value: unknown, all: readonly T[]): T {
  if (!all.includes(value as T)) throw new TypeError(`Cannot make a model: --${name} is ${value}, not one of ${all.join(", ")}\n\n${HELP}`);
  return value as T;
}

/** Runs the command. @returns The exit code. */
export function initModel(args: readonly string[]): number {
  const options = parseArgs([...args], {
    boolean: ["help"],
    string: ["preset", "tokenizer", "out", "dtype", "seed", "scheme"],
    unknown: (arg) => {
      throw new TypeError(`Cannot make a model: "${arg}" is no option\n\n${HELP}`);
    },
  });
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const missing = ["preset", "tokenizer", "out"].filter((name) => !options[name]);
  if (missing.length > 0) throw new TypeError(`Cannot make a model: no ${missing.map((name) => `--${name}`).join(", ")} given\n\n${HELP}`);
  const preset = choice("preset", options.preset, Object.keys(presets) as PresetName[]);
  const dtype = options.dtype === undefined ? undefined : choice("dtype", options.dtype, ["f32", "bf16"]);
  const scheme = options.scheme === undefined ? undefined : choice("scheme", options.scheme, ["hub", "fan-in"]);
  if (options.seed !== undefined && !/^\d+$/.test(options.seed)) {
    throw new TypeError(`Cannot make a model: --seed is ${options.seed}, no integer of 0 or more\n\n${HELP}`);
  }
  const seed = Number(options.seed ?? 0), out = options.out as string;
  const config = newModelFolder(out, { preset, tokenizer: options.tokenizer as string, dtype, seed, scheme });
  const count = parameterSpecs(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  console.log(
    `${out}: ${preset}, ${count.toLocaleString("en")} parameters in ${config.dtype}, vocabulary ${config.text.vocabSize}, seed ${seed}`,
  );
  return 0;
}

if (import.meta.main) {
  try {
    Deno.exit(initModel(Deno.args));
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
