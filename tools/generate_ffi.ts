/**
 * Writes `ffi/generated/`: the FFI symbol tables and typed bindings that mirror `kernels/include/kedge.h`, and the list of kernel sources
 * that the package contains. With `--check` it writes nothing, and fails if a file differs.
 *
 * @module
 */
import { runCommand } from "../cli/command.ts";
import { writeGenerated } from "./write_generated.ts";
import { dirname, join, relative } from "node:path";
import { fileURLToPath as fromFileUrl } from "node:url";
import { MAX_PARAMETERS } from "../ffi/load.ts";
import {
  camel,
  parseStructs,
  type Struct,
  structInterface,
  structLayouts,
  structWriter,
  typeName,
  writerName,
} from "./generate_structs.ts";

const ROOT = dirname(dirname(fromFileUrl(import.meta.url)));
const GENERATED = "ffi/generated";

interface Parameter {
  name: string;
  ffi: "buffer" | "u64" | "i64" | "i32" | "u32" | "f32" | "f64";
  ts: string;
  /** The struct that it points to, if it is a block of arguments. */
  struct?: string;
}

interface Declaration {
  name: string;
  host: boolean;
  doc: string;
  result: "i32" | "i64";
  parameters: Parameter[];
}

/** Parses every `KEDGE_API` and `KEDGE_HOST_API` function of the header. Throws for an unknown type and for too many parameters. */
export function parseHeader(header: string): Declaration[] {
  const declarations: Declaration[] = [];
  const structs = new Set(parseStructs(header).map((struct) => struct.name));
  const pattern = /(?:\/\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?^(KEDGE_API|KEDGE_HOST_API)\s+(int32_t|int64_t)\s+(kedge_\w+)\(([^)]*)\)\s*;/gm;
  for (const [, doc, api, result, name, list] of header.matchAll(pattern)) {
    const parameters = list!.trim() === "void"
      ? []
      : list!.split(",").map((text) => parseParameter(text.trim(), { where: name!, structs }));
    const { length } = parameters, blocks = parameters.flatMap(({ struct }) => struct ?? []);
    if (length > MAX_PARAMETERS) {
      throw new RangeError(
        `Cannot bind ${name}: it has ${length} parameters, but only ${MAX_PARAMETERS} are safe; put its sizes and strides into a struct`,
      );
    }
    if (new Set(blocks).size < blocks.length) throw new RangeError(`Cannot bind ${name}: two parameters are blocks of the type ${blocks}`);
    declarations.push({
      name: name!,
      host: api === "KEDGE_HOST_API",
      doc: (doc ?? "").replace(/\n\s*\*?\s*/g, " ").trim(),
      result: result === "int64_t" ? "i64" : "i32",
      parameters,
    });
  }
  return declarations;
}

const SCALARS = new Map<string, Parameter["ffi"]>([
  ["int64_t", "i64"],
  ["uint64_t", "u64"],
  ["int32_t", "i32"],
  ["uint32_t", "u32"],
  ["float", "f32"],
  ["double", "f64"],
]);

function parseParameter(text: string, { where, structs }: { where: string; structs: ReadonlySet<string> }): Parameter {
  const match = /^(KEDGE_IN |KEDGE_OUT )?(.*?)(\w+)$/s.exec(text);
  if (!match) throw new TypeError(`Cannot parse the parameter "${text}" of ${where}`);
  const host = match[1] !== undefined, type = match[2]!.trim(), name = match[3]!;
  if (type === "const kedge_context*" || type === "kedge_status*") return { name, ffi: "buffer", ts: "" };
  const struct = /^const (kedge_\w+)\*$/.exec(type)?.[1];
  if (struct && host) {
    if (!structs.has(struct)) throw new TypeError(`Cannot find the struct ${struct} of ${where}'s parameter ${name}`);
    return { name, ffi: "buffer", ts: typeName(struct), struct };
  }
  if (type.endsWith("*")) return host ? { name, ffi: "buffer", ts: "BufferSource" } : { name, ffi: "u64", ts: "Address" };
  const ffi = SCALARS.get(type);
  if (!ffi) throw new TypeError(`Cannot map the type "${type}" of ${where}'s parameter ${name}`);
  return { name, ffi, ts: "number" };
}

function symbolTable(constant: string, declarations: Declaration[]): string {
  const rows = declarations.map((d) =>
    `  ${d.name}: { parameters: [${d.parameters.map((p) => `"${p.ffi}"`).join(", ")}], result: "${d.result}" },`
  );
  return `export const ${constant} = {\n${rows.join("\n")}\n} as const satisfies Deno.ForeignLibraryInterface;\n`;
}

