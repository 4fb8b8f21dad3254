/**
 * Replaces `jsr:@std/cli`: see parse_args.ts.
 *
 * @module
 */
export * from "./parse_args.ts";
