/** Where a program is, by the folders of PATH; undefined where it is not. */
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

/** Programs that a run may start, as far as they are there: Deno talks of those that are not. */
export function programs(): string {
  return ["deno", ...["c++", "g++", "nvcc", "ffmpeg", "ffprobe"].filter((name) => findProgram(name) !== undefined)].join(",");
}
