/** Values of JSON that may be anything. */

/** A number that is one; null for anything else. @param {unknown} value @returns {number | null} */
export const numberOf = (value) => typeof value === "number" && Number.isFinite(value) ? value : null;

/** A list as it is; an empty one for anything else. @param {unknown} value @returns {readonly unknown[]} */
export const listOf = (value) => Array.isArray(value) ? value : [];

/** Text as it is; of nothing "", of anything else its JSON. @param {unknown} value @returns {string} */
export const textOf = (value) => typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
