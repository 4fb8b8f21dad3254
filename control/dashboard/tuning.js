/** The form of the fields that can be changed during the run. */
import { el } from "../page/elements.js";

/** Makes a nested object from paths and values. */
export const nestedOf = (changes) => {
  const whole = {};
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split("."), last = keys.pop();
    keys.reduce((at, key) => at[key] ??= {}, whole)[last] = value;
  }
  return whole;
};

/** Describes the result of a change. */
export const tuningWords = ({ changed, fromStep }) =>
  changed.length === 0
    ? "Nothing has changed."
    : `From step ${fromStep}: ${
      changed.map(({ path, from, to }) => `${path} ${JSON.stringify(from)} → ${JSON.stringify(to)}`).join(", ")
    }.`;

/** A field of the form with its row, its input, its value and its error. */
const fieldOf = (path, { value, about }) => {
  const id = `tune-${path}`, fault = el("span", { className: "fault", id: `${id}-fault` });
  const input = about?.enum
    ? el("select", { id }, ...about.enum.map((one) => el("option", { value: one, textContent: one })))
    : el("input", { id, type: "text", inputMode: typeof value === "number" ? "decimal" : "text", autocomplete: "off", spellcheck: false });
  input.setAttribute("aria-describedby", `${id}-about ${id}-fault`);
  let now = value;
  const put = (next) => {
    now = next;
    input.value = String(next ?? "");
  };
  const read = () =>
    typeof now === "number" && input.value.trim() !== "" && !Number.isNaN(Number(input.value)) ? Number(input.value) : input.value;
  const changed = () => input.value !== String(now ?? "");
  const mark = () => row.classList.toggle("changed", changed());
  const row = el(
    "div",
    { className: "field" },
    el("label", { htmlFor: id, textContent: path }),
    input,
    el("span", { className: "note", id: `${id}-about`, textContent: about?.description ?? "" }),
    fault,
  );
  put(value);
  input.addEventListener("input", mark);
  return {
    row,
    read,
    changed,
    focus: () => input.focus(),
    /** Sets the run's value. Text that the user is typing is kept. */
    update(next) {
      if (changed()) now = next;
      else put(next);
      mark();
    },
    settle(next) {
      put(next);
      mark();
    },
    blame(words) {
      fault.textContent = words;
      input.ariaInvalid = words === "" ? "false" : "true";
    },
  };
};

/** The form: `element`, `load()`, `tuned(tuning)`. @param options `about`: the JSON Schema of each field, by path. */
export const tuning = (api, { about }) => {
  const fields = new Map(), said = el("p", { className: "said", ariaLive: "polite" }), rows = el("div", { className: "fields" });
  const send = el("button", { type: "submit", textContent: "Change" }), undo = el("button", { type: "reset", textContent: "Undo" });
  const orders = el("div", { className: "row", hidden: true }, send, undo);
  const form = el("form", { noValidate: true }, rows, orders, said);
  const say = (words, fault = false) => {
    said.className = fault ? "said fault" : "said";
    said.textContent = words;
  };
  const load = async () => {
    const { tunable } = await api.json("/v1/config");
    for (const [path, value] of Object.entries(tunable)) {
      if (fields.has(path)) fields.get(path).update(value);
      else fields.set(path, fieldOf(path, { value, about: about[path] }));
    }
    rows.replaceChildren(...[...fields.values()].map(({ row }) => row));
    orders.hidden = fields.size === 0;
  };
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    fields.clear();
    say("");
    load().catch((error) => say(error.message, true));
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const edited = [...fields].filter(([, field]) => field.changed());
    for (const field of fields.values()) field.blame("");
    if (edited.length === 0) return say("Nothing has changed.");
    send.disabled = true;
    try {
      const answer = await api.json("/v1/config", {
        method: "PATCH",
        body: nestedOf(Object.fromEntries(edited.map(([path, field]) => [path, field.read()]))),
      });
      for (const [, field] of edited) field.settle(field.read());
      say(tuningWords(answer));
    } catch (error) {
      const blamed = fields.get(error.param);
      blamed?.blame(error.message);
      blamed?.focus();
      say(blamed ? `Nothing has changed: ${error.param} is refused.` : error.message, true);
    } finally {
      send.disabled = false;
    }
  });
  return {
    element: form,
    load,
    /** Is called when this client or another one has changed fields. */
    tuned: ({ changed }) => changed.forEach(({ path, to }) => fields.get(path)?.update(to)),
  };
};
