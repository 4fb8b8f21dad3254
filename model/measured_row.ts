/** Names of the rows whose attention can be measured. */
export const MEASURED_ROWS = ["predict", "self", "both"] as const;

/**
 * The row of a token whose attention is measured: "predict", the row that predicts the token; "self", the token's own; "both", the mean over
 * the two.
 */
export type MeasuredRow = typeof MEASURED_ROWS[number];

/** Whether a token's own row is measured, so that the last token must be forwarded too. */
export function measuresOwnRow(row: MeasuredRow | undefined): boolean {
  return row === "self" || row === "both";
}
