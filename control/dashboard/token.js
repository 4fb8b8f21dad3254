/** Gets the token from the address, from the session, or from a form. */
import { el } from "../page/elements.js";

const KEY = "kedge-token";

/** Returns the token in an address's fragment, or undefined if there is none. */
export const tokenIn = (fragment) => new URLSearchParams(fragment.replace(/^#/, "")).get("token")?.trim() || undefined;

/** Removes the token from the address bar, and keeps it for the session. @returns That token, or the one of the session. */
export const takenToken = () => {
  const fromLink = tokenIn(location.hash);
  if (fromLink !== undefined) {
    history.replaceState(null, "", location.pathname + location.search);
    keepToken(fromLink);
  }
  return fromLink ?? sessionStorage.getItem(KEY) ?? undefined;
};

/** Keeps a token for the session. With undefined the stored token is removed. */
export const keepToken = (token) => token === undefined ? sessionStorage.removeItem(KEY) : sessionStorage.setItem(KEY, token);

/** Makes a form that asks for the token. @param words The reason. */
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
