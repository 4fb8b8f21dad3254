import { basename, dirname } from "node:path";
import { parseModelId } from "../../data/hub/model.ts";
import { nearest } from "../../actors/config/nearest.ts";

/** What a path must be: a file or folder that is there, a model's folder or its id of the hub, a file that can be written, a folder that can be filled, one that is new or empty. */
export type Place = "file" | "folder" | "model" | "new file" | "filled folder" | "new folder";

/** What stands at a path; undefined for nothing. */
function standing(path: string): "file" | "folder" | undefined {
  try {
    return Deno.statSync(path).isDirectory ? "folder" : "file";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

const names = (folder: string): string[] => Array.from(Deno.readDirSync(folder), ({ name }) => name);

/** What is not there, and what of a near name is. */
function absent(path: string, kind: "file" | "folder"): string {
  const parent = dirname(path);
  if (standing(parent) !== "folder") return `there is no folder ${parent}`;
  const near = nearest(basename(path), names(parent).filter((name) => standing(`${parent}/${name}`) === kind));
  return `there is no such ${kind}${near === undefined ? "" : `; did you mean ${parent === "." ? near : `${parent}/${near}`}?`}`;
}

/** Where in a run's folder its models are. */
function checkpointOf(folder: string): string | undefined {
  const parent = [`${folder}/checkpoints`, folder].find((path) =>
    standing(path) === "folder" && names(path).some((name) => /^step-\d+$/.test(name))
  );
  const [last] = parent === undefined
    ? []
    : names(parent).filter((name) => /^step-\d+$/.test(name)).sort((a, b) => Number(b.slice(5)) - Number(a.slice(5)));
  return last && `${parent}/${last}`;
}

/** Why a path is not what it must be; undefined where it is. */
export function placeFault(path: string, place: Place): string | undefined {
  const there = standing(path);
  switch (place) {
    case "file":
      return there === "file" ? undefined : there === "folder" ? "it is a folder, and not a file" : absent(path, "file");
    case "folder":
      return there === "folder" ? undefined : there === "file" ? "it is a file, and not a folder" : absent(path, "folder");
    case "model": {
      if (there === undefined && parseModelId(path) !== undefined && standing(dirname(path)) === undefined) return undefined; // of the hub
      const fault = placeFault(path, "folder");
      if (fault !== undefined || standing(`${path}/config.json`) === "file") return fault;
      const checkpoint = checkpointOf(path);
      return `it is no model folder: it has no config.json${checkpoint === undefined ? "" : `; did you mean ${checkpoint}?`}`;
    }
    case "new file":
      if (there === "folder") return "it is a folder, and not a file";
      return standing(dirname(path)) === "folder" ? undefined : `there is no folder ${dirname(path)}; make it first`;
    case "filled folder":
      return there === "file" ? "it is a file, and not a folder" : above(path);
    case "new folder":
      if (there === "file") return "it is a file, and not a folder";
      return there === "folder" && names(path).length > 0 ? "it is there already, and not empty; name another" : above(path);
  }
}

/** Why a folder cannot be made, with those above it; undefined where it can. */
function above(path: string): string | undefined {
  for (let at = dirname(path);; at = dirname(at)) {
    const there = standing(at);
    if (there === "file") return `${at} is a file, and not a folder`;
    if (there === "folder" || at === dirname(at)) return undefined;
  }
}
