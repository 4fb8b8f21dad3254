import type { Pixels, Visual } from "../../model/prompt.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { familyOf } from "../../model/families.ts";
import type { Random } from "../../tensor/random.ts";
import { Tape } from "../../tensor/tape.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { assertNear, Golden, GOLDEN_FAMILIES, MEMORY, modelTest } from "./golden.ts";

const golden = Golden.open("mixed"); // the others have patches of the same size
const TOWERS = GOLDEN_FAMILIES.map((family) => Golden.open("mixed", family));
const { patchSize, mergeSize, temporalPatchSize, channels } = golden.config.vision;
const WIDTH = channels * temporalPatchSize * patchSize ** 2;
const [MEAN, STD] = [[0.48, 0.45, 0.4], [0.27, 0.26, 0.28]] as const;

function frames(random: Random, { count, h, w }: { count: number; h: number; w: number }): Extract<Pixels, { frames: unknown }> {
  const size = count * h * w * patchSize ** 2 * 3;
  return { frames: Uint8Array.from({ length: size }, () => random.integer(0, 256)), count, mean: MEAN, std: STD };
}

/** The patches of frames by the definition in kedge.h: rows over (time, block, row in block, column in block), columns over (colour, frame, y, x). */
function cut({ frames, count }: { frames: Uint8Array; count: number }, { t, h, w }: Visual["grid"]): Float32Array<ArrayBuffer> {
  const out: number[] = [];
  for (let time = 0; time < t; time++) {
    for (let block = 0; block < h * w / mergeSize ** 2; block++) {
      const top = Math.floor(block / (w / mergeSize)) * mergeSize, left = block % (w / mergeSize) * mergeSize;
      for (let patch = 0; patch < mergeSize ** 2; patch++) {
        const [row, col] = [top + Math.floor(patch / mergeSize), left + patch % mergeSize];
        for (let i = 0; i < WIDTH; i++) {
          const x = i % patchSize, y = Math.floor(i / patchSize) % patchSize, frame = Math.floor(i / patchSize ** 2) % temporalPatchSize;
          const colour = Math.floor(i / (patchSize ** 2 * temporalPatchSize));
          const from = Math.min(count - 1, time * temporalPatchSize + frame);
          const at = ((from * h * patchSize + row * patchSize + y) * w * patchSize + col * patchSize + x) * 3 + colour;
          out.push((frames[at]! / 255 - MEAN[colour]!) / STD[colour]!);
        }
      }
    }
  }
  return Float32Array.from(out);
}

for (const tower of TOWERS) {
  modelTest(
    `frames give the embeddings of their patches, also where the last frame must be repeated, ${tower.family}`,
    ({ device, dtype, random, tolerance }) => {
      using model = tower.model(device, dtype);
      const both = ([kind, grid, count]: readonly ["image" | "video", Visual["grid"], number]): [Visual, Visual] => {
        const pixels = frames(random, { count, ...grid });
        return [{ kind, grid, pixels }, { kind, grid, pixels: { patches: cut(pixels, grid) } }];
      };
      const pairs = ([["image", { t: 1, h: 4, w: 6 }, 1], ["video", { t: 2, h: 2, w: 8 }, 3], ["image", { t: 1, h: 6, w: 2 }, 1]] as const)
        .map(both);
      using tape = new Tape(device, { record: false });
      const [whole, parts] = ([0, 1] as const).map((i) => model.encodeVisuals(tape, pairs.map((pair) => pair[i]!)).tensor.toFloats());
      assertNear(whole!, parts!, { what: "embeddings", tolerance: tolerance({ f32: 1e-5, bf16: 0.04 }) });
    },
    { emulated: tower === golden }, // the patches of all are cut by the same code
  );

  modelTest(`a visual's embeddings do not depend on the others of the pass, ${tower.family}`, ({ device, dtype, tolerance }) => {
    using model = tower.model(device, dtype);
    using tape = new Tape(device, { record: false });
    const { visuals } = tower.cases[0]!;
    const all = model.visualFeatures(tape, visuals), each = visuals.map((visual) => model.visualFeatures(tape, [visual]));
    for (const [i, together] of all.entries()) {
      const apart = each.flatMap((features) => [...features[i]!.tensor.toFloats()]), what = `feature ${i}`;
      if (device.kind === "cpu") assertEquals([...together.tensor.toFloats()], apart, what);
      else assertNear(together.tensor.toFloats(), apart, { what, tolerance: tolerance({ f32: 1e-5, bf16: 0.04 }) });
    }
  });
}

modelTest("pixels of a wrong size are refused with the visual's index, and nothing stays allocated", ({ device, random }) => {
  using model = golden.model(device);
  using tape = new Tape(device, { record: false });
  const grid = { t: 1, h: 2, w: 2 };
  const good: Visual = { kind: "image", grid, pixels: frames(random, { count: 1, ...grid }) };
  const fails = (visuals: Visual[], words: string) => assertThrows(() => model.encodeVisuals(tape, visuals), RangeError, words);
  fails([], "there are none");
  fails([good, { ...good, pixels: { patches: new Float32Array(WIDTH) } }], `visual 1 (image): ${WIDTH} numbers for 4 patches of ${WIDTH}`);
  fails([{ ...good, grid: { t: 2, h: 2, w: 2 } }], "visual 0 (image): ");
  fails([good, { ...good, pixels: frames(random, { count: 2, h: 4, w: 2 }) }], "visual 1 (image): ");
  fails([{ ...good, grid: { t: 1, h: 2, w: 3 } }], "picture 0");
}, { dtypes: ["f32"] });

for (const { config, family } of TOWERS) {
  const shapes = [{}, { intermediateSize: 200 }, { hiddenSize: 16, intermediateSize: 20, heads: 2 }, { patchSize: 14, windowSize: 84 }];
  modelTest(`visionBytes bounds the peak of a pass from above, closely, ${family}`, ({ device, dtype, random }) => {
    for (const shape of shapes) {
      const vision = { ...config.vision, ...shape };
      using model = VisionLanguageModel.initialise({ ...config, vision }, { device, dtype, seed: 3 });
      const grid = { t: 3, h: 20, w: 26 }, patches = grid.t * grid.h * grid.w, width = vision.channels * 2 * vision.patchSize ** 2;
      const size = (count: number) => count * grid.h * grid.w * vision.patchSize ** 2 * 3;
      for (
        const pixels of [
          { patches: Float32Array.from({ length: patches * width }, () => random.next()) },
          { frames: new Uint8Array(size(6)), count: 6, mean: MEAN, std: STD },
        ]
      ) {
        const measure = () => {
          device.synchronize();
          device.resetPeak();
          const before = device.memory().used;
          using tape = new Tape(device, { record: false });
          model.encodeVisuals(tape, [{ kind: "video", grid, pixels }]);
          device.synchronize();
          return device.memory().peak - before;
        };
        measure(); // the workspace is there from now on
        const peak = measure(), bound = familyOf(config).visionBytes(vision, dtype, patches);
        if (!(peak <= bound && bound < 2 * peak)) {
          throw new Error(`Bound ${bound}, peak ${peak}: ${JSON.stringify(shape)} ${Object.keys(pixels)}`);
        }
      }
    }
  }, { ignore: MEMORY });
}
