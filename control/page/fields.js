/** Reads JSON values of unknown type. */

/** Returns a finite number, or null for anything else. @param {unknown} value @returns {number | null} */
export const numberOf = (value) => typeof value === "number" && Number.isFinite(value) ? value : null;

/** Returns a list, or an empty one for anything else. @param {unknown} value @returns {readonly unknown[]} */
export const listOf = (value) => Array.isArray(value) ? value : [];

/** Returns a text, "" for nothing, or the JSON of anything else. @param {unknown} value @returns {string} */
export const textOf = (value) => typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
