import type { DType } from "../../ffi/device.ts";
import type { Json } from "./folder_files.ts";
import { NAME } from "./kinds.ts";
import { type Section, textSection } from "./section.ts";

const DTYPES_BY_NAME: Readonly<Record<string, DType>> = { float32: "f32", bfloat16: "bf16", float16: "f16" };
const NAMES: Readonly<Partial<Record<DType, string>>> = { f32: "float32", bf16: "bfloat16", f16: "float16" };

/** The type of the weights that a config names; "f32" if it names none. */
export function parseDtype(top: Section): DType {
  const keys = ["dtype", "torch_dtype"], text = textSection(top);
  const said = top.take(keys, NAME, undefined) ?? text.take(keys, NAME, undefined);
  if (said === undefined || said === "auto") return "f32";
  const dtype = DTYPES_BY_NAME[said.replace(/^torch\./, "")];
  if (!dtype) {
    top.check(top.json["dtype"] ? "dtype" : "torch_dtype", false, `is "${said}", not one of ${Object.keys(DTYPES_BY_NAME).join(", ")}`);
  }
  return dtype ?? "f32";
}

/** The name of a type in a config. @throws {RangeError} for a type that weights do not have. */
export function dtypeName(dtype: DType): string {
  const name = NAMES[dtype];
  if (!name) throw new RangeError(`Cannot write a config of ${dtype}: weights are f32, bf16 or f16`);
  return name;
}

/** Writes the type of the weights under each of the keys that name it. */
export function setDtype(json: Json, dtype: DType): void {
  const keys = ["dtype", "torch_dtype"], name = dtypeName(dtype);
  const top = keys.filter((key) => key in json);
  for (const key of top.length > 0 ? top : [json["text_config"] ? "dtype" : "torch_dtype"]) json[key] = name;
  for (const section of [json["text_config"], json["vision_config"]] as (Json | undefined)[]) {
    for (const key of keys) if (section && key in section) section[key] = name;
  }
}
