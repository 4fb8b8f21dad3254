/**
 * Conversations as data sets write them: a text, turns of { role, content } or of { from, value }, contents of texts or of parts.
 *
 * @module
 */
import type { Message } from "../model/processor/messages.ts";

/** A piece of a turn: a text, in which markers may stand; a picture of its own; or a place for the next of the row's pictures. */
export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "image"; readonly value: unknown }
  | { readonly kind: "video"; readonly value: unknown }
  | { readonly kind: "next image" }
  | { readonly kind: "next video" };

/** A turn whose pictures are not read yet. */
export interface DraftTurn {
  readonly role: Message["role"];
  readonly pieces: readonly Piece[];
}

/** A conversation cannot be read. Its words follow the name of the column. */
export class BadTurns extends Error {}

const ROLES: Readonly<Record<string, Message["role"]>> = {
  user: "user",
  human: "user",
  assistant: "assistant",
  gpt: "assistant",
  bot: "assistant",
  model: "assistant",
  system: "system",
  developer: "system",
};

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
const roleOf = (turn: Fields) => turn["role"] ?? turn["from"];
const contentOf = (turn: Fields) => turn["content"] ?? turn["value"];

/** Whether a value is a conversation: a list of turns that each say whose they are. */
export function isTurns(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 &&
    value.every((turn) => isFields(turn) && typeof roleOf(turn) === "string" && contentOf(turn) !== undefined);
}

/**
 * The turns of a prompt.
 *
 * @param value A text, which is a user's turn, or a list of turns.
 * @throws {BadTurns} for what is neither, for a role that the models here have not, and for parts of other kinds.
 *
 * @example
 * ```ts
 * import { turnsOf } from "./turns.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(turnsOf([{ from: "human", value: "<image>\nHow many?" }, { from: "gpt", value: "2" }]), [
 *   { role: "user", pieces: [{ kind: "text", text: "<image>\nHow many?" }] },
 *   { role: "assistant", pieces: [{ kind: "text", text: "2" }] },
 * ]);
 * assertEquals(turnsOf([{ role: "user", content: [{ type: "image" }, { type: "text", text: "How many?" }] }])[0]!.pieces[0], { kind: "next image" });
 * ```
 */
export function turnsOf(value: unknown): DraftTurn[] {
  if (typeof value === "string" && value !== "") return [{ role: "user", pieces: [{ kind: "text", text: value }] }];
  if (!Array.isArray(value) || value.length === 0) throw new BadTurns("is no text and no list of turns, or an empty one");
  return value.map((turn: unknown, i): DraftTurn => {
    if (!isFields(turn)) throw new BadTurns(`is no list of turns: its item ${i} is no object with role and content`);
    const given = roleOf(turn), role = typeof given === "string" ? ROLES[given.toLowerCase()] : undefined;
    if (role === undefined) {
      throw new BadTurns(`has a turn ${i} of ${JSON.stringify(given) ?? "nobody"}: it takes ${Object.keys(ROLES).join(", ")}`);
    }
    return { role, pieces: piecesOf(contentOf(turn), i) };
  });
}

function piecesOf(content: unknown, turn: number): Piece[] {
  if (typeof content === "string") return [{ kind: "text", text: content }];
  const parts = isFields(content) ? [content] : content;
  if (!Array.isArray(parts)) throw new BadTurns(`has a turn ${turn} without a content: it takes a text or a list of parts`);
  return parts.map((part: unknown) => pieceOf(part, turn));
}

function pieceOf(part: unknown, turn: number): Piece {
  if (typeof part === "string") return { kind: "text", text: part };
  if (!isFields(part)) throw new BadTurns(`has a part in its turn ${turn} that is neither a text nor an object with a type`);
  const type = part["type"] ?? ["text", "image", "image_url", "video", "video_url"].find((name) => part[name] !== undefined);
  const { type: _, ...own } = part, given = Object.values(own).some((value) => value !== null && value !== undefined);
  switch (type) {
    case "text":
    case "input_text":
    case "output_text":
      if (typeof part["text"] !== "string") throw new BadTurns(`has a text in its turn ${turn} that is none`);
      return { kind: "text", text: part["text"] };
    case "image":
    case "image_url":
    case "input_image":
      return given ? { kind: "image", value: own } : { kind: "next image" };
    case "video":
    case "video_url":
      return given ? { kind: "video", value: own } : { kind: "next video" };
    default:
      throw new BadTurns(`has a part of the type ${JSON.stringify(type) ?? "none"} in its turn ${turn}: it takes text, image and video`);
  }
}

/** What a turn says, where it is text alone. @throws {BadTurns} where it holds a picture. */
export function textOfTurn(turn: DraftTurn): string {
  return turn.pieces.map((piece) => {
    if (piece.kind === "text") return piece.text;
    throw new BadTurns("ends in an answer that holds a picture: answers are texts");
  }).join("");
}
