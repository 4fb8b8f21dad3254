/**
 * What each command may do on the machine, said once: `deno.json`'s tasks and docs/permissions.md are written from here (`deno task generate`), and a
 * command that starts another process gives it one of these sets.
 *
 * @module
 */
import { HUB_ENVIRONMENT } from "../data/hub/settings.ts";

/** Permissions in Deno's terms. `true`: everything of the kind; a list: these alone; left out: nothing. */
export interface Permissions {
  /** Calls into native libraries. */
  readonly ffi?: true;
  readonly read?: true | readonly string[];
  readonly write?: true | readonly string[];
  readonly net?: true | readonly string[];
  /** Programs that may be started. */
  readonly run?: true | readonly string[];
  /** Variables of the environment that may be read. */
  readonly env?: readonly string[];
  readonly sys?: readonly string[];
}

const KINDS = ["ffi", "read", "write", "run", "env", "sys", "net"] as const;

/** Everything that one of the sets allows. */
export function together(...sets: readonly Permissions[]): Permissions {
  const all: Record<string, true | string[]> = {};
  for (const kind of KINDS) {
    const given = sets.flatMap<string | true>((set) => set[kind] ?? []);
    if (given.length > 0) all[kind] = given.includes(true) || [...new Set(given as string[])];
  }
  return all;
}

/** The flags of `deno run` for a set. */
export function flagsOf(set: Permissions): string[] {
  const flag = (kind: string, value: true | readonly string[]) => value === true ? `--allow-${kind}` : `--allow-${kind}=${value.join(",")}`;
  return KINDS.flatMap((kind) => set[kind] === undefined ? [] : [flag(kind, set[kind])]);
}

/** Variables of the environment by what they are for. */
export const ENVIRONMENT = {
  /** CUDA, and libraries that Python packages bring. */
  libraries: ["CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"],
  /** What the package that decodes pictures asks when it is loaded. */
  pictures: ["npm_package_config_libvips", "MALLOC_ARENA_MAX"],
  /** The hub's cache, address and token. */
  hub: HUB_ENVIRONMENT,
  /** MLflow's address and credentials (docs/trackers.md). */
  MLflow: ["MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"],
} satisfies Record<string, readonly string[]>;

/** To find a program or a cache. */
const PATHS: Permissions = { env: ["PATH", "HOME"] };

/** To compile the kernels on first use, and to call them. */
export const KERNELS: Permissions = together(
  { ffi: true, read: true, write: [".cache"], run: ["c++", "g++", "nvcc"] },
  PATHS,
  { env: ENVIRONMENT.libraries },
);
/** To start further processes of Deno, such as those that grade answers. */
const PROCESSES: Permissions = together(PATHS, { run: ["deno"], env: ["DENO_DIR"] });
const PICTURES: Permissions = { env: ENVIRONMENT.pictures, sys: ["systemMemoryInfo"] };
const VIDEOS: Permissions = { run: ["ffmpeg", "ffprobe"] };
/** To find a model in the hub's cache, and to fetch one. */
const HUB: Permissions = { env: ENVIRONMENT.hub };
const HUB_HOSTS: Permissions = { net: ["huggingface.co", "*.huggingface.co", "*.hf.co"] };
/** A model on a device, pictures, and processes that grade. It writes nothing but built kernels. */
export const MODEL: Permissions = together(KERNELS, PROCESSES, PICTURES);

/** The process that trains. `deno task train` starts it, and watches it with fewer permissions. Network: the hub, trackers, and the process that serves. */
export const TRAINING: Permissions = together(MODEL, VIDEOS, HUB, { env: ENVIRONMENT.MLflow, write: true, net: true });

/** The command that watches the process that trains. */
const WATCH: Permissions = together({ read: true, run: true, env: ["KEDGE_TOKEN"] }, PATHS, { env: ["DENO_DIR"] }, HUB);

/** Tests: they write to the cache and to the system's temporary folder, and reach this machine alone. */
const TESTS: Permissions = together(MODEL, VIDEOS, { write: ["/tmp"], net: ["127.0.0.1"] });

/** What each task of deno.json may do, by its name. */
export const PERMISSIONS = {
  train: WATCH,
  serve: WATCH,
  sft: WATCH,
  ablate: together(MODEL, { write: true }),
  eval: together(MODEL, VIDEOS, HUB, { write: true, net: true }),
  inspect: together(KERNELS, { env: ["DENO_DIR"] }, PICTURES, HUB, HUB_HOSTS, { write: true }),
  export: together({ ffi: true, read: true, write: true, run: ["c++", "g++"] }, PATHS, HUB, HUB_HOSTS),
  doctor: together(KERNELS, { run: ["ffmpeg"] }),
  build: KERNELS,
  "init-model": { read: true, write: true },
  generate: { read: ["."], write: ["ffi/generated", "docs", "deno.json"] },
  test: TESTS,
  bench: { read: true, run: ["deno"] },
  "bench:verifier": together({ read: true, write: ["docs"] }, PROCESSES),
  "bench:step": KERNELS,
  "bench:cuda": together({ read: true, write: ["/tmp"], run: ["nvcc", "c++filt"] }, PATHS, { env: ["CUDA_HOME", "CUDA_PATH"] }),
} satisfies Record<string, Permissions>;
