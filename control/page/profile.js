/** Reads where a token attends: the shares of its attention over the regions of a picture. */
import { listOf } from "./fields.js";

const isRegion = (region) => ["left", "top", "width", "height"].every((key) => Number.isFinite(region?.[key]));

/**
 * Reads the profile from a line of rollouts.jsonl.
 *
 * @param {Readonly<Record<string, unknown>>} line
 * @returns The regions, and a function for the shares of a token; undefined if the profile was not measured.
 */
export const profileOf = ({ profile, tokens }) => {
  const regions = listOf(profile?.regions), count = listOf(tokens).length;
  if (regions.length === 0 || typeof profile.shares !== "string" || !regions.every(isRegion)) return undefined;
  let bytes;
  const read = () => bytes ??= Uint8Array.from(atob(profile.shares), (c) => c.charCodeAt(0));
  const scale = Number(profile.scale) / 255;
  return {
    regions,
    count,
    sharesOf: (i) => Array.from(read().subarray(i * regions.length, (i + 1) * regions.length), (byte) => byte * scale),
  };
};

/** Reads the profile from an answer of the chat. */
export const chatProfileOf = ({ profiles, regions }) => {
  const rows = listOf(profiles), all = listOf(regions);
  if (all.length === 0 || rows.length === 0 || !all.every(isRegion)) return undefined;
  return { regions: all, count: rows.length, sharesOf: (i) => listOf(rows[i]) };
};

/** Returns the mean profile of the marked tokens; undefined if none is marked. */
export const meanProfile = ({ regions, sharesOf }, marked) => {
  const rows = marked.flatMap((flag, i) => flag ? [sharesOf(i)] : []);
  return rows.length === 0 ? undefined : regions.map((_, r) => rows.reduce((sum, row) => sum + (row[r] ?? 0), 0) / rows.length);
};
