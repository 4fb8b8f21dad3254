/**
 * The part of `generate_ffi.ts` for the structs of `kedge.h`: their layout in the C ABI of 64-bit machines, and their TypeScript types.
 *
 * @module
 */

/** A field of a struct. */
export interface Field {
  name: string;
  type: "i64" | "i32" | "f64" | "u64" | "u8";
  /** Bytes from the struct's start. */
  offset: number;
  /** The text of its comment. */
  doc: string;
}

/** A struct of the header. */
export interface Struct {
  name: string;
  doc: string;
  /** The size in bytes. */
  bytes: number;
  fields: Field[];
}

const TYPES = new Map<string, { type: Field["type"]; bytes: number }>([
  ["int64_t", { type: "i64", bytes: 8 }],
  ["int32_t", { type: "i32", bytes: 4 }],
  ["double", { type: "f64", bytes: 8 }],
  ["void*", { type: "u64", bytes: 8 }],
  ["char", { type: "u8", bytes: 1 }],
]);

const sentence = (text: string) => text && `${text[0]!.toUpperCase()}${text.slice(1)}.`;
const oneLine = (comment: string | undefined) => (comment ?? "").replace(/\n\s*\*?\s*/g, " ").trim();
const roundUp = (n: number, multiple: number) => Math.ceil(n / multiple) * multiple;

/** Converts a name to camel case: "kedge_attention_fwd" becomes "attentionFwd", "q_stride" becomes "qStride". */
export const camel = (name: string): string => name.replace(/^kedge_/, "").replace(/_(\w)/g, (_, c: string) => c.toUpperCase());
/** Returns the type name of a struct: "kedge_attention_shape" becomes "AttentionShape". */
export const typeName = (struct: string): string => camel(struct).replace(/^\w/, (c) => c.toUpperCase());
/** Returns the name of the variable that holds the writer of the struct. */
export const writerName = (struct: string): string => `write${typeName(struct)}`;

/** Parses every struct of the header and computes its layout. Throws for an unknown type. */
export function parseStructs(header: string): Struct[] {
  const pattern = /(?:\/\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?^typedef struct \{([^}]*)\} (kedge_\w+);/gm;
  return [...header.matchAll(pattern)].map(([, doc, body, name]) => {
    const fields: Field[] = [];
    let end = 0, alignment = 1;
    for (const line of body!.split("\n").filter((text) => text.trim() !== "")) {
      const match = /^\s*(\w+\*?) (\w+)(?:\[(\d+)\])?;(?:\s*\/\*(.*)\*\/)?$/.exec(line), known = match && TYPES.get(match[1]!);
      if (!match || !known) throw new TypeError(`Cannot parse the field "${line.trim()}" of ${name}`);
      const offset = roundUp(end, known.bytes);
      fields.push({ name: match[2]!, type: known.type, offset, doc: oneLine(match[4]) });
      end = offset + known.bytes * Number(match[3] ?? 1);
      alignment = Math.max(alignment, known.bytes);
    }
    return { name: name!, doc: oneLine(doc), bytes: roundUp(end, alignment), fields };
  });
}

/** Makes the constant with sizes and offsets. */
export function structLayouts(structs: readonly Struct[]): string {
  const rows = structs.map(({ name, bytes, fields }) =>
    `  ${name}: { bytes: ${bytes}, offsets: { ${fields.map((field) => `${field.name}: ${field.offset}`).join(", ")} } },`
  );
  return `/** Size of each struct, and where its fields begin, in bytes. */\nexport const structs = {\n${rows.join("\n")}\n} as const;\n`;
}

/** Makes the TypeScript interface of a struct. */
export function structInterface({ name, doc, fields }: Struct): string {
  const members = fields.map((field) => `  /** ${sentence(field.doc)} */\n  readonly ${camel(field.name)}: number;`);
  return `/** ${doc} */\nexport interface ${typeName(name)} {\n${members.join("\n")}\n}\n`;
}

/** Makes the function that creates a block of arguments and its writer. Throws for a field that a number cannot fill. */
export function structWriter({ name, bytes, fields }: Struct): string {
  const stores = fields.map((field) => {
    const value = `x.${camel(field.name)}`;
    if (field.type === "f64") return `    doubles[${field.offset / 8}] = ${value};`;
    if (field.type !== "i64" && field.type !== "i32") throw new TypeError(`Cannot write the field ${field.name} of ${name} from a number`);
    return `    put${field.type.slice(1)}(words, ${field.offset / 4}, ${value}, "${camel(field.name)}");`;
  });
  const doubles = fields.some(({ type }) => type === "f64") ? ", doubles = new Float64Array(block)" : "";
  return `function ${camel(name)}Writer(): (x: ${typeName(name)}) => ArrayBufferView<ArrayBuffer> {
  const block = new ArrayBuffer(${bytes}), words = new Int32Array(block)${doubles};
  return (x) => {
${stores.join("\n")}
    return words;
  };
}
`;
}
