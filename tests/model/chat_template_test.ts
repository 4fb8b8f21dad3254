import { assert, assertEquals, assertThrows } from "@std/assert";
import { Template } from "@huggingface/jinja";
import { gunzipSync } from "node:zlib";
import { KedgeError } from "../../ffi/errors.ts";
import { ChatTemplate, type TemplateMessage } from "../../model/processor/chat_template.ts";
import { ROOT } from "../root.ts";
import { withFolder } from "./little_tokenizer.ts";

const USER: TemplateMessage = { role: "user", content: "Hi" };

const fromFiles = (files: Record<string, unknown>) => withFolder(files, (folder) => ChatTemplate.fromFolder(folder));

Deno.test("the default template adds a system turn if the first turn is none", () => {
  assertEquals(
    ChatTemplate.default.render([USER]),
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
  );
  assertEquals(
    ChatTemplate.default.render([{ role: "system", content: [{ type: "text", text: "Be brief." }] }, USER], { addGenerationPrompt: false }),
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n",
  );
});

Deno.test("the default template: parts one behind the other, pictures between their markers", () => {
  const content = [
    { type: "image" },
    { type: "text", text: " Compare\n" },
    { type: "image" },
    { type: "video" },
    { type: "text", text: "and say. " },
  ] as const;
  const image = "<|vision_start|><|image_pad|><|vision_end|>", video = "<|vision_start|><|video_pad|><|vision_end|>";
  assertEquals(
    ChatTemplate.default.render([
      { role: "system", content: "" },
      { role: "user", content },
      { role: "assistant", content: "  A\n" },
      USER,
    ]),
    `<|im_start|>system\n<|im_end|>\n<|im_start|>user\n${image} Compare\n${image}${video}and say. <|im_end|>\n` +
      "<|im_start|>assistant\n  A\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
  );
});

Deno.test("a template with macros, namespaces, reversed lists and cut thoughts gives what Jinja of transformers gives", () => {
  const file = gunzipSync(Deno.readFileSync(`${ROOT}/tests/golden/thinking_template.json.gz`));
  const golden = JSON.parse(new TextDecoder().decode(file)) as {
    template: string;
    conversations: TemplateMessage[][];
    rendered: string[][];
  };
  const template = new ChatTemplate(golden.template, "the golden one");
  assertEquals(
    golden.conversations.map((messages) => [true, false].map((addGenerationPrompt) => template.render(messages, { addGenerationPrompt }))),
    golden.rendered,
  );
  assert(golden.rendered.every(([asked]) => asked!.endsWith("<|im_start|>assistant\n<think>\n")) && golden.rendered.length === 5);
});

Deno.test("a message's text is not interpreted as a template", () => {
  const text = "{{ 7 * 7 }} {% raw %} {# no #} \\n &lt; <b>";
  assert(ChatTemplate.default.render([{ role: "user", content: text }]).includes(`user\n${text}<|im_end|>`));
});

Deno.test("the files of a folder are asked in transformers' order for processors, then tokenizer_config.json", () => {
  const files: [string, unknown][] = [
    ["tokenizer_config.json", { chat_template: "of tokenizer_config" }],
    ["additional_chat_templates/default.jinja", "of additional"],
    ["chat_template.jinja", "of jinja"],
    ["chat_template.json", { chat_template: "of json" }],
    ["processor_config.json", { chat_template: "of processor_config" }],
  ];
  for (let count = 1; count <= files.length; count++) {
    const [name, content] = files[count - 1]!;
    const template = fromFiles(Object.fromEntries(files.slice(0, count)));
    assertEquals(template.render([USER]), typeof content === "string" ? content : (content as { chat_template: string }).chat_template);
    assert(template.name.endsWith(`/${name}`));
  }
});

Deno.test("a folder without a template has the default one", () => {
  assertEquals(fromFiles({}), ChatTemplate.default);
  assertEquals(
    fromFiles({ "tokenizer_config.json": { eos_token: "x" }, "processor_config.json": { chat_template: null } }),
    ChatTemplate.default,
  );
});

Deno.test("of a list of templates the one named default is used", () => {
  const list = [{ name: "tool_use", template: "no" }, { name: "default", template: "yes" }];
  assertEquals(fromFiles({ "tokenizer_config.json": { chat_template: list } }).render([USER]), "yes");
  for (const field of [list.slice(0, 1), 7, [null]]) {
    const error = assertThrows(
      () => fromFiles({ "tokenizer_config.json": { chat_template: field } }),
      KedgeError,
      "/tokenizer_config.json",
    );
    assertEquals(error.code, "BadCheckpoint");
  }
});

