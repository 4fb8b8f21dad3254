import type { EvaluatorMessage } from "../messages.ts";
import { serveActor } from "../runtime/serve.ts";
import { Evaluator, type EvaluatorOptions } from "./evaluator.ts";

serveActor<EvaluatorMessage, EvaluatorOptions>((start) => new Evaluator(start));
