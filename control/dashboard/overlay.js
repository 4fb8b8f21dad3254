/** A picture with the regions that a token looked at. */
import { el } from "../page/elements.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * A picture that shares are drawn over.
 *
 * @param options `visual`: which of the pictures of a conversation it is, as regions count them.
 * @returns Its figure; `draw(regions, shares, caption)`, where no shares clear it.
 */
export const overlaidPicture = (source, { alt, visual = 0 }) => {
  const image = el("img", { src: source, alt }),
    svg = document.createElementNS(SVG, "svg"),
    caption = el("figcaption", { className: "note" });
  svg.setAttribute("viewBox", "0 0 1 1");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const frame = el("div", { className: "overlaid" }, image, svg);
  image.addEventListener("load", () => frame.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight || 1)));
  const draw = (regions, shares, words) => {
    const most = (shares ?? []).reduce((a, b) => Math.max(a, b), 0);
    caption.textContent = words;
    svg.replaceChildren(...regions.flatMap((region, i) => {
      if ((region.visual ?? 0) !== visual || !(most > 0)) return [];
      const rect = document.createElementNS(SVG, "rect");
      for (const [name, key] of [["x", "left"], ["y", "top"], ["width", "width"], ["height", "height"]]) {
        rect.setAttribute(name, String(region[key]));
      }
      rect.setAttribute("fill-opacity", String(Number((0.6 * (shares[i] ?? 0) / most).toFixed(3))));
      return [rect];
    }));
  };
  return { figure: el("figure", { className: "picture" }, frame, caption), draw };
};
