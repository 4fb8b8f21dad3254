/**
 * Reads conversations in every form of data sets: a text, turns of { role, content } or of { from, value }, contents that are texts or
 * parts.
 *
 * @module
 */
import type { Message } from "../model/processor/messages.ts";

/** A piece of a turn: a text, which may contain markers; a picture of its own; or a position for the next of the row's pictures. */
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

/** Is thrown for a conversation that cannot be read. Its message follows the name of the column. */
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

/** Tells whether a value is a conversation: a list of turns that each name their speaker. */
export function isTurns(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 &&
    value.every((turn) => isFields(turn) && typeof roleOf(turn) === "string" && contentOf(turn) !== undefined);
}

/**
 * Reads the turns of a prompt.
 *
 * @param value A text, which is a user turn, or a list of turns.
 * @throws {BadTurns} for other values, for an unknown role, and for parts of other types.
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
  if (!Array.isArray(value) || value.length === 0) throw new BadTurns("is neither a text nor a non-empty list of turns");
  return value.map((turn: unknown, i): DraftTurn => {
    if (!isFields(turn)) throw new BadTurns(`is not a list of turns: its item ${i} is not an object with role and content`);
    const given = roleOf(turn), role = typeof given === "string" ? ROLES[given.toLowerCase()] : undefined;
    if (role === undefined) {
      throw new BadTurns(
        `has a turn ${i} of the role ${JSON.stringify(given) ?? "undefined"}; the roles are ${Object.keys(ROLES).join(", ")}`,
      );
    }
    return { role, pieces: piecesOf(contentOf(turn), i) };
  });
}

function piecesOf(content: unknown, turn: number): Piece[] {
  if (typeof content === "string") return [{ kind: "text", text: content }];
  const parts = isFields(content) ? [content] : content;
  if (!Array.isArray(parts)) throw new BadTurns(`has a turn ${turn} without content; content is a text or a list of parts`);
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
      if (typeof part["text"] !== "string") throw new BadTurns(`has a text part without a text in its turn ${turn}`);
      return { kind: "text", text: part["text"] };
    case "image":
    case "image_url":
    case "input_image":
      return given ? { kind: "image", value: own } : { kind: "next image" };
    case "video":
    case "video_url":
      return given ? { kind: "video", value: own } : { kind: "next video" };
    default:
      throw new BadTurns(
        `has a part of the type ${JSON.stringify(type) ?? "none"} in its turn ${turn}; the types are text, image and video`,
      );
  }
}

/** Returns the text of a turn. @throws {BadTurns} if it contains a picture. */
export function textOfTurn(turn: DraftTurn): string {
  return turn.pieces.map((piece) => {
    if (piece.kind === "text") return piece.text;
    throw new BadTurns("ends in an answer that holds a picture: answers are texts");
  }).join("");
}
