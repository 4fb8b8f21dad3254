/**
 * Where a row's pictures stand in its text.
 *
 * @module
 */
import type { ImageSource, Message, Part, PixelBounds, VideoSource } from "../model/processor/messages.ts";
import type { DraftTurn, Piece } from "./turns.ts";

/** Pictures and videos of a row, in the order of its columns; those that stand in parts are read where they stand. */
export interface Pictures {
  readonly images: readonly ImageSource[];
  readonly videos: readonly VideoSource[];
}

/** A turn's pieces, those with pictures of their own read. */
export interface ReadTurn {
  readonly role: Message["role"];
  readonly pieces: readonly ReadPiece[];
}

/** As `Piece`; a picture of its own is read. */
export type ReadPiece =
  | Exclude<Piece, { readonly value: unknown }>
  | { readonly kind: "image"; readonly value: ImageSource }
  | { readonly kind: "video"; readonly value: VideoSource };

/** There are not as many places for pictures as pictures. `kind` says of which. */
export class BadPlaces extends Error {
  constructor(readonly kind: Kind, message: string) {
    super(message);
  }
}

type Kind = "image" | "video";
type Source = ImageSource | VideoSource;
/** A piece cut at its markers: a text, a picture, or a place by number (0 the first; undefined: the next). */
type Cut = { readonly text: string } | { readonly kind: Kind; readonly value: Source } | Place;
interface Place {
  readonly kind: Kind;
  readonly number: number | undefined;
  /** As it was written. */
  readonly marker: string;
}

const MARKERS = /<(\|?)(image|video)(?:[ _]?(\d{1,4}))?\1>/gu;
const isPlace = (cut: Cut): cut is Place => "marker" in cut;

/** Cuts a text at what may be markers: `<image>`, `<image 1>`, `<image_1>`, `<image1>`, `<|image_1|>`, and the same of videos. */
function cutText(text: string): Cut[] {
  const cuts: Cut[] = [];
  let at = 0;
  for (const match of text.matchAll(MARKERS)) {
    const [marker, , kind, digits] = match;
    if (match.index > at) cuts.push({ text: text.slice(at, match.index) });
    cuts.push({ kind: kind as Kind, number: digits === undefined ? undefined : Number(digits) - 1, marker });
    at = match.index + marker.length;
  }
  if (at < text.length) cuts.push({ text: text.slice(at) });
  return cuts;
}

function cutPiece(piece: ReadPiece): Cut[] {
  if (piece.kind === "text") return cutText(piece.text);
  if (piece.kind === "image" || piece.kind === "video") return [piece];
  return [{ kind: piece.kind === "next image" ? "image" : "video", number: undefined, marker: "" }];
}

/**
 * Puts a row's pictures where they belong.
 *
 * - Where the text has markers `<image>`, or parts of the type image that name none, each takes the next picture, and there must be as many as pictures. A number stays
 *   text then, as in MATH-Vision where `<image2>` is a part of the one picture.
 * - Else a marker with a number (`<image 1>`, `<image_1>`, `<image1>`, `<|image_1|>`, the first picture being 1) takes the picture of that number where it is mentioned
 *   first. A number that no picture has stays text, as does a second mention.
 * - Pictures that have no place go before the first turn of the user. The same for videos.
 *
 * @param turns Of all but the demonstration.
 * @param bounds Of every picture; not of videos.
 * @throws {BadPlaces} where there are not as many places as pictures.
 *
 * @example
 * ```ts
 * import { place } from "./markers.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const [a, b] = [new Uint8Array([1]), new Uint8Array([2])];
 * const turn = { role: "user" as const, pieces: [{ kind: "text" as const, text: "Is <image 2> in <image 1>?" }] };
 * assertEquals(place([turn], { images: [a, b], videos: [] })[0]!.content, [
 *   { type: "text", text: "Is " },
 *   { type: "image", image: b },
 *   { type: "text", text: " in " },
 *   { type: "image", image: a },
 *   { type: "text", text: "?" },
 * ]);
 * ```
 */
export function place(turns: readonly ReadTurn[], pictures: Pictures, bounds: PixelBounds = {}): Message[] {
  let cuts = turns.map(({ pieces }) => pieces.flatMap(cutPiece));
  const first = Math.max(0, turns.findIndex(({ role }) => role === "user"));
  for (const kind of ["video", "image"] as const) {
    cuts = placeKind(cuts, { kind, sources: kind === "image" ? pictures.images : pictures.videos, first });
  }
  return turns.map(({ role }, i) => ({ role, content: joined(cuts[i]!, bounds) }));
}

function placeKind(turns: readonly (readonly Cut[])[], given: { kind: Kind; sources: readonly Source[]; first: number }): Cut[][] {
  const { kind, sources, first } = given, own = (cut: Cut): cut is Place => isPlace(cut) && cut.kind === kind;
  const next = turns.flat().filter((cut) => own(cut) && cut.number === undefined).length;
  const text = ({ marker }: Place): Cut => ({ text: marker });
  if (next > 0) {
    if (next !== sources.length) {
      const words = `the text has ${next} ${next === 1 ? "place" : "places"} for ${kind}s (<${kind}>), and ${sources.length} are given`;
      throw new BadPlaces(kind, words);
    }
    const left = sources.values();
    return turns.map((cuts) =>
      cuts.map((cut) => !own(cut) ? cut : cut.number === undefined ? { kind, value: left.next().value! } : text(cut))
    );
  }
  const placed = new Set<number>();
  const out = turns.map((cuts) =>
    cuts.map((cut): Cut => {
      if (!own(cut)) return cut;
      const number = cut.number!, value = sources[number];
      if (value === undefined || placed.has(number)) return text(cut);
      placed.add(number);
      return { kind, value };
    })
  );
  const rest = sources.flatMap((value, i): Cut[] => placed.has(i) ? [] : [{ kind, value }]);
  out[first]?.unshift(...rest);
  return out;
}

/** Parts of cuts that have their pictures, neighbouring texts in one. */
function joined(cuts: readonly Cut[], bounds: PixelBounds): Part[] {
  const parts: Part[] = [];
  for (const cut of cuts) {
    const last = parts.at(-1), text = "text" in cut ? cut.text : isPlace(cut) ? cut.marker : undefined;
    if (text !== undefined) {
      if (last?.type === "text") parts[parts.length - 1] = { type: "text", text: last.text + text };
      else if (text !== "") parts.push({ type: "text", text });
    } else {
      const { kind, value } = cut as { kind: Kind; value: Source };
      parts.push(
        kind === "image" ? { type: "image", image: value as ImageSource, ...bounds } : { type: "video", video: value as VideoSource },
      );
    }
  }
  return parts;
}

/** A turn as data sets write it, with its own pictures read. */
export async function readTurn(turn: DraftTurn, read: {
  image: (value: unknown) => Promise<ImageSource>;
  video: (value: unknown) => VideoSource;
}): Promise<ReadTurn> {
  const pieces = await Promise.all(turn.pieces.map(async (piece): Promise<ReadPiece> => {
    if (piece.kind === "image") return { kind: "image", value: await read.image(piece.value) };
    if (piece.kind === "video") return { kind: "video", value: read.video(piece.value) };
    return piece;
  }));
  return { role: turn.role, pieces };
}
