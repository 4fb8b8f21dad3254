/** The list of recent events. */
import { el } from "../page/elements.js";

const MOST = 200;

/** The notes, newest first: `element`, `add(words)`. */
export const notesView = () => {
  const list = el("ol", { className: "notes" });
  return {
    element: list,
    add(words, kind = "") {
      const now = new Date(), time = el("time", { dateTime: now.toISOString(), textContent: now.toLocaleTimeString() });
      list.prepend(el("li", { className: kind }, time, " ", words));
      if (list.children.length > MOST) list.lastElementChild.remove();
    },
  };
};
