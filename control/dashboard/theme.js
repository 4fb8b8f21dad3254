/** The choice of a dark or light theme. */
import { el } from "../page/elements.js";
import { redrawPlots } from "../page/plots.js";

const KEY = "kedge-theme", THEMES = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };

const apply = (theme) => {
  document.documentElement.style.colorScheme = theme === "" ? "" : theme;
  redrawPlots();
};

/** The control for the theme. The choice is kept for the next visit. */
export const themeChoice = () => {
  const select = el(
    "select",
    { ariaLabel: "Theme" },
    ...Object.entries(THEMES).map(([value, textContent]) => el("option", { value, textContent })),
  );
  const kept = localStorage.getItem(KEY) ?? "";
  select.value = kept in THEMES ? kept : "";
  apply(select.value);
  select.addEventListener("change", () => {
    localStorage.setItem(KEY, select.value);
    apply(select.value);
  });
  return select;
};

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPlots);
