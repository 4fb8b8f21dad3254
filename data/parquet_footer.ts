import { type FileMetaData, parquetSchema, type SchemaTree } from "hyparquet";

/** The maximum rows of a group, which is read at once. Writers make at most a million. */
const MOST_ROWS = 2 ** 24;
/** The maximum values of a column of a group, including those in lists. */
const MOST_VALUES = 2 ** 26;

/**
 * Returns what is wrong with a Parquet file's footer: a column that the schema does not have, that lies outside the file, or that has fewer
 * values than the group has rows. The library trusts the footer. If it fails to begin one column, it leaves the columns that it has begun
 * unattended, and their errors would end the process.
 *
 * @param options `byteLength`: the file's size.
 * @returns A text for an error, or undefined if nothing is wrong.
 */
export function footerFault(metadata: FileMetaData, { byteLength }: { byteLength: number }): string | undefined {
  const leaves = new Set<string>(), tree = parquetSchema(metadata);
  const walk = ({ children, path }: SchemaTree) => {
    if (children.length === 0) leaves.add(path.join("."));
    for (const child of children) walk(child);
  };
  for (const child of tree.children) walk(child);
  for (const [g, { num_rows: rows, columns }] of metadata.row_groups.entries()) {
    if (!(rows >= 0 && rows <= MOST_ROWS)) return `row group ${g} has ${rows} rows, but at most ${MOST_ROWS} are allowed`;
    const seen = new Set<string>();
    let bytes = 0;
    for (const { meta_data: column } of columns ?? []) {
      if (!column) return `row group ${g} has a column without metadata`;
      const name = column.path_in_schema.join(".");
      if (!leaves.has(name) || seen.has(name)) return `row group ${g} has a column ${name} that the schema does not have, or has it twice`;
      seen.add(name);
      const { dictionary_page_offset: dictionary, data_page_offset: data, total_compressed_size: size } = column;
      const start = Number(dictionary || data), first = Math.min(start, Number(data));
      if (!(first >= 4 && size >= 0 && Number(data) <= byteLength && start + Number(size) <= byteLength)) {
        return `column ${name} of row group ${g} lies outside the file`;
      }
      bytes += Number(size);
      if (bytes > byteLength) return `the columns of row group ${g} have more bytes than the file`;
      if (column.num_values > MOST_VALUES) {
        return `column ${name} of row group ${g} has ${column.num_values} values, but at most ${MOST_VALUES} are allowed`;
      }
      if (!(column.num_values >= rows)) return `column ${name} of row group ${g} has ${column.num_values} values for ${rows} rows`;
    }
    if (seen.size !== leaves.size) return `row group ${g} has ${seen.size} columns, but the schema has ${leaves.size}`;
  }
  return undefined;
}
