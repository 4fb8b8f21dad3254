import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import type { Device } from "../../ffi/device.ts";
import { KedgeError } from "../../ffi/errors.ts";
import { loadParameters, openModelFolder, saveModel } from "../../model/folder/checkpoint.ts";
import { writeModelFolder } from "../../model/folder/checkpoint_files.ts";
import { type ModelConfig, readConfig } from "../../model/config/config.ts";
import { initialiseParameters } from "../../model/folder/initialise.ts";
import { presetConfig } from "../../model/config/presets.ts";
import type { Parameter, Parameters } from "../../tensor/parameter.ts";
import { type SafetensorsDType, SafetensorsFolder } from "../../tensor/safetensors.ts";
import { type SafetensorsEntry, writeSharded } from "../../tensor/safetensors_writer.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { ROOT } from "../root.ts";
import { assertSameBytes, exists } from "../files.ts";
import { deviceTest } from "../tensor/device_test_case.ts";

const GOLDEN = `${ROOT}/../shared/golden/qwen2_5_vl`;
const EMBEDDING = "model.embed_tokens.weight", HEAD = "lm_head.weight";

/** A config of some thousand parameters. */
function littleConfig(options: { tied?: boolean } = {}): ModelConfig {
  const tokens = { image: 31, video: 32, visionStart: 33, visionEnd: 34, eos: [35, 36], bos: 36, pad: undefined };
  const { text, vision, ...rest } = presetConfig("tiny", { tokens, vocabSize: 37 });
  return {
    ...rest,
    text: {
      ...text,
      hiddenSize: 24,
      intermediateSize: 20,
      heads: 6,
      kvHeads: 2,
      headDim: 4,
      mropeSection: [1, 1, 0],
      layers: 2,
      tied: options.tied ?? true,
    },
    vision: { ...vision, hiddenSize: 16, intermediateSize: 12, outHiddenSize: 24 },
  };
}

/** A fresh folder to make things in; removed afterwards. */
function inFolder(body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function free(parameters: Parameters): void {
  for (const parameter of Object.values(parameters)) parameter[Symbol.dispose]();
}

/** Makes a model, hands it over, and frees it. */
function withModel(device: Device, options: { seed: number; tied?: boolean; dtype?: "f32" | "bf16" }, body: (model: Model) => void): void {
  const config = littleConfig(options);
  const parameters = initialiseParameters(device, config, options);
  try {
    body({ config, parameters });
  } finally {
    free(parameters);
  }
}

interface Model {
  config: ModelConfig;
  parameters: Record<string, Parameter>;
}

function assertSameParameters(actual: Parameters, expected: Parameters): void {
  assertEquals(Object.keys(actual), Object.keys(expected));
  for (const [name, { tensor }] of Object.entries(expected)) {
    assertEquals([actual[name]!.tensor.dtype, actual[name]!.tensor.shape], [tensor.dtype, tensor.shape], name);
    assertSameBytes(actual[name]!.tensor.toBytes(), tensor.toBytes(), name);
  }
}

/** The tensors of a folder. */
function tensorsOf(folder: string): SafetensorsEntry[] {
  using files = SafetensorsFolder.open(folder);
  return [...files.tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape, data: files.read(name) }));
}

/** A copy of a folder with other tensors. */
function rewrite(from: string, options: { to: string; entries: readonly SafetensorsEntry[] }): string {
  writeSharded(options.to, options.entries);
  for (const name of ["config.json", "generation_config.json"]) Deno.copyFileSync(`${from}/${name}`, `${options.to}/${name}`);
  return options.to;
}

function assertLoads(
  folder: string,
  { device, parameters, dtype }: { device: Device; parameters: Parameters; dtype?: "f32" | "bf16" },
): void {
  const again = openModelFolder(folder, { device, dtype });
  try {
    assertSameParameters(again.parameters, parameters);
  } finally {
    free(again.parameters);
  }
}

function refuse(device: Device, folder: string): string {
  const error = assertThrows(() => openModelFolder(folder, { device }), KedgeError, folder);
  assertEquals(error.code, "BadCheckpoint");
  return error.message;
}

