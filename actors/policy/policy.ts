import type { Completion } from "../../model/engine/completion.ts";
import { Engine } from "../../model/engine/engine.ts";
import { Tokenizer } from "../../model/processor/tokenizer.ts";
import { type GivenBase, isAdapterFolder } from "../../model/lora/base.ts";
import type { LoraOptions } from "../../model/lora/options.ts";
import { VisionLanguageModel } from "../../model/model.ts";
import { type RankedHead, rankHeads } from "../../rl/atrl/head_ranking.ts";
import { patchBlackening } from "../../rl/credit/blacken.ts";
import type { LossFunction } from "../../rl/losses/loss_module.ts";
import type { UserFunction } from "../../rl/user_module.ts";
import type { WeightType } from "../../model/folder/weight_storage.ts";
import { SafetensorsFile } from "../../tensor/safetensors.ts";
import { loadInto, tensorEntry } from "../../tensor/tensor_files.ts";
import type { AdamWState } from "../../tensor/optimizer.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { importUser } from "../config/user_modules.ts";
import { World } from "../../ffi/world.ts";
import { Checkpoints, trainerFiles } from "../run/checkpoints.ts";
import { SharedSave } from "../run/shared_save.ts";
import type { LaneOptions } from "./lanes.ts";
import type { GroupMessage, PolicyMessage, PolicyReplies, TokenPart } from "../messages.ts";
import { answersMessage, heldPrompt, readGroup, readPrompt } from "../prompts.ts";
import { cancelling } from "../runtime/cancelling.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";
import type { Behaviour, Start, Turn } from "../runtime/serve.ts";
import { Learner, type LearnerGroup, type LearnerOptions, PLAIN_LEARNER } from "./learner.ts";

/** The options that a policy is started with. */
export interface PolicyOptions {
  /** The model's folder. */
  readonly model: string;
  /** The folder whose tokenizer and processor files go into checkpoints. */
  readonly files: string;
  readonly dtype: WeightType | null;
  readonly freezeVision: boolean;
  /** Makes new adapters on a model. A folder of adapters is trained further without it. */
  readonly lora?: LoraOptions & { readonly seed: number };
  /** The base of adapters. */
  readonly base?: GivenBase;
  /** How it learns. Undefined: it is frozen and has no optimizer, as a reference model. */
  readonly learner?: LearnerOptions;
  /** How it shares its updates with the policies of other ranks. */
  readonly lanes?: LaneOptions;
  /** The checkpoint whose optimizer it continues with. */
  readonly restore?: {
    readonly folder: string;
    readonly optimizer: AdamWState;
    /** Whether that is the optimizer of the warm start. */
    readonly warm?: boolean;
  };
  readonly engine?: { readonly maxSequences?: number; readonly memoryBytes?: number };
}

/** Owns the weights, the optimizer's state and the key-value cache. The reference of a divergence is a policy too, and frozen. */
export class Policy implements Behaviour<PolicyMessage> {
  readonly #model: VisionLanguageModel;
  readonly #engine: Engine;
  readonly #learner: Learner;
  readonly #memory: ActorMemory;
  /** The ranks, where there are several or their lanes. */
  readonly #world: World | undefined;
  /** The folder whose tokenizer and processor files go into checkpoints. */
  readonly #files: string;
  /** The step of the last update. */
  #updated: number | undefined;

