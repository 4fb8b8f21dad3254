import { AtrlCredit, detectAtrl } from "../../rl/atrl/detect.ts";
import { Responses } from "../../rl/credit/responses.ts";
import type { TokenCredit } from "../../rl/credit/credit.ts";
import { type CreditFunction, type CreditInput, moduleWeights } from "../../rl/credit/credit_module.ts";
import { sensitivity, vppoCredit } from "../../rl/credit/vppo.ts";
import type { UserFunction } from "../../rl/user_module.ts";
import type { TensorHandle } from "../../tensor/handle.ts";
import { importUser, type UserModule } from "../config/user_modules.ts";
import type { DetectorMessage, DetectorReplies } from "../messages.ts";
import { type ActorMemory, hostTensor } from "../runtime/actor_memory.ts";
import type { Behaviour, Start, Turn } from "../runtime/serve.ts";
import { joined, joinedProfiles } from "./packed.ts";

/** The options that an anchor detector is started with. */
export interface DetectorOptions {
  /** The user's module of `algorithm.credit`. */
  readonly credit?: UserModule;
}

type DetectMessage = Extract<DetectorMessage, { type: "detect" }>;

/**
 * Finds the tokens that attend to the picture, clusters them, and computes their weights. It keeps the last step's result until its
 * report.
 */
export class AnchorDetector implements Behaviour<DetectorMessage> {
  readonly #memory: ActorMemory;
  /** The user's function, whose weights replace AT-RL's. */
  readonly #user: UserFunction<CreditFunction> | undefined;
  #last: { responses: Responses; credit: AtrlCredit | TokenCredit; stack: DisposableStack; packSeconds: number } | undefined;

  private constructor({ memory }: Start<unknown>, user: UserFunction<CreditFunction> | undefined) {
    this.#memory = memory;
    this.#user = user;
  }

  /** Makes an anchor detector, and imports the user's module if there is one. */
  static async open(start: Start<DetectorOptions>): Promise<AnchorDetector> {
    const { credit } = start.options;
    return new AnchorDetector(start, credit && await importUser<CreditFunction>(credit, "credit"));
  }

  handle(message: DetectorMessage, turn: Turn): DetectorReplies[DetectorMessage["type"]] {
    switch (message.type) {
      case "detect":
        return this.#detect(message, turn);
      case "vppo":
        return this.#vppo(message, turn);
      case "report":
        return this.#report(message, turn);
    }
  }

  #detect(message: DetectMessage, turn: Turn): DetectorReplies["detect"] {
    this.close();
    const start = performance.now(), { device } = this.#memory, { lengths, parts, options, keys } = message;
    using guard = new DisposableStack();
    const responses = guard.use(Responses.of(device, lengths));
    const borrow = (handles: readonly TensorHandle[]) => handles.map((handle) => turn.borrow(handle));
    using connectivity = joined(device, borrow(parts.map((part) => part.connectivity)));
    using profile = joinedProfiles(
      device,
      parts.map((part) => ({
        tokens: turn.borrow(part.connectivity).size,
        regions: part.regions,
        profile: part.profile && turn.borrow(part.profile),
      })),
    );
    using entropy = options.score?.endsWith("entropy") ? joined(device, borrow(parts.map((part) => part.entropies!))) : undefined;
    const each = <T>(of: (part: typeof parts[number]) => T) => parts.flatMap((part) => new Array<T>(part.responses).fill(of(part)));
    const visual = each(({ regions }) => regions > 0), visible = each((part) => part.visible);
    const classes = message.classes && turn.borrow(message.classes).toArray() as Uint8Array;
    let packSeconds = (performance.now() - start) / 1000;
    const credit = guard.use(detectAtrl(responses, { connectivity, profile, visual, keys, classes, entropy, visible }, options));
    if (this.#user) {
      const begin = performance.now(), cluster = credit.clusters!.cluster.toArray() as Int32Array;
      credit.weights.write(moduleWeights(creditInputs(message, { responses, cluster, classes, turn }), this.#user));
      packSeconds += (performance.now() - begin) / 1000;
    }
    const weights = credit.weights.copy();
    this.#last = { responses, credit, stack: guard.move(), packSeconds };
    return { weights: turn.move(weights) };
  }

  #vppo({ lengths, plain, spoilt, options }: Extract<DetectorMessage, { type: "vppo" }>, turn: Turn): DetectorReplies["vppo"] {
    this.close();
    using guard = new DisposableStack();
    const responses = guard.use(Responses.of(this.#memory.device, lengths));
    const felt = sensitivity(turn.borrow(plain).toFloats(), turn.borrow(spoilt).toFloats());
    const credit = guard.use(vppoCredit(responses, { sensitivity: felt }, options)), weights = credit.weights.copy();
    this.#last = { responses, credit, stack: guard.move(), packSeconds: 0 };
    return { weights: turn.move(weights) };
  }

  #report(message: Extract<DetectorMessage, { type: "report" }>, turn: Turn): DetectorReplies["report"] {
    if (!this.#last) throw new RangeError("Cannot report on anchors: none were detected");
    const { credit, packSeconds } = this.#last;
    if (!(credit instanceof AtrlCredit)) {
      const metrics = credit.report();
      this.close();
      return { metrics };
    }
    const metrics = credit.report({
      advantages: turn.borrow(message.advantages),
      entropy: turn.borrow(message.entropies),
      stepSeconds: message.stepSeconds,
      connectivitySeconds: packSeconds + (message.headSeconds ?? 0),
    });
    const { score, debias } = credit.options, isScored = score !== "connectivity" || debias !== "none";
    const scores = isScored && hostTensor(this.#memory, credit.scores.toFloats());
    const flags = hostTensor(this.#memory, credit.flags.toArray() as Uint8Array<ArrayBuffer>);
    const clusters = credit.clusters && hostTensor(this.#memory, credit.clusters.cluster.toArray() as Int32Array<ArrayBuffer>);
    this.close();
    return {
      metrics,
      flags: turn.move(flags),
      ...(clusters && { clusters: turn.move(clusters) }),
      ...(scores && { scores: turn.move(scores) }),
    };
  }

  close(): void {
    this.#last?.stack[Symbol.dispose]();
    this.#last = undefined;
  }
}

/** The numbers of each response, for a user's module. */
function creditInputs(
  { parts, keys }: DetectMessage,
  { responses: { offsets }, cluster, classes, turn }: {
    responses: Responses;
    cluster: Int32Array;
    classes: Uint8Array | undefined;
    turn: Turn;
  },
): CreditInput[] {
  const read = (handle: TensorHandle | undefined) => handle ? turn.borrow(handle).toFloats() : new Float32Array();
  let i = 0;
  return parts.flatMap(({ connectivity, profile, logprobs, entropies, regions, responses: count }) => {
    const group = { connectivity: read(connectivity), profile: read(profile), logprobs: read(logprobs), entropy: read(entropies) };
    const begin = offsets[i]!;
    return Array.from({ length: count }, (): CreditInput => {
      const [from, to] = [offsets[i]! - begin, offsets[i + 1]! - begin], key = keys[i++]!;
      return {
        connectivity: group.connectivity.subarray(from, to),
        profile: group.profile.subarray(from * regions, to * regions),
        regions,
        cluster: cluster.subarray(begin + from, begin + to),
        ...(classes && { classes: classes.subarray(begin + from, begin + to) }),
        visual: regions > 0,
        key,
        logprobs: group.logprobs.subarray(from, to),
        entropy: group.entropy.subarray(from, to),
      };
    });
  });
}
