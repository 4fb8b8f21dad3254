// deno-lint-ignore-file no-console -- a process of a test
/** Supervises the mortal process. The arguments are the request and what to supervise. */
import { watch } from "../../cli/train/watch.ts";

const [request, watched] = Deno.args.map((text) => JSON.parse(text));
const code = await watch(request, { ...watched, module: new URL("./mortal_run.ts", import.meta.url).href });
console.log(`watched: ${code}`);
Deno.exit(code);