  /** Loads the model. @param loss The user's, where the options name a module. */
  constructor({ memory, options }: Start<PolicyOptions>, loss?: UserFunction<LossFunction>) {
    const { model, files, dtype, freezeVision, lora, base, restore, lanes, engine = {} } = options;
    this.#memory = memory;
    this.#files = files;
    this.#model = VisionLanguageModel.load(model, {
      device: memory.device,
      freezeVision,
      ...(!options.learner && { frozen: "all" as const }),
      ...(dtype && { dtype }),
      ...(lora && !isAdapterFolder(model) && { lora }),
      ...(base && { base }),
    });
    if (!options.learner) { for (const { parameter } of this.#model.trained()) parameter.requiresGrad = false; }
    let tokenizer: Tokenizer | undefined; // decodes for stop texts, which only chats have
    const decode = (tokens: readonly number[]) => (tokenizer ??= Tokenizer.fromFolder(files)).decode(tokens);
    this.#engine = new Engine(this.#model, { ...engine, decode });
    this.#learner = new Learner(this.#model, { ...(options.learner ?? PLAIN_LEARNER), lanes }, loss);
    this.#world = lanes && World.at(lanes.place, lanes.channel);
    if (restore) this.#restore(restore);
  }

  /** Starts one, and imports the user's module of the loss where one is named. */
  static async open(start: Start<PolicyOptions>): Promise<Policy> {
    const loss = start.options.learner?.loss;
    return new Policy(start, loss?.kind === "module" ? await importUser<LossFunction>(loss.module, "loss") : undefined);
  }

  #restore({ folder, optimizer, warm = false }: NonNullable<PolicyOptions["restore"]>): void {
    if (!warm) this.#learner.reset();
    const targets = Object.entries(this.#learner.optimizer.tensors()).map(([name, target]) => [`optimizer.${name}`, target] as const);
    // The ranks that wrote the checkpoint may have been others than those of now.
    const paths = trainerFiles(folder), found = new Set<string>();
    for (const path of paths) {
      using file = SafetensorsFile.open(path);
      for (const [name, target] of targets) {
        if (found.has(name) || !file.tensors.has(name) && path !== paths.at(-1)) continue;
        loadInto(file, name, { target });
        found.add(name);
      }
    }
    this.#learner.optimizer.restore(optimizer);
  }

  async handle(message: PolicyMessage, turn: Turn): Promise<PolicyReplies[PolicyMessage["type"]]> {
    switch (message.type) {
      case "rollout":
        return await this.#rollout(message, turn);
      case "generate":
        return await this.#generate(message, turn);
      case "logprobs": {
        const groups = this.#groups(message.groups, turn, message.blacken);
        const logprobs = this.#asked(message, () => this.#learner.logprobs(groups, message.temperature));
        return { logprobs: turn.move(hostTensor(this.#memory, logprobs)) };
      }
      case "predictions": {
        const groups = this.#groups(message.groups, turn);
        return { hidden: turn.move(this.#asked(message, () => this.#learner.predictions(groups))) };
      }
      case "rankHeads":
        return { heads: this.#rankHeads(message, turn) };
      case "outputMatrix":
        return { weight: turn.move(this.#model.outputMatrix.tensor.copy()) };
      case "update":
        return this.#update(message, turn);
      case "sft":
        return this.#supervise(message, turn);
      case "reset":
        this.#learner.reset();
        return null;
      case "save":
        return this.#save(message);
      case "stats": {
        const { used, peak } = this.#memory.device.memory(), { bytes, tensors } = this.#memory.report();
        const count = (all: readonly Parameter[]) => all.reduce((sum, { tensor }) => sum + tensor.size, 0);
        const parameters = count(Object.values(this.#model.parameters)),
          trained = count(this.#model.trained().map(({ parameter }) => parameter));
        const { headDim, heads, layers } = this.#model.config.text;
        return { device: this.#memory.device.description, headDim, heads, layers, parameters, trained, used, peak, bytes, tensors };
      }
    }
  }

  /** Computes something of the model, or of its base without adapters, if the message asks for that. */
  #asked<T>({ base = false }: { readonly base?: boolean }, compute: () => T): T {
    return base ? this.#model.withoutAdapters(compute) : compute();
  }

  async #rollout({ prompts, sampling }: Extract<PolicyMessage, { type: "rollout" }>, turn: Turn): Promise<PolicyReplies["rollout"]> {
    const read = prompts.map((prompt) => readPrompt(heldPrompt(prompt, (handle) => turn.borrow(handle))));
    const { maxTokens, connectivity, ...options } = sampling, before = { ...this.#engine.stats.seconds };
    return await cancelling(turn, async (signal) => {
      const completions = await this.#engine.generate(read, {
        ...options,
        maxTokens,
        keys: prompts.map(({ key }) => key),
        signal,
        ...(connectivity && { connectivity }),
      });
      if (this.#memory.device.kind === "cuda") this.#engine.release();
      const seconds = Object.fromEntries(
        Object.entries(this.#engine.stats.seconds).map(([name, s]) => [name, s - before[name as "total"]]),
      );
      return { answers: completions.map((answers) => answersMessage(this.#memory, answers, (tensor) => turn.move(tensor))), seconds };
    });
  }

  /** Answers one prompt, and sends the tokens as they come. */
  async #generate({ prompt, sampling }: Extract<PolicyMessage, { type: "generate" }>, turn: Turn): Promise<PolicyReplies["generate"]> {
    const read = readPrompt(heldPrompt(prompt, (handle) => turn.borrow(handle)));
    const { connectivity, stop, ...options } = sampling, ends = [...this.#model.config.tokens.eos, ...stop];
    return await cancelling(turn, async (signal) => {
      const updated = this.#updated, completions: Completion[] = [];
      const request = { ...options, stop: ends, keys: [prompt.key], signal, ...(connectivity && { connectivity }) };
      for await (const event of this.#engine.stream([read], request)) {
        if (event.type === "end") completions[event.sample] = event.completion;
        else turn.tell({ sample: event.sample, token: event.token, logprob: event.logprob } satisfies TokenPart);
      }
      if (this.#memory.device.kind === "cuda") this.#engine.release();
      return { answers: answersMessage(this.#memory, completions, (tensor) => turn.move(tensor)), updated };
    });
  }

  #groups(messages: readonly GroupMessage[], turn: Turn, blacken?: number): LearnerGroup[] {
    const groups = messages.map((group) => readGroup(group, (handle) => turn.borrow(handle)));
    if (blacken === undefined) return groups;
    const { patchSize } = this.#model.config.vision;
    return groups.map((group, g) => ({
      ...group,
      prompt: {
        ...group.prompt,
        visuals: group.prompt.visuals.map((visual, v) => {
          if (!("frames" in visual.pixels)) return visual;
          const { frames, count } = visual.pixels, shape = [count, visual.grid.h * patchSize, visual.grid.w * patchSize, 3] as const;
          const seed = (blacken * 1009 + g) * 31 + v;
          return { ...visual, pixels: { ...visual.pixels, frames: patchBlackening(frames, { shape, seed, patch: patchSize }) } };
        }),
      },
    }));
  }

  #rankHeads({ groups, rule, connectivity }: Extract<PolicyMessage, { type: "rankHeads" }>, turn: Turn): RankedHead[] {
    const { layers, heads } = this.#model.config.text;
    const answers = this.#learner.headShares(this.#groups(groups, turn), connectivity).filter(({ visual, share }) =>
      visual && share.length > 0
    );
    return answers.length === 0 ? [] : rankHeads(answers, { layers, heads, rule });
  }

  #update(message: Extract<PolicyMessage, { type: "update" }>, turn: Turn): PolicyReplies["update"] {
    const { advantages, reference, referenceStates: states, klCoefficient, temperature, entropyCoefficient, lr } = message;
    this.#updated = message.step;
    return this.#learner.update(this.#groups(message.groups, turn), {
      advantages: turn.borrow(advantages),
      klCoefficient,
      temperature,
      entropyCoefficient,
      lr,
      ...(reference && { reference: turn.borrow(reference).toFloats() }),
      ...(states && {
        referenceStates: {
          hidden: turn.borrow(states.hidden),
          weight: states.weight ? turn.borrow(states.weight) : this.#model.withoutAdapters(() => this.#model.outputMatrix.tensor),
        },
      }),
    });
  }

  #supervise({ prompts, answers, lr }: Extract<PolicyMessage, { type: "sft" }>, turn: Turn): PolicyReplies["sft"] {
    const examples = prompts.map((message, i) => {
      using prompt = heldPrompt(message, (handle) => turn.receive(handle));
      using answer = turn.receive(answers[i]!);
      return { prompt: readPrompt(prompt), response: answer.toArray() as Int32Array<ArrayBuffer> };
    });
    return this.#learner.supervise(examples, lr);
  }

  #save({ run, step, state, score, saveLimit, saveBest, kind = "step" }: Extract<PolicyMessage, { type: "save" }>): PolicyReplies["save"] {
    const { optimizer } = this.#learner;
    const tensors = Object.entries(optimizer.tensors()).map(([name, tensor]) => tensorEntry(`optimizer.${name}`, tensor));
    const checkpoints = new Checkpoints(run, { saveLimit, saveBest, kind }), shared = this.#world && new SharedSave(this.#world);
    if (shared && !shared.isFirst) return { path: shared.follow(this.#learner.isSharded ? tensors : []) };
    const path = checkpoints.save(step, {
      model: (folder) => this.#model.save(folder, { from: this.#files }),
      tensors,
      state: { ...state as Record<string, unknown>, optimizer: optimizer.state() },
      ...(score !== undefined && { score }),
      ...(shared && { beside: (folder) => shared.lead(folder) }),
    });
    shared?.end(path);
    return { path };
  }

  close(): void {
    for (const thing of [this.#engine, this.#learner, this.#model]) thing[Symbol.dispose]();
  }
}