deviceTest("a saved model read again is the same to the bit: f32 and bf16, tied or not, in one file or in shards", (device, random) => {
  for (const tied of [true, false]) {
    for (const dtype of ["f32", "bf16"] as const) {
      for (const maxShardBytes of [undefined, 20_000]) {
        inFolder((folder) =>
          withModel(device, { seed: random.integer(0, 2 ** 31), tied, dtype }, (model) => {
            saveModel(model, `${folder}/m`, { maxShardBytes });
            assertEquals(exists(`${folder}/m/model.safetensors.index.json`), maxShardBytes !== undefined);
            assertEquals(readConfig(`${folder}/m`), { ...model.config, dtype });
            assertEquals(tensorsOf(`${folder}/m`).some(({ name }) => name === HEAD), !tied);
            assertLoads(`${folder}/m`, { device, parameters: model.parameters, dtype });
          })
        );
      }
    }
  }
});

deviceTest("every public spelling of the tensors loads", (device, random) => {
  const spellings: readonly ((name: string) => string)[] = [
    (name) => name.replace(/^visual\./, "model.visual.").replace(/^model\.(?!visual)/, "model.language_model."),
    (name) => name.replace(/^model\./, "model.language_model."),
    (name) => name.replace(/^(model|lm_head)\./, "language_model.$1."),
    (name) => name.replace(/^model\./, "language_model."),
  ];
  for (const tied of [true, false]) {
    inFolder((folder) =>
      withModel(device, { seed: random.integer(0, 2 ** 31), tied }, ({ config, parameters }) => {
        saveModel({ config, parameters }, `${folder}/m`);
        const entries = tensorsOf(`${folder}/m`);
        spellings.forEach((spell, i) => {
          const renamed = entries.map((entry) => ({ ...entry, name: spell(entry.name) }));
          assertNotEquals(renamed.map(({ name }) => name), entries.map(({ name }) => name));
          assertLoads(rewrite(`${folder}/m`, { to: `${folder}/${i}`, entries: renamed }), { device, parameters });
        });
      })
    );
  }
});

deviceTest("an f16 or bf16 file becomes f32 and bf16, each number rounded once", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31) }, ({ config, parameters }) => {
      saveModel({ config, parameters }, `${folder}/m`);
      for (const [dtype, name] of [["f16", "F16"], ["bf16", "BF16"]] as const) {
        const entries = tensorsOf(`${folder}/m`).map((entry) => {
          using wide = Tensor.from(device, new Float32Array((entry.data as Uint8Array).slice().buffer as ArrayBuffer));
          using narrow = wide.cast(dtype);
          return { ...entry, dtype: name as SafetensorsDType, data: narrow.toBytes() };
        });
        const stored = rewrite(`${folder}/m`, { to: `${folder}/${dtype}`, entries });
        for (const asked of ["f32", "bf16"] as const) {
          const loaded = loadParameters(stored, { device, config, dtype: asked });
          for (const [key, { tensor }] of Object.entries(parameters)) {
            using narrow = tensor.cast(dtype);
            using expected = narrow.cast(asked);
            assertSameBytes(loaded[key]!.tensor.toBytes(), expected.toBytes(), key);
          }
          free(loaded);
        }
      }
    })
  );
});

deviceTest("all tensors that are missing, surplus, misshapen, doubled or of another type come in one error", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31) }, (model) => {
      saveModel(model, `${folder}/m`);
      const missing = ["model.layers.0.self_attn.k_proj.bias", "visual.merger.ln_q.weight"];
      const misshapen = "model.layers.1.mlp.up_proj.weight", typed = "model.norm.weight", twice = "model.layers.1.input_layernorm.weight";
      const entries = tensorsOf(`${folder}/m`).filter(({ name }) => !missing.includes(name)).map((entry): SafetensorsEntry => {
        if (entry.name === misshapen) return { ...entry, shape: [24, 20] };
        if (entry.name === typed) return { ...entry, dtype: "I32" };
        return entry;
      });
      const one = { dtype: "F32", shape: [1], data: new Uint8Array(4) } as const;
      const again = "model.language_model.layers.1.input_layernorm.weight";
      entries.push({ name: "model.layers.2.input_layernorm.weight", ...one }, { name: "score.bias", ...one }, { name: again, ...one });
      const message = refuse(device, rewrite(`${folder}/m`, { to: `${folder}/bad`, entries }));
      assertEquals(message.includes(`missing: ${[...missing].reverse().join(", ")};`), true, message);
      assertEquals(message.includes("surplus: model.layers.2.input_layernorm.weight, score.bias;"), true, message);
      assertEquals(message.includes(`${misshapen} is [24, 20], not [20, 24]`), true, message);
      assertEquals(message.includes(`${typed} is I32`), true, message);
      assertEquals(message.includes(`${twice} and ${again} are the same tensor`), true, message);
    })
  );
});

