/**
 * A chat template of turns in ChatML, with pictures between their markers.
 *
 * @param options `system`: a system turn for messages that do not begin with one. Default: none.
 */
export function chatMlTemplate({ system }: { system?: string }): string {
  return `${system === undefined ? "" : defaultSystem(system)}{%- for turn in messages -%}
  {{- "<|im_start|>" + turn.role + "\\n" -}}
  {%- if turn.content is string -%}
    {{- turn.content -}}
  {%- else -%}
    {%- for part in turn.content -%}
      {%- if part.type == "text" -%}
        {{- part.text -}}
      {%- elif part.type == "image" or part.type == "video" -%}
        {{- "<|vision_start|><|" + part.type + "_pad|><|vision_end|>" -}}
      {%- else -%}
        {{- raise_exception("a part is of type " + part.type) -}}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {{- "<|im_end|>\\n" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- "<|im_start|>assistant\\n" -}}
{%- endif -%}
`;
}

const defaultSystem = (text: string) => `
{%- if messages and messages[0].role != "system" -%}
  {{- "<|im_start|>system\\n${text}<|im_end|>\\n" -}}
{%- endif -%}
`;
