import type { LoaderMessage } from "../messages.ts";
import { serveActor } from "../runtime/serve.ts";
import { Loader, type LoaderOptions } from "./loader.ts";

serveActor<LoaderMessage, LoaderOptions>((start) => Loader.open(start));
