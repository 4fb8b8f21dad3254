/**
 * Defines what each command may do on the machine. `deno task generate` writes `deno.json`'s tasks and docs/permissions.md from these sets.
 * A command that starts another process passes one of these sets to it.
 *
 * @module
 */
import { HUB_ENVIRONMENT } from "../data/hub/settings.ts";

/**
 * Permissions in Deno's terms. `true` permits everything of the kind, a list permits only its entries, and an absent kind is not permitted.
 */
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

/** Combines sets: the result permits everything that one of them permits. */
export function together(...sets: readonly Permissions[]): Permissions {
  const all: Record<string, true | string[]> = {};
  for (const kind of KINDS) {
    const given = sets.flatMap<string | true>((set) => set[kind] ?? []);
    if (given.length > 0) all[kind] = given.includes(true) || [...new Set(given as string[])];
  }
  return all;
}

/** Returns the flags of `deno run` for a set. */
export function flagsOf(set: Permissions): string[] {
  const flag = (kind: string, value: true | readonly string[]) => value === true ? `--allow-${kind}` : `--allow-${kind}=${value.join(",")}`;
  return KINDS.flatMap((kind) => set[kind] === undefined ? [] : [flag(kind, set[kind])]);
}

/** Environment variables by their purpose. */
export const ENVIRONMENT = {
  /** CUDA, and libraries that Python packages bring. */
  libraries: ["CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"],
  /** Whether a CUDA device finishes each op before the next (docs/gpu.md). */
  debugging: ["KEDGE_SYNC"],
  /** Variables that the package for decoding pictures reads when it is loaded. */
  pictures: ["npm_package_config_libvips", "MALLOC_ARENA_MAX"],
  /** Variables of the hub: its cache, its token, its address, and whether it is offline. */
  hub: HUB_ENVIRONMENT,
  /** MLflow's address and credentials (docs/trackers.md). */
  MLflow: ["MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"],
} satisfies Record<string, readonly string[]>;

/** Permits finding a program or a cache. */
const PATHS: Permissions = { env: ["PATH", "HOME"] };

/** Permits compiling the kernels on first use, and calling them. */
export const KERNELS: Permissions = together(
  { ffi: true, read: true, write: [".cache"], run: ["c++", "g++", "nvcc"] },
  PATHS,
  { env: [...ENVIRONMENT.libraries, ...ENVIRONMENT.debugging] },
);
/** Permits starting further processes of Deno, such as those that grade answers. */
/** Permits finding MPI, and compiling the library of ranks. */
export const MPI_PROGRAMS: readonly string[] = ["mpicxx", "mpirun"];
/** Variables by which a launcher tells a process its rank. */
export const RANK_VARIABLES: readonly string[] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];
const PROCESSES: Permissions = together(PATHS, { run: ["deno"], env: ["DENO_DIR"] });
const PICTURES: Permissions = { env: ENVIRONMENT.pictures, sys: ["systemMemoryInfo"] };
const VIDEOS: Permissions = { run: ["ffmpeg", "ffprobe"] };
/** Permits finding a model in the hub's cache, and fetching one. */
const HUB: Permissions = { env: ENVIRONMENT.hub };
const HUB_HOSTS: Permissions = { net: ["huggingface.co", "*.huggingface.co", "*.hf.co"] };
/** Permits a model on a device, pictures, and processes that grade. Only built kernels may be written. */
export const MODEL: Permissions = together(KERNELS, PROCESSES, PICTURES);

/**
 * The permissions of the training process. `deno task train` starts it, and supervises it with fewer permissions. Network: the hub,
 * trackers, and the serving process.
 */
export const TRAINING: Permissions = together(MODEL, VIDEOS, HUB, { run: ["mpicxx"] }, { env: ENVIRONMENT.MLflow, write: true, net: true });

/** The permissions of the command that supervises the training process. */
const WATCH: Permissions = together({ read: true, run: true, env: ["KEDGE_TOKEN", ...RANK_VARIABLES], sys: ["uid"] }, PATHS, {
  env: ["DENO_DIR"],
}, HUB);

/** The permissions of tests: they write to the cache and to the system's temporary folder, and connect to this machine only. */
const TESTS: Permissions = together(MODEL, VIDEOS, { write: ["/tmp"], net: ["127.0.0.1"] });

/** The permissions of each task of deno.json, by its name. */
export const PERMISSIONS = {
  train: WATCH,
  serve: WATCH,
  sft: WATCH,
  ablate: together(MODEL, { write: true }),
  eval: together(MODEL, VIDEOS, HUB, { write: true, net: true }),
  inspect: together(KERNELS, { env: ["DENO_DIR"] }, PICTURES, HUB, HUB_HOSTS, { write: true }),
  export: together({ ffi: true, read: true, write: true, run: ["c++", "g++"] }, PATHS, HUB, HUB_HOSTS),
  doctor: together(KERNELS, { run: ["ffmpeg", "deno", ...MPI_PROGRAMS], sys: ["uid"] }),
  build: KERNELS,
  "init-model": { read: true, write: true },
  generate: { read: ["."], write: ["ffi/generated", "docs", "deno.json"] },
  test: TESTS,
  bench: { read: true, run: ["deno"] },
  "bench:verifier": together({ read: true, write: ["docs"] }, PROCESSES),
  "bench:step": KERNELS,
  "bench:cuda": together({ read: true, write: ["/tmp"], run: ["nvcc", "c++filt"] }, PATHS, { env: ["CUDA_HOME", "CUDA_PATH"] }),
} satisfies Record<string, Permissions>;
