/**
 * The thread in which a run's trackers are told. It reads the run's files; the run waits for it only at its end, and there for a stated time at most.
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

/** What a run's folder remembers of its trackers: `trackers.json`. */
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

/** @throws {RangeError} where a server's address is missing. */
function makeTracker(section: TrackerSection, folder: string): Tracker {
  if (section.use === "wandb") {
    const { project, entity, group, tags } = section;
    return new WandbFolder(`${folder}/wandb`, { project, entity: entity ?? undefined, group: group ?? undefined, tags });
  }
  const uri = section.uri ?? variable("MLFLOW_TRACKING_URI");
  if (!uri || !URL.canParse(uri) || !/^https?:/.test(uri)) {
    throw new RangeError(
      `Cannot tell MLflow: the address of its server is ${
        uri ?? "missing"
      }; set logging.trackers[].uri or MLFLOW_TRACKING_URI to one such as http://127.0.0.1:5000`,
    );
  }
  return new MlflowRun({ uri, experiment: section.experiment, tags: section.tags, credentials: credentials() });
}

/** As MLflow's own clients take them from the environment. */
function credentials(): MlflowOptions["credentials"] {
  const token = variable("MLFLOW_TRACKING_TOKEN"),
    user = variable("MLFLOW_TRACKING_USERNAME"),
    password = variable("MLFLOW_TRACKING_PASSWORD");
  if (token !== undefined) return { token };
  return user !== undefined && password !== undefined ? { user, password } : undefined;
}

/** An environment variable, where this thread may read it. */
function variable(name: string): string | undefined {
  return Deno.permissions.querySync({ name: "env", variable: name }).state === "granted" ? Deno.env.get(name) : undefined;
}

function readKept(path: string): Kept | undefined {
  try {
    const kept = JSON.parse(Deno.readTextFileSync(path)) as Kept;
    return /^[a-z0-9]{8}$/.test(kept.id) && Number.isFinite(kept.started) ? kept : undefined;
  } catch { // a run that begins, or a damaged file: the run is a new one for its trackers
    return undefined;
  }
}

function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => "abcdefghijklmnopqrstuvwxyz0123456789"[byte % 36]).join("");
}
