// Records of a change log made comparable: without what two runs, or two programs, may have
// differently. What is left out is said here and nowhere else.
import type { InRecord } from '../../sync/domain/debezium/decoder.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A record without what two runs, or two programs, may have differently. */
export function comparable(record: InRecord | undefined): {
  key: Json;
  value: Json;
  headers: Json;
} {
  const headers = Object.entries(record?.headers ?? {})
    // Ours have positions; a connector's name its task and run.
    .filter(([name]) => !name.startsWith('banyan.') && !name.startsWith('__debezium.context.'))
    .map(([name, value]): [string, Json] => [name, exact(value)]);
  return {
    key: exact(record?.key ?? 'null'),
    value: leveled(exact(record?.value ?? 'null')),
    headers: Object.fromEntries(headers),
  };
}

/** An int8 that is too large for a double keeps its digits. */
function exact(json: string): Json {
  const keep = (_name: string, value: Json, context?: { readonly source?: string }): Json =>
    typeof value === 'number' && /^-?\d{16,19}$/.test(context?.source ?? '')
      ? (context?.source ?? value)
      : value;
  return JSON.parse(json, keep) as Json;
}

function leveled(value: Json): Json {
  if (!isObject(value)) return value;
  const { schema, payload } = value;
  if (schema !== undefined && payload !== undefined) return { schema, payload: leveled(payload) };
  const { source, before, after, data_collections: collections } = value;
  const members: Record<string, Json> = { ...value };
  // When a record was made.
  if (source !== undefined) Object.assign(members, { ts_ms: 0, ts_us: 0, ts_ns: 0 });
  if (isObject(source)) {
    // `snapshot` has a default, which a converter that keeps nulls does not fill in.
    members['source'] = { ...source, version: '', snapshot: source['snapshot'] ?? 'false' };
  }
  for (const [name, row] of Object.entries({ before, after }))
    if (isObject(row)) members[name] = leveledRow(row);
  if (Array.isArray(collections))
    members['data_collections'] = leveledCounts(collections as Json[]);
  return members;
}

function leveledRow(row: Readonly<Record<string, Json>>): Json {
  const members: Record<string, Json> = { ...row };
  // The connector writes NULL for a column of type name: a value that it loses.
  delete members['c_name'];
  // Its hstores have their keys in the order of a hash.
  for (const name of ['c_hstore', 'h', 'c_hs'])
    if (typeof row[name] === 'string') members[name] = JSON.parse(row[name]) as Json;
  return members;
}

/** In the order of a hash, and logical messages under the name of a Java object. */
function leveledCounts(collections: readonly Json[]): Json {
  return collections
    .map((one) =>
      JSON.stringify(one).replace(
        /"[\w.]+\$LogicalDecodingMessageId@\w+"/,
        '"LOGICAL_DECODING_MESSAGE"',
      ),
    )
    .sort();
}

function isObject(value: Json | undefined): value is Readonly<Record<string, Json>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
