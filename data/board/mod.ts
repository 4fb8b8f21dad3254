/**
 * The built-in task: questions about a board of coloured digits.
 *
 * @module
 */
export { BoardDataset } from "./dataset.ts";
export { boardVocabulary, newBoardModel } from "./folder.ts";
export { boardClasses, WORDS } from "./language.ts";
export { BOARD_DEFAULTS, type BoardOptions, boardOptions, COLOURS } from "./options.ts";
export { CELL, type Figure, GLYPHS, GROUND } from "./picture.ts";
export { type BoardPlace, type BoardProblem, boardProblem, type BoardSplit } from "./problem.ts";
