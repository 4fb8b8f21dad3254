/**
 * Draws a picture with a heat map. Regions with less attention are darker, those with the most have an outline, and hues stay unchanged.
 */
import { el, show } from "./elements.js";
import { DARKEST, heatmapOf, outlineOf } from "./heatmap.js";

const SVG = "http://www.w3.org/2000/svg";

const drawn = (tag, attributes) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
};

/** Draws the heat map of one of the pictures. */
const layersOf = ({ regions, uniform, most }, visual) => {
  const inPicture = regions.filter((one) => one.visual === visual);
  if (uniform || !(most > 0)) return [];
  const rects = inPicture.map(({ left: x, top: y, width, height, heat }) =>
    drawn("rect", { x, y, width, height, "fill-opacity": Number((DARKEST * (1 - heat)).toFixed(3)) })
  );
  const d = outlineOf(inPicture).map(([x, y, toX, toY]) => `M${x} ${y}L${toX} ${toY}`).join("");
  return [...rects, ...["casing", "outline"].map((name) => drawn("path", { class: name, d }))];
};

/**
 * Makes a picture over which heat maps are drawn.
 *
 * @param options `visual`: the index of the picture in the conversation, as regions count them.
 * @returns The figure, and `draw(regions, shares, words)`. Without shares it clears the heat map.
 */
export const overlaidPicture = (source, { alt, visual = 0 }) => {
  const image = el("img", { src: source, alt }),
    svg = drawn("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const caption = el("span"),
    end = el("span"),
    scale = el("span", { className: "heatmap-scale", hidden: true }, "0 ", el("span", { className: "scale dark" }), end);
  const frame = el("div", { className: "overlaid" }, image, svg);
  image.addEventListener("load", () => frame.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight || 1)));
  const draw = (regions, shares, words) => {
    const heatmap = heatmapOf(regions, shares ?? []), times = `${show(Number(heatmap.most.toPrecision(2)))} times`;
    const seen = heatmap.most > 0;
    svg.replaceChildren(...layersOf(heatmap, visual));
    caption.textContent = !seen
      ? words
      : heatmap.uniform
      ? `${words} The attention is nearly uniform: no region has more than ${times} the average.`
      : `${words} Maximum: ${heatmap.position}.`;
    scale.hidden = !seen || heatmap.uniform;
    end.textContent = ` ${times} the average`;
  };
  return { figure: el("figure", { className: "picture" }, frame, el("figcaption", { className: "note" }, caption, scale)), draw };
};

/** Makes the switch that shows or hides all heat maps of the page. */
export const heatmapSwitch = () => {
  const box = el("input", {
    type: "checkbox",
    className: "heatmap-switch",
    checked: !document.documentElement.classList.contains("no-heatmap"),
  });
  box.addEventListener("change", () => {
    document.documentElement.classList.toggle("no-heatmap", !box.checked);
    for (const other of document.querySelectorAll(".heatmap-switch")) other.checked = box.checked;
  });
  return el("label", { className: "check" }, box, " Darken regions with little attention");
};

/** Explains the colours, the underlines and the outlines. @param most The highest connectivity. */
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
    clusters
      ? el("span", {}, "Small and framed: the token's ", el("span", { className: "cluster", textContent: "cluster" }), ".")
      : undefined,
    pictures ? el("span", { textContent: "On the picture: regions with at least half of the maximum attention are outlined." }) : undefined,
  );
