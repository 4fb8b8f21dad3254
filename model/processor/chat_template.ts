/**
 * The chat template of a model folder, which turns messages into the text for the tokenizer.
 *
 * @module
 */
import { Template } from "@huggingface/jinja";
import { KedgeError } from "../../ffi/errors.ts";
import { readFolderText, readJson } from "../config/folder_files.ts";
import { familyOfFolder } from "../families.ts";
import { renderBounded, TEMPLATE_LIMITS } from "./bounded_template.ts";
import { chatMlTemplate } from "./chat_ml_template.ts";
import { ofRow, type Row } from "./messages.ts";

/** A message as templates see it. A picture is a part without its pixels. */
export interface TemplateMessage {
  /** Whose turn it is. */
  readonly role: string;
  /** The turn's text, or its parts. */
  readonly content:
    | string
    | readonly (
      | { readonly type: "text"; readonly text: string }
      | { readonly type: "image" }
      | { readonly type: "video" }
    )[];
}

/** Options of a rendering. */
export interface RenderOptions {
  /** Whether the text ends with the start of an answer. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Special tokens by role, as "eos_token" to "<|im_end|>". */
  readonly tokens?: ReadonlyMap<string, string>;
  /** The row of the messages, for errors. */
  readonly row?: Row;
}

/**
 * The template for folders that have none: turns in ChatML, a default system turn, pictures between their markers. For text, image and video
 * parts it prints what the public template of Qwen2.5-VL prints.
 */
export const defaultChatTemplate: string = chatMlTemplate({ system: "You are a helpful assistant." });

interface Found {
  readonly source: string;
  readonly name: string;
}

/** The template in a field. The field holds one, or a list of { name, template } with one named "default"; undefined if it is not set. */
function fromField(path: string): Found | undefined {
  const field = readJson(path)?.chat_template;
  if (field === undefined || field === null) return undefined;
  if (typeof field === "string") return { source: field, name: path };
  const named = Array.isArray(field) ? field.find((entry) => entry?.name === "default")?.template : undefined;
  if (typeof named === "string") return { source: named, name: path };
  const words = `Cannot read ${path}: chat_template is neither a text nor a list with a template that is named "default"`;
  throw new KedgeError("BadCheckpoint", words, { path });
}

function fromFile(path: string): Found | undefined {
  const source = readFolderText(path);
  return source === undefined ? undefined : { source, name: path };
}

/**
 * A chat template, ready to render.
 *
 * @example
 * ```ts
 * import { ChatTemplate } from "@kedge/kedge/model";
 * import { assertEquals } from "@std/assert";
 *
 * const template = new ChatTemplate("{% for message in messages %}[{{ message.content }}]{% endfor %}", "an example");
 * assertEquals(template.render([{ role: "user", content: "Hi" }, { role: "assistant", content: "Ho" }]), "[Hi][Ho]");
 * ```
 */
export class ChatTemplate {
  readonly #template: Template;

  /**
   * Parses a template.
   *
   * @param source Jinja, as the hub's templates are written.
   * @param name Its origin, for errors.
   * @throws {KedgeError} `BadCheckpoint` if it does not parse, or has more than 2^20 characters.
   */
  constructor(readonly source: string, readonly name: string) {
    try {
      if (source.length > TEMPLATE_LIMITS.source) throw new RangeError(`it has more than ${TEMPLATE_LIMITS.source} characters`);
      this.#template = new Template(source);
    } catch (cause) {
      const words = `Cannot parse the chat template of ${name}: ${(cause as Error).message}`;
      throw new KedgeError("BadCheckpoint", words, { path: name }, { cause });
    }
  }

  /**
   * Reads the template of a model folder from the first of processor_config.json, chat_template.json, chat_template.jinja,
   * additional_chat_templates/default.jinja that has one, which is the order of transformers 5.17 for a processor, then from
   * tokenizer_config.json. Otherwise it is that of the folder's family, `defaultChatTemplate` for Qwen2-VL and Qwen2.5-VL.
   *
   * @param folder The model folder.
   * @throws {KedgeError} `BadCheckpoint` if a file is broken or its template does not parse.
   */
  static fromFolder(folder: string): ChatTemplate {
    const template = fromField(`${folder}/processor_config.json`) ?? fromField(`${folder}/chat_template.json`) ??
      fromFile(`${folder}/chat_template.jinja`) ?? fromFile(`${folder}/additional_chat_templates/default.jinja`) ??
      fromField(`${folder}/tokenizer_config.json`);
    if (template) return new ChatTemplate(template.source, template.name);
    const source = familyOfFolder(folder).processor.template;
    return source === defaultChatTemplate ? ChatTemplate.default : new ChatTemplate(source, "Kedge (that of the model's family)");
  }

  /** `defaultChatTemplate`, parsed. */
  static readonly default: ChatTemplate = new ChatTemplate(defaultChatTemplate, "Kedge (defaultChatTemplate)");

  /**
   * Renders messages as text.
   *
   * @param messages At least one.
   * @param options Whether an answer is to follow, special tokens, words for errors.
   * @throws {KedgeError} `BadData` if the template refuses the messages, fails on them, or exceeds `TEMPLATE_LIMITS`: a loop that never
   *   ends is an error after a second or so.
   *
   * @example
   * ```ts
   * import { ChatTemplate } from "@kedge/kedge/model";
   * import { assertEquals } from "@std/assert";
   *
   * const text = ChatTemplate.default.render([{ role: "system", content: "Be brief." }, { role: "user", content: "Hi" }]);
   * assertEquals(text, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
   * ```
   */
  render(messages: readonly TemplateMessage[], options: RenderOptions = {}): string {
    const { addGenerationPrompt = true, tokens = new Map(), row } = options;
    const seen = messages.map(({ role, content }) => ({
      role,
      // Some templates recognise a picture by a field with its name.
      content: typeof content === "string"
        ? content
        : content.map((part) => part.type === "text" ? { ...part } : { type: part.type, [part.type]: "" }),
    }));
    try {
      return renderBounded(this.#template, {
        ...Object.fromEntries(tokens),
        tools: null,
        documents: null,
        messages: seen,
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (cause) {
      const words = `Cannot render the messages${ofRow(row)} with the chat template of ${this.name}: ${(cause as Error).message}`;
      throw new KedgeError("BadData", words, { path: this.name, row }, { cause });
    }
  }
}
