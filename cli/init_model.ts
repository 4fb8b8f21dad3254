// deno-lint-ignore-file no-console -- a command
/**
 * `deno task init-model` makes a model folder with random weights.
 *
 * @module
 */
import { newModelFolder } from "../model/folder/new_model_folder.ts";
import { parameterSpecs } from "../model/parameters.ts";
import { type PresetName, presets } from "../model/config/presets.ts";
import { CommandLine, runCommand } from "./command.ts";

const HELP = `Makes a model folder with random weights, for tests without a trained model.

usage: deno task init-model --preset NAME --tokenizer DIR --out DIR [options]
  --preset NAME     ${Object.keys(presets).join(" | ")}
  --tokenizer DIR   a folder with the tokenizer.json of a Qwen2, Qwen2.5 or Qwen3 model; its tokenizer and processor files are copied
  --out DIR         the new folder
  --dtype TYPE      f32 | bf16 (default: f32 for small and the tiny ones, bf16 for the others)
  --seed N          default 0
  --scheme NAME     hub: normal with deviation 0.02, as in transformers (default) | fan-in: 1 / sqrt(inputs), embeddings 0.1
`;

/** Runs the command. @returns The exit code. */
export function initModel(args: readonly string[]): number {
  const line = new CommandLine(args, {
    name: "deno task init-model",
    action: "make a model",
    help: HELP,
    values: { preset: "NAME", tokenizer: "DIR", out: "DIR", dtype: "TYPE", seed: "N", scheme: "NAME" },
    required: ["preset", "tokenizer", "out"],
  });
  if (line.help) {
    console.log(HELP);
    return 0;
  }
  const preset = line.choice("preset", Object.keys(presets) as PresetName[])!, dtype = line.choice("dtype", ["f32", "bf16"]);
  const scheme = line.choice("scheme", ["hub", "fan-in"]), seed = line.number("seed") ?? 0;
  const tokenizer = line.path("tokenizer", "folder")!, out = line.path("out", "new folder")!;
  const config = newModelFolder(out, { preset, tokenizer, dtype, seed, scheme });
  const count = parameterSpecs(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  console.log(
    `${out}: ${preset}, ${count.toLocaleString("en")} parameters in ${config.dtype}, vocabulary ${config.text.vocabSize}, seed ${seed}`,
  );
  return 0;
}

if (import.meta.main) await runCommand(initModel);
