/** Returns the path of a program in the folders of PATH, or undefined if it is not there. */
export function findProgram(name: string): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  const isFile = (path: string) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  };
  return folders.map((folder) => `${folder}/${name}`).find(isFile);
}

/** Returns the programs that a run may start and that exist. Deno prints warnings about missing ones. */
export function programs(): string {
  return ["deno", ...["c++", "g++", "nvcc", "ffmpeg", "ffprobe"].filter((name) => findProgram(name) !== undefined)].join(",");
}