Deno.test("a template sees roles, special tokens, and pictures by type and by field", () => {
  const template = new ChatTemplate(
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}:{% for c in m.content %}{{ c.type }}{{ '!' if 'image' in c else '?' }}{% endfor %}{{ eos_token }}{% endfor %}" +
      "{% if add_generation_prompt %}>{% endif %}{% if tools is none and not documents %}.{% endif %}",
    "here",
  );
  const tokens = new Map([["bos_token", "<s>"], ["eos_token", "</s>"]]);
  const messages: TemplateMessage[] = [{ role: "user", content: [{ type: "image" }, { type: "text", text: "a" }] }];
  assertEquals(template.render(messages, { tokens }), "<s>user:image!text?</s>>.");
});

Deno.test("a template that does not parse is refused with the file's name", () => {
  const error = assertThrows(() => fromFiles({ "chat_template.jinja": "{% for m in messages %}" }), KedgeError, "chat_template.jinja");
  assertEquals(error.code, "BadCheckpoint");
  assertThrows(() => fromFiles({ "chat_template.json": "{" }), KedgeError, "chat_template.json");
});

Deno.test("messages that a template refuses are an error with the row, the file and the template's words", () => {
  const template = new ChatTemplate("{{ raise_exception('roles must alternate') }}", "t.jinja");
  const error = assertThrows(() => template.render([USER], { row: 7 }), KedgeError, "roles must alternate");
  assertEquals(error.code, "BadData");
  assert(error.message.includes("row 7") && error.message.includes("t.jinja"), error.message);
  assertThrows(() => new ChatTemplate("{{ messages | nosuchfilter }}", "t.jinja").render([USER]), KedgeError, "t.jinja");
});

/** Templates that do not end, or make values without end. */
const ENDLESS: Readonly<Record<string, string>> = {
  "a loop over a billion": "{% for i in range(10**9) %}{{ i }}{% endfor %}",
  "nested loops": "{% for i in range(1000) %}{% for j in range(1000) %}{% for k in range(1000) %}{% endfor %}{% endfor %}{% endfor %}",
  "a macro that calls itself twice": "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
  "a text that doubles": "{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
  "a block that doubles":
    "{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}{% endfor %}",
  "a list that is written out twice at each depth":
    "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a | tojson }}",
  "namespaces that hold each other twice":
    "{% set a = namespace(x=1) %}{% set b = namespace(x=[a, a]) %}{% for i in range(60) %}{% set a.x = [b.x, b.x] %}{% set b.x = [a.x, a.x] %}" +
    "{% endfor %}{{ b.x }}",
  "a wide margin": "{{ 'a\\nb' | indent(400000000) }}",
  "a joint of joints": "{{ range(50000) | join('" + "a".repeat(1000) + "') }}",
};

for (const [name, source] of Object.entries(ENDLESS)) {
  Deno.test(`a template ends with an error: ${name}`, () => {
    const before = Deno.memoryUsage().rss, start = performance.now();
    const error = assertThrows(() => new ChatTemplate(source, "folder").render([USER], { row: 7 }), KedgeError, "of row 7");
    assertEquals(error.code, "BadData");
    assert(/steps|items|columns/.test(error.message), error.message);
    assert(performance.now() - start < 30_000);
    assert(Deno.memoryUsage().rss - before < 600 * 2 ** 20);
  });
}

Deno.test("a template that holds itself, or has too many characters or brackets, is an error", () => {
  const own = "{% set a = namespace(x=1) %}{% set a.x = [a, a] %}{{ a.x | tojson }}";
  assertEquals(assertThrows(() => new ChatTemplate(own, "folder").render([USER]), KedgeError).code, "BadData");
  for (const source of ["x".repeat(2 ** 20 + 1), `{{ ${"(".repeat(100_000)}1${")".repeat(100_000)} }}`]) {
    assertEquals(assertThrows(() => new ChatTemplate(source, "folder"), KedgeError, "Cannot parse").code, "BadCheckpoint");
  }
});

Deno.test("the bounds let a long conversation and a long text pass", () => {
  const turns = Array.from({ length: 1000 }, (_, i): TemplateMessage => ({ role: i % 2 ? "assistant" : "user", content: `turn ${i}` }));
  assert(ChatTemplate.default.render(turns).endsWith("turn 999<|im_end|>\n<|im_start|>assistant\n"));
  const long = "word ".repeat(200_000);
  assert(ChatTemplate.default.render([{ role: "user", content: long }]).includes(long));
});

Deno.test("a template has the library's own names, with the values that they have there", () => {
  const source =
    "{{ [true, True, false, False, none, None, range(3), range(1, 8, 3), range(5, 0, -2), range(-1)] | tojson }}{{ strftime_now('%Y %%') }}" +
    "{% for i in range(2) %}{{ loop.index }}{% endfor %}{{ 'abc'[::-1] }}{{ missing is defined }}";
  assertEquals(new ChatTemplate(source, "a test").render([USER]), new Template(source).render({ messages: [USER] }));
  const refusal = assertThrows(() => new ChatTemplate("{{ raise_exception('No.') }}", "a test").render([USER]), KedgeError);
  assert(refusal.message.endsWith(": No."), refusal.message);
});