deviceTest("a config of more blocks than the weights name is refused at once, and a long list of faults is cut", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31) }, ({ config, parameters }) => {
      saveModel({ config, parameters }, `${folder}/m`);
      const { text, vision } = config, start = performance.now();
      for (const layers of [3, 1e9, Number.MAX_SAFE_INTEGER]) {
        const words = `config.json says num_hidden_layers ${layers}, and the weights name 2 (model.layers.N)`;
        assertThrows(() => loadParameters(`${folder}/m`, { device, config: { ...config, text: { ...text, layers } } }), KedgeError, words);
      }
      const deep = { ...config, vision: { ...vision, depth: 1e9 } };
      assertThrows(() => loadParameters(`${folder}/m`, { device, config: deep }), KedgeError, "says vision_config.depth 1000000000, and");
      assertEquals(performance.now() - start < 5000, true);
      const { entries } = { entries: tensorsOf(`${folder}/m`).filter(({ name }) => !name.includes("layers.")) };
      const one = { dtype: "F32", shape: [1], data: new Uint8Array(4) } as const;
      const last = { name: `model.layers.1.mlp.down_proj.weight`, ...one };
      const message = refuse(device, rewrite(`${folder}/m`, { to: `${folder}/bad`, entries: [...entries, last] }));
      assertEquals(/missing: ([^,;]+, ){20}and \d+ more;/.test(message), true, message);
    })
  );
});

deviceTest(
  "an output matrix in the file of a tied model: an equal one is passed over, a lone one is the embedding, another one refused",
  (device, random) => {
    inFolder((folder) =>
      withModel(device, { seed: random.integer(0, 2 ** 31) }, ({ config, parameters }) => {
        saveModel({ config, parameters }, `${folder}/m`);
        const entries = tensorsOf(`${folder}/m`), embedding = entries.find(({ name }) => name === EMBEDDING)!;
        const head = { ...embedding, name: HEAD };
        assertLoads(rewrite(`${folder}/m`, { to: `${folder}/both`, entries: [...entries, head] }), { device, parameters });
        const lone = entries.map((entry) => entry === embedding ? head : entry);
        assertLoads(rewrite(`${folder}/m`, { to: `${folder}/lone`, entries: lone }), { device, parameters });
        for (const [i, at] of [0, embedding.shape[0]! * 24 * 4 - 1].entries()) {
          const data = (embedding.data as Uint8Array).slice();
          data[at]! ^= 1;
          const message = refuse(device, rewrite(`${folder}/m`, { to: `${folder}/other${i}`, entries: [...entries, { ...head, data }] }));
          assertEquals(message.includes("tie_word_embeddings is true"), true, message);
        }
        const untied = { ...config, text: { ...config.text, tied: false } };
        assertThrows(() => loadParameters(`${folder}/m`, { device, config: untied }), KedgeError, `missing: ${HEAD}`);
      })
    );
  },
);

