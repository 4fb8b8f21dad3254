/**
 * Where a problem's pictures stand in its text.
 *
 * @module
 */

/**
 * A text whose pictures are marked by their numbers, `<image1>` the first, with the marker `<image>` in place of the first mention of each.
 * A number that no picture has stays text, as does a second mention; so does every number where the text has an `<image>`, as in MATH-Vision
 * where `<image2>` stands for a part of the one picture. Pictures that are not mentioned go before the text.
 *
 * @param text The text.
 * @param images The pictures, by number.
 * @returns The text with `<image>` markers, and the pictures in the markers' order.
 *
 * @example
 * ```ts
 * import { numberedMarkers } from "./markers.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(numberedMarkers("Is <image2> in <image1>?", ["a", "b"]), { text: "Is <image> in <image>?", images: ["b", "a"] });
 * assertEquals(numberedMarkers("Which of <image1>, <image2>?", ["a"]), { text: "Which of <image>, <image2>?", images: ["a"] });
 * assertEquals(numberedMarkers("In <image>: <image1>?", ["a"]), { text: "In <image>: <image1>?", images: ["a"] });
 * ```
 */
export function numberedMarkers<T>(text: string, images: readonly T[]): { text: string; images: readonly T[] } {
  if (text.includes("<image>")) return { text, images };
  const order: number[] = [];
  const marked = text.replace(/<image(\d{1,4})>/gu, (marker, digits: string) => {
    const at = Number(digits) - 1;
    if (at < 0 || at >= images.length || order.includes(at)) return marker;
    order.push(at);
    return "<image>";
  });
  if (order.length === 0) return { text, images };
  const rest = images.keys().filter((at) => !order.includes(at)).toArray();
  return { text: "<image>".repeat(rest.length) + marked, images: [...rest, ...order].map((at) => images[at]!) };
}

/**
 * A text that has no marker for its pictures, with the markers before it; the same for its videos.
 *
 * @param text The text.
 * @param count How many there are.
 *
 * @example
 * ```ts
 * import { imagesFirst } from "./markers.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(imagesFirst("How many?", { images: 2, videos: 0 }), "<image><image>How many?");
 * assertEquals(imagesFirst("How many in <image>?", { images: 1, videos: 0 }), "How many in <image>?");
 * ```
 */
export function imagesFirst(text: string, count: { readonly images: number; readonly videos: number }): string {
  const images = text.includes("<image>") ? "" : "<image>".repeat(count.images);
  const videos = text.includes("<video>") ? "" : "<video>".repeat(count.videos);
  return images + videos + text;
}
