// Which row of the owner has the unique value that a change of the service was to bring. That is another
// row than the change is about, so no policy can have it give way: it has a life and references of its own,
// and the times of two rows do not tell which of them should be. People get to see both.
import type pg from 'pg';
import { rawRows, sqlState } from '../core/postgres/connect.ts';
import { quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import type { ConflictRow } from '../control/domain/conflicts.ts';
import type { Asked } from './domain/images.ts';
import { targetColumns } from './domain/mapping.ts';

export interface InTheWay {
  readonly row: ConflictRow;
  /** When it was written, Unix ms; null where nobody asked, or knows. */
  readonly writtenMs: number | null;
}

interface LookAround {
  readonly client: pg.Client;
  readonly asked: Asked;
  /** The owner's row that the change is about: it has what the change does not say. */
  readonly own: ConflictRow | null;
  /** Columns that are shown of a row. */
  readonly shown: readonly string[];
  /** Whether the server keeps the times of commits. */
  readonly timed: boolean;
}

/** An index that computes something says nothing of columns. */
const COLUMNS = `
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(i.indpred, i.indrelid)
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
 WHERE n.nspname = $1 AND x.relname = $2 AND i.indexprs IS NULL ORDER BY a.attnum`;

/** Undefined where it cannot be told, or has gone meanwhile. */
export async function rowInTheWay(
  refusal: unknown,
  { client, asked, own, shown, timed }: LookAround,
): Promise<InTheWay | undefined> {
  if (sqlState(refusal) !== '23505') return undefined;
  const { schema = '', constraint = '' } = refusal as pg.DatabaseError;
  const columns = await rawRows(client, COLUMNS, [schema, constraint]);
  if (columns.length === 0) return undefined;
  const { edge, key, after } = asked;
  const wanted = new Map<string, string | null>([
    ...Object.entries(own ?? {}),
    ...edge.constants.map(({ column, value }) => [column, value] as const),
    ...edge.key.map((pair, index) => [pair.target, key[index] ?? null] as const),
    ...targetColumns(edge).map(({ target }, index) => [target, after?.[index] ?? null] as const),
  ]);
  const values: (string | null)[] = [];
  const conditions = columns.map(([name, type]) => {
    const value = wanted.get(name ?? '') ?? null;
    const column = `t.${quoteIdentifier(name ?? '')}`;
    if (value === null) return `${column} IS NULL`;
    values.push(value);
    return `${column} = $${values.length}::text::${type ?? 'text'}`;
  });
  const predicate = columns[0]?.[2];
  const written = timed ? 'extract(epoch FROM pg_xact_commit_timestamp(t.xmin)) * 1000' : 'NULL';
  const list = shown.map((name) => `, t.${quoteIdentifier(name)}`).join('');
  const [found] = await rawRows(
    client,
    `SELECT ${written}${list} FROM ${quoteTable(edge.target)} AS t
      WHERE ${[...conditions, ...(predicate ? [`(${predicate})`] : [])].join(' AND ')} LIMIT 1`,
    values,
  );
  if (!found) return undefined;
  const [ms, ...row] = found;
  return {
    row: Object.fromEntries(shown.map((name, index) => [name, row[index] ?? null])),
    writtenMs: ms === null || ms === undefined ? null : Number(ms),
  };
}
