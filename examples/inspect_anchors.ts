// deno-lint-ignore-file no-console -- a program
/**
 * Asks a model about a picture, and prints each token of the answer with how strongly it looks at the picture, its cluster and its weight. Anchors, the tokens
 * that look most at one place of it, have a mark.
 *
 *   deno run -A examples/inspect_anchors.ts Qwen2.5-VL-3B-Instruct picture.png "What is the red number?"
 *
 * @module
 */
import { Engine, Processor, TokenStream, VisionLanguageModel } from "@kedge/kedge/model";
import { detectAtrl, Responses } from "@kedge/kedge/rl";
import { openDevice, Tensor } from "@kedge/kedge/tensor";

const [folder, picture, question, maxTokens = "64"] = Deno.args;
if (folder === undefined || picture === undefined || question === undefined) {
  console.error("usage: inspect_anchors.ts MODEL_FOLDER PICTURE QUESTION [MAX_TOKENS]");
  Deno.exit(2);
}

using device = openDevice("auto");
using model = VisionLanguageModel.load(folder, { device, frozen: "all" });
using engine = new Engine(model);
const processor = Processor.fromFolder(folder), image = Deno.readFileSync(picture);
const prompt = await processor.prompt([{ role: "user", content: [{ type: "image", image }, { type: "text", text: question }] }]);
const answers = await engine.generate([prompt], { maxTokens: Number(maxTokens), temperature: 0, connectivity: true });
const { tokens, connectivity, profile, regions } = answers[0]![0]!;

using responses = Responses.of(device, [tokens.length]);
using share = Tensor.from(device, connectivity!);
using byRegion = Tensor.from(device, profile!, { shape: [tokens.length, regions!.regions] });
using credit = detectAtrl(responses, { connectivity: share, profile: byRegion, visual: [true] });
const flags = credit.flags.toArray(), clusters = credit.clusters!.cluster.toArray(), weights = credit.weights.toFloats();

const stream = new TokenStream(processor.tokenizer);
console.log("    share  cluster  weight  token");
for (const [i, id] of tokens.entries()) {
  const anchor = Number(flags[i]) & 1, text = JSON.stringify(stream.push(id));
  const numbers = [connectivity![i]!.toFixed(3).padStart(8), String(clusters[i]).padStart(9), weights[i]!.toFixed(2).padStart(8)];
  console.log(`${anchor ? "*" : " "}${numbers.join("")}  ${text}`);
}
const anchors = tokens.filter((_, i) => Number(flags[i]) & 1).length;
console.log(`${tokens.length} tokens, ${anchors} anchors, ${credit.clusters!.stats[0]!.clusters} clusters`);
