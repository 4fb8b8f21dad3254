/**
 * The paths of the project and of the files beside it.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** The project's root, without a slash at its end. */
export const ROOT: string = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