deviceTest("nothing stays allocated if memory runs out or a file is truncated while it is read", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31) }, ({ config, parameters }) => {
      saveModel({ config, parameters }, `${folder}/m`);
      const before = device.memory().allocations, count = Object.keys(parameters).length;
      for (const broken of ["alloc", "write"] as const) {
        let left = random.integer(0, count);
        const failing = new Proxy(device, {
          get(target, key) {
            const value = Reflect.get(target, key, target);
            if (key === broken) {
              return (...args: never[]) => {
                if (left-- === 0) throw new KedgeError("OutOfMemory", "Cannot go on: the test ends here");
                return (value as (...args: never[]) => unknown).apply(target, args);
              };
            }
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
        assertThrows(() => loadParameters(`${folder}/m`, { device: failing, config }), KedgeError, "the test ends here");
        assertEquals(device.memory().allocations, before, broken);
      }
      const path = `${folder}/m/model.safetensors`;
      Deno.truncateSync(path, Deno.statSync(path).size - 1);
      refuse(device, `${folder}/m`);
      assertEquals(device.memory().allocations, before);
    })
  );
});

deviceTest("a bf16 weight's f32 master is saved as f32 on request, and otherwise the weight", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31), dtype: "bf16" }, ({ config, parameters }) => {
      for (const parameter of Object.values(parameters)) {
        const values = Float32Array.from(random.normal(parameter.tensor.size));
        parameter.master = Tensor.from(device, values, { shape: parameter.tensor.shape });
      }
      saveModel({ config, parameters }, `${folder}/weights`);
      assertLoads(`${folder}/weights`, { device, parameters, dtype: "bf16" });
      saveModel({ config, parameters }, `${folder}/masters`, { dtype: "f32" });
      const { config: saved, parameters: loaded } = openModelFolder(`${folder}/masters`, { device, dtype: "f32" });
      assertEquals(saved.dtype, "f32");
      for (const [name, { tensor }] of Object.entries(loaded)) assertSameBytes(tensor.toBytes(), parameters[name]!.master!.toBytes(), name);
      free(loaded);
    })
  );
});

deviceTest("f32 weights may be saved as bf16", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31) }, ({ config, parameters }) => {
      saveModel({ config, parameters }, `${folder}/m`, { dtype: "bf16" });
      const { config: saved, parameters: loaded } = openModelFolder(`${folder}/m`, { device, dtype: "bf16" });
      assertEquals(saved.dtype, "bf16");
      for (const [name, { tensor }] of Object.entries(loaded)) {
        using expected = parameters[name]!.tensor.cast("bf16");
        assertSameBytes(tensor.toBytes(), expected.toBytes(), name);
      }
      free(loaded);
    })
  );
});

deviceTest("config, generation config, tokenizer and processor files of the model's own folder are kept", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31) }, ({ config, parameters }) => {
      saveModel({ config, parameters }, `${folder}/first`);
      const first = JSON.parse(Deno.readTextFileSync(`${folder}/first/config.json`));
      const generation = { "_from_model_config": true, "eos_token_id": [35, 36], temperature: 0.5 };
      Deno.writeTextFileSync(`${folder}/first/config.json`, JSON.stringify({ ...first, mine: 7 }));
      Deno.writeTextFileSync(`${folder}/first/generation_config.json`, JSON.stringify(generation));
      for (const name of ["tokenizer.json", "merges.txt", "chat_template.jinja", "preprocessor_config.json", "README.md"]) {
        Deno.writeTextFileSync(`${folder}/first/${name}`, name);
      }
      const json = (path: string) => JSON.parse(Deno.readTextFileSync(`${folder}/${path}`));
      saveModel({ config, parameters }, `${folder}/second`, { from: `${folder}/first` });
      assertEquals(json("second/config.json"), { ...first, mine: 7 });
      assertEquals(json("second/generation_config.json"), generation);
      assertEquals(Deno.readTextFileSync(`${folder}/second/merges.txt`), "merges.txt");
      assertEquals(Deno.readTextFileSync(`${folder}/second/chat_template.jinja`), "chat_template.jinja");
      assertEquals(exists(`${folder}/second/README.md`), false);
      const other = { ...config, tokens: { ...config.tokens, eos: [36] } };
      saveModel({ config: other, parameters }, `${folder}/third`, { from: `${folder}/first` });
      assertEquals(json("third/generation_config.json"), { "eos_token_id": 36, temperature: 0.5 });
      assertEquals(readConfig(`${folder}/third`), other);
      Deno.writeTextFileSync(`${folder}/first/config.json`, '{"model_type": "qwen2"}'); // a tokenizer's folder
      saveModel({ config, parameters }, `${folder}/fourth`, { from: `${folder}/first` });
      assertEquals(json("fourth/config.json"), first);
      assertEquals(readConfig(`${folder}/fourth`), config);
    })
  );
});

