// deno-lint-ignore-file no-console -- a command
/**
 * `deno task export` copies a checkpoint's model as a clean folder.
 *
 * @module
 */
import { openDevice } from "../ffi/open.ts";
import { readConfig } from "../model/config/config.ts";
import { copyAdapters } from "../model/lora/adapter_folder.ts";
import { mergeAdapters } from "../model/lora/merge.ts";
import { VisionLanguageModel } from "../model/model.ts";
import { CommandLine, runCommand } from "./command.ts";
import { modelAt } from "./models.ts";

const HELP =
  `Copies the model of a checkpoint as a Hugging Face folder: weights, configs, tokenizer and processor, without the trainer's files.

usage: deno task export --checkpoint DIR --out DIR [--dtype TYPE]
       deno task export --checkpoint DIR --out DIR [--merge] [--base DIR] [--dtype TYPE]     (a checkpoint of LoRA, or adapters of PEFT)
  --checkpoint DIR  a checkpoint such as RUN/checkpoints/step-100, or a model of the hub as owner/name or owner/name@revision
  --out DIR         a new or empty folder
  --dtype TYPE      bf16 | f32 (default: the checkpoint's; of a merged model: its base's)
  --merge           adds the adapters to the weights of their base: a model folder that needs no PEFT. Without it the adapters are copied.
  --base DIR        the base of the adapters, if it is not where they say
`;

/** Runs the command. @returns The exit code. */
export async function exportModel(args: readonly string[]): Promise<number> {
  const line = new CommandLine(args, {
    name: "deno task export",
    action: "export",
    help: HELP,
    values: { checkpoint: "DIR", out: "DIR", dtype: "TYPE", base: "DIR" },
    flags: ["merge"],
    required: ["checkpoint", "out"],
    others: { model: "--checkpoint DIR", run: "--checkpoint RUN/checkpoints/step-N", output: "--out DIR" },
  });
  if (line.help) {
    console.log(HELP);
    return 0;
  }
  const name = line.path("checkpoint", "model")!, out = line.path("out", "new folder")!, asked = line.choice("dtype", ["bf16", "f32"]);
  const { folder: checkpoint, files, isAdapter } = await modelAt(name, line.path("base", "model"));
  if (isAdapter) return exportAdapters(line, { checkpoint, files, out, asked });
  if (line.flag("merge")) throw line.error(`--merge applies to adapters, and ${name} is a whole model`);
  const own = readConfig(checkpoint).dtype === "bf16" ? "bf16" : "f32", dtype = asked ?? own;
  using device = openDevice("cpu");
  // The model is loaded in the file's type or a wider one, so that it is rounded only once, when it is written.
  using model = VisionLanguageModel.load(checkpoint, { device, dtype: own, frozen: "all" });
  model.save(out, { dtype, from: checkpoint });
  const count = Object.values(model.parameters).reduce((sum, { tensor }) => sum + tensor.size, 0);
  report(out, `${count.toLocaleString("en")} parameters in ${dtype}`);
  return 0;
}

/** Prints what was written. */
function report(out: string, words: string): void {
  const files = Array.from(Deno.readDirSync(out), ({ name }) => name).sort();
  console.log(`${out}: ${words}\n  ${files.join("\n  ")}`);
}

/** Writes the adapters of a checkpoint, or the model that they make of their base. */
function exportAdapters(
  line: CommandLine<"checkpoint" | "out" | "dtype" | "base", "merge">,
  { checkpoint, files, out, asked }: { checkpoint: string; files: string; out: string; asked: "bf16" | "f32" | undefined },
): number {
  using device = openDevice("cpu");
  if (line.flag("merge")) {
    const { elements, dtype } = mergeAdapters(checkpoint, { out, device, base: { folder: files }, ...(asked && { dtype: asked }) });
    report(out, `${elements.toLocaleString("en")} parameters in ${dtype}`);
    return 0;
  }
  if (asked !== undefined) {
    throw line.error("--dtype applies to a merged model, with --merge; adapters are stored in f32, as PEFT stores them");
  }
  copyAdapters(checkpoint, out);
  report(out, `adapters of ${files}`);
  return 0;
}

if (import.meta.main) await runCommand(exportModel);
