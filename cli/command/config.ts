import { type ConfigSource, loadConfig, type LoadedConfig } from "../../actors/config/load.ts";
import { UsageError } from "../command.ts";

/** Loads the configuration that a command line names. @throws {UsageError} if it cannot be read or is wrong. */
export function configOf(source: ConfigSource): LoadedConfig {
  try {
    return loadConfig(source);
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}
