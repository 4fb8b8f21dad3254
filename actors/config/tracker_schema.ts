import { z } from "zod";
import type { TrackerInput, TrackerSection } from "../trackers/options.ts";

const text = z.string().min(1),
  answersEvery = z.int().nonnegative().default(10).describe("The number of steps between tables of answers; 0: no tables.");

const section = z.discriminatedUnion("use", [
  z.strictObject({
    use: z.literal("wandb"),
    project: text.default("kedge").describe("The project that the run belongs to."),
    entity: text.nullable().default(null).describe("The user or team; null: the one who uploads."),
    group: text.nullable().default(null).describe("Runs of a group are shown together."),
    tags: z.array(text).default([]).describe("Tags by which the run can be found."),
    answersEvery,
  }),
  z.strictObject({
    use: z.literal("mlflow"),
    uri: text.nullable().default(null).describe("The tracking server's address; null: MLFLOW_TRACKING_URI of the environment."),
    experiment: text.default("kedge").describe("The experiment's name."),
    tags: z.record(text, z.string()).default({}).describe("Tags of the run."),
    answersEvery,
  }),
]);

/** A tracker, or its name where every option is the default. */
export const trackerSchema: z.ZodType<TrackerSection, TrackerInput> = z.union([
  section,
  z.enum(["wandb", "mlflow"]).transform((use): TrackerSection => section.parse({ use })),
]);
