import type { TrainerMessage } from "../messages.ts";
import { serveActor } from "../runtime/serve.ts";
import { Trainer, type TrainerOptions } from "./trainer.ts";

serveActor<TrainerMessage, TrainerOptions>((start) => new Trainer(start), { concurrent: true });
