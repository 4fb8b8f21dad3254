import { el } from "../page/elements.js";
import { session } from "./session.js";
import { themeChoice } from "./theme.js";
import { keepToken, takenToken, tokenForm } from "./token.js";

const { about } = JSON.parse(document.getElementById("data").textContent);
const box = document.getElementById("dashboard");
let current;

const ask = (words) => {
  current?.end();
  current = undefined;
  const { element, focus } = tokenForm(words, { onToken: open });
  box.replaceChildren(el("main", {}, element));
  document.title = "Kedge";
  focus();
};
const open = (token) => {
  current?.end();
  const refused = () => {
    if (current !== opened) return;
    keepToken(undefined);
    ask("The endpoint has refused the token.");
  };
  const opened = session(token, { about, refused, theme: themeChoice() });
  current = opened;
  box.replaceChildren(opened.element);
};

addEventListener("hashchange", () => {
  if (location.hash.includes("token=")) open(takenToken());
});
const token = takenToken();
if (token === undefined) ask("To see the run, give the token of its endpoint.");
else open(token);
