import type { PolicyMessage } from "../messages.ts";
import { serveActor } from "../runtime/serve.ts";
import { Policy, type PolicyOptions } from "./policy.ts";

serveActor<PolicyMessage, PolicyOptions>((start) => Policy.open(start));
