/** Formats durations. */

/**
 * Formats seconds in the two largest units that fit. Returns "–" if the value is not a number. @param {number} seconds @returns {string}
 */
export const durationOf = (seconds) => {
  if (!Number.isFinite(seconds)) return "–";
  const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(seconds / unit));
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.ceil(seconds)} s`;
};
