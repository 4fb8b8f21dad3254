import type { CriticMessage } from "../messages.ts";
import { serveActor } from "../runtime/serve.ts";
import { Critic, type CriticOptions } from "./critic.ts";

serveActor<CriticMessage, CriticOptions>((start) => new Critic(start));
