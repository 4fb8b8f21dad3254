/**
 * The modules of a model by the names that transformers and PEFT give them, and the choice of those that are adapted.
 *
 * @module
 */
import type { ModelConfig } from "../config/types.ts";
import type { ParameterSpec } from "../parameter_list.ts";
import { parameterSpecs } from "../parameters.ts";
import type { ModuleTensor } from "./adapter.ts";
import type { LoraOptions } from "./options.ts";

/** The name that transformers gives to a tensor of a model, by the name in the hub's folders. */
function transformersName(key: string): string {
  if (key.startsWith("visual.")) return `model.${key}`;
  return key.replace(/^model\.(?=(layers|embed_tokens|norm)\.)/, "model.language_model.");
}

/** All tensors of a model, in the order of a forward pass. */
export function moduleTensors(config: ModelConfig): ModuleTensor[] {
  return parameterSpecs(config).flatMap((spec) => {
    let row = 0;
    return spec.parts.map(({ key, shape }): ModuleTensor => {
      const name = transformersName(key), dot = name.lastIndexOf("."), rows = shape[0]!, start = row;
      row += rows;
      return { module: name.slice(0, dot), leaf: name.slice(dot + 1), key, spec, row: start, rows, shape };
    });
  });
}

type Names = string | readonly string[];

/** Whether a module is one of these, by PEFT's rule: a text matches the whole name as a regular expression; of a list, the name or its end is an entry. */
function matches(names: Names, module: string): boolean {
  if (typeof names === "string") return pattern(names).test(module);
  return names.some((name) => module === name || module.endsWith(`.${name}`));
}

function pattern(source: string): RegExp {
  try {
    return new RegExp(`^(?:${source})$`);
  } catch (cause) {
    throw new RangeError(`Cannot choose modules by ${JSON.stringify(source)}: it is no regular expression`, { cause });
  }
}

/** Whether a module is trained whole: its name, or that of a module that holds it, ends with one of these texts. */
function isSaved(names: readonly string[], module: string): boolean {
  const parts = module.split(".");
  return parts.some((_, i) => {
    const holder = parts.slice(0, i + 1).join(".");
    return names.some((name) => holder.endsWith(name));
  });
}

/** Whether PEFT leaves a module out of the targets because it is trained whole. */
function isInSaved(names: readonly string[], module: string): boolean {
  return names.some((name) => `.${module}.`.includes(`.${name}.`));
}

const ALL_LINEAR = "all-linear";

/** Whether a tensor can be adapted: a matrix that is neither the embedding nor the output matrix. */
function isLinear({ spec, leaf }: ModuleTensor): boolean {
  return spec.kind === "matrix" && leaf === "weight";
}

/** What LoRA does with a model's modules. */
export interface ChosenModules {
  /** Matrices that get adapters. */
  readonly targets: readonly ModuleTensor[];
  /** The parameters that are trained whole. */
  readonly saved: readonly ParameterSpec[];
}

/**
 * Chooses the modules of a model.
 *
 * @param options `freezeVision`: whether nothing in the vision tower is trained.
 * @throws {RangeError} for names that match nothing, or modules that cannot be adapted.
 */
export function chooseModules(
  config: ModelConfig,
  options: Omit<LoraOptions, "rank" | "alpha"> & { freezeVision?: boolean },
): ChosenModules {
  const { targets = ALL_LINEAR, exclude, modulesToSave = [], freezeVision = false } = options;
  const all = moduleTensors(config), free = all.filter(({ spec }) => !(freezeVision && spec.vision));
  // A pattern may match more than can be adapted, such as all modules. A list names modules one by one, so that a wrong one is a mistake.
  const isTarget = (tensor: ModuleTensor) =>
    targets === ALL_LINEAR
      ? isLinear(tensor) && !tensor.spec.vision
      : matches(targets, tensor.module) && (typeof targets !== "string" || isLinear(tensor));
  const chosen = free.filter((tensor) =>
    tensor.leaf === "weight" && isTarget(tensor) && !(exclude !== undefined && matches(exclude, tensor.module)) &&
    !isInSaved(modulesToSave, tensor.module)
  );
  checkTargets(chosen, { targets, all });
  return { targets: chosen, saved: savedParameters(config, { free, modulesToSave, chosen }) };
}

