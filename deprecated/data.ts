/**
 * Names that have moved from `@kedge/kedge` to `@kedge/kedge/data`. They stay importable from there until version 0.2.
 *
 * @module
 */
import * as data from "../data/mod.ts";

/** @deprecated Import it from `@kedge/kedge/data` as `COLOURS`.
 * @ignore */
export const BOARD_COLOURS: typeof data.COLOURS = data.COLOURS;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const BOARD_DEFAULTS: typeof data.BOARD_DEFAULTS = data.BOARD_DEFAULTS;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const boardOptions: typeof data.boardOptions = data.boardOptions;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const boardProblem: typeof data.boardProblem = data.boardProblem;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const boardVocabulary: typeof data.boardVocabulary = data.boardVocabulary;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const Columns: typeof data.Columns = data.Columns;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const ConcatDataset: typeof data.ConcatDataset = data.ConcatDataset;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const findModel: typeof data.findModel = data.findModel;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const FORMAT_NAMES: typeof data.FORMAT_NAMES = data.FORMAT_NAMES;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const INSTRUCTIONS: typeof data.INSTRUCTIONS = data.INSTRUCTIONS;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const JsonLinesDataset: typeof data.JsonLinesDataset = data.JsonLinesDataset;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const ParquetDataset: typeof data.ParquetDataset = data.ParquetDataset;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const parseHubId: typeof data.parseHubId = data.parseHubId;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const parseModelId: typeof data.parseModelId = data.parseModelId;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const readSample: typeof data.readSample = data.readSample;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const ShuffledSampler: typeof data.ShuffledSampler = data.ShuffledSampler;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const surround: typeof data.surround = data.surround;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export const surroundings: typeof data.surroundings = data.surroundings;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type AllowRemote = data.AllowRemote;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type Attachments = data.Attachments;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type BadRow = data.BadRow;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type BadRows = data.BadRows;
/** @deprecated Import it from `@kedge/kedge/data` as `Figure`.
 * @ignore */
export type BoardFigure = data.Figure;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type BoardOptions = data.BoardOptions;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type BoardPlace = data.BoardPlace;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type BoardProblem = data.BoardProblem;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type BoardSplit = data.BoardSplit;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type ColumnOptions = data.ColumnOptions;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type Columns = data.Columns;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type ConcatDataset = data.ConcatDataset;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type DataFile = data.DataFile;
/** @deprecated Import it from `@kedge/kedge/data` as `FileOptions`.
 * @ignore */
export type DatasetFileOptions = data.FileOptions;
/** @deprecated Import it from `@kedge/kedge/data` as `OpenOptions`.
 * @ignore */
export type DatasetOptions = data.OpenOptions;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type Download = data.Download;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type FormatName = data.FormatName;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type FoundModel = data.FoundModel;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type HubAccess = data.HubAccess;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type HubId = data.HubId;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type HubOptions = data.HubOptions;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type JsonLinesDataset = data.JsonLinesDataset;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type ModelId = data.ModelId;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type ModelOptions = data.ModelOptions;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type ParquetDataset = data.ParquetDataset;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type ParquetOptions = data.ParquetOptions;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type PromptFormat = data.PromptFormat;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type RawRow = data.RawRow;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type SamplerState = data.SamplerState;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type ShuffledSampler = data.ShuffledSampler;
/** @deprecated Import it from `@kedge/kedge/data`.
 * @ignore */
export type Surroundings = data.Surroundings;
