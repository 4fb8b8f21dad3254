/**
 * Reads a picture in every form of data sets: bytes, { bytes, path }, a path, a data URL, bare base64, { image }, { url }, { image_url: {
 * url } }, a web address.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** The source of a picture's bytes. */
export type PictureOrigin =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "url"; readonly url: string };

/** Is thrown for a value that holds no picture. Its message follows the name of the column, and does not contain long values. */
export class BadPicture extends Error {}

/** Fields of an object that may hold the picture. The first one that is set is used. */
const FIELDS = ["bytes", "image", "image_url", "video", "video_url", "url", "path", "data", "base64", "b64_json"] as const;
/** Matches the beginning of the base64 of a PNG, JPEG, GIF, WebP or TIFF. */
const BASE64_HEAD = /^(?:iVBORw0KGgo|\/9j\/|R0lGOD|UklGR|SUkqA|TU0AK)/u, BASE64 = /^[A-Za-z0-9+/_\s-]+=*\s*$/u;
const LEAST_BASE64 = 48; // characters; a path of such characters is shorter

/**
 * Returns a text for a message: the text itself if it is short, else its length, because a long text is a picture and not a path.
 *
 * @example
 * ```ts
 * import { named } from "./pictures.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([named("a.png"), named("A".repeat(500))], ['"a.png"', "a text of 500 characters"]);
 * ```
 */
export function named(text: string): string {
  return text.length > 240 || (text.length > LEAST_BASE64 && BASE64.test(text))
    ? `a text of ${text.length} characters`
    : JSON.stringify(text);
}

/**
 * Returns the source of the picture that a row holds.
 *
 * @param value The row's value.
 * @throws {BadPicture} if the value is not a picture.
 * @example
 * ```ts
 * import { pictureOrigin } from "./pictures.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(pictureOrigin({ bytes: null, path: "a.png" }), { kind: "path", path: "a.png" });
 * assertEquals(pictureOrigin({ image_url: { url: "data:image/png;base64,AQI=" } }), { kind: "bytes", bytes: new Uint8Array([1, 2]) });
 * assertEquals(pictureOrigin("https://example.org/a.png").kind, "url");
 * ```
 */
export function pictureOrigin(value: unknown, depth = 0): PictureOrigin {
  if (value instanceof Uint8Array) {
    if (value.length === 0) throw new BadPicture("holds an empty picture");
    return { kind: "bytes", bytes: value };
  }
  if (typeof value === "string") return textOrigin(value);
  if (typeof value === "object" && value !== null && !Array.isArray(value) && depth < 3) {
    const fields = value as Readonly<Record<string, unknown>>,
      isSet = (name: string) => fields[name] !== null && fields[name] !== undefined;
    const name = FIELDS.find((field) =>
      isSet(field) && !(fields[field] instanceof Uint8Array && (fields[field] as Uint8Array).length === 0)
    );
    const inner = name === undefined ? undefined : fields[name];
    if ((name === "bytes" || name === "data" || name === "base64" || name === "b64_json") && typeof inner === "string") {
      return inner.startsWith("data:") ? textOrigin(inner) : { kind: "bytes", bytes: fromBase64(inner) };
    }
    if (inner !== undefined) return pictureOrigin(inner, depth + 1);
  }
  throw new BadPicture("holds something that is neither bytes, nor a path, nor a URL, nor base64, nor an object with one of them");
}

function textOrigin(text: string): PictureOrigin {
  if (text === "") throw new BadPicture("holds an empty text instead of a picture");
  if (/^data:/iu.test(text)) {
    const [head] = /^data:[^,]{0,200};base64,/iu.exec(text) ?? [];
    if (head === undefined) throw new BadPicture("holds a data URL that is not in base64");
    return { kind: "bytes", bytes: fromBase64(text.slice(head.length)) };
  }
  if (/^https?:\/\//iu.test(text)) return { kind: "url", url: text };
  if (/^file:\/\//iu.test(text)) {
    try {
      return { kind: "path", path: fileURLToPath(text) };
    } catch {
      throw new BadPicture(`names ${named(text)}, which is not a file on this machine`);
    }
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//iu.test(text)) throw new BadPicture(`names ${named(text)}: only paths and file:, http: and https: are read`);
  if (isBase64(text)) return { kind: "bytes", bytes: fromBase64(text) };
  return { kind: "path", path: text };
}

/** Tells whether a text is a picture's base64, intact or damaged, and not a path, which would have a file extension. */
function isBase64(text: string): boolean {
  return text.length >= LEAST_BASE64 && BASE64_HEAD.test(text) && !text.includes(".");
}

function fromBase64(text: string): Uint8Array {
  const alphabet = /[-_]/u.test(text) ? "base64url" : "base64";
  try {
    const bytes = Uint8Array.fromBase64(text, { alphabet });
    if (bytes.length > 0) return bytes;
  } catch {
    // The error is thrown below.
  }
  throw new BadPicture(`holds base64 of ${text.length} characters that cannot be read`);
}
