/**
 * Puts a row's pictures and videos at their positions in the text.
 *
 * @module
 */
import type { ImageSource, Message, Part, PixelBounds, VideoSource } from "../model/processor/messages.ts";
import type { DraftTurn, Piece } from "./turns.ts";

/** The pictures and videos of a row, in the order of its columns. Those within parts are read separately. */
export interface Pictures {
  readonly images: readonly ImageSource[];
  readonly videos: readonly VideoSource[];
}

/** The pieces of a turn. Its own pictures are read. */
export interface ReadTurn {
  readonly role: Message["role"];
  readonly pieces: readonly ReadPiece[];
}

/** A `Piece` whose own picture is read. */
export type ReadPiece =
  | Exclude<Piece, { readonly value: unknown }>
  | { readonly kind: "image"; readonly value: ImageSource }
  | { readonly kind: "video"; readonly value: VideoSource };

/** Is thrown if the number of positions differs from the number of pictures or videos. `kind` says which of the two. */
export class BadPlaces extends Error {
  constructor(readonly kind: Kind, message: string) {
    super(message);
  }
}

type Kind = "image" | "video";
type Source = ImageSource | VideoSource;
/** A piece that was cut at its markers: a text, a picture, or the position of a picture by index (undefined: the next one). */
type Cut = { readonly text: string } | { readonly kind: Kind; readonly value: Source } | Place;
interface Place {
  readonly kind: Kind;
  readonly number: number | undefined;
  /** The marker as it was written. */
  readonly marker: string;
}

const MARKERS = /<(\|?)(image|video)(?:[ _]?(\d{1,4}))?\1>/gu;
const isPlace = (cut: Cut): cut is Place => "marker" in cut;

/** Cuts a text at possible markers: `<image>`, `<image 1>`, `<image_1>`, `<image1>`, `<|image_1|>`, and the same for videos. */
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
 * Puts a row's pictures at their positions.
 *
 * - If the text has markers `<image>`, or parts of type image without a source, each receives the next picture, and there must be as many
 *   as pictures. Numbered markers then stay text. In MATH-Vision, for example, `<image2>` is a part of the one picture.
 * - Otherwise a numbered marker (`<image 1>`, `<image_1>`, `<image1>`, `<|image_1|>`; the first picture has number 1) receives the picture
 *   of that number where it is mentioned first. A number without a picture stays text, and so does a second mention.
 * - Pictures without a position go before the first user turn.
 *
 * The same holds for videos.
 *
 * @param turns All turns except the demonstration.
 * @param bounds Pixel bounds for every picture, but not for videos.
 * @throws {BadPlaces} if the number of positions differs from the number of pictures or videos.
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
      const words = `the text has ${next} ${next === 1 ? "marker" : "markers"} for ${kind}s (<${kind}>), but ${sources.length} are given`;
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

/** Replaces positions by their pictures and joins adjacent texts. */
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

/** Reads a turn in the form of data sets, with its own pictures. */
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
