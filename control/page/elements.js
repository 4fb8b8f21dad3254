/** What both pages are built of. Text that comes from a run goes in as text nodes, never as HTML. */

/** An element; children that are undefined are left out. */
export const el = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== undefined));
  return made;
};

/** A number as people read it. */
export const show = (x) => typeof x === "number" ? String(Number(x.toPrecision(4))) : "–";

const colours = new Map();

/** What a colour of the style sheet comes to, for a canvas. */
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

/** The theme has changed. */
export const forgetColours = () => colours.clear();
