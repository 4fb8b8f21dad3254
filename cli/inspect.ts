// deno-lint-ignore-file no-console -- a command
/**
 * `deno task inspect` answers a question about a picture, and shows where each token of the answer attends.
 *
 * @module
 */
import { openDevice } from "../ffi/open.ts";
import { Processor } from "../model/processor/processor.ts";
import { VisionLanguageModel } from "../model/model.ts";
import { CommandLine, runCommand } from "./command.ts";
import { answerPng } from "./inspect/answer_picture.ts";
import { anchorProfile, inspectAnswer } from "./inspect/inspection.ts";
import { drawHeatmap, encodePng } from "./inspect/heatmap_picture.ts";
import { inspectionPage } from "./inspect/page.ts";
import { anchorsByCluster, terminalAnswer } from "./inspect/terminal.ts";
import { modelAt } from "./models.ts";

const HELP = `Answers a question about a picture, and shows which tokens of the answer attend to the picture and where.

usage: deno task inspect --model DIR --image FILE --prompt TEXT [options]
  --model DIR       a model folder or checkpoint, adapters of PEFT, or a model of the hub as owner/name or owner/name@revision
  --base DIR        the base of a folder of adapters (LoRA), if it is not where the adapters say
  --image FILE      JPEG, PNG, WebP, GIF or TIFF
  --prompt TEXT     the question
  --out DIR         the folder for inspect.html and heat_map.png (default: inspect)
  --png FILE        also writes the answer and its anchors as one picture
  --max-tokens N    the maximum length of the answer (default 512)
  --temperature X   default 0: always takes the likeliest token
  --seed N          default 0
  --device NAME     auto | cpu | cuda | cuda:N (default auto)

The terminal shows the anchors, the tokens that attend most to one place of the picture, on a coloured background. With NO_COLOR, or if the output is a file,
they are in [[ ]]. Below the answer the anchors are listed by cluster. inspect.html draws where each token attends. heat_map.png draws where the
anchors attend: regions with less attention are darker, and those with at least half of the maximum are outlined.
`;

/** Runs the command. @returns The exit code. */
export async function inspect(args: readonly string[]): Promise<number> {
  const line = new CommandLine(args, {
    name: "deno task inspect",
    action: "inspect",
    help: HELP,
    values: {
      model: "DIR",
      base: "DIR",
      image: "FILE",
      prompt: "TEXT",
      out: "DIR",
      png: "FILE",
      "max-tokens": "N",
      temperature: "X",
      seed: "N",
      device: "NAME",
    },
    required: ["model", "image", "prompt"],
    others: { checkpoint: "--model DIR", picture: "--image FILE", question: "--prompt TEXT", text: "--prompt TEXT", output: "--out DIR" },
  });
  if (line.help) {
    console.log(HELP);
    return 0;
  }
  const maxTokens = line.number("max-tokens", { min: 1 }) ?? 512, seed = line.number("seed") ?? 0;
  const temperature = line.number("temperature", { max: 1e6, whole: false }) ?? 0;
  const name = line.path("model", "model")!, path = line.path("image", "file")!, prompt = line.needed("prompt");
  const out = line.path("out", "filled folder") ?? "inspect", whole = line.path("png", "new file"), deviceName = line.device("device");
  const image = Deno.readFileSync(path), { folder, files } = await modelAt(name, line.path("base", "model"));
  const processor = Processor.fromFolder(files);
  Deno.mkdirSync(out, { recursive: true });
  using device = openDevice(deviceName);
  using model = VisionLanguageModel.load(folder, { device, frozen: "all", base: { folder: files } });
  const inspection = await inspectAnswer(model, { processor, image, prompt, maxTokens, temperature, seed }),
    { picture, tokens } = inspection;
  const [png, heatmap] = await Promise.all([picture, drawHeatmap(inspection, anchorProfile(inspection))].map(encodePng));
  const page = `${out}/inspect.html`, map = `${out}/heat_map.png`;
  Deno.writeTextFileSync(page, inspectionPage(inspection, { png: png!, title: `${name}: ${path}` }));
  Deno.writeFileSync(map, heatmap!);
  if (whole !== undefined) Deno.writeFileSync(whole, await answerPng(inspection));
  console.log(terminalAnswer(tokens, { colour: !Deno.noColor && Deno.stdout.isTerminal() }));
  for (const line of anchorsByCluster(tokens)) console.log(line);
  const anchors = tokens.filter(({ anchor }) => anchor).length,
    mean = tokens.reduce((sum, { connectivity }) => sum + connectivity, 0) / tokens.length;
  console.error(
    `\n${tokens.length} tokens, ${anchors} anchors, mean connectivity ${mean.toFixed(3)}\n${page}\n${map}${
      whole === undefined ? "" : `\n${whole}`
    }`,
  );
  return 0;
}

if (import.meta.main) await runCommand(inspect);