function checkTargets(chosen: readonly ModuleTensor[], { targets, all }: { targets: Names; all: readonly ModuleTensor[] }): void {
  const refuse = (words: string) => new RangeError(`Cannot make LoRA adapters: ${words}`);
  const unfit = chosen.filter((tensor) => !isLinear(tensor)).map(({ module }) => module);
  if (unfit.length > 0) {
    const some = `${unfit.slice(0, 3).join(", ")}${unfit.length > 3 ? ", ..." : ""}`;
    throw refuse(
      `${some} cannot have any; only matrices of the decoder's blocks and of the vision tower can. Name it in modulesToSave to train it whole`,
    );
  }
  if (typeof targets !== "string") {
    const idle = targets.filter((name) => !all.some(({ module }) => matches([name], module)));
    if (idle.length > 0) throw refuse(`targets ${idle.map((name) => JSON.stringify(name)).join(", ")} match no module; ${examples(all)}`);
  }
  if (chosen.length === 0) throw refuse(`targets ${JSON.stringify(targets)} leave no module; ${examples(all)}`);
}

function examples(all: readonly ModuleTensor[]): string {
  const last = (module: string) => module.split(".").at(-1)!;
  const names = (vision: boolean) =>
    [...new Set(all.filter((tensor) => isLinear(tensor) && tensor.spec.vision === vision).map(({ module }) => last(module)))].join(", ");
  return `the decoder has ${names(false)}; the vision tower has ${names(true)}`;
}

/** The parameters that are trained whole. */
function savedParameters(
  config: ModelConfig,
  { free, modulesToSave, chosen }: {
    free: readonly ModuleTensor[];
    modulesToSave: readonly string[];
    chosen: readonly ModuleTensor[];
  },
): ParameterSpec[] {
  const refuse = (words: string) => new RangeError(`Cannot train modules whole: ${words}`);
  const saved = free.filter(({ module }) => isSaved(modulesToSave, module)), keys = new Set(saved.map(({ key }) => key));
  const idle = modulesToSave.filter((name) => !saved.some(({ module }) => isSaved([name], module)));
  if (idle.length > 0) throw refuse(`modulesToSave ${idle.map((name) => JSON.stringify(name)).join(", ")} match no module`);
  const specs = [...new Set(saved.map(({ spec }) => spec))];
  for (const { kind, parts } of specs) {
    const apart = parts.filter(({ key }) => !keys.has(key));
    if (apart.length > 0) {
      const words = `${parts.map(({ key }) => key).join(", ")} are one matrix here, and modulesToSave names only some of them`;
      throw refuse(`${words}; name all of them, or adapt them by targets`);
    }
    if (kind === "embedding" && config.text.tied) {
      const words = "embedding and output matrix of this model are one (tie_word_embeddings), and PEFT would train a copy of one of them";
      throw refuse(`${words}; take ${modulesToSave.map((name) => JSON.stringify(name)).join(", ")} out of modulesToSave`);
    }
  }
  const both = chosen.find(({ key }) => keys.has(key));
  if (both) throw refuse(`${both.module} is among the targets, too; exclude it, or take it out of modulesToSave`);
  return specs;
}

/** Names that PEFT compares with targets: of modules, and of those that hold them. */
function allNames(config: ModelConfig): string[] {
  const names = moduleTensors(config).flatMap(({ module }) => {
    const parts = module.split(".");
    return parts.map((_, i) => parts.slice(0, i + 1).join("."));
  });
  return [...new Set(names)];
}

/**
 * A short way to name modules so that PEFT finds exactly these: ends of names, or a pattern of the decoder's blocks if there are fewer words in it.
 *
 * @param modulesToSave Names of modules that PEFT leaves out by itself.
 */
export function targetNames(
  config: ModelConfig,
  targets: readonly ModuleTensor[],
  modulesToSave: readonly string[] = [],
): string | string[] {
  const wanted = new Set(targets.map(({ module }) => module)), all = allNames(config).filter((name) => !isInSaved(modulesToSave, name));
  const isOther = (names: Names) => all.some((name) => !wanted.has(name) && matches(names, name));
  const ends = new Set<string>();
  for (const module of wanted) {
    const parts = module.split(".");
    if (parts.some((_, i) => ends.has(parts.slice(i).join(".")))) continue;
    const starts = parts.map((_, i) => i).reverse(), start = starts.find((i) => !isOther([parts.slice(i).join(".")])) ?? 0;
    ends.add(parts.slice(start).join("."));
  }
  const last = new Set([...wanted].map((module) => module.split(".").at(-1)!));
  const inDecoder = `.*language_model\\.layers\\..*\\.(${[...last].sort().join("|")})`;
  const fits = [...wanted].every((module) => matches(inDecoder, module)) && !isOther(inDecoder);
  return fits && ends.size > last.size ? inDecoder : [...ends].sort();
}
