/** A picture, and where a token looked: what it did not look at is darker, what it looked at most has an outline. Hues stay as they are. */
import { el, show } from "./elements.js";
import { DARKEST, heatmapOf, outlineOf } from "./heatmap.js";

const SVG = "http://www.w3.org/2000/svg";

const drawn = (tag, attributes) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
};

/** The drawing of a look at one of its pictures. */
const layersOf = ({ regions, even, most }, visual) => {
  const own = regions.filter((one) => one.visual === visual);
  if (even || !(most > 0)) return [];
  const rects = own.map(({ left: x, top: y, width, height, heat }) =>
    drawn("rect", { x, y, width, height, "fill-opacity": Number((DARKEST * (1 - heat)).toFixed(3)) })
  );
  const d = outlineOf(own).map(([x, y, toX, toY]) => `M${x} ${y}L${toX} ${toY}`).join("");
  return [...rects, ...["casing", "outline"].map((name) => drawn("path", { class: name, d }))];
};

/**
 * A picture that looks are drawn over.
 *
 * @param options `visual`: which of the pictures of a conversation it is, as regions count them.
 * @returns Its figure; `draw(regions, shares, words)`, where no shares clear it.
 */
export const overlaidPicture = (source, { alt, visual = 0 }) => {
  const image = el("img", { src: source, alt }),
    svg = drawn("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const said = el("span"),
    end = el("span"),
    scale = el("span", { className: "looks", hidden: true }, "0 ", el("span", { className: "scale dark" }), end);
  const frame = el("div", { className: "overlaid" }, image, svg);
  image.addEventListener("load", () => frame.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight || 1)));
  const draw = (regions, shares, words) => {
    const heatmap = heatmapOf(regions, shares ?? []), times = `${show(Number(heatmap.most.toPrecision(2)))} times`;
    const seen = heatmap.most > 0;
    svg.replaceChildren(...layersOf(heatmap, visual));
    said.textContent = !seen
      ? words
      : heatmap.even
      ? `${words} Nearly evenly: no place got more than ${times} an even look.`
      : `${words} Most: ${heatmap.place}.`;
    scale.hidden = !seen || heatmap.even;
    end.textContent = ` ${times} an even look`;
  };
  return { figure: el("figure", { className: "picture" }, frame, el("figcaption", { className: "note" }, said, scale)), draw };
};

/** Switches the looks over all pictures of the page on and off. */
export const heatmapSwitch = () => {
  const box = el("input", {
    type: "checkbox",
    className: "look-switch",
    checked: !document.documentElement.classList.contains("as-it-is"),
  });
  box.addEventListener("change", () => {
    document.documentElement.classList.toggle("as-it-is", !box.checked);
    for (const other of document.querySelectorAll(".look-switch")) other.checked = box.checked;
  });
  return el("label", { className: "check" }, box, " Darken what was not looked at");
};

/** What the colours, the underlines and the outlines mean. @param most The highest connectivity. */
export const heatmapLegend = (most, { clusters = false, pictures = true } = {}) =>
  el(
    "p",
    { className: "note key" },
    el(
      "span",
      {},
      "Behind a token: its connectivity, 0 ",
      el("span", { className: "scale" }),
      ` ${show(most)}. `,
      el("b", { className: "anchor", textContent: "Bold" }),
      ": an anchor.",
    ),
    clusters ? el("span", {}, "Small and framed: its ", el("span", { className: "cluster", textContent: "cluster" }), ".") : undefined,
    pictures ? el("span", { textContent: "On the picture: outlined is what got at least half of the most." }) : undefined,
  );
