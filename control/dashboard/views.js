/** The views of the page. One is shown; the address's fragment names it. */
import { el } from "../page/elements.js";

/** @param options `first`: the view to show if the address names none. `onOpen` is called with the name of a view that opens. */
export const views = (parts, { first, signal, onOpen }) => {
  const links = {}, boxes = {};
  for (const [name, { title, nodes }] of Object.entries(parts)) {
    links[name] = el("a", { href: `#${name}`, textContent: title });
    boxes[name] = el("div", { hidden: true, tabIndex: -1, className: "view" }, ...nodes);
  }
  const named = () => location.hash.slice(1) in parts ? location.hash.slice(1) : first;
  let shown;
  const open = (name = named()) => {
    if (name === shown) return;
    shown = name;
    for (const [key, box] of Object.entries(boxes)) {
      box.hidden = key !== name;
      links[key].ariaCurrent = key === name ? "page" : null;
    }
    onOpen(name);
  };
  addEventListener("hashchange", () => {
    const before = shown;
    open();
    if (shown !== before && !boxes[shown].contains(document.activeElement)) boxes[shown].focus();
  }, { signal });
  return {
    nav: el("nav", { ariaLabel: "Parts of the page" }, ...Object.values(links)),
    main: el("main", {}, ...Object.values(boxes)),
    shown: () => shown,
    open,
  };
};
