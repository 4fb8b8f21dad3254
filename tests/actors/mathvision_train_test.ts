// Trains on real problems: pictures through the real processor, the real tokenizer, and a tiny random model.
import { assert, assertEquals } from "@std/assert";
import "sharp";
import { CpuDevice } from "../../ffi/cpu_device.ts";
import { newModelFolder } from "../../model/folder/new_model_folder.ts";
import { Lines } from "../../actors/run/lines.ts";
import { exists } from "../files.ts";
import { ROOT } from "../root.ts";
import { littleConfig, littleRun, logged, withRunDir } from "./little_run.ts";

const DATA = `${ROOT}/../shared/data/mathvision`, TOKENIZER = `${ROOT}/../shared/golden/qwen25_tokenizer`;
const there = exists(DATA) && exists(TOKENIZER);

CpuDevice.open()[Symbol.dispose](); // a library that a test loads would count as its leak

Deno.test({
  name: `three steps on MATH-Vision, from JSONL and from Parquet, with and without a divergence${
    there ? "" : " (skipped: ../shared is not there)"
  }`,
  ignore: !there,
  fn: async () => {
    await withRunDir(async (folder) => {
      newModelFolder(`${folder}/model`, { preset: "tiny", tokenizer: TOKENIZER, seed: 1 });
      const common = [
        `model.path=${folder}/model`,
        "data.task=files",
        "sft=null",
        'reward={"parts":{"accuracy":{"use":"math","weight":0.9},"format":{"use":"format","weight":0.1,"options":{"style":"boxed"}}}}',
        "data.rolloutBatchSize=2",
        "data.maxResponseLength=8",
        "data.maxPixels=12544",
        "data.formatPrompt=boxed",
        "trainer.maxSteps=3",
        "trainer.valBeforeTrain=true",
        "val.limit=2",
        "val.greedy=false",
        "batch.microTokens=512",
      ];
      const runs = {
        jsonl: [`data.trainFiles=${DATA}/train.jsonl`, `data.valFiles=${DATA}/test.jsonl`, 'algorithm.kl={"kind":"k3","coefficient":0.01}'],
        parquet: [
          `data.trainFiles=${DATA}/test-00000-of-00001.parquet`,
          'algorithm.loss={"kind":"gspo_token"}',
          "algorithm.lossAvgMode=seq",
        ],
      };
      for (const [name, sets] of Object.entries(runs)) {
        // deno-lint-ignore no-await-in-loop -- one run after the other
        const { step } = await littleRun(littleConfig(folder, [...common, ...sets, `name=${name}`]));
        assertEquals(step, 3);
        const lines = logged(`${folder}/${name}`).filter((line) => "reward/overall" in line);
        assertEquals(lines.length, 3);
        for (const line of lines) {
          for (const key of ["actor/loss", "actor/entropy", "reward/accuracy", "reward/format", "atrl/anchor_fraction"]) {
            assert(Number.isFinite(line[key] as number), `${name}: ${key} is ${line[key]}`);
          }
          assertEquals("actor/kl_loss" in line, name === "jsonl");
          assertEquals(line["reward/failures"], 0);
        }
        const [answer] = new Lines(`${folder}/${name}/rollouts.jsonl`).read();
        assert((answer!["image"] as string).startsWith("data:image/png;base64,"), "the picture comes with the answer");
        assertEquals((answer!["connectivity"] as number[]).length, (answer!["token_ids"] as number[]).length);
        // The two files have different rows, and 64 rows of one are held out.
        assertEquals(logged(`${folder}/${name}`).some((line) => "val/accuracy" in line), name === "jsonl");
      }
    });
  },
});
