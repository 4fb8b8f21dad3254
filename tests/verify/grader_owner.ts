// deno-lint-ignore-file no-console -- a process of a test
/** A process that owns graders. It has "stuck" or "slow" graded under a time limit, and prints the grader's process id and the result. */
import { GraderPool, planReward } from "../../verify/mod.ts";

const [module, response, timeLimit] = Deno.args as [string, string, string];
await using pool = new GraderPool(planReward(module, import.meta.url), { workers: 1, timeLimit: Number(timeLimit) });
await pool.grade([{ response: "1", truth: "" }]);
const graded = pool.grade([{ response, truth: "" }]);
console.log(pool.pids[0]);
console.log(JSON.stringify((await graded)[0]));