function bindings(kind: "Ops" | "Host", declarations: Declaration[]): string {
  const symbols = kind === "Ops" ? "opSymbols" : "hostSymbols";
  const members: string[] = [], functions: string[] = [];
  for (const d of declarations) {
    const parameters = d.parameters.filter((p) => p.name !== "ctx" && p.name !== "status");
    const types = parameters.map((p) => `${camel(p.name)}: ${p.ts}${p.ts === "BufferSource" ? " | null" : ""}`).join(", ");
    const given = (p: Parameter) => p.name === "ctx" ? "context" : p.struct ? `${writerName(p.struct)}(${camel(p.name)})` : camel(p.name);
    const call = d.parameters.map(given).join(", ");
    const names = parameters.map((p) => camel(p.name)).join(", ");
    const checked = d.parameters.some((p) => p.name === "status");
    members.push(
      `  /** ${d.doc.replaceAll("*/", "* /") || camel(d.name)} */\n  ${camel(d.name)}(${types}): ${checked ? "void" : "number"};`,
    );
    functions.push(
      checked
        ? `    ${camel(d.name)}: (${names}) => {\n      while (symbols.${d.name}(${call}) !== 0) failed("${camel(d.name)}");\n    },`
        : `    ${camel(d.name)}: (${names}) => Number(symbols.${d.name}(${call})),`,
    );
  }
  const blocks = [...new Set(declarations.flatMap((d) => d.parameters.flatMap(({ struct }) => struct ?? [])))]
    .map((struct) => `  const ${writerName(struct)} = ${camel(struct)}Writer();\n`).join("");
  const subject = kind === "Ops" ? "The ops, bound to one context" : "The host part of the CPU library";
  return `/** ${subject}. Addresses are numbers; 0 stands for NULL. Each throws what \`failed\` throws. */
export interface ${kind} {
${members.join("\n")}
}

/**
 * Binds loaded symbols to a context and a status buffer.
 *
 * Blocks of arguments are the binding's own: each call writes them anew, and the function reads them before it returns.
 * @param failed Called with the function's name while \`status\` holds a failure; it throws, or returns to have the call made again.
 */
export function bind${kind}(
  symbols: Symbols<typeof ${symbols}>,
  context: Uint8Array<ArrayBuffer>,
  status: Uint8Array<ArrayBuffer>,
  failed: (name: string) => void,
): ${kind} {
${blocks}  return {
${functions.join("\n")}
  };
}
`;
}

function bindingsFile(declarations: Declaration[], structs: Struct[]): string {
  const passed = new Set(declarations.flatMap((d) => d.parameters.flatMap(({ struct }) => struct ?? [])));
  const blocks = structs.filter(({ name }) => passed.has(name));
  const ops = declarations.filter((d) => !d.host), host = declarations.filter((d) => d.host);
  return `// Generated from kernels/include/kedge.h by tools/generate_ffi.ts. Do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
import type { Address } from "../address.ts";
import { put32, put64 } from "../block.ts";

/** Loaded symbols, called with numbers: for 64-bit integers Deno's types ask for bigint, its calls take both, and numbers are exact below 2^53. */
export type Symbols<Table> = { readonly [Name in keyof Table]: (...values: (number | BufferSource | null)[]) => number | bigint };

${structLayouts(structs)}
${blocks.map(structInterface).join("\n")}
${blocks.map(structWriter).join("\n")}
${symbolTable("opSymbols", ops)}
${symbolTable("hostSymbols", host)}
${bindings("Ops", ops)}
${bindings("Host", host)}`;
}

function kernelSources(): string[] {
  const sources: string[] = [];
  const walk = (folder: string) => {
    for (const entry of Deno.readDirSync(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory) walk(path);
      else if (/\.(h|cuh|cpp|cu)$/.test(entry.name)) sources.push(relative(ROOT, path));
    }
  };
  walk(join(ROOT, "kernels"));
  return sources.sort();
}

function sourcesFile(paths: string[]): string {
  const imports = paths.map((path, i) => `import s${i} from "../../${path}" with { type: "text" };`);
  const entries = paths.map((path, i) => `  "${path}": s${i},`);
  return `// Generated from kernels/ by tools/generate_ffi.ts. Do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
${imports.join("\n")}

/** The kernels' sources by their path in the package, so that they build wherever the package was imported from. */
export const kernelSources: Readonly<Record<string, string>> = {
${entries.join("\n")}
};
`;
}

/** Returns the generated files by path, with their current contents. */
export function generate(): Record<string, string> {
  const header = Deno.readTextFileSync(join(ROOT, "kernels/include/kedge.h"));
  return {
    [`${GENERATED}/bindings.ts`]: bindingsFile(parseHeader(header), parseStructs(header)),
    [`${GENERATED}/sources.ts`]: sourcesFile(kernelSources()),
  };
}

if (import.meta.main) await runCommand((args) => writeGenerated(args, generate));
