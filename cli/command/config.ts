import { type ConfigSource, loadConfig } from "../../actors/config/load.ts";
import type { Config } from "../../actors/config/schema.ts";
import { UsageError } from "../command.ts";

/** Loads the configuration that a command line names. @throws {UsageError} if it cannot be read or is wrong. */
export function configOf(source: ConfigSource): Config {
  try {
    return loadConfig(source).config;
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}