deviceTest("a folder that is not empty is not written to; an empty one is", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31) }, (model) => {
      Deno.mkdirSync(`${folder}/m`);
      saveModel(model, `${folder}/m/`);
      assertThrows(() => saveModel(model, `${folder}/m`), RangeError, "it holds");
      assertLoads(`${folder}/m`, { device, parameters: model.parameters });
      saveModel(model, `${folder}/a/b/c`);
      assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name).sort(), ["a", "m"]);
    })
  );
});

deviceTest("a save is visible only when it is complete, and a failed one leaves nothing", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31) }, ({ config, parameters }) => {
      let seen = 0;
      const entry: SafetensorsEntry = {
        name: "w",
        dtype: "U8",
        shape: [1],
        data: () => {
          seen++;
          assertEquals(exists(`${folder}/m`), false);
          assertEquals([...Deno.readDirSync(folder)].length, 1, "what is written lies beside");
          return new Uint8Array(1);
        },
      };
      writeModelFolder(`${folder}/m`, { config, entries: [entry] });
      assertEquals([seen, exists(`${folder}/m/model.safetensors`)], [1, true]);
      parameters["norm"]!.tensor.free();
      assertThrows(() => saveModel({ config, parameters }, `${folder}/n`), KedgeError, "freed");
      assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["m"]);
    })
  );
});

deviceTest("parameters that do not match the config are refused", (device, random) => {
  inFolder((folder) =>
    withModel(device, { seed: random.integer(0, 2 ** 31) }, ({ config, parameters }) => {
      const { norm, ...rest } = parameters;
      assertThrows(() => saveModel({ config, parameters: rest }, `${folder}/m`), RangeError, "parameter norm is not there");
      assertThrows(() => saveModel({ config, parameters: { ...parameters, extra: norm! } }, `${folder}/m`), RangeError, "no extra");
      const swapped = { ...parameters, norm: parameters["embedding"]! };
      assertThrows(() => saveModel({ config, parameters: swapped }, `${folder}/m`), RangeError, "parameter norm is f32[37, 24], not [24]");
      assertEquals([...Deno.readDirSync(folder)], []);
    })
  );
});

if (exists(GOLDEN)) {
  for (const name of ["tied", "untied"]) {
    deviceTest(`the golden model ${name} is saved with the bytes that it was loaded from`, (device) => {
      inFolder((folder) => {
        const from = `${GOLDEN}/${name}`, model = openModelFolder(from, { device, dtype: "f32" });
        try {
          for (const maxShardBytes of [undefined, 300_000]) {
            const to = `${folder}/${maxShardBytes}`;
            saveModel(model, to, { from, maxShardBytes });
            const byName = (path: string) => new Map(tensorsOf(path).map((entry) => [entry.name, entry] as const));
            const [saved, original] = [byName(to), byName(from)];
            assertEquals([...saved.keys()].sort(), [...original.keys()].sort());
            for (const [key, { data, ...entry }] of original) {
              const { data: own, ...rest } = saved.get(key)!;
              assertEquals(rest, entry);
              assertSameBytes(own as Uint8Array, data as Uint8Array, key);
            }
            assertEquals(readConfig(to), model.config);
            for (const file of ["config.json", "generation_config.json"]) {
              assertEquals(JSON.parse(Deno.readTextFileSync(`${to}/${file}`)), JSON.parse(Deno.readTextFileSync(`${from}/${file}`)));
            }
            assertLoads(to, { device, parameters: model.parameters });
          }
        } finally {
          free(model.parameters);
        }
      });
    });
  }
} else Deno.test({ name: "the golden models are saved with their bytes (skipped: ../shared is not here)", ignore: true, fn: () => {} });
