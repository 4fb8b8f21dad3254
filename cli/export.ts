// deno-lint-ignore-file no-console -- a command
/**
 * `deno task export` copies a checkpoint's model as a clean folder.
 *
 * @module
 */
import { openDevice } from "../ffi/open.ts";
import { readConfig } from "../model/config/config.ts";
import { VisionLanguageModel } from "../model/model.ts";
import { CommandLine, runCommand } from "./command.ts";
import { modelAt } from "./models.ts";

const HELP =
  `Copies the model of a checkpoint as a Hugging Face folder: weights, configs, tokenizer and processor, without the trainer's files.

usage: deno task export --checkpoint DIR --out DIR [--dtype TYPE]
  --checkpoint DIR  a checkpoint such as RUN/checkpoints/step-100, or a model of the hub as owner/name or owner/name@revision
  --out DIR         a new or empty folder
  --dtype TYPE      bf16 | f32 (default: the checkpoint's)
`;

/** Runs the command. @returns The exit code. */
export async function exportModel(args: readonly string[]): Promise<number> {
  const line = new CommandLine(args, {
    name: "deno task export",
    action: "export",
    help: HELP,
    values: { checkpoint: "DIR", out: "DIR", dtype: "TYPE" },
    required: ["checkpoint", "out"],
    others: { model: "--checkpoint DIR", run: "--checkpoint RUN/checkpoints/step-N", output: "--out DIR" },
  });
  if (line.help) {
    console.log(HELP);
    return 0;
  }
  const name = line.path("checkpoint", "model")!, out = line.path("out", "new folder")!, asked = line.choice("dtype", ["bf16", "f32"]);
  const checkpoint = await modelAt(name);
  const own = readConfig(checkpoint).dtype === "bf16" ? "bf16" : "f32", dtype = asked ?? own;
  using device = openDevice("cpu");
  // The model is loaded in the file's type or a wider one, so that it is rounded only once, when it is written.
  using model = VisionLanguageModel.load(checkpoint, { device, dtype: own });
  model.save(out, { dtype, from: checkpoint });
  const count = Object.values(model.parameters).reduce((sum, { tensor }) => sum + tensor.size, 0);
  const files = Array.from(Deno.readDirSync(out), ({ name }) => name).sort();
  console.log(`${out}: ${count.toLocaleString("en")} parameters in ${dtype}\n  ${files.join("\n  ")}`);
  return 0;
}

if (import.meta.main) await runCommand(exportModel);
