import { KedgeError } from "../ffi/errors.ts";
import type { ModelConfig } from "./config/types.ts";
import { checkGrid, type Prompt, type Visual, visualTokens } from "./prompt.ts";

/** A run of placeholders: of whole time steps of one visual. */
export interface VisualSpan {
  readonly visual: Visual;
  /** Index of the visual in the prompt. */
  readonly index: number;
  /** The time step of its first placeholder. */
  readonly frame: number;
  /** The first placeholder's index in the prompt. */
  readonly start: number;
  /** One after the last. */
  readonly end: number;
}

/**
 * Finds the placeholders of each visual, in order. Those of a visual are one run of tokens.
 *
 * @param options `stepsApart`: each time step of a video is a run of its own, with text between them. Default false.
 * @throws {KedgeError} `BadData` if placeholders and visuals do not fit, naming which and how many; {RangeError} for an impossible grid.
 */
export function visualSpans(prompt: Prompt, config: ModelConfig, options: { stepsApart?: boolean } = {}): VisualSpan[] {
  const { tokens, visuals } = prompt;
  const { image, video } = config.tokens;
  const { mergeSize } = config.vision;
  const bad = (words: string, details: Record<string, unknown>) => {
    const counts = `The prompt holds ${count(tokens, image)} image and ${count(tokens, video)} video placeholders`;
    const wanted = visuals.map((visual) => `${visual.kind} ${visualTokens(visual.grid, mergeSize)}`).join(", ") || "none";
    return new KedgeError("BadData", `Cannot place visuals in a prompt: ${words}. ${counts}; its visuals need: ${wanted}`, details);
  };
  const spans: VisualSpan[] = [];
  let at = 0;
  const next = () => {
    while (at < tokens.length && tokens[at] !== image && tokens[at] !== video) at++;
    return at;
  };
  for (const [i, visual] of visuals.entries()) {
    const what = `visual ${i} (${visual.kind})`;
    checkGrid(visual.grid, { mergeSize, what });
    const runs = visual.kind === "video" && options.stepsApart ? visual.grid.t : 1, needed = visualTokens(visual.grid, mergeSize) / runs;
    const wanted = visual.kind === "image" ? image : video;
    for (let frame = 0; frame < runs; frame++) {
      const start = next(), which = runs > 1 ? `time step ${frame} of ${what}` : what;
      if (start === tokens.length) throw bad(`${which} has no placeholder left`, { visual: i });
      if (tokens[start] !== wanted) {
        throw bad(`token ${start} is a placeholder of the other kind than ${which}`, { visual: i, token: start });
      }
      while (at < start + needed && tokens[at] === wanted) at++;
      if (at < start + needed) throw bad(`${which} needs ${needed} placeholders, ${at - start} are at token ${start}`, { visual: i });
      spans.push({ visual, index: i, frame, start, end: at });
    }
  }
  if (next() < tokens.length) throw bad(`token ${at} is a placeholder that belongs to no visual`, { token: at });
  return spans;
}

function count(tokens: Int32Array, token: number): number {
  let times = 0;
  for (const each of tokens) if (each === token) times++;
  return times;
}
