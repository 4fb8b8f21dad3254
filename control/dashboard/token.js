/** The token: from the address, from the session, or from a form. */
import { el } from "../page/elements.js";

const KEY = "kedge-token";

/** The token in an address's fragment; undefined where there is none. */
export const tokenIn = (fragment) => new URLSearchParams(fragment.replace(/^#/, "")).get("token")?.trim() || undefined;

/** Takes the token out of the address bar, and keeps it for the session. @returns It, or the one that was kept. */
export const takenToken = () => {
  const given = tokenIn(location.hash);
  if (given !== undefined) {
    history.replaceState(null, "", location.pathname + location.search);
    keepToken(given);
  }
  return given ?? sessionStorage.getItem(KEY) ?? undefined;
};

/** Keeps a token for the session; undefined forgets it. */
export const keepToken = (token) => token === undefined ? sessionStorage.removeItem(KEY) : sessionStorage.setItem(KEY, token);

/** A form that asks for the token. @param words Why. */
export const tokenForm = (words, { onToken }) => {
  const input = el("input", { id: "token", type: "password", required: true, autocomplete: "current-password" });
  const form = el(
    "form",
    { className: "sign" },
    el("h1", { textContent: "Kedge" }),
    el("p", { className: "said", role: "status", textContent: words }),
    el("label", { htmlFor: "token", textContent: "Token of the endpoint" }),
    input,
    el("button", { type: "submit", textContent: "Open" }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (token === "") return;
    keepToken(token);
    onToken(token);
  });
  return { element: form, focus: () => input.focus() };
};
