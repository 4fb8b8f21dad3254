/** Helpers to build pages. Text that comes from a run becomes text nodes, never HTML. */

/** Makes an element. Undefined children are skipped. */
export const el = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== undefined));
  return made;
};

/** Formats a number for people. */
export const show = (x) => typeof x === "number" ? String(Number(x.toPrecision(4))) : "–";

const colours = new Map();

/** Resolves a colour of the style sheet for a canvas. */
export const colour = (variable) => {
  if (!colours.has(variable)) {
    const probe = el("i");
    probe.style.color = `var(${variable})`;
    document.body.append(probe);
    colours.set(variable, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(variable);
};

/** Is called when the theme has changed. */
export const forgetColours = () => colours.clear();
