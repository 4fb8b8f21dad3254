import { type ConfigSource, loadConfig } from "../../actors/config/load.ts";
import type { Config } from "../../actors/config/schema.ts";
import { UsageError } from "../command.ts";

/** The configuration that a command line names. @throws {UsageError} where it cannot be read or taken. */
export function configOf(source: ConfigSource): Config {
  try {
    return loadConfig(source).config;
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}
