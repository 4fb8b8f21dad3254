import type { DetectorMessage } from "../messages.ts";
import { serveActor } from "../runtime/serve.ts";
import { AnchorDetector, type DetectorOptions } from "./anchor_detector.ts";

serveActor<DetectorMessage, DetectorOptions>((start) => AnchorDetector.open(start));
