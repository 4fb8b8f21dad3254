import { basename, dirname } from "node:path";
import { parseModelId } from "../../data/hub/model.ts";
import { nearest } from "../../actors/config/nearest.ts";

/**
 * What a path must name: an existing file or folder, a model (a folder, or an id of the hub), a file that can be written, a folder that can
 * be created or used, or a folder that is new or empty.
 */
export type PathKind = "file" | "folder" | "model" | "new file" | "filled folder" | "new folder";

/** Returns what exists at a path, or undefined for nothing. */
function kindAt(path: string): "file" | "folder" | undefined {
  try {
    return Deno.statSync(path).isDirectory ? "folder" : "file";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

/** Tells whether a neighbour of a path is of a kind; one that may not be looked at, such as /proc, is not. */
function isKind(path: string, kind: "file" | "folder"): boolean {
  try {
    return kindAt(path) === kind;
  } catch {
    return false;
  }
}

const names = (folder: string): string[] => Array.from(Deno.readDirSync(folder), ({ name }) => name);

/** Says that a path does not exist, and suggests a similar name. */
function absent(path: string, kind: "file" | "folder"): string {
  const parent = dirname(path);
  if (kindAt(parent) !== "folder") return `there is no folder ${parent}`;
  const near = nearest(basename(path), names(parent).filter((name) => isKind(`${parent}/${name}`, kind)));
  return `there is no such ${kind}${near === undefined ? "" : `; did you mean ${parent === "." ? near : `${parent}/${near}`}?`}`;
}

/** Returns the folder of the newest model in a run's folder. */
function checkpointOf(folder: string): string | undefined {
  const parent = [`${folder}/checkpoints`, folder].find((path) =>
    kindAt(path) === "folder" && names(path).some((name) => /^step-\d+$/.test(name))
  );
  const [last] = parent === undefined
    ? []
    : names(parent).filter((name) => /^step-\d+$/.test(name)).sort((a, b) => Number(b.slice(5)) - Number(a.slice(5)));
  return last && `${parent}/${last}`;
}

/** Returns why a path is not what it must be, or undefined if it is. */
export function pathFault(path: string, kind: PathKind): string | undefined {
  const there = kindAt(path);
  switch (kind) {
    case "file":
      return there === "file" ? undefined : there === "folder" ? "it is a folder, not a file" : absent(path, "file");
    case "folder":
      return there === "folder" ? undefined : there === "file" ? "it is a file, not a folder" : absent(path, "folder");
    case "model": {
      // an id of the hub
      if (there === undefined && parseModelId(path) !== undefined && kindAt(dirname(path)) === undefined) return undefined;
      const fault = pathFault(path, "folder");
      if (fault !== undefined || ["config.json", "adapter_config.json"].some((name) => kindAt(`${path}/${name}`) === "file")) return fault;
      const checkpoint = checkpointOf(path);
      return `it is not a model folder: it has no config.json${checkpoint === undefined ? "" : `; did you mean ${checkpoint}?`}`;
    }
    case "new file":
      if (there === "folder") return "it is a folder, not a file";
      return kindAt(dirname(path)) === "folder" ? undefined : `the folder ${dirname(path)} does not exist; create it first`;
    case "filled folder":
      return there === "file" ? "it is a file, not a folder" : above(path);
    case "new folder":
      if (there === "file") return "it is a file, not a folder";
      return there === "folder" && names(path).length > 0 ? "it already exists and is not empty; name another folder" : above(path);
  }
}

/** Returns why a folder cannot be created together with its parents, or undefined if it can. */
function above(path: string): string | undefined {
  for (let at = dirname(path);; at = dirname(at)) {
    const there = kindAt(at);
    if (there === "file") return `${at} is a file, not a folder`;
    if (there === "folder" || at === dirname(at)) return undefined;
  }
}
