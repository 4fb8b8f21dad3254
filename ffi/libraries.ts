/**
 * Where CUDA's shared libraries may lie: the loader's own folders, the toolkit, the nvidia-* Python wheels.
 *
 * @module
 */
import { join } from "node:path";
import { environment, visible } from "./environment.ts";

function entries(folder: string): string[] {
  if (!visible(folder)) return [];
  try {
    return [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
  } catch {
    return []; // not a folder
  }
}

/** The toolkit's folders, the likeliest first. */
export function toolkitFolders(): string[] {
  const named = [environment("CUDA_HOME"), environment("CUDA_PATH")].filter((folder) => folder !== undefined);
  return [...new Set([...named, "/usr/local/cuda"])];
}

/** The installation of the `python3` that PATH finds: an environment may be in use without having been activated. */
function pythonOnPath(): string | undefined {
  const folder = environment("PATH")?.split(":").find((folder) => folder.startsWith("/") && visible(join(folder, "python3")));
  return folder === undefined ? undefined : join(folder, "..");
}

/** Folders of installed Python packages: of the active environment, of the user, of the system. */
function sitePackages(): string[] {
  const home = environment("HOME");
  const named = [environment("VIRTUAL_ENV"), environment("CONDA_PREFIX"), pythonOnPath()];
  const roots = new Set([...named, home && join(home, ".local"), "/usr/local", "/usr"]);
  const folders: string[] = [];
  for (const root of roots) {
    if (!root) continue;
    for (const name of entries(join(root, "lib"))) {
      if (/^python3/.test(name)) folders.push(join(root, "lib", name, "site-packages"), join(root, "lib", name, "dist-packages"));
    }
  }
  return folders;
}

/** Folders that may hold CUDA's libraries, apart from the loader's own, the likeliest first. */
function cudaLibraryFolders(): string[] {
  const machine = Deno.build.arch === "aarch64" ? "sbsa-linux" : "x86_64-linux";
  const toolkit = toolkitFolders().flatMap((
    folder,
  ) => [join(folder, "lib64"), join(folder, "targets", machine, "lib"), join(folder, "lib")]);
  const wheels = sitePackages().flatMap((site) => {
    const nvidia = join(site, "nvidia");
    return ["cu13/lib", "cuda_runtime/lib", "cublas/lib", "nccl/lib"].map((folder) => join(nvidia, folder));
  });
  return [...toolkit, ...wheels].filter(visible);
}

/** Names and paths under which to try to load a library, in order: plain file names first, then paths that exist. */
export function candidates(stem: string, versions: readonly string[]): string[] {
  const names = versions.map((version) => `${stem}.so.${version}`);
  return [...names, ...cudaLibraryFolders().flatMap((folder) => names.map((name) => join(folder, name)).filter(visible))];
}

/** Loads the first of a library's {@linkcode candidates} that loads. @returns Undefined if none is installed. */
export function firstLoaded<T>(stem: string, versions: readonly string[], load: (path: string) => T): T | undefined {
  for (const path of candidates(stem, versions)) {
    try {
      return load(path);
    } catch {
      continue; // not installed
    }
  }
  return undefined;
}
