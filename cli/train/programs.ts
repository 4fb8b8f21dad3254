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
