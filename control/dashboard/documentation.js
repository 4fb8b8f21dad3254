/** The view that documents the endpoint. */
import { el } from "../page/elements.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

const resolved = (whole, schema) =>
  typeof schema?.$ref === "string" ? schema.$ref.slice(2).split("/").reduce((at, key) => at?.[key], whole) ?? {} : schema ?? {};

const typeOf = (whole, given) => {
  const schema = resolved(whole, given), either = schema.anyOf ?? schema.oneOf;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (either) return [...new Set(either.map((one) => typeOf(whole, one)))].join(" | ");
  if (schema.type === "array") return `${typeOf(whole, schema.items)}[]`;
  return [schema.type ?? "any"].flat().join(" | ");
};

/**
 * Lists the fields of a schema. Nested fields have their path.
 *
 * @returns {{ name: string, type: string, required: boolean, words: string, value: unknown }[]}
 */
export const fieldsOf = (whole, given, { path = "", depth = 0 } = {}) => {
  const schema = resolved(whole, given), inner = schema.type === "array" ? resolved(whole, schema.items) : schema;
  const parts = [inner, ...inner.allOf ?? []].map((one) => resolved(whole, one));
  if (depth > 5) return [];
  return parts.flatMap(({ properties = {}, required = [] }) =>
    Object.entries(properties).flatMap(([key, raw]) => {
      const own = resolved(whole, raw), name = path === "" ? key : `${path}.${key}`, list = own.type === "array" ? `${name}[]` : name;
      const field = { name, type: typeOf(whole, raw), required: required.includes(key), words: own.description ?? "", value: own.default };
      return [field, ...fieldsOf(whole, own, { path: list, depth: depth + 1 })];
    })
  );
};

const fieldTable = (caption, fields) =>
  fields.length === 0 ? undefined : el(
    "table",
    {},
    el("caption", { textContent: caption }),
    el("thead", {}, el("tr", {}, ...["Name", "Type", "Meaning"].map((text) => el("th", { scope: "col", textContent: text })))),
    el(
      "tbody",
      {},
      ...fields.map(({ name, type, required, words, value }) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, el("code", { textContent: name }), required ? " (required)" : ""),
          el("td", {}, el("code", { textContent: type }), value === undefined ? "" : `, default ${JSON.stringify(value)}`),
          el("td", { textContent: words }),
        )
      ),
    ),
  );

const operationOf = (whole, { method, path, operation, shared }) => {
  const parameters = [...shared ?? [], ...operation.parameters ?? []].map((one) => resolved(whole, one)).map((one) => ({
    name: `${one.name} (${one.in})`,
    type: typeOf(whole, one.schema),
    required: one.required === true,
    words: one.description ?? resolved(whole, one.schema).description ?? "",
    value: resolved(whole, one.schema).default,
  }));
  const body = resolved(whole, operation.requestBody).content?.["application/json"]?.schema;
  const answerOf = ([code, raw]) => {
    const answer = resolved(whole, raw), [type, media] = Object.entries(answer.content ?? {})[0] ?? [];
    const fields = media?.schema ? fieldsOf(whole, media.schema) : [];
    return el(
      "li",
      {},
      el("strong", { textContent: code }),
      ` ${answer.description ?? ""}${type ? ` (${type})` : ""}`,
      fields.length > 0 && code < "400"
        ? el("details", {}, el("summary", { textContent: "Fields" }), fieldTable("Fields of the answer", fields))
        : undefined,
    );
  };
  const answers = Object.entries(operation.responses ?? {}), refusals = answers.filter(([code]) => code >= "400");
  return el(
    "details",
    { className: "operation" },
    el(
      "summary",
      {},
      el("code", { className: `method ${method}`, textContent: method.toUpperCase() }),
      " ",
      el("code", { textContent: path }),
      " ",
      el("span", { textContent: operation.summary ?? "" }),
    ),
    operation.description ? el("p", { textContent: operation.description }) : undefined,
    fieldTable("Parameters", parameters),
    body ? fieldTable("Fields of the body", fieldsOf(whole, body)) : undefined,
    el("ul", { className: "codes", ariaLabel: "Answers" }, ...answers.filter(([code]) => code < "400").map(answerOf)),
    refusals.length === 0 ? undefined : el(
      "details",
      {},
      el("summary", { textContent: `Refusals: ${refusals.map(([code]) => code).join(", ")}` }),
      el("ul", { className: "codes", ariaLabel: "Refusals" }, ...refusals.map(answerOf)),
    ),
  );
};

/** The documentation: `element`, `load()`, which fetches it once. */
export const documentation = (api) => {
  const box = el("div", {}, el("p", { className: "note", textContent: "…" }));
  let asked = false;
  return {
    element: box,
    async load() {
      if (asked) return;
      asked = true;
      try {
        const whole = await api.json("/openapi.json");
        const operations = Object.entries(whole.paths ?? {}).flatMap(([path, item]) =>
          METHODS.filter((method) => item[method]).map((method) =>
            operationOf(whole, { method, path, operation: item[method], shared: item.parameters })
          )
        );
        box.replaceChildren(
          el(
            "p",
            {},
            el("strong", { textContent: `${whole.info?.title ?? ""} ${whole.info?.version ?? ""}` }),
            ` ${whole.info?.description ?? ""}`,
          ),
          el("p", {
            className: "note",
            textContent: "Requests carry the header authorization: Bearer TOKEN. The same as JSON: /openapi.json.",
          }),
          ...operations,
        );
      } catch (error) {
        asked = false;
        box.replaceChildren(el("p", { className: "fault", textContent: error.message }));
      }
    },
  };
};
