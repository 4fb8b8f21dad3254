// deno-lint-ignore-file no-console -- a process of a test
/** Watches the mortal process; its request and what is watched are the arguments. */
import { watch } from "../../cli/train/watch.ts";

const [request, watched] = Deno.args.map((text) => JSON.parse(text));
const code = await watch(request, { ...watched, module: new URL("./mortal_run.ts", import.meta.url).href });
console.log(`watched: ${code}`);
Deno.exit(code);
