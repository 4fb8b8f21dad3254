import type { DetectorMessage } from "../messages.ts";
import { serveActor } from "../runtime/serve.ts";
import { AnchorDetector } from "./anchor_detector.ts";

serveActor<DetectorMessage, unknown>((start) => new AnchorDetector(start));
