/**
 * The thread that feeds a run's trackers. It reads the run's files. The run waits for it only at the end, and only for a limited time.
 *
 * @module
 */
import { writeWhole } from "../run/whole_file.ts";
import { FEED_START, type FeedPosition, TrackerFeed } from "./feed.ts";
import { type MlflowOptions, MlflowRun } from "./mlflow.ts";
import type { TrackerSection } from "./options.ts";
import type { TrackedRun, Tracker } from "./tracker.ts";
import type { TrackersNotice, TrackersOrder } from "./trackers.ts";
import { WandbFolder } from "./wandb.ts";

/** The content of `trackers.json` in a run's folder. */
interface Kept {
  readonly id: string;
  readonly started: number;
  readonly places: Record<string, FeedPosition>;
}

const scope = self as unknown as { postMessage(notice: TrackersNotice): void; onmessage: (event: MessageEvent<TrackersOrder>) => void };
const feeds: TrackerFeed[] = [];
const following: Promise<boolean>[] = [];

scope.onmessage = async ({ data }) => {
  if (data.kind === "follow") return follow(data);
  for (const feed of feeds) feed.end(data.ending, data.limit);
  const told = await Promise.all(following);
  scope.postMessage({ kind: "closed", told: told.every(Boolean) });
};

scope.postMessage({ kind: "ready" });

function follow({ folder, name, config, sections }: TrackersOrder & { kind: "follow" }): void {
  const path = `${folder}/trackers.json`, before = readKept(path), places = { ...before?.places };
  const { id, started } = before ?? { id: newId(), started: Date.now() }, run: TrackedRun = { id, started, name, config };
  const keep = () => writeWhole(path, `${JSON.stringify({ id, started, places } satisfies Kept)}\n`);
  const note = (text: string) => scope.postMessage({ kind: "note", text });
  keep();
  for (const [i, section] of sections.entries()) {
    try {
      const tracker = makeTracker(section, folder), key = `${i}:${tracker.name}`;
      const feed = new TrackerFeed(tracker, { run, folder }, {
        answersEvery: section.answersEvery,
        position: places[key] ?? FEED_START,
        keep: (position) => {
          places[key] = position;
          keep();
        },
        note,
      });
      feeds.push(feed);
      following.push(feed.follow().finally(() => tracker[Symbol.asyncDispose]()));
    } catch (error) {
      note(`A tracker is left out: ${(error as Error).message}`);
    }
  }
}

/** Makes a tracker. @throws {RangeError} if the server's address is missing. */
function makeTracker(section: TrackerSection, folder: string): Tracker {
  if (section.use === "wandb") {
    const { project, entity, group, tags } = section;
    return new WandbFolder(`${folder}/wandb`, { project, entity: entity ?? undefined, group: group ?? undefined, tags });
  }
  const uri = section.uri ?? variable("MLFLOW_TRACKING_URI");
  if (!uri || !URL.canParse(uri) || !/^https?:/.test(uri)) {
    throw new RangeError(
      `Cannot use MLflow: the address of its server is ${
        uri ?? "missing"
      }; set logging.trackers[].uri or MLFLOW_TRACKING_URI to one such as http://127.0.0.1:5000`,
    );
  }
  return new MlflowRun({ uri, experiment: section.experiment, tags: section.tags, credentials: credentials() });
}

/** Returns the credentials from the environment variables that MLflow's own clients use. */
function credentials(): MlflowOptions["credentials"] {
  const token = variable("MLFLOW_TRACKING_TOKEN"),
    user = variable("MLFLOW_TRACKING_USERNAME"),
    password = variable("MLFLOW_TRACKING_PASSWORD");
  if (token !== undefined) return { token };
  return user !== undefined && password !== undefined ? { user, password } : undefined;
}

/** Returns an environment variable, if this thread may read it. */
function variable(name: string): string | undefined {
  return Deno.permissions.querySync({ name: "env", variable: name }).state === "granted" ? Deno.env.get(name) : undefined;
}

function readKept(path: string): Kept | undefined {
  try {
    const kept = JSON.parse(Deno.readTextFileSync(path)) as Kept;
    return /^[a-z0-9]{8}$/.test(kept.id) && Number.isFinite(kept.started) ? kept : undefined;
  } catch { // no file yet, or a damaged one: the trackers see a new run
    return undefined;
  }
}

function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => "abcdefghijklmnopqrstuvwxyz0123456789"[byte % 36]).join("");
}
